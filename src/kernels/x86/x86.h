// Kernels of the x86 levels by instruction set; see dispatch.h for what each must do. Only dispatch.cc
// and ceilings.cc (the ...Peak loops, which do nothing but arithmetic) call them, after asking the CPU.
#pragma once

#include <cstdint>

#include "kernels/tile.h"

namespace quern::kernels {

// AVX2, FMA, F16C.
namespace avx2 {
void MatMulF32(const MatMulTile& tile);
void MatMulF16(const MatMulTile& tile);
void MatMulBF16(const MatMulTile& tile);
void MatMulF8E4M3(const MatMulTile& tile);
void MatMulQ8_0(const MatMulTile& tile);
void MatMulQ4_0(const MatMulTile& tile);
void MatMulQ4K(const MatMulTile& tile);
void MatMulQ5K(const MatMulTile& tile);
void MatMulQ6K(const MatMulTile& tile);
void ToX8(const float* x, int64_t n, GroupX8* out);
void ToX8K(const float* x, int64_t n, GroupX8K* out);
float ToFixed16(const float* x, int64_t n, int16_t* out);  // eight sums are its definition: AVX-512 has no better
void RmsNorm(const float* x, const float* w, int64_t n, float eps, float* out);
void SiluMul(const float* gate, const float* up, int64_t n, float* out);
void AddScaled(const float* x, float a, int64_t n, float* y);
void Attention(const AttentionTile& tile);
void ConvSilu(const ConvTile& tile);
void L2Norm(float* x, int64_t n, float eps, float scale);
void DeltaChunk(const DeltaChunkTile& tile);
void DeltaProducts(const DeltaProductsTile& tile);
void SigmoidMul(const float* x, const float* gate, int64_t n, float* out);
int32_t Int8Peak(int64_t n_rounds);
int32_t F32Peak(int64_t n_rounds);
}  // namespace avx2

// AVX-512 F, BW, DQ, VL.
namespace avx512 {
void MatMulF32(const MatMulTile& tile);
void MatMulF16(const MatMulTile& tile);
void MatMulBF16(const MatMulTile& tile);
void MatMulF8E4M3(const MatMulTile& tile);
void MatMulQ8_0(const MatMulTile& tile);
void MatMulQ4_0(const MatMulTile& tile);
void MatMulQ4K(const MatMulTile& tile);
void MatMulQ5K(const MatMulTile& tile);
void MatMulQ6K(const MatMulTile& tile);
void ToX8(const float* x, int64_t n, GroupX8* out);
void ToX8K(const float* x, int64_t n, GroupX8K* out);
void RmsNorm(const float* x, const float* w, int64_t n, float eps, float* out);
void SiluMul(const float* gate, const float* up, int64_t n, float* out);
void AddScaled(const float* x, float a, int64_t n, float* y);
void Attention(const AttentionTile& tile);
void ConvSilu(const ConvTile& tile);
void L2Norm(float* x, int64_t n, float eps, float scale);
void DeltaChunk(const DeltaChunkTile& tile);
void DeltaProducts(const DeltaProductsTile& tile);
void SigmoidMul(const float* x, const float* gate, int64_t n, float* out);
int32_t F32Peak(int64_t n_rounds);
}  // namespace avx512

// The same with 8-bit dot products.
namespace avx512vnni {
void MatMulQ8_0(const MatMulTile& tile);
void MatMulQ4_0(const MatMulTile& tile);
void MatMulQ4K(const MatMulTile& tile);
void MatMulQ5K(const MatMulTile& tile);
void MatMulQ6K(const MatMulTile& tile);
int32_t Int8Peak(int64_t n_rounds);
void Attention(const AttentionTile& tile);
}  // namespace avx512vnni

// With bf16 dot products: activations in RowForm::kBF16.
namespace avx512bf16 {
void MatMulBF16(const MatMulTile& tile);
void ToBf16(const float* x, int64_t n, uint16_t* out);
int32_t Bf16Peak(int64_t n_rounds);
void Attention(const AttentionTile& tile);  // with VNNI as well
}  // namespace avx512bf16

// The same with tiles: AMX for bytes and for bf16. x must lie evenly wherever there are as many rows as the table's
// entries say; bf16 activations are in RowForm::kBF16.
namespace amx {
inline constexpr int kMinRows = 12;  // of quantised weights' activations; fewer are faster without tiles
void MatMulBF16(const MatMulTile& tile);
void MatMulQ8_0(const MatMulTile& tile);
void MatMulQ4_0(const MatMulTile& tile);
void MatMulQ4K(const MatMulTile& tile);
void MatMulQ5K(const MatMulTile& tile);
void MatMulQ6K(const MatMulTile& tile);
int32_t Int8Peak(int64_t n_rounds);
int32_t Bf16Peak(int64_t n_rounds);
}  // namespace amx

}  // namespace quern::kernels
