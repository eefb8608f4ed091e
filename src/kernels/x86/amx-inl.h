// What the AMX kernels share: which tile registers hold what, and how a call's rows of activations are cut into tiles.
// Everything is anonymous, see packed_tile-inl.h.
//
// A tile register holds 16 rows of 64 bytes. One instruction multiplies up to 16 rows of activations (A) by 16 rows of
// weights (B: what a packed group's lines hold, 16 of them for 64 columns of bytes) into 16 x 16 sums (C), and takes as
// many cycles as A has rows. Registers are named by constants because they are part of an instruction's code.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/packed_block.h"
#include "kernels/tile.h"
#include "kernels/x86/packed_tile-inl.h"

namespace quern::kernels {
namespace {

constexpr int kTileRows = 16;
constexpr size_t kTileBytes = 1024;

// Rows of one call that are computed with between one unpacking of weights and the next; their sums stay in a core's
// first cache.
constexpr int kPassRows = 128;

// 16 x 16 sums of a tile, as stored.
struct alignas(64) Sums {
  int32_t at[kTileRows][kGroupRows];
};
struct alignas(64) FloatSums {
  float at[kTileRows][kGroupRows];
};

// Tiles 0 to 3 hold sums, 4 and 5 activations, 6 and 7 weights: n_rows rows of activations of 4 * quads bytes each.
// The calling thread's until ReleaseTiles.
inline void ConfigureTiles(int n_rows, int quads) {
  struct alignas(64) {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {};
    uint8_t rows[16] = {};
  } config;
  static_assert(sizeof(config) == 64);
  for (int i = 0; i < 8; ++i) {
    config.row_bytes[i] = static_cast<uint16_t>(i == 4 || i == 5 ? 4 * quads : 64);
    config.rows[i] = static_cast<uint8_t>(i < 6 ? n_rows : quads);
  }
  __asm__ volatile("" ::"r"(&config) : "memory");  // g++ says of _tile_loadconfig that it reads eight bytes
  _tile_loadconfig(&config);
}

// Without it the system would save 8 KiB of registers whenever it switches threads.
inline void ReleaseTiles() { _tile_release(); }

// g++ does not know that _tile_loadd reads memory: what was stored before must be in place.
inline void StoresAreDone() { __asm__ volatile("" ::: "memory"); }

// Weights that come a little later are on their way from memory.
template <size_t kBytes>
inline void PrefetchAhead(const void* p) {
#pragma GCC unroll 16
  for (size_t at = 0; at < kBytes; at += 64) {
    __builtin_prefetch(static_cast<const char*>(p) + kPrefetchFar + at, 0, 2);
  }
}

// Rows [first, first + n) of x in pairs of tiles. A tile that would lack rows begins earlier instead and computes some
// of its neighbour's again, to the same bits; only a call of fewer than 16 rows has short tiles.
struct RowTiles {
  int first;
  int n;

  int rows_per_tile() const { return n < kTileRows ? n : kTileRows; }
  int n_tiles() const { return (n + kTileRows - 1) / kTileRows; }
  int n_pairs() const { return (n_tiles() + 1) / 2; }
  bool has_second(int pair) const { return 2 * pair + 1 < n_tiles(); }
  int start(int tile) const {
    const int last = n - rows_per_tile();
    return first + (kTileRows * tile < last ? kTileRows * tile : last);
  }
};

// y[i] of one group of weights' rows, of which n_out count.
struct Outputs {
  float* y;
  int64_t stride;
  const float* bias;  // or null
  __mmask16 mask;

  Outputs(const MatMulTile& tile, int group)
      : y(tile.y + group * kGroupRows),
        stride(tile.y_stride),
        bias(tile.bias == nullptr ? nullptr : tile.bias + group * kGroupRows) {
    const int n = tile.n_out - group * kGroupRows;
    mask = static_cast<__mmask16>(n >= kGroupRows ? 0xFFFFU : (1U << n) - 1);
  }
  void Store(int row, __m512 v) const {
    if (bias != nullptr) v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(mask, bias));
    _mm512_mask_storeu_ps(y + row * stride, mask, v);
  }
};

}  // namespace
}  // namespace quern::kernels
