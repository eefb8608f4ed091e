#include "kernels/quantize_k.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/scale_search.h"
#include "kernels/tile.h"
#include "tensor/dtype.h"

namespace quern::kernels {
namespace {

constexpr int kElements = 256;

// ---- Scale and minimum: q2_k, q4_k, q5_k ----

// What such a type stores, before packing: kSubs sub-blocks, each with a scale and a minimum of 0..kMost.
template <int kSubs, int kMost>
struct ScaleMinBlock {
  static constexpr int kSubElements = kElements / kSubs;
  static constexpr int kLargest = kMost;
  uint16_t d, dmin;
  int scale[kSubs], min[kSubs];
  uint8_t q[kElements];
};

// The integers (scale, min) around the rounded ones that leave the least error: what one is rounded by, the other can
// make up for.
void RefineSubBlock(const float* x, const float* w, int n, float d, float dmin, int hi, int largest, int* scale,
                    int* min) {
  const int scale0 = *scale;
  const int min0 = *min;
  float best =
      ScaleMinError(x, w, n, {.scale = d * static_cast<float>(scale0), .min = dmin * static_cast<float>(min0)}, hi);
  for (int s = std::max(0, scale0 - 1); s <= std::min(largest, scale0 + 1); ++s) {
    for (int m = std::max(0, min0 - 1); m <= std::min(largest, min0 + 1); ++m) {
      const float error =
          ScaleMinError(x, w, n, {.scale = d * static_cast<float>(s), .min = dmin * static_cast<float>(m)}, hi);
      if (error >= best) continue;
      best = error;
      *scale = s;
      *min = m;
    }
  }
}

int RoundedTo(float v, float unit, int largest) {
  return static_cast<int>(NearestIn(v * InverseOf(unit), 0, static_cast<float>(largest)));
}

// hi: the largest integer that stands for an element.
template <typename Block>
Block FitScaleMinBlock(const float* x, const float* w, int hi) {
  constexpr int kLargest = Block::kLargest;
  constexpr int kSub = Block::kSubElements;
  constexpr int kSubs = kElements / kSub;
  ScaleMin fits[kSubs];
  float largest_scale = 0;
  float largest_min = 0;
  for (int j = 0; j < kSubs; ++j) {
    fits[j] = FitScaleAndMin(x + kSub * j, w + kSub * j, kSub, hi);
    largest_scale = std::max(largest_scale, fits[j].scale);
    largest_min = std::max(largest_min, fits[j].min);
  }
  Block block;
  block.d = F32ToF16(largest_scale / static_cast<float>(kLargest));
  block.dmin = F32ToF16(largest_min / static_cast<float>(kLargest));
  const float d = F16ToF32(block.d);
  const float dmin = F16ToF32(block.dmin);
  for (int j = 0; j < kSubs; ++j) {
    const float* xs = x + kSub * j;
    block.scale[j] = RoundedTo(fits[j].scale, d, kLargest);
    block.min[j] = RoundedTo(fits[j].min, dmin, kLargest);
    RefineSubBlock(xs, w + kSub * j, kSub, d, dmin, hi, kLargest, &block.scale[j], &block.min[j]);
    const float scale = d * static_cast<float>(block.scale[j]);
    const float min = dmin * static_cast<float>(block.min[j]);
    const float inverse = InverseOf(scale);
    for (int l = 0; l < kSub; ++l) {
      block.q[kSub * j + l] = static_cast<uint8_t>(NearestIn((xs[l] + min) * inverse, 0, static_cast<float>(hi)));
    }
  }
  return block;
}

using FineBlock = ScaleMinBlock<8, 63>;     // q4_k, q5_k
using CoarseBlock = ScaleMinBlock<16, 15>;  // q2_k

// Eight pairs of 6-bit numbers in 12 bytes; ref::ScaleMin takes them out again.
void PackScales(const FineBlock& block, uint8_t* s) {
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

// Two low bits: of each half of 128, byte l holds elements l, 32 + l, 64 + l, 96 + l, from its lowest bits on.
void PackPairsOfBits(const uint8_t* q, uint8_t* qs) {
  for (int half = 0; half < 2; ++half) {
    for (int l = 0; l < 32; ++l) {
      int bits = 0;
      for (int j = 0; j < 4; ++j) bits |= (q[128 * half + 32 * j + l] & 3) << (2 * j);
      qs[32 * half + l] = static_cast<uint8_t>(bits);
    }
  }
}

// ---- Scale alone, of either sign: q3_k, q6_k ----

// An element is an integer from lo to -lo - 1; a scale, one for 16 elements, from scale_lo to -scale_lo - 1.
struct SignedRange {
  int lo;
  int scale_lo;
};

struct SignedBlock {
  static constexpr int kSub = 16;
  uint16_t d;
  int scale[kElements / kSub];
  uint8_t q[kElements];  // counted from lo
};

// The scale around the rounded one that leaves the least error.
int RefineScale(const float* x, const float* w, float d, int rounded, const SignedRange& range) {
  const auto error_of = [&](int s) {
    return ScaleError(x, w, SignedBlock::kSub, d * static_cast<float>(s), range.lo, -range.lo - 1);
  };
  int best = rounded;
  float least = error_of(rounded);
  for (int s = std::max(range.scale_lo, rounded - 1); s <= std::min(-range.scale_lo - 1, rounded + 1); ++s) {
    const float error = error_of(s);
    if (error >= least) continue;
    least = error;
    best = s;
  }
  return best;
}

SignedBlock FitSignedBlock(const float* x, const float* w, const SignedRange& range) {
  constexpr int kSub = SignedBlock::kSub;
  const auto scale_lo = static_cast<float>(range.scale_lo);
  const auto lo = static_cast<float>(range.lo);
  float scales[kElements / kSub];
  float extreme = 0;
  for (int j = 0; j < kElements / kSub; ++j) {
    scales[j] = FitScale(x + kSub * j, w + kSub * j, kSub, range.lo, -range.lo - 1);
    if (std::fabs(scales[j]) > std::fabs(extreme)) extreme = scales[j];
  }
  SignedBlock block;
  block.d = F32ToF16(extreme / scale_lo);
  const float d = F16ToF32(block.d);
  for (int j = 0; j < kElements / kSub; ++j) {
    const float* xs = x + kSub * j;
    const int rounded = static_cast<int>(NearestIn(scales[j] * InverseOf(d), scale_lo, -scale_lo - 1));
    block.scale[j] = RefineScale(xs, w + kSub * j, d, rounded, range);
    const float inverse = InverseOf(d * static_cast<float>(block.scale[j]));
    for (int l = 0; l < kSub; ++l) {
      const float nearest = NearestIn(xs[l] * inverse, lo, -lo - 1);
      block.q[kSub * j + l] = static_cast<uint8_t>(static_cast<int>(nearest) - range.lo);
    }
  }
  return block;
}

void PackQ6K(const uint8_t* q, BlockQ6K* block) {
  for (int half = 0; half < 2; ++half) {
    for (int l = 0; l < 32; ++l) {
      const uint8_t* v = q + 128 * half + l;
      block->ql[64 * half + l] = static_cast<uint8_t>((v[0] & 15) | ((v[64] & 15) << 4));
      block->ql[64 * half + 32 + l] = static_cast<uint8_t>((v[32] & 15) | ((v[96] & 15) << 4));
      block->qh[32 * half + l] =
          static_cast<uint8_t>((v[0] >> 4) | ((v[32] >> 4) << 2) | ((v[64] >> 4) << 4) | ((v[96] >> 4) << 6));
    }
  }
}

// Sixteen numbers of -32..31 in 12 bytes, stored plus 32; Q3KScale takes them out again.
void PackQ3KScales(const int* scale, uint8_t* s) {
  std::memset(s, 0, 12);
  for (int k = 0; k < 16; ++k) {
    const int v = scale[k] + 32;
    s[k % 8] = static_cast<uint8_t>(s[k % 8] | ((v & 15) << (k < 8 ? 0 : 4)));
    s[8 + k % 4] = static_cast<uint8_t>(s[8 + k % 4] | ((v >> 4) << (2 * (k / 4))));
  }
}

// Kernels do not compute with these two: they are converted at load.
struct __attribute__((packed)) BlockQ2K {
  uint8_t scales[16];
  uint8_t qs[64];
  uint16_t d, dmin;
};
struct __attribute__((packed)) BlockQ3K {
  uint8_t hmask[32];
  uint8_t qs[64];
  uint8_t scales[12];
  uint16_t d;
};
static_assert(sizeof(BlockQ2K) == 84 && sizeof(BlockQ3K) == 110);

}  // namespace

void QuantizeQ2K(const float* x, const float* w, std::byte* out) {
  const auto fit = FitScaleMinBlock<CoarseBlock>(x, w, 3);
  BlockQ2K block;
  block.d = fit.d;
  block.dmin = fit.dmin;
  for (int j = 0; j < 16; ++j) block.scales[j] = static_cast<uint8_t>(fit.scale[j] | (fit.min[j] << 4));
  PackPairsOfBits(fit.q, block.qs);
  std::memcpy(out, &block, sizeof(block));
}

void QuantizeQ3K(const float* x, const float* w, std::byte* out) {
  const SignedBlock fit = FitSignedBlock(x, w, {.lo = -4, .scale_lo = -32});
  BlockQ3K block;
  block.d = fit.d;
  PackQ3KScales(fit.scale, block.scales);
  PackPairsOfBits(fit.q, block.qs);
  for (int l = 0; l < 32; ++l) {
    int bits = 0;
    for (int j = 0; j < 8; ++j) bits |= (fit.q[32 * j + l] >> 2) << j;
    block.hmask[l] = static_cast<uint8_t>(bits);
  }
  std::memcpy(out, &block, sizeof(block));
}

void QuantizeQ4K(const float* x, const float* w, std::byte* out) {
  const auto fit = FitScaleMinBlock<FineBlock>(x, w, 15);
  BlockQ4K block;
  block.d = fit.d;
  block.dmin = fit.dmin;
  PackScales(fit, block.scales);
  PackNibbles(fit.q, block.qs);
  std::memcpy(out, &block, sizeof(block));
}

void QuantizeQ5K(const float* x, const float* w, std::byte* out) {
  const auto fit = FitScaleMinBlock<FineBlock>(x, w, 31);
  BlockQ5K block;
  block.d = fit.d;
  block.dmin = fit.dmin;
  PackScales(fit, block.scales);
  PackNibbles(fit.q, block.qs);
  for (int l = 0; l < 32; ++l) {
    int bits = 0;
    for (int j = 0; j < 8; ++j) bits |= (fit.q[32 * j + l] >> 4) << j;
    block.qh[l] = static_cast<uint8_t>(bits);
  }
  std::memcpy(out, &block, sizeof(block));
}

void QuantizeQ6K(const float* x, const float* w, std::byte* out) {
  const SignedBlock fit = FitSignedBlock(x, w, {.lo = -32, .scale_lo = -128});
  BlockQ6K block;
  block.d = fit.d;
  for (int j = 0; j < 16; ++j) block.scales[j] = static_cast<int8_t>(fit.scale[j]);
  PackQ6K(fit.q, &block);
  std::memcpy(out, &block, sizeof(block));
}

}  // namespace quern::kernels
