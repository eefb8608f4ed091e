#include "cli/memory.h"

#include <fmt/core.h>

#include <algorithm>

#include "engine/native_engine.h"
#include "model/model.h"

namespace quern::cli {

kernels::KvTypes DefaultKvTypes(const model::Checkpoint& checkpoint) {
  const bool all_f32 = std::ranges::all_of(
      checkpoint.tensors(), [](const model::StoredTensor& tensor) { return tensor.dtype == DType::kF32; });
  const auto type = all_f32 ? kernels::KvType::kF32 : kernels::KvType::kI16;
  return {type, type};
}

Result<engine::MemoryPlan> PlanOf(const model::Checkpoint& checkpoint, const Settings& settings, int parallel) {
  const engine::NativeOptions usual;
  model::ModelConfig config = checkpoint.config();
  if (settings.yarn.has_value()) {
    QUERN_ASSIGN(config, model::WithYarn(std::move(config), *settings.yarn));
  }
  const auto kv_token_bytes = config.KvBytesPerToken(settings.kv_types.value_or(DefaultKvTypes(checkpoint)));
  auto plan = engine::PlanMemory(config, {.weight_bytes = model::WeightBytesOf(checkpoint),
                                          .context = settings.context,
                                          .parallel = parallel,
                                          .memory = settings.memory,
                                          .kv_token_bytes = static_cast<uint64_t>(kv_token_bytes),
                                          .step_rows = usual.prefill_tokens,
                                          .logit_rows = usual.score_tokens});
  if (!plan) return std::unexpected(plan.error().WithContext(checkpoint.path().string()));
  return plan;
}

Result<uint64_t> KvBudget(const model::Checkpoint& checkpoint, const Settings& settings) {
  // The least that must fit: one page of keys and values for each running sequence, or the whole context when it is
  // asked for.
  Settings least = settings;
  if (least.context == 0) least.context = std::min(model::kKvPageTokens, checkpoint.config().context_length);
  QUERN_ASSIGN(engine::MemoryPlan plan, PlanOf(checkpoint, least, 1));
  const uint64_t states = plan.state_per_sequence * static_cast<uint64_t>(settings.max_running);
  plan.states = states;
  const uint64_t weights = plan.weights;
  if (settings.allow_swap_from_disk) plan.weights = 0;  // their pages come and go
  if (const auto fits = engine::CheckFits(plan); !fits) {
    std::string hint;
    if (weights > plan.request.memory)
      hint = "; --allow-swap-from-disk computes from a packed file (quern pack) that is larger than memory, slowly";
    return Error(Code::kExhausted, fmt::format("{} {}{}", checkpoint.path().string(), fits.error().message(), hint));
  }
  const uint64_t left = plan.request.memory - plan.weights - plan.scratch;  // the budget holds states too
  if (settings.kv_memory == 0) return std::min(left, std::max(engine::DefaultKvBytes(), plan.kv + states));
  if (settings.kv_memory > left)
    return Error(Code::kExhausted,
                 fmt::format("--kv-memory {} does not fit: weights {} and scratch {} leave {} of {}; would fit: "
                             "--kv-memory {}",
                             engine::BytesText(settings.kv_memory), engine::BytesText(plan.weights),
                             engine::BytesText(plan.scratch), engine::BytesText(left),
                             engine::BytesText(plan.request.memory), left));
  return settings.kv_memory;
}

Result<LoadedSize> SizeWhenLoaded(const model::Checkpoint& checkpoint, const Settings& settings) {
  QUERN_ASSIGN(const uint64_t kv_bytes, KvBudget(checkpoint, settings));
  QUERN_ASSIGN(const engine::MemoryPlan plan, PlanOf(checkpoint, settings, 1));
  LoadedSize size;
  size.bytes = (settings.allow_swap_from_disk ? 0 : plan.weights) + plan.scratch + kv_bytes;
  const uint64_t states = plan.state_per_sequence * static_cast<uint64_t>(settings.max_running);
  const uint64_t token_bytes = std::max<uint64_t>(1, plan.request.kv_token_bytes);
  const uint64_t n_tokens = (kv_bytes - std::min(kv_bytes, states)) / token_bytes;
  const uint64_t whole_pages = n_tokens / model::kKvPageTokens * model::kKvPageTokens;
  size.context = static_cast<int>(std::min(whole_pages, static_cast<uint64_t>(plan.request.context)));
  return size;
}

}  // namespace quern::cli
