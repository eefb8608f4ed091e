#include "cli/bench_run.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <random>

#include "base/os/resident_memory.h"
#include "base/thread_pool.h"
#include "engine/measured_kernels.h"
#include "engine/memory_plan.h"

namespace quern::cli {
namespace {

using Clock = std::chrono::steady_clock;

// Any ids do; random ones send the tokens of a batch to different experts, as text does.
std::vector<model::TokenId> RandomTokens(int n, int vocab, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<model::TokenId> out(static_cast<size_t>(n));
  for (auto& id : out) id = static_cast<model::TokenId>(random() % static_cast<uint32_t>(vocab));
  return out;
}

double Quantile(std::vector<double> values, double share) {
  std::ranges::sort(values);
  const double at = share * static_cast<double>(values.size() - 1);
  const auto low = static_cast<size_t>(at);
  const auto high = std::min(low + 1, values.size() - 1);
  return values[low] + (at - static_cast<double>(low)) * (values[high] - values[low]);
}

// The sequences of one test, at its depth; every repetition begins there.
class Bench {
 public:
  Bench(const model::Model& model, int threads, const BenchOptions& options)
      : model_(model),
        activations_(model::Activations::Create()),
        pool_(threads),
        step_tokens_(options.step_tokens),
        kv_types_(options.kv_types) {}

  ThreadPool& threads() { return pool_; }

  Result<void> SetUp(const BenchCase& test) {
    sequences_.clear();
    marks_.clear();
    const int n_each = test.depth + std::max(test.prompt, test.generate);
    if (n_each > model_.config().context_length)
      return Error(Code::kInvalidArgument,
                   fmt::format("{} at depth {} takes {} tokens, the model's context is {}", test.Name(), test.depth,
                               n_each, model_.config().context_length));
    const int pages_each = (n_each + model::kKvPageTokens - 1) / model::kKvPageTokens;
    QUERN_ASSIGN(kv_, model::KvPool::Create(model_, pages_each * test.batch, kv_types_));
    for (int i = 0; i < test.batch; ++i) {
      sequences_.push_back(model::SequenceState::Create(*kv_));
      if (test.depth > 0) QUERN_TRY(sequences_.back()->Reserve(test.depth));
      QUERN_TRY(Read(*sequences_.back(), test.depth, model::LogitsFor::kNone));
      QUERN_ASSIGN(auto mark, sequences_.back()->Snapshot());
      marks_.push_back(std::move(mark));
    }
    return {};
  }

  Result<double> Run(const BenchCase& test) {
    for (size_t i = 0; i < sequences_.size(); ++i) {
      QUERN_TRY(sequences_[i]->Restore(*marks_[i]));
      QUERN_TRY(sequences_[i]->Reserve(std::max(test.prompt, test.generate)));
    }
    const auto begin = Clock::now();
    if (test.prompt > 0) {
      QUERN_TRY(Read(*sequences_[0], test.prompt, model::LogitsFor::kLast));
    } else {
      QUERN_TRY(Generate(test.generate));
    }
    return std::chrono::duration<double>(Clock::now() - begin).count();
  }

  void TearDown() {
    marks_.clear();
    sequences_.clear();
    kv_.reset();
  }

 private:
  Result<void> Read(model::SequenceState& sequence, int n, model::LogitsFor last) {
    const auto tokens = RandomTokens(n, model_.config().vocab, 1);
    for (int done = 0; done < n; done += step_tokens_) {
      const int now = std::min(step_tokens_, n - done);
      const model::Segment segment{&sequence,
                                   std::span(tokens).subspan(static_cast<size_t>(done), static_cast<size_t>(now)),
                                   done + now == n ? last : model::LogitsFor::kNone};
      QUERN_TRY(model_.Forward({&segment, 1}, *activations_, pool_));
    }
    return {};
  }

  Result<void> Generate(int n) {
    const auto n_sequences = static_cast<int>(sequences_.size());
    const auto tokens = RandomTokens(n * n_sequences, model_.config().vocab, 2);
    std::vector<model::Segment> segments;
    for (int step = 0; step < n; ++step) {
      segments.clear();
      for (int i = 0; i < n_sequences; ++i) {
        const auto at = static_cast<size_t>(step) * sequences_.size() + static_cast<size_t>(i);
        segments.push_back({sequences_[static_cast<size_t>(i)].get(), std::span(tokens).subspan(at, 1)});
      }
      QUERN_TRY(model_.Forward(segments, *activations_, pool_));
    }
    return {};
  }

