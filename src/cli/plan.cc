// quern plan: what a checkpoint takes and how fast it should be, computed before anything is loaded.
#include <fmt/core.h>

#include <array>
#include <vector>

#include "cli/bench_report.h"
#include "cli/commands.h"
#include "cli/load_model.h"
#include "cli/memory.h"
#include "cli/progress.h"
#include "engine/measured_kernels.h"
#include "engine/memory_plan.h"
#include "engine/speed_model.h"

namespace quern::cli {
namespace {

constexpr int kPrompt = 8192;  // the length whose first token is predicted

// A model to predict for: one at hand, or a published one by its numbers.
struct Subject {
  std::string name;
  model::ModelConfig config;
  model::ModelWork work;
  double weight_bytes;
  kernels::KvTypes kv_types;
};

// Published shapes in the usual 4-bit mixture: 4.86 bits per weight on average.
Subject Published(const char* name, const model::ModelConfig& config) {
  constexpr double kBytesPerWeight = 4.86 / 8;
  return {name,
          config,
          model::WorkOf(config, DType::kQ4K, kBytesPerWeight),
          kBytesPerWeight * static_cast<double>(config.CountParameters()),
          {}};
}

std::vector<Subject> PublishedModels() {
  model::ModelConfig coder{.architecture = model::Architecture::kQwen3Moe,
                           .d_model = 2048,
                           .n_layers = 48,
                           .n_heads = 32,
                           .n_kv_heads = 4,
                           .head_dim = 128,
                           .vocab = 151936,
                           .context_length = 262144,
                           .qk_norm = true,
                           .n_experts = 128,
                           .n_experts_used = 8,
                           .d_ff_expert = 768};
  model::ModelConfig next = coder;
  next.architecture = model::Architecture::kQwen3Next;
  next.n_heads = 16;
  next.n_kv_heads = 2;
  next.head_dim = 256;
  next.attention_gate = true;
  next.n_experts = 512;
  next.n_experts_used = 10;
  next.d_ff_expert = next.d_ff_shared = 512;
  next.layer_kinds = model::LayerKindsOf(48, model::kDefaultFullAttentionInterval);
  next.n_linear_key_heads = 16;
  next.n_linear_value_heads = 32;
  next.linear_key_dim = next.linear_value_dim = 128;
  next.conv_width = 4;
  model::ModelConfig large = coder;
  large.d_model = 6144;
  large.n_layers = 62;
  large.n_heads = 96;
  large.n_kv_heads = 8;
  large.n_experts = 160;
  large.d_ff_expert = 2560;
  return {Published("30B-A3B", coder), Published("80B-A3B (Next)", next), Published("480B-A35B", large)};
}

void PrintSpeeds(const Subject& subject, const engine::Machine& machine) {
  const auto seconds = [&](const engine::Workload& run) {
    return engine::PredictSeconds(subject.work, subject.config.n_layers,
                                  model::KvWorkOf(subject.config, subject.kv_types), run, machine);
  };
  const double prompt = seconds({.prompt = kPrompt}) + seconds({.generate = 1, .depth = kPrompt});
  const double fresh = seconds({.generate = 1}), deep = seconds({.generate = 1, .depth = 32768});
  const double eight = seconds({.generate = 1, .batch = 8});
  const double need = subject.weight_bytes;
  fmt::print("{:<16} {:<30} {:>9} {:>9.1f} {:>9.1f} {:>9.1f} {:>9.1f} {:>9.1f}{}\n", subject.name, machine.name,
             engine::BytesText(static_cast<uint64_t>(need)), kPrompt / seconds({.prompt = kPrompt}), prompt, 1 / fresh,
             1 / deep, 8 / eight, need > static_cast<double>(machine.memory) ? "  does not fit" : "");
}

void PrintHead() {
  fmt::print("{:<16} {:<30} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}\n", "model", "machine", "weights", "prompt/s",
             "first s", "tok/s", "at 32K", "8 seqs");
}

// The rows of a table: each subject on this machine, published ones on the others too.
Result<void> Predict(const Subject& at_hand, int threads) {
  ThreadPool pool(threads > 0 ? threads : ThreadPool::AvailableThreads());
  std::vector<Subject> subjects = PublishedModels();
  subjects.insert(subjects.begin(), at_hand);
  std::vector<engine::Machine> here;
  kernels::Ceilings ceilings;
  {
    ProgressBar bar("measuring kernels");
    bar.Show(0, subjects.size());
    ceilings = kernels::MeasureCeilings(pool);
    engine::Machine machine = MachineOf(ceilings);
    for (const Subject& subject : subjects) {
      QUERN_TRY(engine::MeasureKernels(subject.work, subject.config, subject.kv_types, pool, &machine.costs));
      here.push_back(machine);
      bar.Show(here.size(), subjects.size());
    }
  }
  fmt::print(
      "this machine: {}\npredicted, for this machine from what its kernels take; a prompt of {} tokens in steps of "
      "512, "
      "generating from an empty context, at a depth of 32,768, and eight sequences together\n\n",
      CeilingsText(ceilings), kPrompt);
  PrintHead();
  for (size_t i = 0; i < subjects.size(); ++i) {
    PrintSpeeds(subjects[i], here[i]);
    if (i == 0) continue;
    for (const engine::Machine& machine : engine::ExampleMachines()) PrintSpeeds(subjects[i], machine);
  }
  return {};
}

}  // namespace

Result<int> RunPlan(const Invocation& invocation) {
  Settings settings = invocation.settings;
  if (invocation.has_positional) settings.model = invocation.positional;
  QUERN_ASSIGN(const auto path, ModelPath(settings));
  QUERN_ASSIGN(const std::shared_ptr<const model::Checkpoint> checkpoint, model::Checkpoint::Open(path));
  QUERN_ASSIGN(const engine::MemoryPlan plan, PlanOf(*checkpoint, settings, invocation.parallel));
  fmt::print("{}", plan.Text());
  const auto fits = engine::CheckFits(plan);
  fmt::print("{}\n\n", fits ? std::string("fits") : fits.error().message());
  if (!invocation.predict) return fits ? kExitDone : kExitFailed;

  const kernels::KvTypes kv_types = settings.kv_types.value_or(DefaultKvTypes(*checkpoint));
  QUERN_TRY(Predict({ModelName(settings, path), checkpoint->config(), model::WorkOf(*checkpoint),
                     static_cast<double>(plan.weights), kv_types},
                    settings.threads));
  return fits ? kExitDone : kExitFailed;
}

}  // namespace quern::cli
