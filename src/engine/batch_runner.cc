#include "engine/batch_runner.h"

#include <fmt/core.h>

#include <algorithm>
#include <exception>
#include <utility>

namespace quern::engine {
namespace {

// A prompt's least share of a step: a page. Smaller pieces waste the weights that each step reads.
constexpr int kLeastShare = model::kKvPageTokens;

bool IsDecode(const Sequence& sequence) { return sequence.n_generated() > 0 && sequence.n_left() == 1; }

bool IsOver(const StepResult& result, const Sequence* sequence) {
  return std::any_of(result.over.begin(), result.over.end(),
                     [&](const Outcome& outcome) { return outcome.sequence == sequence; });
}

}  // namespace

FinishedEvent FinishedOf(const Sequence& sequence, FinishReason reason, Status error) {
  return {reason, sequence.n_prompt(), 0, sequence.n_generated(), std::move(error)};
}

BatchRunner::BatchRunner(const NativeParts& parts, ThreadPool& pool, const NativeOptions& options, int vocab_size)
    : parts_(parts),
      pool_(pool),
      options_(options),
      vocab_size_(static_cast<size_t>(vocab_size)),
      scratch_(static_cast<size_t>(pool.n_threads())) {}

StepResult BatchRunner::Step(std::span<const std::unique_ptr<Sequence>> running) {
  StepResult result;
  const std::vector<Part> parts = Plan(running, result);
  if (!parts.empty()) RunAndTake(parts, result);
  return result;
}

std::vector<BatchRunner::Part> BatchRunner::Plan(std::span<const std::unique_ptr<Sequence>> running,
                                                 StepResult& result) {
  const bool background = running.empty() || running.front()->background();
  const auto n_reading = std::count_if(running.begin(), running.end(),
                                       [&](const auto& s) { return s->background() == background && !IsDecode(*s); });
  int budget = options_.prefill_tokens;
  const int share = std::max(kLeastShare, budget / std::max(1, static_cast<int>(n_reading)));
  std::vector<Part> parts;
  for (size_t i = 0; i < running.size(); ++i) {
    Sequence& sequence = *running[i];
    if (sequence.background() != background) break;
    if (!sequence.state) continue;  // gave its pages to an older one in this step
    const bool decode = IsDecode(sequence);
    if (!decode && budget <= 0) continue;
    const Part part = PartFor(sequence, decode ? 1 : std::min(share, budget));
    if (!MakeRoom(running, i, part.n, result)) continue;
    if (!decode) budget -= part.n;
    parts.push_back(part);
  }
  return parts;
}

BatchRunner::Part BatchRunner::PartFor(Sequence& sequence, int share) const {
  Part part{&sequence, sequence.n_computed(), std::min(share, sequence.n_left()), model::LogitsFor::kNone,
            IsDecode(sequence)};
  if (sequence.needs_scores()) {
    part.n = std::min(part.n, options_.score_tokens);
    part.logits = model::LogitsFor::kAll;
  } else if (part.n == sequence.n_left() && sequence.n_max > 0) {
    part.logits = model::LogitsFor::kLast;
  }
  return part;
}

// Takes pages from the youngest until n tokens fit. False: the sequence itself has to wait, or cannot ever go on.
bool BatchRunner::MakeRoom(std::span<const std::unique_ptr<Sequence>> running, size_t idx, int n, StepResult& result) {
  Sequence& sequence = *running[idx];
  for (size_t youngest = running.size(); youngest-- > idx;) {
    const auto reserved = sequence.state->Reserve(n);
    if (reserved) return true;
    Sequence& victim = *running[youngest];
    if (!victim.state) continue;
    if (&victim == &sequence && idx == 0) {
      result.over.push_back({&sequence, FinishedOf(sequence, FinishReason::kError, reserved.error())});
      return false;
    }
    victim.state.reset();
    result.set_aside.push_back(&victim);
  }
  return false;
}

void BatchRunner::RunAndTake(std::span<const Part> parts, StepResult& result) {
  auto forward = Run(parts);
  if (forward) {
    Take(parts, forward->logits, result);
  } else if (parts.size() == 1) {
    Sequence& sequence = *parts[0].sequence;
    result.over.push_back({&sequence, FinishedOf(sequence, FinishReason::kError, forward.error())});
  } else {
    // One of them breaks the batch: alone, only that one fails.
    for (const Part& part : parts) RunAndTake(std::span(&part, 1), result);
  }
}

Result<model::ForwardResult> BatchRunner::Run(std::span<const Part> parts) {
  std::vector<model::Segment> segments;
  size_t n_rows = 0;
  for (const Part& part : parts) {
    const std::span<const TokenId> tokens(part.sequence->tokens);
    segments.push_back({part.sequence->state.get(),
                        tokens.subspan(static_cast<size_t>(part.first), static_cast<size_t>(part.n)), part.logits});
    if (part.logits == model::LogitsFor::kLast) ++n_rows;
    if (part.logits == model::LogitsFor::kAll) n_rows += static_cast<size_t>(part.n);
  }
  Result<model::ForwardResult> forward = Error(Code::kInternal, "the forward pass did not run");
  try {
    forward = parts_.model->Forward(segments, *parts_.activations, pool_);
  } catch (const std::exception& e) {
    forward = Error(Code::kInternal, fmt::format("the forward pass threw: {}", e.what()));
  }
  if (forward && static_cast<size_t>(forward->n_rows) != n_rows)
    forward = Error(Code::kInternal,
                    fmt::format("the model gave {} rows of logits, {} were asked for", forward->n_rows, n_rows));
  if (!forward) {
    // A recurrent state cannot go back: it refuses to run alone afterwards, and its request fails as well.
    for (const Part& part : parts) static_cast<void>(part.sequence->state->Truncate(part.first));
  }
  return forward;
}

void BatchRunner::Take(std::span<const Part> parts, std::span<const float> logits, StepResult& result) {
  for (const Part& part : parts) TakeProgress(part, result.counts);
  std::vector<Row> rows = RowsOf(parts);
  pool_.ParallelFor(rows.size(),
                    [&](size_t i, int thread) { ComputeRow(rows[i], logits, scratch_[static_cast<size_t>(thread)]); });
  for (Row& row : rows) {
    if (IsOver(result, row.sequence)) continue;
    if (row.error) {
      result.over.push_back({row.sequence, FinishedOf(*row.sequence, FinishReason::kError, *row.error)});
    } else if (row.sample) {
      SendScoresWhenComplete(*row.sequence);
      TakeSample(row, result);
    } else {
      TakeScore(row);
    }
  }
  for (const Part& part : parts) {
    Sequence& sequence = *part.sequence;
    if (IsOver(result, &sequence)) continue;
    SendScoresWhenComplete(sequence);
    if (sequence.n_max == 0 && sequence.n_left() == 0)
      result.over.push_back({&sequence, FinishedOf(sequence, FinishReason::kLength)});
  }
}

std::vector<BatchRunner::Row> BatchRunner::RowsOf(std::span<const Part> parts) const {
  std::vector<Row> rows;
  size_t at = 0;
  for (const Part& part : parts) {
    if (part.logits == model::LogitsFor::kNone) continue;
    const int first = part.logits == model::LogitsFor::kAll ? part.first : part.first + part.n - 1;
    for (int i = first; i < part.first + part.n; ++i, ++at) {
      Sequence& sequence = *part.sequence;
      const int position = i + 1;
      const bool sample = position == sequence.n_tokens();
      const bool score = sequence.needs_scores() && position < sequence.n_prompt() &&
                         position >= static_cast<int>(sequence.prompt_logprobs.chosen.size());
      if (sample ? sequence.n_max > 0 : score) rows.push_back({&sequence, at, position, sample});
    }
  }
  return rows;
}

void BatchRunner::ComputeRow(Row& row, std::span<const float> logits, SamplerScratch& scratch) const {
  const Sequence& sequence = *row.sequence;
  const size_t stride = static_cast<size_t>(parts_.model->config().vocab);
  const auto values = logits.subspan(row.at * stride, vocab_size_);
  if (row.sample) {
    const auto chosen = sequence.sampler.Choose(values, sequence.n_generated(), scratch, sequence.constraint.get());
    if (!chosen) {
      row.error = chosen.error();
      return;
    }
    row.token = *chosen;
  } else {
    row.token = sequence.tokens[static_cast<size_t>(row.position)];
  }
  if (sequence.request.n_logprobs < 0) return;
  const auto logprob =
      LogprobOf(values, row.token, sequence.request.n_logprobs, static_cast<int>(vocab_size_), row.top);
  if (logprob) {
    row.logprob = *logprob;
  } else {
    row.error = logprob.error();
  }
}

void BatchRunner::TakeProgress(const Part& part, StepCounts& counts) const {
  Sequence& sequence = *part.sequence;
  (part.decode ? counts.n_decode_rows : counts.n_prefill_rows) += part.n;
  const int n_done = std::min(sequence.n_computed(), sequence.n_prompt());
  if (n_done <= sequence.n_prompt_done) return;
  counts.n_prompt_tokens += n_done - sequence.n_prompt_done;
  sequence.n_prompt_done = n_done;
  sequence.stream->Emit(PromptProgressEvent{n_done, sequence.n_prompt()});
}

void BatchRunner::TakeScore(Row& row) const {
  auto& scores = row.sequence->prompt_logprobs;
  scores.chosen.push_back({row.token, row.logprob});
  scores.top.push_back(std::move(row.top));
}

void BatchRunner::SendScoresWhenComplete(Sequence& sequence) const {
  if (!sequence.needs_scores() || static_cast<int>(sequence.prompt_logprobs.chosen.size()) < sequence.n_prompt())
    return;
  sequence.stream->Emit(std::exchange(sequence.prompt_logprobs, {}));
  sequence.prompt_scored = true;
}

void BatchRunner::TakeSample(Row& row, StepResult& result) const {
  Sequence& sequence = *row.sequence;
  const bool is_stop = sequence.sampler.IsStop(row.token);
  if (sequence.constraint && !is_stop) {
    if (const auto accepted = sequence.constraint->Accept(row.token); !accepted) {
      result.over.push_back({&sequence, FinishedOf(sequence, FinishReason::kError, accepted.error())});
      return;
    }
  }
  sequence.tokens.push_back(row.token);
  sequence.sampler.Accept(row.token);
  ++result.counts.n_sampled;
  const int n = sequence.n_generated();
  sequence.stream->Emit(TokenEvent{row.token, n, row.logprob, std::move(row.top)});
  if (is_stop) {
    result.over.push_back({&sequence, FinishedOf(sequence, FinishReason::kStopToken)});
  } else if (n >= sequence.n_max) {
    result.over.push_back({&sequence, FinishedOf(sequence, FinishReason::kLength)});
  }
}

}  // namespace quern::engine
