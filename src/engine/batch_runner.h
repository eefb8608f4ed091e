// One step of the native engine: which tokens of which sequences, the forward pass over them, the choice of the next
// tokens, and the events. Engine thread only.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "engine/native_engine.h"
#include "engine/sampler.h"
#include "engine/sequence.h"

namespace quern::engine {

// A sequence that is over and the event that says so; the caller sends it and drops the sequence.
struct Outcome {
  Sequence* sequence;
  FinishedEvent finished;
};

struct StepCounts {
  int n_prompt_tokens = 0;  // read for the first time
  int n_prefill_rows = 0;   // read in this step, repeated ones included
  int n_decode_rows = 0;
  int n_sampled = 0;
};

struct StepResult {
  std::vector<Outcome> over;
  std::vector<Sequence*> set_aside;  // they must wait for memory; their state is gone. The youngest first
  StepCounts counts;
};

// The event that ends sequence.
FinishedEvent FinishedOf(const Sequence& sequence, FinishReason reason,
                         Status error = Status(Code::kInternal, "no error"));

class BatchRunner {
 public:
  // parts and pool outlive it; it is the only user of parts' pool and activations.
  BatchRunner(const NativeParts& parts, ThreadPool& pool, const NativeOptions& options, int vocab_size);

  // running: interactive ones, then background ones, each in order of age, all with a state, none cancelled. Background
  // ones stand still when there are others. Sends progress, scores and tokens.
  StepResult Step(std::span<const std::unique_ptr<Sequence>> running);

 private:
  // Consecutive tokens of one sequence in this step.
  struct Part {
    Sequence* sequence;
    int first;  // position of the first token
    int n;
    model::LogitsFor logits;
    bool decode;
  };

  // A row of logits and what is wanted of it: the next token, or the score of the known one.
  struct Row {
    Sequence* sequence;
    size_t at;     // row in the result
    int position;  // of the token that the row tells about
    bool sample;
    TokenId token = -1;
    float logprob = 0;
    std::vector<TokenLogprob> top;
    std::optional<Status> error;
  };

  std::vector<Part> Plan(std::span<const std::unique_ptr<Sequence>> running, StepResult& result);
  Part PartFor(Sequence& sequence, int share) const;
  bool MakeRoom(std::span<const std::unique_ptr<Sequence>> running, size_t idx, int n, StepResult& result);
  void RunAndTake(std::span<const Part> parts, StepResult& result);
  Result<model::ForwardResult> Run(std::span<const Part> parts);
  void Take(std::span<const Part> parts, std::span<const float> logits, StepResult& result);
  std::vector<Row> RowsOf(std::span<const Part> parts) const;
  void ComputeRow(Row& row, std::span<const float> logits, SamplerScratch& scratch) const;
  void TakeProgress(const Part& part, StepCounts& counts) const;
  void TakeScore(Row& row) const;
  void TakeSample(Row& row, StepResult& result) const;
  void SendScoresWhenComplete(Sequence& sequence) const;

  const NativeParts& parts_;
  ThreadPool& pool_;
  const NativeOptions options_;
  const size_t vocab_size_;
  std::vector<SamplerScratch> scratch_;  // per thread of the pool
};

}  // namespace quern::engine
