#include <cmath>
#include <cstring>

#include "kernels/fixed16.h"
#include "kernels/ref/ref.h"

namespace quern::kernels::ref {
namespace {

// Quantizes up to n of 32 or 256 values: max|x| / 127 is the scale, q the nearest integers (ties to even). A block that
// holds infinities or NaN gets scale NaN, so that the row's result says so.
float QuantizeBlock(const float* x, int64_t n, int8_t* q) {
  float largest = 0;
  bool finite = true;
  for (int64_t i = 0; i < n; ++i) {
    finite = finite && std::isfinite(x[i]);
    largest = std::fmax(largest, std::fabs(x[i]));
  }
  if (!finite) return NAN;
  // Below this the inverse overflows; such a block is zero for every purpose.
  if (largest < 1e-30F) return 0.0F;
  const float inverse = 127.0F / largest;
  for (int64_t i = 0; i < n; ++i) q[i] = static_cast<int8_t>(std::nearbyint(x[i] * inverse));
  return largest / 127.0F;
}

}  // namespace

void ToBf16(const float* x, int64_t n, uint16_t* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = F32ToBf16(x[i]);
  for (int64_t i = n; i < (n + 31) / 32 * 32; ++i) out[i] = 0;
}

void ToX8(const float* x, int64_t n, GroupX8* out) {
  for (int64_t begin = 0; begin < n; begin += 256, ++out) {
    std::memset(out, 0, sizeof(*out));
    for (int b = 0; b < 8 && begin + 32 * b < n; ++b) {
      const int64_t left = n - begin - 32 * b;
      int8_t* q = out->q + 32 * b;
      out->d[b] = QuantizeBlock(x + begin + 32 * b, left < 32 ? left : 32, q);
      for (int j = 0; j < 32; ++j) out->start[b] -= 128 * q[j];
    }
  }
}

void ToX8K(const float* x, int64_t n, GroupX8K* out) {
  for (int64_t begin = 0; begin < n; begin += 256, ++out) {
    std::memset(out, 0, sizeof(*out));
    const int64_t left = n - begin;
    out->d = QuantizeBlock(x + begin, left < 256 ? left : 256, out->q);
    for (int j = 0; j < 256; ++j) {
      out->sum16[j / 16] = static_cast<int16_t>(out->sum16[j / 16] + out->q[j]);
      out->sum32[j / 32] = static_cast<int16_t>(out->sum32[j / 32] + out->q[j]);
      out->start[j / 16] -= 32 * out->q[j];
    }
  }
}

float ToFixed16(const float* x, int64_t n, int16_t* out) {
  const Fixed16 fixed(x, static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) out[i] = fixed.Of(x[i]);
  for (int64_t i = n; i % 8 != 0; ++i) out[i] = 0;
  return fixed.scale();
}

void RmsNorm(const float* x, const float* w, int64_t n, float eps, float* out) {
  float squares = 0;
  for (int64_t i = 0; i < n; ++i) squares += x[i] * x[i];
  const float inverse = 1.0F / std::sqrt(squares / static_cast<float>(n) + eps);
  for (int64_t i = 0; i < n; ++i) out[i] = w[i] * (x[i] * inverse);
}

void SiluMul(const float* gate, const float* up, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = gate[i] / (1.0F + std::exp(-gate[i])) * up[i];
}

void AddScaled(const float* x, float a, int64_t n, float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] += a * x[i];
}

KernelTable Table() {
  KernelTable table;
  table.isa = Isa::kRef;
  table.f32 = {RowForm::kF32, MatMulF32};
  table.f16 = {RowForm::kF32, MatMulF16};
  table.bf16 = {RowForm::kF32, MatMulBF16};
  table.f8_e4m3 = {RowForm::kF32, MatMulF8E4M3};
  table.q8_0 = {RowForm::kX8, MatMulQ8_0};
  table.q4_0 = {RowForm::kX8, MatMulQ4_0};
  table.q4_k = {RowForm::kX8K, MatMulQ4K};
  table.q5_k = {RowForm::kX8K, MatMulQ5K};
  table.q6_k = {RowForm::kX8K, MatMulQ6K};
  table.to_bf16 = ToBf16;
  table.to_x8 = ToX8;
  table.to_x8k = ToX8K;
  table.to_fixed16 = ToFixed16;
  table.rms_norm = RmsNorm;
  table.silu_mul = SiluMul;
  table.add_scaled = AddScaled;
  table.attention = Attention;
  table.conv_silu = ConvSilu;
  table.l2_norm = L2Norm;
  table.delta_chunk = DeltaChunk;
  table.delta_products = DeltaProducts;
  table.sigmoid_mul = SigmoidMul;
  return table;
}

}  // namespace quern::kernels::ref
