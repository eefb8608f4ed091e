// The Backend that runs a model of ours. One engine thread composes steps: one row for every sequence that generates,
// and a bounded number of prompt tokens for those that still read. A sequence's tokens do not depend on its neighbours
// in a step, on how its prompt was cut, on the number of threads, or on having been put aside for want of memory.
//
// Memory: keys and values live in a pool of pages. A request starts when its prompt fits; when the pool runs dry the
// youngest sequence gives its pages back and continues later by reading its own tokens again. So a request that was
// accepted never fails for want of pages, and the oldest one always goes on.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/status.h"
#include "engine/engine.h"
#include "engine/right_of_way.h"
#include "model/model.h"

namespace quern::engine {

// What the engine runs on; it becomes the owner. Tests put fakes here.
struct NativeParts {
  std::unique_ptr<model::Model> model;
  std::unique_ptr<model::KvPool> pool;
  std::unique_ptr<model::Activations> activations;
  std::function<std::unique_ptr<model::SequenceState>(model::KvPool&)> make_sequence;
};

struct NativeOptions {
  EngineLimits limits;
  std::shared_ptr<RightOfWay> right_of_way;  // one for all engines of a machine; null = this one is alone
  uint64_t resident_bytes = 0;               // of the whole model, for listings; 0 = not known
  int n_threads = 0;                         // 0 = what the machine gives to this process
  int context_length = 0;                    // 0 = the model's, as far as the pool can hold it
  int vocab_size = 0;                        // ids with text; 0 = the model's rows
  std::vector<TokenId> eos_tokens;
  SamplingDefaults defaults;
  // Prompt tokens per step over all sequences. Larger reads prompts faster and makes the others, and a cancel, wait
  // longer for the step's end.
  int prefill_tokens = 256;
  std::optional<kernels::KvTypes> kv_types;  // what keys and values are stored as; default: the model's
  // The same for a prompt whose log-probabilities are asked for; each takes a row of logits (4 * vocab bytes).
  int score_tokens = 32;
};

// Errors: kInvalidArgument (an option out of range, named).
Result<std::unique_ptr<Backend>> CreateNativeEngine(NativeParts parts, const NativeOptions& options);

// Pool and sequences of quern_model. kv_bytes: memory for keys and values; 0 = DefaultKvBytes(), or what max_running
// full contexts need when that is less. Pages take memory when they are first used. Errors: kExhausted (not one page
// fits, or the system refuses).
Result<NativeParts> MakeNativeParts(std::unique_ptr<model::Model> model, uint64_t kv_bytes,
                                    const NativeOptions& options);

// A quarter of the memory that this process may use (cgroup considered), at least 256 MiB.
uint64_t DefaultKvBytes();

}  // namespace quern::engine
