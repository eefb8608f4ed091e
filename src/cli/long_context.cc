#include "cli/long_context.h"

#include <fmt/core.h>

#include <cmath>

#include "cli/inspect_report.h"

namespace quern::cli {
namespace {

// The smallest factor, in steps of one half, that covers a context.
double FactorFor(int context, int native) { return std::ceil(2.0 * context / native) / 2; }

Status TooLong(const Settings& settings, const model::ModelConfig& config, int native) {
  const double factor = FactorFor(settings.context, native);
  const std::string too_long =
      fmt::format("--context {} is beyond the {} tokens of this model", settings.context, config.context_length);
  const auto stretched = model::WithYarn(config, factor);
  if (!stretched || factor > kMaxYarnFactor) {
    return Status(Code::kInvalidArgument,
                  fmt::format("{}, and YaRN stretches it at most {} times", too_long, kMaxYarnFactor));
  }
  const auto kv = static_cast<uint64_t>(config.KvBytesPerToken(settings.kv_types.value_or(kernels::KvTypes{}))) *
                  static_cast<uint64_t>(settings.context);
  return Status(
      Code::kInvalidArgument,
      fmt::format("{}: --yarn {:g} stretches its positions to {}. That costs: the same factor then holds for short "
                  "prompts too, whose answers get slightly worse; keys and values of one whole context take {} (see "
                  "--kv-type and --kv-memory); and a token at the far end reads all of them",
                  too_long, factor, stretched->context_length, SizeText(kv)));
}

}  // namespace

Result<std::optional<double>> YarnFactor(const Settings& settings, const model::ModelConfig& config) {
  if (!settings.yarn.has_value()) {
    if (settings.context > config.context_length) {
      return std::unexpected(TooLong(settings, config, config.NativeContext()));
    }
    return std::optional<double>();
  }
  QUERN_ASSIGN(const model::ModelConfig stretched, model::WithYarn(config, *settings.yarn));
  if (settings.context > stretched.context_length) {
    return std::unexpected(TooLong(settings, stretched, config.NativeContext()));
  }
  return settings.yarn;
}

}  // namespace quern::cli
