#include "api/completion_answer.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "api/answer.h"
#include "api/completion_choice.h"
#include "api/ids.h"
#include "api/json_writer.h"

namespace quern::api {

namespace {

// Choices are numbered prompt-major: prompt i's choice j is i * best_of + j. With best_of > n only the n best of each
// prompt are answered, numbered i * n + j.
class CompletionAnswer final : public Answer {
 public:
  CompletionAnswer(std::shared_ptr<Exchange> exchange, std::shared_ptr<const ServedModel> model,
                   CompletionRequest request)
      : Answer(std::move(exchange), std::move(model), request.fields.stream),
        request_(std::move(request)),
        id_("cmpl-" + NewUuid()),
        created_(UnixSecondsNow()) {}

  void Run() {
    std::vector<engine::GenerateRequest> requests;
    const bool score_prompt = request_.echo && request_.logprobs >= 0;
    for (const CompletionPrompt& prompt : request_.prompts) {
      usage_.n_prompt += static_cast<int>(prompt.tokens.size());
      for (int j = 0; j < request_.best_of; ++j) {
        engine::GenerateRequest generate =
            MakeGenerateRequest(request_.fields, model(), prompt.tokens, j, request_.default_max_tokens);
        generate.stop_tokens.insert(generate.stop_tokens.end(), request_.implicit_stops.begin(),
                                    request_.implicit_stops.end());
        generate.n_logprobs = request_.logprobs;
        if (request_.best_of > request_.fields.n) generate.n_logprobs = std::max(0, request_.logprobs);
        generate.prompt_logprobs = score_prompt;
        requests.push_back(std::move(generate));
        choices_.push_back(std::make_unique<CompletionChoice>(request_, prompt, model()));
        if (request_.echo && !score_prompt) choices_.back()->EchoPrompt(nullptr);
      }
    }
    done_.assign(choices_.size(), 0);
    prompt_ids_sent_.assign(choices_.size(), 0);
    cached_.assign(choices_.size(), 0);
    n_open_ = choices_.size();
    Start(std::move(requests));
  }

 private:
  const CompletionPrompt& PromptOf(size_t index) const {
    return request_.prompts[index / static_cast<size_t>(request_.best_of)];
  }

  void OnToken(size_t index, const engine::TokenEvent& event) override {
    if (choices_[index]->Push(event)) CancelGeneration(index);
  }

  void OnPromptLogprobs(size_t index, const engine::PromptLogprobsEvent& event) override {
    choices_[index]->EchoPrompt(&event);
  }

  void OnFinished(size_t index, const engine::FinishedEvent& event) override {
    choices_[index]->Finish(event.reason == engine::FinishReason::kLength);
    cached_[index] = event.n_cached;
    if (stream()) {
      WriteDelta(index);
      WriteFinish(index);
    }
    done_[index] = 1;
    if (--n_open_ > 0) return;
    SumUsage();
    if (stream()) {
      if (request_.fields.include_usage) WriteUsageChunk();
      exchange().FinishSse();
    } else {
      exchange().SendJson(200, WholeJson());
    }
    Done(usage_);
  }

  void SumUsage() {
    for (const auto& choice : choices_) usage_.n_generated += choice->n_generated();
    // Choices of one prompt share its tokens, which are billed once.
    const auto per_prompt = static_cast<size_t>(request_.best_of);
    for (size_t i = 0; i < cached_.size(); i += per_prompt) {
      usage_.n_cached += *std::max_element(cached_.begin() + static_cast<std::ptrdiff_t>(i),
                                           cached_.begin() + static_cast<std::ptrdiff_t>(i + per_prompt));
    }
  }

  // ---- stream ----

  void OnAdmitted() override {
    exchange().StartSse();
    for (size_t i = 0; i < choices_.size() && request_.shape == CompletionShape::kFim; ++i) WriteRole(i);
    WritePending();
  }

  void WritePending() override {
    for (size_t i = 0; i < choices_.size(); ++i) {
      if (done_[i] == 0) WriteDelta(i);
    }
  }

  void WriteKeepAlive() override { exchange().WriteComment("keep-alive"); }

  void BeginObject(JsonWriter& json) {
    const bool fim = request_.shape == CompletionShape::kFim;
    json.BeginObject();
    json.Key("id").String(id_);
    json.Key("object").String(!fim ? "text_completion" : stream() ? "chat.completion.chunk" : "chat.completion");
    json.Key("created").Int(created_);
    json.Key("model").String(request_.fields.model_name);
    json.Key("system_fingerprint").Null();
    json.Key("choices").BeginArray();
  }

  void WriteIds(JsonWriter& json, std::string_view key, const std::vector<engine::TokenId>& ids) {
    json.Key(key).BeginArray();
    for (const engine::TokenId id : ids) json.Int(id);
    json.EndArray();
  }

