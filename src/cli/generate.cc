#include "cli/generate.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <random>
#include <vector>

#include "cli/interrupt.h"
#include "cli/progress.h"

namespace quern::cli {
namespace {

using Clock = std::chrono::steady_clock;

// How soon Ctrl-C is noticed while no token comes.
constexpr auto kPoll = std::chrono::milliseconds(50);

// Events on their way from the engine thread to ours.
struct Mailbox {
  std::mutex mutex;
  std::condition_variable filled;
  std::vector<engine::Event> events;

  std::vector<engine::Event> Take() {
    std::unique_lock lock(mutex);
    filled.wait_for(lock, kPoll, [this] { return !events.empty(); });
    return std::exchange(events, {});
  }
};

bool IsStop(const engine::GenerateRequest& request, engine::TokenId token) {
  return std::find(request.stop_tokens.begin(), request.stop_tokens.end(), token) != request.stop_tokens.end();
}

double SecondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

}  // namespace

Result<GenerateOutcome> Generate(engine::Backend& backend, std::shared_ptr<const tokenizer::Tokenizer> tokenizer,
                                 const engine::GenerateRequest& request, const TextSink& on_text) {
  const auto start = Clock::now();
  Mailbox mailbox;
  QUERN_ASSIGN(engine::Generation generation, backend.Submit(request, [&](const engine::Event& event) {
    {
      std::lock_guard lock(mailbox.mutex);
      mailbox.events.push_back(event);
    }
    mailbox.filled.notify_one();
  }));
  tokenizer::StreamDecoder decoder(std::move(tokenizer), /*skip_special=*/true);
  const auto put = [&](const std::string& text) {
    if (!text.empty()) on_text(text);
  };
  std::optional<ProgressBar> bar("reading the prompt");
  GenerateOutcome outcome;
  std::optional<engine::FinishedEvent> finished;
  auto first = start;
  while (!finished) {
    if (TakeInterrupts() > 0) generation.Cancel();
    for (const engine::Event& event : mailbox.Take()) {
      if (const auto* token = std::get_if<engine::TokenEvent>(&event)) {
        bar.reset();
        if (token->n_generated == 1) {
          first = Clock::now();
          outcome.seconds_to_first = SecondsSince(start);
        }
        if (!IsStop(request, token->token)) put(decoder.Push(token->token));
      } else if (const auto* progress = std::get_if<engine::PromptProgressEvent>(&event)) {
        if (bar) bar->Show(static_cast<uint64_t>(progress->n_done), static_cast<uint64_t>(progress->n_total));
      } else if (const auto* end = std::get_if<engine::FinishedEvent>(&event)) {
        finished = *end;
      }
    }
  }
  put(decoder.Flush());
  outcome.seconds = SecondsSince(first);
  outcome.finished = *finished;
  if (finished->reason == engine::FinishReason::kError) return std::unexpected(finished->error);
  return outcome;
}

engine::SamplingParams SamplingOf(const Settings& settings, const engine::SamplingDefaults& defaults) {
  engine::SamplingParams params;
  params.temperature = static_cast<float>(settings.temperature.value_or(defaults.temperature));
  params.top_p = static_cast<float>(settings.top_p.value_or(defaults.top_p));
  params.top_k = settings.top_k.value_or(defaults.top_k);
  params.min_p = static_cast<float>(settings.min_p.value_or(defaults.min_p));
  params.repetition_penalty = static_cast<float>(settings.repetition_penalty.value_or(defaults.repetition_penalty));
  std::random_device random;
  params.seed = settings.seed.value_or((uint64_t{random()} << 32) | random());
  return params;
}

}  // namespace quern::cli
