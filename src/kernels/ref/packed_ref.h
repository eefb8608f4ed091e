// Plain unpacking of the packed form, block by block: the definition of what packed bytes mean.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/packed_block.h"
#include "kernels/tile.h"

namespace quern::kernels::ref {

// Bytes 4 * row .. 4 * row + 3 of a line.
inline uint32_t Quad(const uint8_t* line, int row) {
  uint32_t v;
  std::memcpy(&v, line + 4 * row, sizeof(v));
  return v;
}

inline constexpr uint32_t kNibbles = 0x0F0F0F0F;

// The quads of one row out of n_lines nibble lines, in column order; a quad's columns are its bytes, lowest first.
inline void NibbleQuads(const uint8_t (*lines)[64], int n_lines, int row, uint32_t* quads) {
  for (int v = 0; v < n_lines; ++v) {
    const uint32_t both = Quad(lines[v], row);
    quads[2 * v] = both & kNibbles;
    quads[2 * v + 1] = (both >> 4) & kNibbles;
  }
}

// The scale (which 0) or min (which 1) of sub-block s, 0..63.
inline int PackedScale(const uint8_t (*planes)[64], int which, int s, int row) {
  const int at = (s % 4) / 2 * 32 + 2 * row + s % 2;
  const int plane = 2 * which + s / 4;
  if (plane < 3) return planes[plane][at] & 63;
  return (planes[0][at] >> 6) | ((planes[1][at] >> 6) << 2) | ((planes[2][at] >> 6) << 4);
}

// The 12 bytes of q4_k and q5_k that ScaleMin reads.
inline void UnpackScales(const uint8_t (*planes)[64], int row, uint8_t* out) {
  int scale[8];
  int min[8];
  for (int s = 0; s < 8; ++s) {
    scale[s] = PackedScale(planes, 0, s, row);
    min[s] = PackedScale(planes, 1, s, row);
  }
  for (int s = 0; s < 4; ++s) {
    out[s] = static_cast<uint8_t>(scale[s] | ((scale[s + 4] >> 4) << 6));
    out[s + 4] = static_cast<uint8_t>(min[s] | ((min[s + 4] >> 4) << 6));
    out[s + 8] = static_cast<uint8_t>((scale[s + 4] & 15) | ((min[s + 4] & 15) << 4));
  }
}

inline void StoreWords(const uint32_t* words, int n, uint8_t* out) {
  std::memcpy(out, words, static_cast<size_t>(n) * sizeof(uint32_t));
}

// 64 columns: an even sub-block (low nibbles) and the odd one behind it (high nibbles) of the file's block.
inline void UnpackNibbles64(const uint8_t (*even)[64], const uint8_t (*odd)[64], int row, uint8_t* out) {
  uint32_t low[8];
  uint32_t high[8];
  NibbleQuads(even, 4, row, low);
  NibbleQuads(odd, 4, row, high);
  for (int i = 0; i < 8; ++i) low[i] |= high[i] << 4;
  StoreWords(low, 8, out);
}

inline void UnpackBlock(const PackedQ4K& p, int row, BlockQ4K* out) {
  out->d = p.d[row];
  out->dmin = p.dmin[row];
  UnpackScales(p.scales, row, out->scales);
  for (int c = 0; c < 4; ++c) UnpackNibbles64(p.q[2 * c], p.q[2 * c + 1], row, out->qs + 32 * c);
}

inline void UnpackBlock(const PackedQ5K& p, int row, BlockQ5K* out) {
  out->d = p.d[row];
  out->dmin = p.dmin[row];
  UnpackScales(p.scales, row, out->scales);
  for (int c = 0; c < 4; ++c) UnpackNibbles64(p.sub[2 * c].q, p.sub[2 * c + 1].q, row, out->qs + 32 * c);
  uint32_t high[8] = {};  // quad k of the eight: bit s belongs to sub-block s
  for (int s = 0; s < 8; ++s) {
    const uint32_t bits = Quad(p.sub[s].high, row);
    for (int k = 0; k < 8; ++k) high[k] |= ((bits >> k) & 0x01010101U) << s;
  }
  StoreWords(high, 8, out->qh);
}

inline void UnpackBlock(const PackedQ6K& p, int row, BlockQ6K* out) {
  out->d = p.d[row];
  uint32_t ql[32] = {};
  uint32_t qh[16] = {};
  for (int s = 0; s < 16; ++s) {
    out->scales[s] = p.scales[s / 2][row][s % 2];
    uint32_t low[4];
    NibbleQuads(p.sub[s].q, 2, row, low);
    const uint32_t high = Quad(p.sub[s].high, row);
    const int half = s / 8;
    const int quarter = s % 8 / 2;
    for (int k = 0; k < 4; ++k) {
      const int i = 4 * (s % 2) + k;
      ql[16 * half + 8 * (quarter % 2) + i] |= low[k] << (quarter < 2 ? 0 : 4);
      qh[8 * half + i] |= ((high >> (2 * k)) & 0x03030303U) << (2 * quarter);
    }
  }
  StoreWords(ql, 32, out->ql);
  StoreWords(qh, 16, out->qh);
}

// half: which 32 of the 64 columns.
inline void UnpackBlock(const PackedQ8_0& p, int half, int row, BlockQ8_0* out) {
  out->d = p.d[half][row];
  uint32_t words[8];
  for (int k = 0; k < 8; ++k) words[k] = Quad(p.q[half][k], row) ^ 0x80808080U;
  std::memcpy(out->q, words, sizeof(words));
}

inline void UnpackBlock(const PackedQ4_0& p, int half, int row, BlockQ4_0* out) {
  out->d = p.d[half][row];
  uint32_t quads[8];
  NibbleQuads(p.q[half], 4, row, quads);
  for (int k = 0; k < 4; ++k) quads[k] |= quads[k + 4] << 4;
  StoreWords(quads, 4, out->qs);
}

}  // namespace quern::kernels::ref
