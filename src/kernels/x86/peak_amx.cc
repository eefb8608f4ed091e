// As peak_avx2.cc, by tiles: four sums side by side.
#include <immintrin.h>

#include "kernels/x86/amx-inl.h"
#include "kernels/x86/x86.h"

namespace quern::kernels::amx {
namespace {

int32_t StoredSum() {
  Sums sums;
  _tile_stored(0, sums.at, 64);
  ReleaseTiles();
  return sums.at[0][0];
}

void LoadOnes() {
  alignas(64) int8_t ones[kTileBytes];
  __builtin_memset(ones, 1, sizeof(ones));
  StoresAreDone();
  ConfigureTiles(kTileRows, 16);
  _tile_loadd(4, ones, 64);
  _tile_loadd(5, ones, 64);
  _tile_loadd(6, ones, 64);
  _tile_loadd(7, ones, 64);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
}

}  // namespace

// 4 x 16 x 16 x 64 multiply-adds of bytes a round.
int32_t Int8Peak(int64_t n_rounds) {
  LoadOnes();
  for (int64_t round = 0; round < n_rounds; ++round) {
    _tile_dpbusd(0, 4, 6);
    _tile_dpbusd(1, 5, 6);
    _tile_dpbusd(2, 4, 7);
    _tile_dpbusd(3, 5, 7);
  }
  return StoredSum();
}

// 4 x 16 x 16 x 32 multiply-adds of bf16 a round.
int32_t Bf16Peak(int64_t n_rounds) {
  LoadOnes();
  for (int64_t round = 0; round < n_rounds; ++round) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 5, 6);
    _tile_dpbf16ps(2, 4, 7);
    _tile_dpbf16ps(3, 5, 7);
  }
  return StoredSum();
}

}  // namespace quern::kernels::amx
