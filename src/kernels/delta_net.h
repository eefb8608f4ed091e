// The parts of a gated DeltaNet layer that are no matrix products: short causal convolution, L2 norm, the recurrence.
// f32 throughout. Tokens are taken one after the other, so a state or an output depends on the tokens before it and on
// nothing else: not on how a prompt was cut, not on other sequences, not on threads.
//
// The rule has two forms, equal to rounding but not to the bit. The forward pass uses the recurrent one (DeltaSteps)
// for prompts and for generated tokens alike: a token that was generated in one request is prompt in the next, and must
// give the same bits there. The chunked one (KernelTable::delta_products, delta_chunk; see DeltaChunkTile) takes a
// prompt in 0.55 to 0.6 of the time (delta_net_bench.cc: 1.11 against 1.91 us a token and head of 128 x 128 on
// avx512, 1.34 against 2.45 on avx2), and is as pure a function of position and tokens, decoding included, as long as
// the keys, changes and reaches of an unfinished chunk are kept beside the state at its start. One at a time it is no
// faster on avx512 (4.44 against 4.31 us) and slower on avx2 (8.0 against 5.4), so that it is not a layer's form yet:
// either every position goes through it or none does.
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

// The recurrence of one value head over consecutive tokens, see DeltaTile.
void DeltaSteps(const DeltaTile& tile);

// out = x * sigmoid(gate) over n elements; out may be x or gate.
void SigmoidMul(const float* x, const float* gate, int64_t n, float* out);

float Sigmoid(float x);
// ln(1 + e^x) without overflow; above 20 it is x, as in the reference.
float Softplus(float x);

}  // namespace quern::kernels
