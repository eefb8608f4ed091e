// quern plan: what a checkpoint takes and how fast it should be, computed before anything is loaded.
#include <fmt/core.h>

#include <array>
#include <vector>

#include "cli/bench_report.h"
#include "cli/commands.h"
#include "cli/load_model.h"
#include "cli/memory.h"
#include "engine/memory_plan.h"
#include "engine/speed_model.h"

namespace quern::cli {
namespace {

constexpr int kPrompt = 8192;  // the length whose first token is predicted

// A model to predict for: one at hand, or a published one by its numbers.
struct Subject {
  std::string name;
  model::ModelWork work;
  int n_layers;
  double weight_bytes;
  model::KvWork kv;
};

// Published shapes in the usual 4-bit mixture: 4.86 bits per weight on average.
Subject Published(const char* name, const model::ModelConfig& config) {
  constexpr double kBytesPerWeight = 4.86 / 8;
  return {name, model::WorkOf(config, DType::kQ4K, kBytesPerWeight), config.n_layers,
          kBytesPerWeight * static_cast<double>(config.CountParameters()), model::KvWorkOf(config, {})};
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

engine::Machine ThisMachine(int threads) {
  ThreadPool pool(threads > 0 ? threads : ThreadPool::AvailableThreads());
  return MachineOf(kernels::MeasureCeilings(pool));
}

void PrintSpeeds(const Subject& subject, const engine::Machine& machine) {
  const auto seconds = [&](const engine::Workload& run) {
    return engine::PredictSeconds(subject.work, subject.n_layers, subject.kv, run, machine);
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

  const engine::Machine here = ThisMachine(settings.threads);
  fmt::print(
      "this machine: {}\npredicted; a prompt of {} tokens in steps of 512, generating from an empty context, at "
      "a depth of 32,768, and eight sequences together\n\n",
      CeilingsText(
          {here.read_bytes, here.int8_ops, here.bf16_ops, here.f32_ops, here.tile_int8_ops, here.tile_bf16_ops}),
      kPrompt);
  PrintHead();
  const kernels::KvTypes kv_types = settings.kv_types.value_or(DefaultKvTypes(*checkpoint));
  PrintSpeeds({ModelName(settings, path), model::WorkOf(*checkpoint), checkpoint->config().n_layers,
               static_cast<double>(plan.weights), model::KvWorkOf(checkpoint->config(), kv_types)},
              here);
  for (const Subject& subject : PublishedModels()) {
    PrintSpeeds(subject, here);
    for (const engine::Machine& machine : engine::ExampleMachines()) PrintSpeeds(subject, machine);
  }
  return fits ? kExitDone : kExitFailed;
}

}  // namespace quern::cli
