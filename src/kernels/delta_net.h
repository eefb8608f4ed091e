// The parts of a gated DeltaNet layer that are no matrix products: short causal convolution, L2 norm, the recurrence.
// f32 throughout. Tokens are taken one after the other, so a state or an output depends on the tokens before it and on
// nothing else: not on how a prompt was cut, not on other sequences, not on threads.
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
