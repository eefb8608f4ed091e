#include "cli/bench_kv.h"

#include <fmt/core.h>

#include <algorithm>

#include "cli/inspect_report.h"
#include "model/kv_loss.h"
#include "model/kv_types.h"

namespace quern::cli {
namespace {

using enum kernels::KvType;

constexpr kernels::KvTypes kBase{kF32, kF32};
constexpr kernels::KvTypes kOthers[] = {{kI16, kI16}, {kF16, kF16}, {kBF16, kBF16}, {kQ8, kQ8}, {kI16, kQ8},
                                        {kQ8, kI16},  {kQ8, kQ4},   {kQ4, kQ8},     {kQ4, kQ4}};

}  // namespace

Result<std::string> KvLossTable(const model::Model& model, int n_tokens, ThreadPool& pool) {
  const int n = std::min(n_tokens, model.config().context_length);
  QUERN_ASSIGN(const std::vector<model::TokenId> text, model::SampleText(model, n, 1, pool));
  std::string out =
      fmt::format("{:<9} {:>10} {:>10} {:>10} {:>12}\n", "K,V", "per token", "mean KL", "max KL", "top-1 alike");
  const auto bytes = [&](kernels::KvTypes types) {
    return SizeText(static_cast<uint64_t>(model.config().KvBytesPerToken(types)));
  };
  out += fmt::format("{:<9} {:>10} {:>10} {:>10} {:>12}\n", model::KvTypesName(kBase), bytes(kBase), 0, 0, "100.00 %");
  for (const kernels::KvTypes types : kOthers) {
    QUERN_ASSIGN(const model::KvLoss loss, model::MeasureKvLoss(model, text, kBase, types, pool));
    out += fmt::format("{:<9} {:>10} {:>10.2g} {:>10.2g} {:>10.2f} %\n", model::KvTypesName(types), bytes(types),
                       loss.mean_kl, loss.max_kl, 100 * loss.top1);
  }
  return out + fmt::format("{} positions of a text that the model wrote itself; KL in nats, against f32\n", n);
}

}  // namespace quern::cli
