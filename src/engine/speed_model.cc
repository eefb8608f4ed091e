#include "engine/speed_model.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace quern::engine {
namespace {

double Time(double work, double rate) { return work > 0 && rate > 0 ? work / rate : 0; }

// Of two things that go on at the same time: nearly the longer one, and more when they are alike, because then neither
// hides all of the other.
double Together(double a, double b) { return std::cbrt(a * a * a + b * b * b); }

// Cores that start `per_cycle` 512-bit dot products of bytes in a cycle: 128 operations each. bf16 at half and f32 at a
// quarter of that.
Machine OfCores(std::string name, int n_cores, double ghz, double per_cycle, double read_gb, uint64_t memory_gib) {
  const double int8 = n_cores * ghz * 1e9 * per_cycle * 128;
  return {.name = std::move(name),
          .read_bytes = read_gb * 1e9,
          .int8_ops = int8,
          .bf16_ops = int8 / 2,
          .f32_ops = int8 / 4,
          .memory = memory_gib << 30U};
}

// The recurrence, and what every layer takes besides.
double OtherSeconds(const model::StepWork& work, int n_layers, const Machine& machine, const Efficiency& efficiency) {
  return Together(Time(work.state_bytes, machine.read_bytes * efficiency.read),
                  Time(work.recurrent_ops, machine.f32_ops * efficiency.attention)) +
         n_layers * efficiency.layer_seconds;
}

// All matrices of a group but `less`, each met by n_rows rows.
double MatrixSeconds(const model::MatrixWork& group, const model::MatrixWork& less, double n_rows,
                     const KernelCosts& costs) {
  double seconds = 0;
  for (const auto& [type, n] : group.weights) {
    const auto left_out = less.weights.find(type);
    const double n_weights = n - (left_out == less.weights.end() ? 0 : left_out->second);
    seconds += n_weights * CostAt(costs.matrix.at(type), n_rows);
  }
  return seconds;
}

// The experts that n_rows rows choose, each met by its share of them.
double ExpertSeconds(const model::ModelWork& model, const model::MatrixWork& group, const model::MatrixWork& less,
                     double n_rows, const KernelCosts& costs) {
  const double share = model.ExpertShare(n_rows);
  if (share == 0) return 0;
  return share * MatrixSeconds(group, less, n_rows * model.experts_used / (model.n_experts * share), costs);
}

}  // namespace

const Efficiency kExpectedEfficiency = {.read = 0.94, .matrix = 0.64, .attention = 0.7, .layer_seconds = 20e-6};

double StepSeconds(const model::StepWork& work, int n_layers, const Machine& machine, const Efficiency& efficiency) {
  const double read = machine.read_bytes * efficiency.read;
  const auto arithmetic = [&](const model::Operations& ops) {
    return Time(ops.int8, machine.int8_ops) + Time(ops.bf16, machine.bf16_ops) + Time(ops.f32, machine.f32_ops);
  };
  return Together(Time(work.weight_bytes, read), arithmetic(work.ops) / efficiency.matrix) +
         Together(Time(work.kv_bytes, read), arithmetic(work.attention) / efficiency.attention) +
         OtherSeconds(work, n_layers, machine, efficiency);
}

double StepSeconds(const model::ModelWork& model, const model::StepShape& step, int n_layers, const Machine& machine,
                   const Efficiency& efficiency) {
  const KernelCosts& costs = machine.costs;
  const double n = step.n_rows, n_logits = step.n_logit_rows;
  const bool alone = step.n_rows == step.n_sequences;
  return MatrixSeconds(model.dense, model.last_dense, n, costs) + MatrixSeconds(model.last_dense, {}, n_logits, costs) +
         ExpertSeconds(model, model.experts, model.last_experts, n, costs) +
         ExpertSeconds(model, model.last_experts, {}, n_logits, costs) +
         MatrixSeconds(model.head, {}, n_logits, costs) +
         model::AttentionOps(model, step) * (alone ? costs.attention.one_row : costs.attention.many_rows) +
         Time(model::ActivationBytes(model, step), machine.read_bytes * efficiency.read) +
         OtherSeconds(model::WorkOf(model, step, {}), n_layers, machine, efficiency);
}

double CostAt(std::span<const kernels::RowCost> costs, double n_rows) {
  if (n_rows <= 0) return 0;
  const auto above = std::ranges::find_if(costs, [&](const kernels::RowCost& c) { return c.n_rows >= n_rows; });
  if (above == costs.begin()) return above->seconds;
  const kernels::RowCost& below = *(above - 1);
  if (above == costs.end()) return below.seconds * n_rows / below.n_rows;
  return std::lerp(below.seconds, above->seconds, (n_rows - below.n_rows) / (above->n_rows - below.n_rows));
}

double PredictSeconds(const model::ModelWork& model, int n_layers, const model::KvWork& kv, const Workload& run,
                      const Machine& machine, const Efficiency& efficiency) {
  double seconds = 0;
  ForSteps(run, [&](const model::StepShape& step) {
    seconds += machine.costs.matrix.empty() ? StepSeconds(model::WorkOf(model, step, kv), n_layers, machine, efficiency)
                                            : StepSeconds(model, step, n_layers, machine, efficiency);
  });
  return seconds;
}

std::span<const Machine> ExampleMachines() {
  static const std::vector<Machine> machines = {
      OfCores("2-core VM", 2, 3.7, 1, 42, 24),
      OfCores("16-core desktop", 16, 4.5, 2, 70, 128),
      OfCores("2 x 64 cores, 2 x 12 channels", 128, 2.8, 2, 800, 1536),
  };
  return machines;
}

}  // namespace quern::engine
