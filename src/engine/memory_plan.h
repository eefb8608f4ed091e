// What a model takes while it runs, computed from its numbers before anything is allocated.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "model/config.h"

namespace quern::engine {

// Memory that this process may use: the machine's, or its cgroup's when that is less.
uint64_t MemoryOfThisProcess();
// The same less a part for the system: what models may take together unless told otherwise.
uint64_t MemoryForModels();

struct MemoryRequest {
  uint64_t weight_bytes = 0;    // of all tensors as computed with
  int context = 0;              // tokens per sequence, prompt and answer; 0 = the model's
  int parallel = 1;             // sequences with a whole context each
  uint64_t memory = 0;          // to stay within; 0 = what this process may use, less a part for the system
  uint64_t kv_token_bytes = 0;  // keys and values of one token, all layers
  int step_rows = 512;          // rows of a forward pass: prompt tokens of one step and one row per sequence
  int logit_rows = 32;          // rows of logits computed in one step
};

struct MemoryPlan {
  MemoryRequest request;  // with its defaults filled in
  uint64_t weights = 0;
  uint64_t kv = 0;      // whole pages for all sequences
  uint64_t states = 0;  // recurrent, for all sequences
  uint64_t scratch = 0;
  uint64_t kv_per_sequence = 0;
  uint64_t state_per_sequence = 0;

  uint64_t total() const { return weights + kv + states + scratch; }
  bool fits() const { return total() <= request.memory; }

  // The most that fits when only this setting is changed; 0 when none does.
  int LargestContext() const;
  int LargestParallel() const;

  // Lines of a table, the last one ended.
  std::string Text() const;
};

// Errors: kInvalidArgument (a context beyond the model's, a number below 1).
Result<MemoryPlan> PlanMemory(const model::ModelConfig& config, const MemoryRequest& request);

// Errors: kExhausted when the plan does not fit: what it takes, what there is, and settings that would fit.
Result<void> CheckFits(const MemoryPlan& plan);

// Scratch of the forward pass for this many rows, buffers' spare room included.
uint64_t ScratchBytes(const model::ModelConfig& config, int n_rows, int n_logit_rows);

// "17.3 GiB"; below 1 KiB in bytes.
std::string BytesText(uint64_t bytes);

}  // namespace quern::engine
