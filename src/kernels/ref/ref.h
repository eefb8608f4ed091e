// The plain level: loops that say what every other level must compute.
#pragma once

#include "kernels/dispatch.h"

namespace quern::kernels::ref {

void MatMulF32(const MatMulTile& tile);
void MatMulF16(const MatMulTile& tile);
void MatMulBF16(const MatMulTile& tile);
void MatMulF8E4M3(const MatMulTile& tile);
void MatMulQ8_0(const MatMulTile& tile);
void MatMulQ4_0(const MatMulTile& tile);
void MatMulQ4K(const MatMulTile& tile);
void MatMulQ5K(const MatMulTile& tile);
void MatMulQ6K(const MatMulTile& tile);

void ToBf16(const float* x, int64_t n, uint16_t* out);
void ToX8(const float* x, int64_t n, GroupX8* out);
void ToX8K(const float* x, int64_t n, GroupX8K* out);
float ToFixed16(const float* x, int64_t n, int16_t* out);

void RmsNorm(const float* x, const float* w, int64_t n, float eps, float* out);
void SiluMul(const float* gate, const float* up, int64_t n, float* out);
void AddScaled(const float* x, float a, int64_t n, float* y);
void Attention(const AttentionTile& tile);
void ConvSilu(const ConvTile& tile);
void L2Norm(float* x, int64_t n, float eps, float scale);
void DeltaChunk(const DeltaChunkTile& tile);
void DeltaProducts(const DeltaProductsTile& tile);
void SigmoidMul(const float* x, const float* gate, int64_t n, float* out);

KernelTable Table();

}  // namespace quern::kernels::ref
