#include "api/completion_answer.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "api/answer.h"
#include "api/completion_choice.h"

namespace quern::api {

namespace {

// Choices are numbered prompt-major: prompt i's choice j is i * best_of + j. With best_of > n only the n best of each
// prompt are answered, numbered i * n + j.
class CompletionAnswer final : public Answer {
 public:
  CompletionAnswer(std::shared_ptr<Exchange> exchange, std::shared_ptr<const ServedModel> model,
                   CompletionRequest request, std::unique_ptr<CompletionWriter> writer)
      : Answer(std::move(exchange), std::move(model), request.fields.stream),
        request_(std::move(request)),
        writer_(std::move(writer)) {}

  void Run() {
    writer_->Attach(exchange(), turn_);
    std::vector<engine::GenerateRequest> requests;
    const bool score_prompt = request_.echo && request_.logprobs >= 0;
    for (const CompletionPrompt& prompt : request_.prompts) {
      usage_.n_prompt += static_cast<int>(prompt.tokens.size());
      for (int j = 0; j < request_.best_of; ++j) {
        engine::GenerateRequest generate =
            MakeGenerateRequest(request_.fields, model(), prompt.tokens, j, request_.default_max_tokens);
        generate.stop_tokens.insert(generate.stop_tokens.end(), request_.implicit_stops.begin(),
                                    request_.implicit_stops.end());
        generate.grammar = request_.grammar;
        generate.n_logprobs = request_.logprobs;
        if (request_.best_of > request_.fields.n) generate.n_logprobs = std::max(0, request_.logprobs);
        generate.prompt_logprobs = score_prompt;
        requests.push_back(std::move(generate));
        choices_.push_back(std::make_unique<CompletionChoice>(request_, prompt, model()));
        if (request_.echo && !score_prompt) choices_.back()->EchoPrompt(nullptr);
      }
    }
    done_.assign(choices_.size(), 0);
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
    choices_[index]->Finish(event);
    cached_[index] = event.n_cached;
    if (stream()) {
      WriteDelta(index);
      writer_->EndChoice(index, EndOf(index), UsageOf(index));
    }
    done_[index] = 1;
    if (--n_open_ > 0) return;
    SumUsage();
    if (stream()) {
      writer_->End(usage_);
    } else {
      exchange().SendJson(200, writer_->Whole(WholeChoices(), usage_));
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

  void OnAdmitted() override {
    writer_->Begin();
    WritePending();
  }

  void WritePending() override {
    for (size_t i = 0; i < choices_.size(); ++i) {
      if (done_[i] == 0) WriteDelta(i);
    }
  }

  void WriteKeepAlive() override {
    const auto index = static_cast<size_t>(std::ranges::find(done_, 0) - done_.begin());
    if (index < choices_.size()) writer_->KeepAlive(index, UsageOf(index));
  }

  void WriteFailure(const ApiError& error) override { writer_->Fail(error); }

  // A stream answers every choice it runs (best_of = n), so that index and number are the same.
  void WriteDelta(size_t index) {
    if (choices_[index]->has_pending()) writer_->Delta(index, choices_[index]->Take(), UsageOf(index));
  }

  Usage UsageOf(size_t index) const {
    return {static_cast<int>(PromptOf(index).tokens.size()), cached_[index], choices_[index]->n_generated()};
  }

  CompletionEnd EndOf(size_t index) const {
    return {choices_[index]->finish_reason(), std::string(choices_[index]->matched_stop())};
  }

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

  std::vector<WholeCompletion> WholeChoices() {
    std::vector<WholeCompletion> whole;
    for (size_t prompt = 0; prompt < request_.prompts.size(); ++prompt) {
      for (const size_t index : Selected(prompt)) whole.push_back({choices_[index]->Take(), EndOf(index)});
    }
    return whole;
  }

  const CompletionRequest request_;
  const std::unique_ptr<CompletionWriter> writer_;
  const CompletionTurn turn_{request_, model()};
  std::vector<std::unique_ptr<CompletionChoice>> choices_;
  std::vector<char> done_;
  std::vector<int> cached_;
  size_t n_open_ = 0;
  Usage usage_;
};

}  // namespace

void AnswerCompletion(std::shared_ptr<Exchange> exchange, std::shared_ptr<const ServedModel> model,
                      CompletionRequest request, std::unique_ptr<CompletionWriter> writer) {
  std::make_shared<CompletionAnswer>(std::move(exchange), std::move(model), std::move(request), std::move(writer))
      ->Run();
}

}  // namespace quern::api