  void WriteChoice(JsonWriter& json, size_t number, const CompletionDelta& delta, std::string_view finish_reason) {
    json.BeginObject();
    if (request_.shape == CompletionShape::kFim) {
      json.Key("index").Int(static_cast<int64_t>(number));
      json.Key(stream() ? "delta" : "message").BeginObject();
      if (!stream()) json.Key("role").String("assistant");
      if (!stream() || finish_reason.empty()) json.Key("content").String(delta.text);
      json.EndObject();
    } else {
      json.Key("text").String(delta.text);
      json.Key("index").Int(static_cast<int64_t>(number));
      json.Key("logprobs");
      if (request_.logprobs >= 0 && finish_reason.empty() == stream()) {
        WriteLegacyLogprobs(json, *model().tokenizer, delta.logprobs, request_.logprobs > 0);
      } else {
        json.Null();
      }
    }
    json.Key("finish_reason");
    if (finish_reason.empty()) {
      json.Null();
    } else {
      json.String(finish_reason);
    }
    if (request_.fields.return_token_ids) {
      const size_t index = stream() ? number : 0;
      if (!stream() || prompt_ids_sent_[index] == 0) {
        const size_t prompt = number / static_cast<size_t>(request_.fields.n);
        WriteIds(json, "prompt_token_ids", request_.prompts[prompt].tokens);
      }
      if (stream()) prompt_ids_sent_[index] = 1;
      WriteIds(json, "token_ids", delta.token_ids);
    }
    json.EndObject();
  }

  void WriteChunk(size_t index, const CompletionDelta& delta, std::string_view finish_reason) {
    JsonWriter json;
    BeginObject(json);
    WriteChoice(json, index, delta, finish_reason);
    json.EndArray();
    if (request_.fields.include_usage) {
      json.Key("usage");
      if (request_.fields.continuous_usage) {
        Usage now{static_cast<int>(PromptOf(index).tokens.size()), 0, choices_[index]->n_generated()};
        WriteUsage(json, now, true);
      } else {
        json.Null();
      }
    }
    json.EndObject();
    exchange().WriteData(json.text());
  }

  // Chat-shaped streams begin with each choice's role, by itself.
  void WriteRole(size_t index) {
    JsonWriter json;
    BeginObject(json);
    json.BeginObject().Key("index").Int(static_cast<int64_t>(index));
    json.Key("delta").BeginObject().Key("role").String("assistant").Key("content").String("").EndObject();
    json.Key("finish_reason").Null().EndObject().EndArray();
    if (request_.fields.include_usage) json.Key("usage").Null();
    json.EndObject();
    exchange().WriteData(json.text());
  }

  void WriteDelta(size_t index) {
    if (!choices_[index]->has_pending()) return;
    WriteChunk(index, choices_[index]->Take(), "");
  }

  void WriteFinish(size_t index) { WriteChunk(index, {}, choices_[index]->finish_reason()); }

  void WriteUsageChunk() {
    JsonWriter json;
    BeginObject(json);
    json.EndArray().Key("usage");
    WriteUsage(json, usage_, true);
    json.EndObject();
    exchange().WriteData(json.text());
  }

  // ---- whole ----

  // Which choices of prompt i are answered, best first when best_of asks for a selection.
  std::vector<size_t> Selected(size_t prompt) const {
    const auto per_prompt = static_cast<size_t>(request_.best_of);
    std::vector<size_t> order(per_prompt);
    std::iota(order.begin(), order.end(), prompt * per_prompt);
    if (request_.best_of > request_.fields.n) {
      // Ties keep the order of the choices: the pair's second member decides.
      std::ranges::sort(order, [&](size_t a, size_t b) {
        return std::pair(-choices_[a]->mean_logprob(), a) < std::pair(-choices_[b]->mean_logprob(), b);
      });
      order.resize(static_cast<size_t>(request_.fields.n));
    }
    return order;
  }

  std::string WholeJson() {
    JsonWriter json;
    BeginObject(json);
    size_t number = 0;
    for (size_t prompt = 0; prompt < request_.prompts.size(); ++prompt) {
      for (const size_t index : Selected(prompt)) {
        WriteChoice(json, number++, choices_[index]->Take(), choices_[index]->finish_reason());
      }
    }
    json.EndArray().Key("usage");
    WriteUsage(json, usage_, true);
    json.EndObject();
    return json.Take();
  }

  const CompletionRequest request_;
  const std::string id_;
  const int64_t created_;
  std::vector<std::unique_ptr<CompletionChoice>> choices_;
  std::vector<char> done_;
  std::vector<char> prompt_ids_sent_;
  std::vector<int> cached_;
  size_t n_open_ = 0;
  Usage usage_;
};

}  // namespace

void AnswerCompletion(std::shared_ptr<Exchange> exchange, std::shared_ptr<const ServedModel> model,
                      CompletionRequest request) {
  std::make_shared<CompletionAnswer>(std::move(exchange), std::move(model), std::move(request))->Run();
}

}  // namespace quern::api
