#include "engine/measured_kernels.h"

#include "model/model.h"

namespace quern::engine {
namespace {

Result<void> MeasureTypes(const model::MatrixWork& group, ThreadPool& pool, KernelCosts* costs) {
  for (const auto& [type, n] : group.weights) {
    if (costs->matrix.contains(type)) continue;
    const DType computed = kernels::ComputeType(type);
    if (!costs->matrix.contains(computed)) {
      QUERN_ASSIGN(costs->matrix[computed], kernels::MeasureRowCosts(computed, pool));
    }
    costs->matrix[type] = costs->matrix[computed];
  }
  return {};
}

}  // namespace

Result<void> MeasureKernels(const model::ModelWork& work, const model::ModelConfig& config, kernels::KvTypes kv_types,
                            ThreadPool& pool, KernelCosts* costs) {
  for (const model::MatrixWork* group : {&work.dense, &work.experts, &work.head}) {
    QUERN_TRY(MeasureTypes(*group, pool, costs));
  }
  const kernels::KvLayout layout{.types = kv_types,
                                 .page_tokens = model::kKvPageTokens,
                                 .n_kv_heads = config.n_kv_heads,
                                 .head_dim = config.head_dim};
  QUERN_ASSIGN(const kernels::PairCost pair, kernels::MeasurePairCost(layout, config.n_heads, pool));
  const double ops_per_pair = 4.0 * config.n_heads * config.head_dim;
  costs->attention = {pair.one_row / ops_per_pair, pair.many_rows / ops_per_pair};
  return {};
}

}  // namespace quern::engine
