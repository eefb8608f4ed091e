// How fast a machine computes a model, predicted from what each step must read and compute (model/work.h) and from a
// few figures of the machine. docs/scale.md works the arithmetic out.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "kernels/kernel_timer.h"
#include "model/work.h"

namespace quern::engine {

// What kernels take for a model's types and shapes, measured (engine/measured_kernels.h).
struct KernelCosts {
  std::map<DType, std::vector<kernels::RowCost>> matrix;  // by stored type
  kernels::PairCost attention;                            // seconds per operation (model::AttentionOps)
};

// Rates per second, all cores together, as kernels::Ceilings counts them.
struct Machine {
  std::string name;
  double read_bytes = 0;
  double int8_ops = 0;
  double bf16_ops = 0;
  double f32_ops = 0;
  uint64_t memory = 0;  // bytes
  KernelCosts costs;    // empty: not at hand, the rates must do
};

// The shares of those rates that this program is taken to reach; docs/scale.md says what the expected ones rest on.
// Where costs are known, they replace matrix, and attention but for the recurrence.
struct Efficiency {
  double read = 1;           // weights, keys and values from memory
  double matrix = 1;         // the peak of the weights' arithmetic, many rows at a time
  double attention = 1;      // the peak of its arithmetic, many rows at a time
  double layer_seconds = 0;  // per layer and step: threads meeting, small operations
};
extern const Efficiency kExpectedEfficiency;

// One forward pass. Matrices are read while they are computed with; so are keys, values and states:
//   t(weight bytes / read, operations / peak) + t(key and value bytes / read, attention operations / peak)
//   + t(state bytes / read, recurrent operations / f32) + layers * layer_seconds
// with every rate times its efficiency, and t(a, b) = (a^3 + b^3)^(1/3): about the longer one.
double StepSeconds(const model::StepWork& work, int n_layers, const Machine& machine, const Efficiency& efficiency);

// The same from measured costs, which know reading and computing together, for each type and number of rows:
//   sum of weights * cost(type, rows that meet them) + attention operations * cost + activation bytes / read
//   + the last two terms as above.
// machine.costs must have every type of the model.
double StepSeconds(const model::ModelWork& model, const model::StepShape& step, int n_layers, const Machine& machine,
                   const Efficiency& efficiency);

// Between two measured numbers of rows the cost lies on the line through both; beyond the last it grows in proportion.
// 0 for no rows.
double CostAt(std::span<const kernels::RowCost> costs, double n_rows);

// What a test of so many tokens takes, step by step: either a prompt, or generate tokens of each of batch sequences.
struct Workload {
  int prompt = 0;
  int generate = 0;
  int depth = 0;  // tokens that every sequence holds before
  int batch = 1;
  int step_tokens = 512;  // of a prompt per step
};

// Calls step for every forward pass of the run.
template <typename Step>
void ForSteps(const Workload& run, const Step& step) {
  for (int done = 0; done < run.prompt; done += run.step_tokens) {
    const double now = run.prompt - done < run.step_tokens ? run.prompt - done : run.step_tokens;
    const double before = run.depth + done;
    step(model::StepShape{.n_rows = now,
                          .n_logit_rows = done + now >= run.prompt ? 1.0 : 0.0,
                          .pairs = now * before + now * (now + 1) / 2,
                          .kv_tokens = before});
  }
  const double n = run.batch;
  for (int done = 0; done < run.generate; ++done) {
    const double before = run.depth + done;
    step(model::StepShape{
        .n_rows = n, .n_logit_rows = n, .n_sequences = n, .pairs = n * (before + 1), .kv_tokens = n * before});
  }
}

// By the machine's costs where it has them.
double PredictSeconds(const model::ModelWork& model, int n_layers, const model::KvWork& kv, const Workload& run,
                      const Machine& machine, const Efficiency& efficiency = kExpectedEfficiency);

// The machines of docs/scale.md, from data sheets: two cores of a virtual machine, a desktop of 16 cores with two
// channels of DDR5-5600, a server of two sockets with 64 cores and 12 channels of DDR5-4800 each.
std::span<const Machine> ExampleMachines();

}  // namespace quern::engine
