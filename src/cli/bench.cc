// quern bench: how fast this machine computes a model, beside what it could do at most.
#include <fmt/core.h>

#include <filesystem>
#include <fstream>

#include "base/os/cpu.h"
#include "cli/bench_kernels.h"
#include "cli/bench_kv.h"
#include "cli/bench_report.h"
#include "cli/bench_run.h"
#include "cli/commands.h"
#include "cli/load_model.h"
#include "cli/progress.h"
#include "kernels/dispatch.h"

namespace quern::cli {
namespace {

constexpr int kMostTokens = 1 << 24;

Result<void> CheckList(const char* flag, const std::vector<int>& values, int least, int most) {
  for (const int value : values) {
    if (value < least || value > most)
      return Error(Code::kInvalidArgument, fmt::format("--{} {}: expected {} to {}", flag, value, least, most));
  }
  return {};
}

Result<void> CheckOptions(const BenchOptions& options) {
  QUERN_TRY(CheckList("prompt", options.prompt, 0, kMostTokens));
  QUERN_TRY(CheckList("generate", options.generate, 0, kMostTokens));
  QUERN_TRY(CheckList("depth", options.depth, 0, kMostTokens));
  QUERN_TRY(CheckList("batch", options.batch, 1, 1024));
  QUERN_TRY(CheckList("threads", options.threads, 1, 4096));
  QUERN_TRY(CheckList("repeat", {options.repeat}, 1, 1000));
  QUERN_TRY(CheckList("step-tokens", {options.step_tokens}, 1, 1 << 16));
  if (options.format != "table" && options.format != "json" && options.format != "csv")
    return Error(Code::kInvalidArgument, fmt::format("--format {}: expected table, json or csv", options.format));
  return {};
}

Result<int> BenchKernels(const BenchOptions& options) {
  ThreadPool pool(options.threads.empty() ? ThreadPool::AvailableThreads() : options.threads.front());
  const kernels::Ceilings ceilings = kernels::MeasureCeilings(pool);
  fmt::print("{}; level {}; {} threads: the machine gives {}\n\n", os::CpuName(),
             kernels::IsaName(kernels::Kernels().isa), pool.n_threads(), CeilingsText(ceilings));
  std::string table;
  {
    ProgressBar bar("measuring kernels");
    QUERN_ASSIGN(table, KernelTable(pool, ceilings, options.repeat,
                                    [&](uint64_t done, uint64_t total) { bar.Show(done, total); }));
  }
  fmt::print("{}", table);
  return kExitDone;
}

constexpr int kKvTextTokens = 1024;

// --model, or the model in the box.
Result<int> BenchKv(const Settings& settings, const BenchOptions& options) {
  QUERN_ASSIGN(const auto path, ModelPath(settings));
  QUERN_ASSIGN(const auto model, model::Model::Load(path));
  ThreadPool pool(options.threads.empty() ? ThreadPool::AvailableThreads() : options.threads.front());
  QUERN_ASSIGN(const std::string table, KvLossTable(*model, kKvTextTokens, pool));
  fmt::print("{}\n{}", ModelName(settings, path), table);
  return kExitDone;
}

Result<void> WritePlot(const std::string& path, const std::string& svg) {
  std::ofstream file(path, std::ios::binary);
  file << svg;
  file.close();
  if (!file) return Error(Code::kInvalidArgument, fmt::format("--plot {}: the file cannot be written", path));
  return {};
}

Result<std::vector<BenchRow>> Measure(const Settings& settings, const std::filesystem::path& path,
                                      const BenchOptions& options) {
  std::unique_ptr<model::Model> model;
  {
    ProgressBar bar(fmt::format("loading {}", path.filename().string()));
    model::LoadOptions load;
    load.progress = [&](uint64_t done, uint64_t total) { bar.Show(done, total); };
    QUERN_ASSIGN(std::shared_ptr<const model::Checkpoint> checkpoint, model::Checkpoint::Open(path));
    load.packed = FindPacked(*checkpoint);
    if (load.packed != nullptr) load.packed->ReadAhead();
    QUERN_ASSIGN(model, model::Model::Load(std::move(checkpoint), load));
  }
  ProgressBar bar(fmt::format("measuring {}", ModelName(settings, path)));
  return RunBench(*model, options, [&](uint64_t done, uint64_t total) { bar.Show(done, total); });
}

}  // namespace

Result<int> RunBenchCommand(const Invocation& invocation) {
  BenchOptions options = invocation.bench;
  options.kv_types = invocation.settings.kv_types;
  QUERN_TRY(CheckOptions(options));
  if (!options.isa.empty()) QUERN_TRY(kernels::ForceIsa(options.isa));
  if (invocation.positional == "kernels") return BenchKernels(options);
  if (invocation.positional == "kv") return BenchKv(invocation.settings, options);
  Settings settings = invocation.settings;
  if (invocation.has_positional) settings.model = invocation.positional;
  QUERN_ASSIGN(const auto path, ModelPath(settings));
  QUERN_ASSIGN(const std::vector<BenchRow> rows, Measure(settings, path, options));
  const std::string name = ModelName(settings, path);
  fmt::print("{}", options.format == "json"  ? BenchJson(rows, name)
                   : options.format == "csv" ? BenchCsv(rows)
                                             : BenchTable(rows, name));
  if (!options.plot.empty()) QUERN_TRY(WritePlot(options.plot, BenchPlot(rows, name)));
  return kExitDone;
}

}  // namespace quern::cli
