#include "engine/speed_model.h"

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

double MatrixSeconds(const model::Operations& ops, const Machine& m, const Efficiency& e) {
  const double int8 = m.tile_int8_ops > 0 ? m.tile_int8_ops * e.tile_int8 : m.int8_ops * e.matrix;
  const double bf16 = m.tile_bf16_ops > 0 ? m.tile_bf16_ops * e.tile_bf16 : m.bf16_ops * e.matrix;
  return Time(ops.int8, int8) + Time(ops.bf16, bf16) + Time(ops.f32, m.f32_ops * e.matrix);
}

}  // namespace

const Efficiency kExpectedEfficiency = {
    .read = 0.94, .matrix = 0.64, .tile_int8 = 0.085, .tile_bf16 = 0.17, .attention = 0.7, .layer_seconds = 20e-6};

double StepSeconds(const model::StepWork& work, int n_layers, const Machine& machine, const Efficiency& efficiency) {
  const double read = machine.read_bytes * efficiency.read;
  const double recurrence = machine.f32_ops * efficiency.attention;
  const auto arithmetic = [&](const model::Operations& ops) {
    return Time(ops.int8, machine.int8_ops) + Time(ops.bf16, machine.bf16_ops) + Time(ops.f32, machine.f32_ops);
  };
  return Together(Time(work.weight_bytes, read), MatrixSeconds(work.ops, machine, efficiency)) +
         Together(Time(work.kv_bytes, read), arithmetic(work.attention) / efficiency.attention) +
         Together(Time(work.state_bytes, read), Time(work.recurrent_ops, recurrence)) +
         n_layers * efficiency.layer_seconds;
}

double PredictSeconds(const model::ModelWork& model, int n_layers, const model::KvWork& kv, const Workload& run,
                      const Machine& machine, const Efficiency& efficiency) {
  double seconds = 0;
  ForSteps(run, [&](const model::StepShape& step) {
    seconds += StepSeconds(model::WorkOf(model, step, kv), n_layers, machine, efficiency);
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
