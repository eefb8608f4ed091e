#include "api/chat_answer.h"

#include <algorithm>

#include "api/answer.h"
#include "api/chat_choice.h"
#include "api/chat_grammar.h"
#include "api/chat_prompt.h"

namespace quern::api {

namespace {

std::vector<WholeCall> JoinCalls(std::vector<ToolDelta>& deltas) {
  std::vector<WholeCall> calls;
  for (ToolDelta& delta : deltas) {
    if (delta.begin) calls.push_back({std::move(delta.id), std::move(delta.name), ""});
    if (!calls.empty()) calls.back().arguments += delta.arguments;
  }
  return calls;
}

class ChatAnswer final : public Answer {
 public:
  ChatAnswer(std::shared_ptr<Exchange> exchange, std::shared_ptr<const ServedModel> model, ChatRequest request,
             std::unique_ptr<ChatWriter> writer)
      : Answer(std::move(exchange), std::move(model), request.fields.stream),
        request_(std::move(request)),
        writer_(std::move(writer)) {}

  void Run() {
    ApiResult<ChatPrompt> prompt = BuildChatPrompt(request_, model(), true);
    if (!prompt) {
      exchange().SendError(prompt.error());
      return;
    }
    const auto grammar = BuildChatGrammar(request_, model());
    if (!grammar) {
      exchange().SendError(grammar.error());
      return;
    }
    usage_.n_prompt = turn_.n_prompt = static_cast<int>(prompt->tokens.size());
    if (request_.fields.return_token_ids) turn_.prompt_ids = prompt->tokens;
    writer_->Attach(exchange(), turn_);
    std::vector<engine::GenerateRequest> requests;
    const auto n = static_cast<size_t>(request_.fields.n);
    for (size_t i = 0; i < n; ++i) {
      // The last one may take the prompt along.
      std::vector<engine::TokenId> tokens = i + 1 < n ? prompt->tokens : std::move(prompt->tokens);
      requests.push_back(MakeGenerateRequest(request_.fields, model(), std::move(tokens), static_cast<int>(i), -1));
      requests.back().grammar = *grammar;
      if (request_.logprobs) requests.back().n_logprobs = request_.top_logprobs;
      if (request_.tool_choice == ToolChoice::kNone && !request_.tools.empty()) BanCalls(requests.back());
      choices_.push_back(std::make_unique<ChatChoice>(request_, model(), prompt->turn_prefix));
    }
    ended_.assign(n, 0);
    n_open_ = n;
    Start(std::move(requests));
  }

 private:
  // tool_choice none: the template still shows the tools, so that earlier calls read right, but no call can begin.
  void BanCalls(engine::GenerateRequest& request) const {
    const engine::TokenId opener = model().tokenizer->AddedTokenId("<tool_call>");
    if (opener >= 0 && opener < model().backend->info().vocab_size) {
      request.sampling.logit_bias.emplace_back(opener, -100.0F);
    }
  }

  void OnToken(size_t index, const engine::TokenEvent& event) override {
    if (choices_[index]->Push(event)) CancelGeneration(index);
  }

  void OnPromptLogprobs(size_t, const engine::PromptLogprobsEvent&) override {}

  void OnFinished(size_t index, const engine::FinishedEvent& event) override {
    ChatChoice& choice = *choices_[index];
    choice.Finish(event);
    usage_.n_cached = std::max(usage_.n_cached, event.n_cached);
    if (stream()) {
      WriteDelta(index);
      ended_[index] = 1;
      writer_->EndChoice(index, EndOf(choice), UsageOf(index));
    }
    if (--n_open_ > 0) return;
    usage_.n_generated = 0;
    for (const auto& each : choices_) usage_.n_generated += each->n_generated();
    if (stream()) {
      writer_->End(usage_);
    } else {
      std::vector<WholeChoice> whole;
      whole.reserve(choices_.size());
      for (const auto& each : choices_) whole.push_back(WholeOf(*each));
      exchange().SendJson(200, writer_->Whole(whole, usage_));
    }
    Done(usage_);
  }

  void OnAdmitted() override {
    writer_->Begin();
    WritePending();
  }

  void WritePending() override {
    for (size_t i = 0; i < choices_.size(); ++i) {
      if (ended_[i] == 0) WriteDelta(i);
    }
  }

  void WriteKeepAlive() override {
    const auto open = std::find(ended_.begin(), ended_.end(), 0);
    if (open == ended_.end()) return;
    const auto index = static_cast<size_t>(open - ended_.begin());
    writer_->KeepAlive(index, UsageOf(index));
  }

  void WriteFailure(const ApiError& error) override { writer_->Fail(error); }

  void WriteDelta(size_t index) {
    const ChatDelta delta = choices_[index]->Take();
    if (!delta.empty()) writer_->Delta(index, delta, UsageOf(index));
  }

  Usage UsageOf(size_t index) const {
    Usage usage = usage_;
    usage.n_generated = choices_[index]->n_generated();
    return usage;
  }

  static ChoiceEnd EndOf(const ChatChoice& choice) {
    return {choice.finish_reason(), std::string(choice.matched_stop()), choice.warnings()};
  }

  static WholeChoice WholeOf(ChatChoice& choice) {
    ChatDelta all = choice.Take();
    return {std::move(all.content), JoinCalls(all.tools), std::move(all.logprobs), std::move(all.token_ids),
            EndOf(choice)};
  }

  const ChatRequest request_;
  const std::unique_ptr<ChatWriter> writer_;
  ChatTurn turn_{request_, model(), {}, 0};
  std::vector<std::unique_ptr<ChatChoice>> choices_;
  std::vector<char> ended_;
  size_t n_open_ = 0;
  Usage usage_;
};

}  // namespace

void AnswerChat(std::shared_ptr<Exchange> exchange, std::shared_ptr<const ServedModel> model, ChatRequest request,
                std::unique_ptr<ChatWriter> writer) {
  std::make_shared<ChatAnswer>(std::move(exchange), std::move(model), std::move(request), std::move(writer))->Run();
}

}  // namespace quern::api
