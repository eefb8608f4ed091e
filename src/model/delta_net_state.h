// What one gated DeltaNet layer keeps of one sequence, and where it lies: f32, one after the other,
//   matrices  [n_linear_value_heads, linear_key_dim, linear_value_dim]  S at the start of the unfinished chunk
//   changes   [n_linear_value_heads, kDeltaChunk, linear_value_dim]     u of the unfinished chunk's tokens
//   decays    [n_linear_value_heads, kDeltaChunk]                       their decays, 0..1
//   keys      [n_linear_key_heads, kDeltaChunk, linear_key_dim]         their keys, normalised
//   history   [conv_width - 1, ConvChannels()]                          the convolution's last inputs, oldest first
// Chunks begin at the multiples of kernels::kDeltaChunk, so of a sequence of n tokens the unfinished one holds the last
// n % kDeltaChunk; rows of changes, decays and keys behind these are undefined. All zero is the state before the first
// token. Inside a chunk tokens are only added behind those that are there, and the matrices are not written: to take
// tokens of the unfinished chunk back, nothing of the above needs to be restored but the history.
#pragma once

#include <cstdint>

#include "kernels/tile.h"
#include "model/config.h"

namespace quern::model {

// A view, valid as long as the memory it was made of.
class DeltaNetState {
 public:
  // floats: [FloatsOf(config)].
  DeltaNetState(const ModelConfig& config, float* floats);

  float* matrix(int64_t value_head) const { return matrices_ + value_head * key_dim_ * value_dim_; }
  float* changes(int64_t value_head) const { return changes_ + value_head * kernels::kDeltaChunk * value_dim_; }
  float* decays(int64_t value_head) const { return decays_ + value_head * kernels::kDeltaChunk; }
  // Of the unfinished chunk's token `slot`.
  float* key(int64_t key_head, int64_t slot) const {
    return keys_ + (key_head * kernels::kDeltaChunk + slot) * key_dim_;
  }
  float* history() const { return history_; }

  // 0 for a model without such layers.
  static int64_t FloatsOf(const ModelConfig& config);
  // Of these in the matrices alone, which a step reads, and writes once a chunk.
  static int64_t MatrixFloatsOf(const ModelConfig& config);

 private:
  int64_t key_dim_, value_dim_;
  float *matrices_, *changes_, *decays_, *keys_, *history_;
};

}  // namespace quern::model
