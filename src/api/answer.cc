#include "api/answer.h"

#include <fmt/format.h>

#include "api/json_writer.h"

namespace quern::api {

void WriteUsage(JsonWriter& json, const Usage& usage, bool details) {
  json.BeginObject();
  json.Key("prompt_tokens").Int(usage.n_prompt);
  json.Key("completion_tokens").Int(usage.n_generated);
  json.Key("total_tokens").Int(int64_t{usage.n_prompt} + usage.n_generated);
  if (details) {
    json.Key("prompt_tokens_details").BeginObject().Key("cached_tokens").Int(usage.n_cached).EndObject();
    json.Key("completion_tokens_details").BeginObject();
    json.Key("reasoning_tokens").Int(0);
    json.Key("accepted_prediction_tokens").Int(0);
    json.Key("rejected_prediction_tokens").Int(0);
    json.EndObject();
  }
  json.EndObject();
}

void WriteWarnings(JsonWriter& json, const std::vector<std::string>& warnings) {
  if (warnings.empty()) return;
  json.Key("warnings").BeginArray();
  for (const std::string& warning : warnings) json.SanitizedString(warning);
  json.EndArray();
}

Answer::Answer(std::shared_ptr<Exchange> exchange, std::shared_ptr<const ServedModel> model, bool stream)
    : exchange_(std::move(exchange)),
      model_(std::move(model)),
      stream_(stream),
      started_(std::chrono::steady_clock::now()) {}

Answer::~Answer() {
  if (generations_) generations_->StopAll();
}

void Answer::Start(std::vector<engine::GenerateRequest> requests) {
  // The callbacks hold the answer weakly; the sink's gone callback is what keeps it alive.
  std::weak_ptr<Answer> weak = weak_from_this();
  GenerationSet::Callbacks callbacks;
  callbacks.on_event = [weak](size_t index, const engine::Event& event) {
    if (const auto self = weak.lock(); self && !self->over_) self->OnEvent(index, event);
  };
  callbacks.on_batch_end = [weak] {
    if (const auto self = weak.lock(); self && !self->over_) self->OnBatchEnd();
  };
  callbacks.on_overflow = [weak] {
    const auto self = weak.lock();
    if (!self || self->over_) return;
    ApiError error = FromStatus(
        Status(Code::kExhausted,
               fmt::format("more than {} bytes of tokens waited to be written (limit max_pending_event_bytes)",
                           self->exchange_->limits().max_pending_event_bytes)));
    self->FailRequest(error);
  };
  generations_ = GenerationSet::Create(exchange_->shared_sink(), exchange_->limits().max_pending_event_bytes,
                                       std::move(callbacks));
  cancelled_.assign(requests.size(), 0);
  for (engine::GenerateRequest& request : requests) {
    request.priority = exchange_->priority();
    const Result<void> submitted = generations_->Submit(*model_->backend, std::move(request));
    if (!submitted) {
      FailRequest(FromStatus(submitted.error()));
      return;
    }
  }
  exchange_->sink().OnGone([self = shared_from_this()] { self->OnGone(); });
  if (!stream_) return;
  OnAdmitted();
  exchange_->Flush();
  exchange_->sink().OnHalfClosed([weak] {
    const auto self = weak.lock();
    if (!self || self->over_) return;
    self->WriteKeepAlive();
    self->exchange_->Flush();
  });
  ArmKeepAlive();
}

void Answer::OnEvent(size_t index, const engine::Event& event) {
  if (const auto* token = std::get_if<engine::TokenEvent>(&event)) {
    if (!saw_token_) {
      saw_token_ = true;
      const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - started_;
      exchange_->metrics().ObserveFirstToken(exchange_->route(), elapsed.count());
    }
    if (cancelled_[index] == 0) OnToken(index, *token);
    return;
  }
  if (const auto* prompt = std::get_if<engine::PromptLogprobsEvent>(&event)) {
    OnPromptLogprobs(index, *prompt);
    return;
  }
  const auto* finished = std::get_if<engine::FinishedEvent>(&event);
  if (finished == nullptr) return;  // progress
  if (finished->reason == engine::FinishReason::kError && cancelled_[index] == 0) {
    FailRequest(FromStatus(finished->error));
  } else if (finished->reason == engine::FinishReason::kCancelled && cancelled_[index] == 0) {
    FailRequest(FromStatus(Status(Code::kUnavailable, "the server is shutting down")));
  } else {
    OnFinished(index, *finished);
  }
}

void Answer::OnBatchEnd() {
  if (!stream_) return;
  WritePending();
  if (over_) return;
  exchange_->Flush();
  wrote_since_timer_ = true;
  if (exchange_->sink().unsent_bytes() <= exchange_->limits().max_unsent_bytes) return;
  // The peer does not read: it costs memory here and compute below, so it is given up.
  ResponseSink& sink = exchange_->sink();
  exchange_->MarkGone();
  Release();
  sink.Abort();
}

void Answer::OnGone() {
  if (over_) return;
  exchange_->MarkGone();
  Release();
}

void Answer::ArmKeepAlive() {
  wrote_since_timer_ = false;
  std::weak_ptr<Answer> weak = weak_from_this();
  exchange_->sink().SetTimer(exchange_->limits().keep_alive_interval, [weak] {
    const auto self = weak.lock();
    if (!self || self->over_) return;
    if (!self->wrote_since_timer_) {
      self->WriteKeepAlive();
      self->exchange_->Flush();
    }
    self->ArmKeepAlive();
  });
}

void Answer::CancelGeneration(size_t index) {
  cancelled_[index] = 1;
  generations_->Cancel(index);
}

void Answer::FailRequest(const ApiError& error) {
  if (over_) return;
  const auto exchange = exchange_;
  const bool open = exchange->streaming();
  // What came before the failure may have come in the same batch of events; it is not lost with it.
  if (open) WritePending();
  Release();
  if (open) {
    WriteFailure(error);
  } else {
    exchange->SendError(error);
  }
}

void Answer::Done(const Usage& usage) {
  exchange_->metrics().CountTokens(exchange_->route(), usage.n_prompt, usage.n_cached, usage.n_generated);
  Release();
}

void Answer::Release() {
  over_ = true;
  if (generations_) generations_->StopAll();
  exchange_->sink().SetTimer({}, nullptr);
}

}  // namespace quern::api
