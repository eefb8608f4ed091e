#include "model/delta_net_state.h"

#include <algorithm>

namespace quern::model {
namespace {

using kernels::kDeltaChunk;

int64_t ChangeFloatsOf(const ModelConfig& c) {
  return int64_t{c.n_linear_value_heads} * kDeltaChunk * c.linear_value_dim;
}
int64_t DecayFloatsOf(const ModelConfig& c) { return int64_t{c.n_linear_value_heads} * kDeltaChunk; }
int64_t KeyFloatsOf(const ModelConfig& c) { return int64_t{c.n_linear_key_heads} * kDeltaChunk * c.linear_key_dim; }
int64_t HistoryFloatsOf(const ModelConfig& c) { return int64_t{std::max(c.conv_width - 1, 0)} * c.ConvChannels(); }

}  // namespace

DeltaNetState::DeltaNetState(const ModelConfig& config, float* floats)
    : key_dim_(config.linear_key_dim),
      value_dim_(config.linear_value_dim),
      matrices_(floats),
      changes_(matrices_ + MatrixFloatsOf(config)),
      decays_(changes_ + ChangeFloatsOf(config)),
      keys_(decays_ + DecayFloatsOf(config)),
      history_(keys_ + KeyFloatsOf(config)) {}

int64_t DeltaNetState::FloatsOf(const ModelConfig& config) {
  return MatrixFloatsOf(config) + ChangeFloatsOf(config) + DecayFloatsOf(config) + KeyFloatsOf(config) +
         HistoryFloatsOf(config);
}

int64_t DeltaNetState::MatrixFloatsOf(const ModelConfig& config) {
  return int64_t{config.n_linear_value_heads} * config.linear_key_dim * config.linear_value_dim;
}

}  // namespace quern::model
