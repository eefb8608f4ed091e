#include <fmt/core.h>

#include <algorithm>

#include "engine/memory_plan.h"
#include "engine/native_engine.h"

namespace quern::engine {
namespace {

constexpr uint64_t kLeastKvBytes = uint64_t{256} << 20;

}  // namespace

uint64_t DefaultKvBytes() { return std::max(kLeastKvBytes, MemoryOfThisProcess() / 4); }

Result<NativeParts> MakeNativeParts(std::unique_ptr<model::Model> model, uint64_t kv_bytes,
                                    const NativeOptions& options) {
  const model::ModelConfig& config = model->config();
  // One page tells what a page costs in the form that the model stores it.
  QUERN_ASSIGN(const auto probe, model::KvPool::Create(*model, 1, options.kv_types));
  const uint64_t page_bytes = std::max<uint64_t>(1, probe->bytes_total());
  const int context =
      options.context_length > 0 ? std::min(options.context_length, config.context_length) : config.context_length;
  const uint64_t pages_per_context = (static_cast<uint64_t>(context) + model::kKvPageTokens - 1) / model::kKvPageTokens;
  const uint64_t most = pages_per_context * static_cast<uint64_t>(std::max(1, options.limits.max_running));
  // Recurrent states come out of the same budget, one for each sequence that may run.
  const uint64_t n_sequences = static_cast<uint64_t>(std::max(1, options.limits.max_running));
  const uint64_t state_bytes = probe->state_bytes_per_sequence() * n_sequences;
  const uint64_t budget = kv_bytes > 0 ? kv_bytes : DefaultKvBytes();
  const uint64_t n_pages = std::min(most, (budget - std::min(budget, state_bytes)) / page_bytes);
  if (n_pages == 0)
    return Error(Code::kExhausted,
                 fmt::format("{} bytes for keys and values hold not even one page of {} tokens ({} bytes){}", budget,
                             model::kKvPageTokens, page_bytes,
                             state_bytes == 0 ? ""
                                              : fmt::format(" beside the {} bytes of {} recurrent states", state_bytes,
                                                            n_sequences)));
  QUERN_ASSIGN(auto pool,
               model::KvPool::Create(*model, static_cast<int>(std::min<uint64_t>(n_pages, 1 << 26)), options.kv_types));
  NativeParts parts;
  parts.model = std::move(model);
  parts.pool = std::move(pool);
  parts.activations = model::Activations::Create();
  parts.make_sequence = model::SequenceState::Create;
  return parts;
}

}  // namespace quern::engine
