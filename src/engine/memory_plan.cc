#include "engine/memory_plan.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <string_view>

#include "model/model.h"

namespace quern::engine {
namespace {

// Kept free for the system and for what the process holds besides (program, tokenizer, requests).
constexpr double kSystemShare = 0.04;
// Buffers grow by a quarter more than asked for.
constexpr double kSpareRoom = 1.25;

uint64_t RoundUp(uint64_t value, uint64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

}  // namespace

uint64_t MemoryOfThisProcess() {
  uint64_t bytes = static_cast<uint64_t>(std::max(0L, sysconf(_SC_PHYS_PAGES))) *
                   static_cast<uint64_t>(std::max(0L, sysconf(_SC_PAGESIZE)));
  uint64_t limit = 0;
  std::ifstream cgroup("/sys/fs/cgroup/memory.max");  // "max" when there is none: not a number, nothing is read
  if (cgroup >> limit && limit > 0) bytes = std::min(bytes, limit);
  return bytes;
}

uint64_t MemoryForModels() {
  return static_cast<uint64_t>((1 - kSystemShare) * static_cast<double>(MemoryOfThisProcess()));
}

std::string BytesText(uint64_t bytes) {
  constexpr std::array<std::string_view, 5> kUnits = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  return unit == 0 ? fmt::format("{} bytes", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

uint64_t ScratchBytes(const model::ModelConfig& c, int n_rows, int n_logit_rows) {
  const double d = c.d_model, q = double{1.0} * c.n_heads * c.head_dim, kv = double{1.0} * c.n_kv_heads * c.head_dim;
  const double values = double{1.0} * c.n_linear_value_heads * c.linear_value_dim;
  const auto channels = static_cast<double>(c.ConvChannels());
  const double used = c.n_experts_used, shared = c.d_ff_shared;
  // Floats per row of each kind of block, which use the same memory one after the other (model/activations.h).
  const double attention = (c.attention_gate ? 5 : 2) * q + 2 * kv + d;
  const double delta = values > 0 ? 2 * channels + 3 * values + 4.0 * c.n_linear_value_heads + d : 0;
  const double experts = std::max(used * (2.0 * c.d_ff_expert + d) + c.n_experts, 2 * shared + d + 1);
  const double ffn = c.n_experts > 0 ? experts + 4 * used : 2.0 * c.d_ff + d;
  const double floats = 2 * d + c.RotaryDims() + std::max({attention, delta, ffn});
  // Rows as kernels read them: at most two bytes a value, of the widest group that is prepared at once.
  const double widest = std::max({d, q, values, c.n_experts > 0 ? used * c.d_ff_expert : 1.0 * c.d_ff});
  const double row_bytes = 4 * floats + 2 * (d + widest);
  return static_cast<uint64_t>(kSpareRoom * (row_bytes * n_rows + 4.0 * c.vocab * n_logit_rows));
}

Result<MemoryPlan> PlanMemory(const model::ModelConfig& config, const MemoryRequest& request) {
  MemoryPlan plan{.request = request};
  MemoryRequest& r = plan.request;
  if (r.context == 0) r.context = config.context_length;
  if (r.memory == 0) r.memory = MemoryForModels();
  if (r.context < 1 || r.context > config.context_length)
    return Error(Code::kInvalidArgument,
                 fmt::format("a context of {}: the model's is 1 to {}", r.context, config.context_length));
  if (r.parallel < 1 || r.parallel > 4096)
    return Error(Code::kInvalidArgument, fmt::format("{} sequences at once: expected 1 to 4096", r.parallel));
  plan.weights = r.weight_bytes;
  plan.kv_per_sequence = r.kv_token_bytes * RoundUp(static_cast<uint64_t>(r.context), model::kKvPageTokens);
  plan.state_per_sequence = static_cast<uint64_t>(config.StateBytesPerSequence());
  plan.kv = plan.kv_per_sequence * static_cast<uint64_t>(r.parallel);
  plan.states = plan.state_per_sequence * static_cast<uint64_t>(r.parallel);
  plan.scratch = ScratchBytes(config, r.step_rows + r.parallel, std::max(r.logit_rows, r.parallel));
  return plan;
}

int MemoryPlan::LargestContext() const {
  const uint64_t fixed = weights + states + scratch;
  if (fixed >= request.memory || kv == 0) return 0;
  const double share = static_cast<double>(request.memory - fixed) / static_cast<double>(kv);
  const int tokens = static_cast<int>(std::min(1.0, share) * request.context);
  return tokens / model::kKvPageTokens * model::kKvPageTokens;
}

int MemoryPlan::LargestParallel() const {
  const uint64_t fixed = weights + scratch;
  const uint64_t each = kv_per_sequence + state_per_sequence;
  if (fixed >= request.memory || each == 0) return 0;
  return static_cast<int>(std::min<uint64_t>((request.memory - fixed) / each, 4096));
}

std::string MemoryPlan::Text() const {
  std::string out;
  const auto line = [&](std::string_view name, uint64_t bytes, const std::string& why) {
    out += fmt::format("{:<14} {:>10}  {}\n", name, BytesText(bytes), why);
  };
  line("weights", weights, "");
  line("keys, values", kv,
       fmt::format("{} x {} tokens, {} each", request.parallel, request.context, BytesText(kv_per_sequence)));
  if (states > 0) {
    line("states", states, fmt::format("{} x {}", request.parallel, BytesText(state_per_sequence)));
  }
  line("scratch", scratch, fmt::format("{} rows in one step", request.step_rows + request.parallel));
  line("together", total(), fmt::format("of {}", BytesText(request.memory)));
  return out;
}

Result<void> CheckFits(const MemoryPlan& plan) {
  if (plan.fits()) return {};
  std::string text =
      fmt::format("does not fit: {} = weights {} + keys and values {} + states {} + scratch {}, and there are {}",
                  BytesText(plan.total()), BytesText(plan.weights), BytesText(plan.kv), BytesText(plan.states),
                  BytesText(plan.scratch), BytesText(plan.request.memory));
  std::string advice;
  if (const int context = plan.LargestContext(); context > 0) advice = fmt::format("--context {}", context);
  if (const int parallel = plan.LargestParallel(); parallel > 0 && parallel < plan.request.parallel)
    advice += fmt::format("{}--parallel {}", advice.empty() ? "" : " or ", parallel);
  if (advice.empty()) {
    advice = fmt::format("a checkpoint with fewer bits per weight, or {} of memory", BytesText(plan.total()));
  }
  return Error(Code::kExhausted, text + "; would fit: " + advice);
}

}  // namespace quern::engine
