#include "kernels/quantize_k.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/scale_search.h"
#include "kernels/tile.h"
#include "tensor/dtype.h"

namespace quern::kernels {
namespace {

constexpr int kSubBlocks = 8;  // of 32 elements, each with a 6-bit scale and a 6-bit minimum
constexpr int kSubElements = 32;
constexpr int kLargest6Bit = 63;

// What q4_k and q5_k store, before packing.
struct ScaleMinBlock {
  uint16_t d, dmin;
  int scale[kSubBlocks], min[kSubBlocks];  // 0..63
  uint8_t q[256];
};

// The integers (scale, min) around the rounded ones that leave the least error: what one is rounded by, the other can
// make up for.
void RefineSubBlock(const float* x, const float* w, float d, float dmin, int hi, int* scale, int* min) {
  const int scale0 = *scale;
  const int min0 = *min;
  float best = ScaleMinError(x, w, kSubElements,
                             {.scale = d * static_cast<float>(scale0), .min = dmin * static_cast<float>(min0)}, hi);
  for (int s = std::max(0, scale0 - 1); s <= std::min(kLargest6Bit, scale0 + 1); ++s) {
    for (int m = std::max(0, min0 - 1); m <= std::min(kLargest6Bit, min0 + 1); ++m) {
      const float error = ScaleMinError(x, w, kSubElements,
                                        {.scale = d * static_cast<float>(s), .min = dmin * static_cast<float>(m)}, hi);
      if (error >= best) continue;
      best = error;
      *scale = s;
      *min = m;
    }
  }
}

int Rounded6Bit(float v, float unit) {
  return static_cast<int>(NearestIn(v * InverseOf(unit), 0, static_cast<float>(kLargest6Bit)));
}

ScaleMinBlock FitScaleMinBlock(const float* x, const float* w, int hi) {
  ScaleMin fits[kSubBlocks];
  float largest_scale = 0;
  float largest_min = 0;
  for (int j = 0; j < kSubBlocks; ++j) {
    fits[j] = FitScaleAndMin(x + kSubElements * j, w + kSubElements * j, kSubElements, hi);
    largest_scale = std::max(largest_scale, fits[j].scale);
    largest_min = std::max(largest_min, fits[j].min);
  }
  ScaleMinBlock block;
  block.d = F32ToF16(largest_scale / kLargest6Bit);
  block.dmin = F32ToF16(largest_min / kLargest6Bit);
  const float d = F16ToF32(block.d);
  const float dmin = F16ToF32(block.dmin);
  for (int j = 0; j < kSubBlocks; ++j) {
    const float* xs = x + kSubElements * j;
    block.scale[j] = Rounded6Bit(fits[j].scale, d);
    block.min[j] = Rounded6Bit(fits[j].min, dmin);
    RefineSubBlock(xs, w + kSubElements * j, d, dmin, hi, &block.scale[j], &block.min[j]);
    const float scale = d * static_cast<float>(block.scale[j]);
    const float min = dmin * static_cast<float>(block.min[j]);
    const float inverse = InverseOf(scale);
    for (int l = 0; l < kSubElements; ++l) {
      block.q[kSubElements * j + l] =
          static_cast<uint8_t>(NearestIn((xs[l] + min) * inverse, 0, static_cast<float>(hi)));
    }
  }
  return block;
}

// Eight pairs of 6-bit numbers in 12 bytes; ref::ScaleMin takes them out again.
void PackScales(const ScaleMinBlock& block, uint8_t* s) {
  for (int j = 0; j < 4; ++j) {
    s[j] = static_cast<uint8_t>(block.scale[j] | ((block.scale[j + 4] >> 4) << 6));
    s[j + 4] = static_cast<uint8_t>(block.min[j] | ((block.min[j + 4] >> 4) << 6));
    s[j + 8] = static_cast<uint8_t>((block.scale[j + 4] & 15) | ((block.min[j + 4] & 15) << 4));
  }
}

// Low nibbles: elements 64 c + l in the low half of byte 32 c + l, elements 64 c + 32 + l in the high half.
void PackNibbles(const uint8_t* q, uint8_t* qs) {
  for (int c = 0; c < 4; ++c) {
    for (int l = 0; l < 32; ++l) {
      qs[32 * c + l] = static_cast<uint8_t>((q[64 * c + l] & 15) | ((q[64 * c + 32 + l] & 15) << 4));
    }
  }
}

constexpr int kSixBitLow = -32;
constexpr int kSixBitHigh = 31;
constexpr int kSixBitSub = 16;  // elements per 8-bit scale

void PackQ6K(const int8_t* q, BlockQ6K* block) {
  std::memset(block->qh, 0, sizeof(block->qh));
  for (int half = 0; half < 2; ++half) {
    for (int l = 0; l < 32; ++l) {
      int v[4];
      for (int quarter = 0; quarter < 4; ++quarter) v[quarter] = q[128 * half + 32 * quarter + l] - kSixBitLow;
      block->ql[64 * half + l] = static_cast<uint8_t>((v[0] & 15) | ((v[2] & 15) << 4));
      block->ql[64 * half + 32 + l] = static_cast<uint8_t>((v[1] & 15) | ((v[3] & 15) << 4));
      block->qh[32 * half + l] =
          static_cast<uint8_t>((v[0] >> 4) | ((v[1] >> 4) << 2) | ((v[2] >> 4) << 4) | ((v[3] >> 4) << 6));
    }
  }
}

// The 8-bit scale around the rounded one that leaves the least error.
int RefineScale(const float* x, const float* w, float d, int rounded) {
  int best = rounded;
  float least = ScaleError(x, w, kSixBitSub, d * static_cast<float>(rounded), kSixBitLow, kSixBitHigh);
  for (int s = std::max(-128, rounded - 1); s <= std::min(127, rounded + 1); ++s) {
    const float error = ScaleError(x, w, kSixBitSub, d * static_cast<float>(s), kSixBitLow, kSixBitHigh);
    if (error >= least) continue;
    least = error;
    best = s;
  }
  return best;
}

}  // namespace

void QuantizeQ4K(const float* x, const float* w, std::byte* out) {
  const ScaleMinBlock fit = FitScaleMinBlock(x, w, 15);
  BlockQ4K block;
  block.d = fit.d;
  block.dmin = fit.dmin;
  PackScales(fit, block.scales);
  PackNibbles(fit.q, block.qs);
  std::memcpy(out, &block, sizeof(block));
}

void QuantizeQ5K(const float* x, const float* w, std::byte* out) {
  const ScaleMinBlock fit = FitScaleMinBlock(x, w, 31);
  BlockQ5K block;
  block.d = fit.d;
  block.dmin = fit.dmin;
  PackScales(fit, block.scales);
  PackNibbles(fit.q, block.qs);
  for (int l = 0; l < 32; ++l) {
    int bits = 0;
    for (int j = 0; j < kSubBlocks; ++j) bits |= (fit.q[32 * j + l] >> 4) << j;
    block.qh[l] = static_cast<uint8_t>(bits);
  }
  std::memcpy(out, &block, sizeof(block));
}

void QuantizeQ6K(const float* x, const float* w, std::byte* out) {
  float scales[256 / kSixBitSub];
  float extreme = 0;
  for (int j = 0; j < 256 / kSixBitSub; ++j) {
    scales[j] = FitScale(x + kSixBitSub * j, w + kSixBitSub * j, kSixBitSub, kSixBitLow, kSixBitHigh);
    if (std::fabs(scales[j]) > std::fabs(extreme)) extreme = scales[j];
  }
  BlockQ6K block;
  block.d = F32ToF16(extreme / -128);
  const float d = F16ToF32(block.d);
  int8_t q[256];
  for (int j = 0; j < 256 / kSixBitSub; ++j) {
    const float* xs = x + kSixBitSub * j;
    const int rounded = static_cast<int>(NearestIn(scales[j] * InverseOf(d), -128, 127));
    const int chosen = RefineScale(xs, w + kSixBitSub * j, d, rounded);
    block.scales[j] = static_cast<int8_t>(chosen);
    const float scale = d * static_cast<float>(chosen);
    const float inverse = InverseOf(scale);
    for (int l = 0; l < kSixBitSub; ++l) {
      q[kSixBitSub * j + l] = static_cast<int8_t>(
          NearestIn(xs[l] * inverse, static_cast<float>(kSixBitLow), static_cast<float>(kSixBitHigh)));
    }
  }
  PackQ6K(q, &block);
  std::memcpy(out, &block, sizeof(block));
}

}  // namespace quern::kernels
