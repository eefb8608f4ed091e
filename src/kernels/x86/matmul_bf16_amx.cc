// bf16 weights times bf16 activations by AMX, whatever the number of rows: it adds in an order of its own, which a
// row's bits must not depend on. Sums of even and odd columns of 32, in f32; the sum of the two; these one after the
// other from the first column to the last. Subnormal numbers are taken for zero, as avx512bf16 does.
#include <immintrin.h>

#include "kernels/x86/amx-inl.h"
#include "kernels/x86/x86.h"

namespace quern::kernels::amx {
namespace {

constexpr int64_t kStepCols = 32;              // of one tile
constexpr int64_t kBlockCols = 8 * kStepCols;  // weights of two groups that stay in the first cache: 16 KiB
constexpr size_t kStepBytes = 2 * kStepCols;   // of a row of activations

// One tile of a group's weights; the last one filled up with zeros, since what lies behind it need not be numbers.
struct Weights {
  const std::byte* group;
  int64_t n_steps;
  int64_t last_lines;  // of 64 bytes: pairs of columns
  alignas(64) std::byte last[kTileBytes] = {};

  Weights(const MatMulTile& tile, int g)
      : group(tile.w + static_cast<size_t>(g) * tile.group_bytes), n_steps((tile.cols + kStepCols - 1) / kStepCols) {
    last_lines = (tile.cols + 1) / 2 - (n_steps - 1) * (kStepCols / 2);
    __builtin_memcpy(last, group + static_cast<size_t>(n_steps - 1) * kTileBytes, static_cast<size_t>(last_lines) * 64);
    StoresAreDone();
  }
  const std::byte* at(int64_t step) const {
    return step + 1 < n_steps ? group + static_cast<size_t>(step) * kTileBytes : last;
  }
};

// Sums of two tiles of rows with two groups, at tiles 0 to 3, kept in memory between blocks of columns.
struct PairSums {
  FloatSums at[2][2];  // [group][tile of rows]
};

struct PairTask {
  const Weights* w[2];    // the second null: one group
  const std::byte* x[2];  // rows of either tile, at column 0; the second null: one tile
  long x_stride;
  PairSums* sums;
  bool is_first;  // to use these weights
};

void LoadSums(const PairTask& task, bool first) {
  if (first) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    return;
  }
  _tile_loadd(0, task.sums->at[0][0].at, 64);
  if (task.x[1] != nullptr) _tile_loadd(1, task.sums->at[0][1].at, 64);
  if (task.w[1] != nullptr) _tile_loadd(2, task.sums->at[1][0].at, 64);
  if (task.x[1] != nullptr && task.w[1] != nullptr) _tile_loadd(3, task.sums->at[1][1].at, 64);
}

void StoreSums(const PairTask& task) {
  _tile_stored(0, task.sums->at[0][0].at, 64);
  if (task.x[1] != nullptr) _tile_stored(1, task.sums->at[0][1].at, 64);
  if (task.w[1] != nullptr) _tile_stored(2, task.sums->at[1][0].at, 64);
  if (task.x[1] != nullptr && task.w[1] != nullptr) _tile_stored(3, task.sums->at[1][1].at, 64);
}

void Multiply(const PairTask& task, int64_t begin, int64_t end) {
  const bool rows = task.x[1] != nullptr;
  const bool groups = task.w[1] != nullptr;
  for (int64_t step = begin; step < end; ++step) {
    if (task.is_first) {
      PrefetchAhead<kTileBytes>(task.w[0]->at(step));
      if (groups) PrefetchAhead<kTileBytes>(task.w[1]->at(step));
    }
    const auto column = static_cast<size_t>(step) * kStepBytes;
    _tile_loadd(6, task.w[0]->at(step), 64);
    _tile_loadd(4, task.x[0] + column, task.x_stride);
    _tile_dpbf16ps(0, 4, 6);
    if (rows) {
      _tile_loadd(5, task.x[1] + column, task.x_stride);
      _tile_dpbf16ps(1, 5, 6);
    }
    if (!groups) continue;
    _tile_loadd(7, task.w[1]->at(step), 64);
    _tile_dpbf16ps(2, 4, 7);
    if (rows) _tile_dpbf16ps(3, 5, 7);
  }
}

void RunGroups(const MatMulTile& tile, RowTiles rows, int group, bool two) {
  const Weights first(tile, group);
  const Weights second(tile, two ? group + 1 : group);
  PairSums sums[kPassRows / kTileRows / 2];
  constexpr int64_t kBlockSteps = kBlockCols / kStepCols;
  for (int64_t begin = 0; begin < first.n_steps; begin += kBlockSteps) {
    const int64_t end = begin + kBlockSteps < first.n_steps ? begin + kBlockSteps : first.n_steps;
    for (int pair = 0; pair < rows.n_pairs(); ++pair) {
      const auto x = [&](int t) { return static_cast<const std::byte*>(tile.x[rows.start(t)]); };
      const PairTask task{{&first, two ? &second : nullptr},
                          {x(2 * pair), rows.has_second(pair) ? x(2 * pair + 1) : nullptr},
                          static_cast<long>(tile.x_stride),
                          &sums[pair],
                          pair == 0};
      LoadSums(task, begin == 0);
      Multiply(task, begin, end);
      StoreSums(task);
    }
  }
  for (int g = 0; g < (two ? 2 : 1); ++g) {
    const Outputs out(tile, group + g);
    for (int t = 0; t < rows.n_tiles(); ++t) {
      for (int i = 0; i < rows.rows_per_tile(); ++i) {
        out.Store(rows.start(t) + i, _mm512_load_ps(sums[t / 2].at[g][t % 2].at[i]));
      }
    }
  }
}

}  // namespace

void MatMulBF16(const MatMulTile& tile) {
  const int n_groups = (tile.n_out + kGroupRows - 1) / kGroupRows;
  for (int first = 0; first < tile.n; first += kPassRows) {
    const RowTiles rows{first, tile.n - first < kPassRows ? tile.n - first : kPassRows};
    ConfigureTiles(rows.rows_per_tile(), 16);
    for (int group = 0; group < n_groups; group += 2) RunGroups(tile, rows, group, group + 1 < n_groups);
    ReleaseTiles();
  }
}

}  // namespace quern::kernels::amx
