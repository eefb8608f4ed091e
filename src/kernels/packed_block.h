// The packed form of a weight matrix, as kernels read it: plain structs, no library types (see tile.h).
//
// Rows lie in groups of 16, a group's blocks one after the other from the first column to the last, so that a product
// streams through memory whatever the number of tokens is. Inside a block a 64-byte line holds four neighbouring
// columns (a "quad") of all 16 rows, row by row: what one 8-bit dot product instruction of 512 bits, or two of 256,
// takes. The same bytes serve every instruction set. Values keep the file's precision exactly; the size is the file's,
// but for q6_k (+1 %, so that lines stay aligned) and for rows and columns that are filled up with zeros.
//
// f32: [column][row]; f16: [column][row]; bf16: [pair of columns][row][column of the pair]; no blocks. f8_e4m3: the f32
// scales of the group's blocks of 128 columns, filled up to a multiple of 64 bytes, then [column][row].
#pragma once

#include <cstddef>
#include <cstdint>

namespace quern::kernels {

inline constexpr int kGroupRows = 16;
inline constexpr int kF8Block = 128;  // rows and columns that share a scale; a group lies inside one block of rows

// Bytes of the scales at the start of an f8_e4m3 group.
inline int64_t PackedF8HeaderBytes(int64_t cols) { return ((cols + kF8Block - 1) / kF8Block * 4 + 63) / 64 * 64; }

// Sixteen rows x 256 columns. A nibble line v of a sub-block of 32 columns holds quad 2v low and quad 2v + 1 high.
//
// scales: the 6-bit scales and mins of the eight sub-blocks, 64 numbers to a plane: [pair of sub-blocks][row][which of
// the pair]. Planes 0 and 1 hold the scales of sub-blocks 0-3 and 4-7, plane 2 the mins of 0-3 in its low six bits; the
// mins of 4-7 lie in the high two bits, lowest bits in plane 0.
struct alignas(64) PackedQ4K {
  static constexpr int kCols = 256;
  uint16_t d[16], dmin[16];  // f16 bits
  uint8_t scales[3][64];
  uint8_t q[8][4][64];
};

// As q4_k, and the fifth bits: high has that of quad k in bit k of the quad's byte. What one sub-block needs lies
// together, so that a product reads one stream: with two, memory delivers little more than half.
struct alignas(64) PackedQ5K {
  static constexpr int kCols = 256;
  uint16_t d[16], dmin[16];
  uint8_t scales[3][64];
  struct {
    uint8_t high[64];
    uint8_t q[4][64];
  } sub[8];
};

// Sixteen rows x 256 columns in 16 sub-blocks of 16 columns. high: the upper two bits of quad k in bits 2k, 2k + 1.
struct alignas(64) PackedQ6K {
  static constexpr int kCols = 256;
  int8_t scales[8][16][2];  // [pair of sub-blocks][row][which of the pair]
  uint16_t d[16];
  uint8_t unused[32];
  struct {
    uint8_t high[64];
    uint8_t q[2][64];
  } sub[16];
};

// Sixteen rows x 64 columns in two blocks of 32; bytes are the file's plus 128.
struct alignas(64) PackedQ8_0 {
  static constexpr int kCols = 64;
  uint16_t d[2][16];
  uint8_t q[2][8][64];
};

// The same with nibbles, 0..15 as in the file; lines as in q4_k.
struct alignas(64) PackedQ4_0 {
  static constexpr int kCols = 64;
  uint16_t d[2][16];
  uint8_t q[2][4][64];
};

static_assert(sizeof(PackedQ4K) == 16 * 144 && sizeof(PackedQ5K) == 16 * 176 && sizeof(PackedQ6K) == 16 * 212);
static_assert(sizeof(PackedQ8_0) == 32 * 34 && sizeof(PackedQ4_0) == 32 * 18);

}  // namespace quern::kernels
