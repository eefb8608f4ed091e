// Measures a loaded model: one row per test, as many tests as the options' lists give.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "cli/bench_options.h"
#include "engine/speed_model.h"
#include "kernels/ceilings.h"
#include "model/model.h"
#include "model/work.h"

namespace quern::cli {

struct BenchCase {
  int prompt = 0;    // > 0: one sequence reads so many tokens
  int generate = 0;  // > 0: batch sequences generate so many each
  int depth = 0;
  int batch = 1;
  int threads = 1;

  std::string Name() const;  // "pp512", "tg128"
  int n_tokens() const { return prompt > 0 ? prompt : generate * batch; }
};

struct BenchRow {
  BenchCase test;
  std::vector<double> seconds;  // one per repetition
  model::StepWork work;         // of the whole test
  double predicted_seconds = 0;
  kernels::Ceilings ceilings;  // at this number of threads
  size_t peak_resident_bytes =
      0;  // of the process, from the test's set-up on: the weights that were touched and all else

  double Median() const;  // seconds
  double Spread() const;  // half the range between the quartiles, seconds
  double TokensPerSecond() const { return test.n_tokens() / Median(); }
  // Of what the machine allows: bytes read against its read rate; products of the weights' matrices against the peak of
  // their arithmetic (without attention: it is extra). The larger one is the bound that the test met.
  double ReadFraction() const;
  double ComputeFraction() const;
};

// This machine by its measured ceilings; without the costs of kernels.
engine::Machine MachineOf(const kernels::Ceilings& ceilings);

// In order of running: per thread count and depth the prompts, then the generations.
std::vector<BenchCase> CasesOf(const BenchOptions& options);

// Called before every repetition.
using BenchProgress = std::function<void(uint64_t done, uint64_t total)>;

// Errors: kInvalidArgument (a test longer than the model's context), kExhausted (no memory for its keys and values).
Result<std::vector<BenchRow>> RunBench(const model::Model& model, const BenchOptions& options,
                                       const BenchProgress& progress);

}  // namespace quern::cli