  const model::Model& model_;
  std::unique_ptr<model::Activations> activations_;
  ThreadPool pool_;
  const int step_tokens_;
  const std::optional<kernels::KvTypes> kv_types_;
  std::unique_ptr<model::KvPool> kv_;
  std::vector<std::unique_ptr<model::SequenceState>> sequences_;
  std::vector<std::unique_ptr<model::StateSnapshot>> marks_;
};

engine::Workload RunOf(const BenchCase& test, int step_tokens) {
  return {.prompt = test.prompt,
          .generate = test.generate,
          .depth = test.depth,
          .batch = test.batch,
          .step_tokens = step_tokens};
}

}  // namespace

std::string BenchCase::Name() const { return prompt > 0 ? fmt::format("pp{}", prompt) : fmt::format("tg{}", generate); }

engine::Machine MachineOf(const kernels::Ceilings& ceilings) {
  return {.name = "this machine",
          .read_bytes = ceilings.read_bytes,
          .int8_ops = ceilings.int8_ops,
          .bf16_ops = ceilings.bf16_ops,
          .f32_ops = ceilings.f32_ops,
          .memory = engine::MemoryOfThisProcess(),
          .costs = {}};
}

double BenchRow::Median() const { return Quantile(seconds, 0.5); }
double BenchRow::Spread() const { return (Quantile(seconds, 0.75) - Quantile(seconds, 0.25)) / 2; }

double BenchRow::ReadFraction() const { return work.bytes() / ceilings.read_bytes / Median(); }

double BenchRow::ComputeFraction() const {
  const auto time = [](double ops, double rate) { return rate > 0 ? ops / rate : 0; };
  return (time(work.ops.int8, ceilings.MatrixInt8()) + time(work.ops.bf16, ceilings.MatrixBf16()) +
          time(work.ops.f32, ceilings.f32_ops)) /
         Median();
}

std::vector<BenchCase> CasesOf(const BenchOptions& options) {
  const std::vector<int> threads =
      options.threads.empty() ? std::vector<int>{ThreadPool::AvailableThreads()} : options.threads;
  std::vector<BenchCase> cases;
  for (const int n_threads : threads) {
    for (const int depth : options.depth) {
      for (const int prompt : options.prompt) {
        if (prompt > 0) cases.push_back({.prompt = prompt, .depth = depth, .threads = n_threads});
      }
      for (const int batch : options.batch) {
        for (const int generate : options.generate) {
          if (generate > 0)
            cases.push_back({.generate = generate, .depth = depth, .batch = batch, .threads = n_threads});
        }
      }
    }
  }
  return cases;
}

Result<std::vector<BenchRow>> RunBench(const model::Model& model, const BenchOptions& options,
                                       const BenchProgress& progress) {
  const std::vector<BenchCase> cases = CasesOf(options);
  const model::ModelWork work = model::WorkOf(model.checkpoint());
  const kernels::KvTypes kv_types = options.kv_types.value_or(model.default_kv_types());
  const model::KvWork kv = model::KvWorkOf(model.config(), kv_types);
  const uint64_t total = cases.size() * static_cast<uint64_t>(options.repeat + 1);
  uint64_t done = 0;
  std::vector<BenchRow> rows;
  std::unique_ptr<Bench> bench;
  kernels::Ceilings ceilings;
  engine::Machine machine;
  for (const BenchCase& test : cases) {
    if (bench == nullptr || bench->threads().n_threads() != test.threads) {
      bench = std::make_unique<Bench>(model, test.threads, options);
      progress(done, total);
      ceilings = kernels::MeasureCeilings(bench->threads());
      machine = MachineOf(ceilings);
      QUERN_TRY(engine::MeasureKernels(work, model.config(), kv_types, bench->threads(), &machine.costs));
    }
    const engine::Workload run = RunOf(test, options.step_tokens);
    BenchRow row{.test = test, .seconds = {}, .work = {}, .ceilings = ceilings};
    engine::ForSteps(run, [&](const model::StepShape& step) { row.work += model::WorkOf(work, step, kv); });
    row.predicted_seconds = engine::PredictSeconds(work, model.config().n_layers, kv, run, machine);
    progress(done++, total);
    os::ForgetPeakResident();  // the buffer of the ceilings, and earlier tests
    QUERN_TRY(bench->SetUp(test));
    BenchCase warm = test;  // touches the memory that the test will use
    warm.prompt = std::min(test.prompt, options.step_tokens);
    warm.generate = std::min(test.generate, 4);
    QUERN_TRY(bench->Run(warm));
    for (int repeat = 0; repeat < options.repeat; ++repeat) {
      progress(done++, total);
      QUERN_ASSIGN(const double seconds, bench->Run(test));
      row.seconds.push_back(seconds);
    }
    row.peak_resident_bytes = os::PeakResidentBytes();
    bench->TearDown();
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace quern::cli
