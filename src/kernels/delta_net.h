// The parts of a gated DeltaNet layer that are no matrix products: short causal convolution, L2 norm, the delta rule.
// f32 throughout. A state or an output depends on the tokens before it and on nothing else: not on how a prompt was
// cut, not on other sequences, not on threads.
//
// The rule is computed by chunks (DeltaChunkTile) at every position, whether its token was read or generated: a token
// that was generated in one request is prompt in the next, and must give the same bits there. Chunks lie on a grid of
// absolute positions, and what an unfinished one has seen is kept beside the state at its start, so that a prompt cut
// anywhere gives the bits of the whole. The recurrence token by token, equal to rounding, would read and write the
// whole state twice for each token; by chunks a prompt reads it for two tokens at a time and generating reads it once,
// and both write it once a chunk. A token and head of 128 x 128 took 2.0 us that way in a prompt and takes 1.1
// (avx2 2.6 and 1.3); generating, with states in memory, 5.5 us and 3.5 (avx2 6.5 and 5); see delta_net_bench.cc.
//
// Chunks of 8: those of 16 and 32 are as fast or slower in prompts (2 and 10 % on avx512) and in generating (some 10
// and 30 %), and keep twice and four times as many keys and changes for each sequence.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/tile.h"

namespace quern::kernels {

// out[c] = silu(sum over i of w[i, c] * rows[i][c]): one token's channels; rows[width - 1] is the token itself, rows[0]
// the oldest. rows: [width] pointers to [n_channels], 1 <= width <= kMaxConvWidth; w: [width, n_channels]. The sum runs
// from the oldest row on. out may be none of the rows.
void ConvSilu(const float* const* rows, int width, const float* w, int64_t n_channels, float* out);

// x * (scale / sqrt(sum(x^2) + eps)) in place on each head: heads [n_heads, n] contiguous.
void L2NormHeads(float* heads, int n_heads, int64_t n, float eps, float scale);

// What tokens of one chunk need to know of each other, once for all value heads of a key head; see DeltaProductsTile.
void DeltaProducts(const DeltaProductsTile& tile);

// The delta rule of one value head over tokens of one chunk, see DeltaChunkTile.
void DeltaChunk(const DeltaChunkTile& tile);

// out = x * sigmoid(gate) over n elements; out may be x or gate.
void SigmoidMul(const float* x, const float* gate, int64_t n, float* out);

float Sigmoid(float x);
// ln(1 + e^x) without overflow; above 20 it is x, as in the reference.
float Softplus(float x);

}  // namespace quern::kernels
