// Plain unpacking of block types: one block (or super-block) to f32 or to its integers. The definition of correct.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/tile.h"

namespace quern::kernels::ref {

// The scale and min of sub-block j (0..7) of q4_k and q5_k: two 6-bit numbers out of 12 bytes.
inline void ScaleMin(const uint8_t* s, int j, int* scale, int* min) {
  if (j < 4) {
    *scale = s[j] & 63;
    *min = s[j + 4] & 63;
  } else {
    *scale = (s[j + 4] & 15) | ((s[j - 4] >> 6) << 4);
    *min = (s[j + 4] >> 4) | ((s[j] >> 6) << 4);
  }
}

// The 256 quants of a super-block in element order, before scales: q4_k 0..15, q5_k 0..31, q6_k -32..31.
inline void UnpackQuants(const BlockQ4K& block, int8_t* q) {
  for (int c = 0; c < 4; ++c) {
    for (int l = 0; l < 32; ++l) {
      q[64 * c + l] = static_cast<int8_t>(block.qs[32 * c + l] & 15);
      q[64 * c + 32 + l] = static_cast<int8_t>(block.qs[32 * c + l] >> 4);
    }
  }
}

inline void UnpackQuants(const BlockQ5K& block, int8_t* q) {
  for (int c = 0; c < 4; ++c) {
    for (int l = 0; l < 32; ++l) {
      const int low = (block.qh[l] >> (2 * c)) & 1;
      const int high = (block.qh[l] >> (2 * c + 1)) & 1;
      q[64 * c + l] = static_cast<int8_t>((block.qs[32 * c + l] & 15) + 16 * low);
      q[64 * c + 32 + l] = static_cast<int8_t>((block.qs[32 * c + l] >> 4) + 16 * high);
    }
  }
}

inline void UnpackQuants(const BlockQ6K& block, int8_t* q) {
  for (int half = 0; half < 2; ++half) {
    const uint8_t* ql = block.ql + 64 * half;
    const uint8_t* qh = block.qh + 32 * half;
    int8_t* out = q + 128 * half;
    for (int l = 0; l < 32; ++l) {
      out[l] = static_cast<int8_t>(((ql[l] & 15) | ((qh[l] & 3) << 4)) - 32);
      out[l + 32] = static_cast<int8_t>(((ql[l + 32] & 15) | (((qh[l] >> 2) & 3) << 4)) - 32);
      out[l + 64] = static_cast<int8_t>(((ql[l] >> 4) | (((qh[l] >> 4) & 3) << 4)) - 32);
      out[l + 96] = static_cast<int8_t>(((ql[l + 32] >> 4) | (((qh[l] >> 6) & 3) << 4)) - 32);
    }
  }
}

}  // namespace quern::kernels::ref
