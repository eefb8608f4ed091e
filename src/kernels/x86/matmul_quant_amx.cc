// Products of quantised weights with many rows of activations: the integers of packed_quant-inl.h by AMX, the floats by
// the same operations in the same order, so that a row's bits are those that the kernels without AMX give it.
#include <immintrin.h>

#include "kernels/x86/amx-inl.h"
#include "kernels/x86/lanes_avx512-inl.h"
#include "kernels/x86/packed_quant-inl.h"
#include "kernels/x86/x86.h"

namespace quern::kernels::amx {
namespace {

using V = Lanes512;

constexpr int kBlockCols = 256;
constexpr int kSteps = kBlockCols / 64;  // tiles of 64 columns in a block
constexpr int kUnits = 8;                // pieces that unpacking a block is done in, of 32 columns each
constexpr int kScales = 4;               // blocks whose scales are kept: those of steps that are not finished yet
constexpr size_t kFactorBytes = size_t{128} << 10;

// A pair of 16-bit scales per row, one of them in both halves.
__m512i FirstTwice(__m512i pairs) {
  return _mm512_or_si512(_mm512_and_si512(pairs, _mm512_set1_epi32(0xFFFF)), _mm512_slli_epi32(pairs, 16));
}
__m512i SecondTwice(__m512i pairs) { return _mm512_or_si512(V::HighHalves(pairs), _mm512_srli_epi32(pairs, 16)); }

// A constant, see RunPass.
template <int kNumber>
struct Slot {
  static constexpr int kSlot = kNumber;
};

// A part of a block's work: a pair of tiles of rows, or a tile of rows and half of the block's columns.
struct Step {
  int group;
  int block;
  int part;
};

// What both kinds of products share. Their unpacked weights and sums exist twice, so that one can be written while the
// other is read. Factors: what a row's 256 activations have besides their integers, all rows of a block side by side;
// where they are prepared they lie a row apart, each in a line of its own.
template <typename GroupX, typename Factors>
class Product {
 public:
  // Rows that fit, as many whole tiles as can be; none: the matrix is too wide.
  static int MostRows(int64_t cols) {
    const size_t n = kFactorBytes / sizeof(Factors) / static_cast<size_t>((cols + kBlockCols - 1) / kBlockCols);
    return n < kPassRows ? static_cast<int>(n / kTileRows * kTileRows) : kPassRows;
  }

  Product(const MatMulTile& tile, RowTiles rows) : tile_(tile), rows_(rows) {
    for (int row = 0; row < rows.n; ++row) {
      const GroupX* x = X(rows.first + row, 0);
      for (int block = 0; block < n_blocks(); ++block) FactorsOf(block, row) = Factors(x[block]);
    }
  }

  const RowTiles& rows() const { return rows_; }
  int n_groups() const { return (tile_.n_out + kGroupRows - 1) / kGroupRows; }
  int n_blocks() const { return static_cast<int>((tile_.cols + kBlockCols - 1) / kBlockCols); }

  // The finished sums of a group of weights' rows.
  void Output(int group) const {
    const Outputs out(tile_, group);
    for (int tile = 0; tile < rows_.n_tiles(); ++tile) {
      const int row = rows_.start(tile);
      for (int i = 0; i < rows_.rows_per_tile(); ++i) out.Store(row + i, V::LoadFloats(acc_[tile].at[i]));
    }
  }

 protected:
  template <typename Packed>
  const Packed* Blocks(int group) const {
    return reinterpret_cast<const Packed*>(tile_.w + static_cast<size_t>(group) * tile_.group_bytes);
  }

  // Activations of a row: rows lie evenly.
  const GroupX* X(int row, int block) const {
    return reinterpret_cast<const GroupX*>(static_cast<const std::byte*>(tile_.x[0]) +
                                           static_cast<size_t>(row) * tile_.x_stride) +
           block;
  }

  // row: of the pass.
  Factors& FactorsOf(int block, int row) { return factors_[block * rows_.n + row]; }

  long x_stride() const { return static_cast<long>(tile_.x_stride); }

  const MatMulTile& tile_;
  const RowTiles rows_;
  FloatSums acc_[kPassRows / kTileRows];
  Factors factors_[kFactorBytes / sizeof(Factors)];
};

// ---- q4_k, q5_k, q6_k: integer sums over 256 columns ----

// Sixteen rows of a block with the integer scales multiplied in. The products do not fit a byte; two digits do, each a
// tile of its own: weight = (high << shift) + low.
struct alignas(64) Digits {
  uint8_t low[kSteps][kTileBytes];
  uint8_t high[kSteps][kTileBytes];
  uint8_t numbers[256];  // scales and mins as UnpackScales writes them
};

// What a block's rows have besides their digits.
struct KScales {
  __m512 d, dmin;
  __m512i mins[4];  // pairs of 16-bit numbers, as in ScaleMinKernel
};

struct KFactors {
  int32_t sum32[4];  // pairs of 16-bit numbers
  float d;

  KFactors() {}  // not cleared: only some are used
  explicit KFactors(const GroupX8K& x) : d(x.d) { __builtin_memcpy(sum32, x.sum32, sizeof(sum32)); }
};

// Quants times a six-bit scale in digits to the base 2^kShift, small enough that a product fits its byte: two bytes are
// then multiplied at once by one 16-bit multiplication.
template <typename Format, int kShiftBits>
struct ScaleMinDigits {
  using Packed = typename Format::Packed;
  static constexpr int kShift = kShiftBits;
  static constexpr bool kHasMins = true;
  static constexpr bool kSignedHigh = false;

  static void Begin(const Packed& p, Digits& out, KScales& scales) {
    UnpackScales<V>(p.scales, out.numbers);
    scales.d = V::LoadHalves(p.d);
    scales.dmin = V::LoadHalves(p.dmin);
    for (int j = 0; j < 4; ++j) scales.mins[j] = V::LoadBytesU(out.numbers + 128 + 32 * j);
  }

  static void Unit(const Packed& p, int s, Digits& out) {
    const __m512i digit = _mm512_set1_epi16((1 << kShift) - 1);
    const __m512i two = V::LoadBytesU(out.numbers + 32 * (s / 2));
    const __m512i scale = s % 2 == 0 ? FirstTwice(two) : SecondTwice(two);
    const __m512i low = _mm512_and_si512(scale, digit);
    const __m512i high = _mm512_srli_epi16(scale, kShift);
    __m512i w[8];
    Format::Unpack(p, s, 0, w);
    uint8_t* out_low = out.low[0] + 512 * s;
    uint8_t* out_high = out.high[0] + 512 * s;
#pragma GCC unroll 8
    for (int k = 0; k < 8; ++k) {
      V::Store(out_low + 64 * k, _mm512_mullo_epi16(w[k], low));
      V::Store(out_high + 64 * k, _mm512_mullo_epi16(w[k], high));
    }
  }
};
using Q4KDigits = ScaleMinDigits<FormatQ4K<V>, 4>;  // 15 * 15 < 256
using Q5KDigits = ScaleMinDigits<FormatQ5K<V>, 3>;  // 31 * 7 < 256

// Signed quants times a signed scale, 13 bits: the low byte, and the high one with the sign.
struct Q6KDigits {
  using Packed = PackedQ6K;
  static constexpr int kShift = 8;
  static constexpr bool kHasMins = false;
  static constexpr bool kSignedHigh = true;

  static void Begin(const Packed& p, Digits& /*out*/, KScales& scales) { scales.d = V::LoadHalves(p.d); }

  static void Unit(const Packed& p, int unit, Digits& out) {
    const __m512i two = V::LoadBytesS(&p.scales[unit][0][0]);
    Quads(p, 2 * unit, FirstTwice(two), out);
    Quads(p, 2 * unit + 1, SecondTwice(two), out);
  }

 private:
  static void Quads(const Packed& p, int s, __m512i scale, Digits& out) {
    const __m512i low_byte = _mm512_set1_epi16(0xFF);
    __m512i w[4];
    UnpackQ6K<V>(p, s, 0, w);
    uint8_t* out_low = out.low[0] + 256 * s;
    uint8_t* out_high = out.high[0] + 256 * s;
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      const __m512i quants = _mm512_sub_epi8(w[k], _mm512_set1_epi8(32));
      const __m512i even = _mm512_mullo_epi16(_mm512_srai_epi16(_mm512_slli_epi16(quants, 8), 8), scale);
      const __m512i odd = _mm512_mullo_epi16(_mm512_srai_epi16(quants, 8), scale);
      V::Store(out_low + 64 * k, _mm512_or_si512(_mm512_and_si512(even, low_byte), _mm512_slli_epi16(odd, 8)));
      V::Store(out_high + 64 * k, _mm512_or_si512(_mm512_srli_epi16(even, 8), _mm512_andnot_si512(low_byte, odd)));
    }
  }
};

// Only an instruction's operands can say which tiles it uses.
#define QUERN_MULTIPLY_HIGH(c, a, b)     \
  do {                                   \
    if constexpr (Format::kSignedHigh) { \
      _tile_dpbssd(c, a, b);             \
    } else {                             \
      _tile_dpbsud(c, a, b);             \
    }                                    \
  } while (0)

template <typename Format>
class KProduct : public Product<GroupX8K, KFactors> {
  using Packed = typename Format::Packed;

  // The sums of a pair of row tiles with both digits of a block's weights: what tiles 0 to 3 hold.
  struct PairSums {
    Sums low[2], high[2];
  };

 public:
  using Product::Product;
  using Scales = KScales;
  static constexpr int kQuads = 16;
  static constexpr int kSlots = 16;  // of a step, see RunPass
  static constexpr int kSlotsPerUnit = 2;

  int n_parts() const { return rows_.n_pairs(); }

  // Unpacks a block, piece by piece.
  struct Unpacker {
    const Packed* p;
    Scales* scales;
    Digits* out;
    void Begin() const { Format::Begin(*p, *out, *scales); }
    [[gnu::noinline]] void Unit(int unit) const {
      PrefetchAhead<sizeof(Packed) / kUnits>(reinterpret_cast<const char*>(p) +
                                             sizeof(Packed) / kUnits * static_cast<size_t>(unit));
      Format::Unit(*p, unit, *out);
    }
  };
  // count: of the blocks unpacked before.
  Unpacker Unpack(int group, int block, int count) {
    return {this->template Blocks<Packed>(group) + block, &scales_[count % kScales], &digits_[count % 2]};
  }

  // What turns the sums of a step into floats.
  struct Finisher {
    bool second = false;  // there is one
    bool last = false;    // step of the group
    __mmask16 keep = 0;   // all: sums begin where the block before left them; none: at 0
    const KFactors* x[2] = {};
    float* acc = nullptr;  // of both tiles; null: nothing to do
    const Scales* scales;
  };

  void Prepare(const Step& step, int count, Finisher& out) {
    const int tile = 2 * step.part;
    out.second = rows_.has_second(step.part);
    out.last = step.block + 1 == n_blocks() && step.part + 1 == n_parts();
    out.keep = step.block == 0 ? 0 : 0xFFFF;
    out.x[0] = &FactorsOf(step.block, rows_.start(tile) - rows_.first);
    out.x[1] = &FactorsOf(step.block, rows_.start(tile + 1) - rows_.first);
    out.acc = acc_[tile].at[0];
    out.scales = &scales_[count % kScales];
  }

  // Two rows, as ScaleMinKernel and Q6KKernel do it.
  template <int kSlot>
  [[gnu::always_inline]] void Finish(const Finisher& f, const Scales& scales, int turn) {
    constexpr int kTile = kSlot / (kSlots / 2);
    constexpr int kRow = 2 * (kSlot % (kSlots / 2));
    const int n_rows = rows_.rows_per_tile();
    if (f.acc == nullptr || (kTile == 1 && !f.second) || kRow >= n_rows) return;
    const KFactors* x = f.x[kTile] + kRow;
    const int32_t* low = sums_[turn].low[kTile].at[kRow];
    const int32_t* high = sums_[turn].high[kTile].at[kRow];
    float* acc = f.acc + kGroupRows * (kTileRows * kTile + kRow);
    FinishRow(f.keep, scales, x[0], low, high, acc);
    if (kRow + 1 < n_rows) FinishRow(f.keep, scales, x[1], low + kGroupRows, high + kGroupRows, acc + kGroupRows);
  }

  // Stores the sums of the step before this one at turn, clears them and multiplies; between(slot) is called kSlots
  // times, among the multiplications.
  template <typename Between>
  [[gnu::always_inline]] void Multiply(const Step& step, int count, int turn, const Between& between) {
    const int tile = 2 * step.part;
    const bool second = rows_.has_second(step.part);
    const int8_t* x0 = X(rows_.start(tile), step.block)->q;
    const int8_t* x1 = second ? X(rows_.start(tile + 1), step.block)->q : x0;
    MultiplySteps<0>(digits_[count % 2], x0, x1, second, sums_[turn], between);
  }

  void StoreLast(int turn) {
    PairSums& sums = sums_[turn];
    _tile_stored(0, sums.low[0].at, 64);
    _tile_stored(2, sums.high[0].at, 64);
    _tile_stored(1, sums.low[1].at, 64);
    _tile_stored(3, sums.high[1].at, 64);
  }

 private:
  template <int kStep, typename Between>
  [[gnu::always_inline]] void MultiplySteps(const Digits& w, const int8_t* x0, const int8_t* x1, bool second,
                                            PairSums& before, const Between& between) {
    const long stride = x_stride();
    _tile_loadd(6, w.low[kStep], 64);
    _tile_loadd(4, x0 + 64 * kStep, stride);
    if constexpr (kStep == 0) {
      _tile_stored(0, before.low[0].at, 64);
      _tile_zero(0);
    }
    _tile_dpbsud(0, 4, 6);
    between(Slot<4 * kStep>());
    _tile_loadd(7, w.high[kStep], 64);
    if constexpr (kStep == 0) {
      _tile_stored(2, before.high[0].at, 64);
      _tile_zero(2);
    }
    QUERN_MULTIPLY_HIGH(2, 4, 7);
    between(Slot<4 * kStep + 1>());
    if constexpr (kStep == 0) {
      _tile_stored(1, before.low[1].at, 64);
      _tile_zero(1);
    }
    if (second) {
      _tile_loadd(5, x1 + 64 * kStep, stride);
      _tile_dpbsud(1, 5, 6);
    }
    between(Slot<4 * kStep + 2>());
    if constexpr (kStep == 0) {
      _tile_stored(3, before.high[1].at, 64);
      _tile_zero(3);
    }
    if (second) QUERN_MULTIPLY_HIGH(3, 5, 7);
    between(Slot<4 * kStep + 3>());
    if constexpr (kStep + 1 < kSteps) MultiplySteps<kStep + 1>(w, x0, x1, second, before, between);
  }

  [[gnu::always_inline]] static void FinishRow(__mmask16 keep, const Scales& scales, const KFactors& x,
                                               const int32_t* low, const int32_t* high, float* acc) {
    const __m512 x_d = V::SetF(x.d);
    __m512 sum = _mm512_maskz_loadu_ps(keep, acc);
    if constexpr (Format::kHasMins) {
      __m512i min_sum = V::Zero();
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) min_sum = V::MulAdd16(min_sum, scales.mins[j], _mm512_set1_epi32(x.sum32[j]));
      sum = V::NegMulAdd(V::ToFloats(min_sum), V::Mul(scales.dmin, x_d), sum);
    }
    const __m512i dot = V::Add32(V::Load(low), V::template Left32<Format::kShift>(V::Load(high)));
    V::StoreFloats(acc, V::MulAdd(V::ToFloats(dot), V::Mul(scales.d, x_d), sum));
  }

  Digits digits_[2];
  Scales scales_[kScales];
  PairSums sums_[2];
};

#undef QUERN_MULTIPLY_HIGH

// ---- q8_0, q4_0: a scale per 32 columns on both sides ----

__m512i SignedBytes(const PackedQ8_0&, __m512i w) { return _mm512_xor_si512(w, V::Set8(0x80)); }
__m512i SignedBytes(const PackedQ4_0&, __m512i w) { return _mm512_sub_epi8(w, V::Set8(8)); }

struct ScaleFactors {
  float d[8];  // per 32 columns

  ScaleFactors() {}  // not cleared: only some are used
  explicit ScaleFactors(const GroupX8& x) { __builtin_memcpy(d, x.d, sizeof(d)); }
};

template <typename Format>
class ScaleProduct : public Product<GroupX8, ScaleFactors> {
  using Packed = typename Format::Packed;
  static constexpr int kSubs = 4;  // sums of 32 columns that are under way together: half of a block

  // Signed bytes of sixteen rows and 256 columns.
  struct alignas(64) Bytes {
    uint8_t w[kUnits][kTileBytes / 2];
  };

 public:
  using Product::Product;
  static constexpr int kQuads = 8;
  static constexpr int kSlots = 4;
  static constexpr int kSlotsPerUnit = 1;

  struct Scales {
    __m512 d[kUnits];
  };

  int n_parts() const { return 2 * rows_.n_tiles(); }

  struct Unpacker {
    const Packed* p;
    int n_units;
    Scales* scales;
    Bytes* out;
    void Begin() const {}
    [[gnu::noinline]] void Unit(int unit) const {
      if (unit >= n_units) return;
      const Packed& block = p[unit / 2];
      PrefetchAhead<sizeof(Packed) / 2>(reinterpret_cast<const char*>(&block) +
                                        sizeof(Packed) / 2 * static_cast<size_t>(unit % 2));
      __m512i w[8];
      Format::Unpack(block, unit % 2, 0, w);
#pragma GCC unroll 8
      for (int k = 0; k < 8; ++k) V::Store(out->w[unit] + 64 * k, SignedBytes(block, w[k]));
      scales->d[unit] = V::LoadHalves(block.d[unit % 2]);
    }
  };
  Unpacker Unpack(int group, int block, int count) {
    return {this->template Blocks<Packed>(group) + kBlockCols / Packed::kCols * block, SubsOf(block),
            &scales_[count % kScales], &bytes_[count % 2]};
  }

  struct Finisher {
    int n = 0;          // sums of 32 columns
    int first = 0;      // of the block
    bool last = false;  // as in KProduct
    __mmask16 keep = 0;
    const ScaleFactors* x = nullptr;
    float* acc = nullptr;
    const Scales* scales;
  };

  void Prepare(const Step& step, int count, Finisher& out) {
    const int tile = step.part / 2;
    out.n = CountSubs(step);
    out.first = FirstSub(step);
    out.last = step.block + 1 == n_blocks() && step.part + 1 == n_parts();
    out.keep = step.block == 0 && out.first == 0 ? 0 : 0xFFFF;
    out.x = &FactorsOf(step.block, rows_.start(tile) - rows_.first);
    out.acc = acc_[tile].at[0];
    out.scales = &scales_[count % kScales];
  }

  // Four rows, as ScaleKernel does it.
  template <int kSlot>
  [[gnu::always_inline]] void Finish(const Finisher& f, const Scales& scales, int turn) {
    if (f.n == kSubs) return FinishRows<kSubs>(f, scales, kSlot, turn);
    if (f.n == 3) return FinishRows<3>(f, scales, kSlot, turn);
    if (f.n == 2) return FinishRows<2>(f, scales, kSlot, turn);
    if (f.n == 1) return FinishRows<1>(f, scales, kSlot, turn);
  }

  template <typename Between>
  [[gnu::always_inline]] void Multiply(const Step& step, int count, int turn, const Between& between) {
    const int first = FirstSub(step);
    const int n = CountSubs(step);
    const int8_t* x = X(rows_.start(step.part / 2), step.block)->q + 32 * first;
    const auto* w = bytes_[count % 2].w + first;
    const long stride = x_stride();
    Sums* before = sums_[turn];
    // Only an instruction's operands can say which tiles it uses.
#define QUERN_DOT(i, C, A, B)             \
  _tile_stored(C, before[i].at, 64);      \
  _tile_zero(C);                          \
  if (n > (i)) {                          \
    _tile_loadd(A, x + 32 * (i), stride); \
    _tile_loadd(B, w[i], 64);             \
    _tile_dpbssd(C, A, B);                \
  }                                       \
  between(Slot<i>());
    QUERN_DOT(0, 0, 4, 6)
    QUERN_DOT(1, 1, 5, 7)
    QUERN_DOT(2, 2, 4, 6)
    QUERN_DOT(3, 3, 5, 7)
#undef QUERN_DOT
  }

  void StoreLast(int turn) {
    _tile_stored(0, sums_[turn][0].at, 64);
    _tile_stored(1, sums_[turn][1].at, 64);
    _tile_stored(2, sums_[turn][2].at, 64);
    _tile_stored(3, sums_[turn][3].at, 64);
  }

 private:
  template <int kN>
  [[gnu::always_inline]] void FinishRows(const Finisher& f, const Scales& scales, int slot, int turn) const {
    constexpr int kRows = kTileRows / kSlots;
    const int begin = kRows * slot;
    const int end = rows_.rows_per_tile() < begin + kRows ? rows_.rows_per_tile() : begin + kRows;
    for (int row = begin; row < end; ++row) {
      const float* x_d = f.x[row].d + f.first;
      float* acc = f.acc + kGroupRows * row;
      __m512 sum = _mm512_maskz_loadu_ps(f.keep, acc);
#pragma GCC unroll 4
      for (int k = 0; k < kN; ++k) {
        const __m512i dot = V::Load(sums_[turn][k].at[row]);
        sum = V::MulAdd(V::ToFloats(dot), V::Mul(scales.d[f.first + k], V::SetF(x_d[k])), sum);
      }
      V::StoreFloats(acc, sum);
    }
  }

  int SubsOf(int block) const {
    const int64_t rest = tile_.cols / 32 - int64_t{kUnits} * block;
    return rest < kUnits ? static_cast<int>(rest) : kUnits;
  }
  static int FirstSub(const Step& step) { return kSubs * (step.part % 2); }
  int CountSubs(const Step& step) const {
    const int rest = SubsOf(step.block) - FirstSub(step);
    return rest < 0 ? 0 : rest < kSubs ? rest : kSubs;
  }

  Bytes bytes_[2];
  Scales scales_[kScales];
  Sums sums_[2][kSubs];
};

// ---- Calls ----

template <int kSlot, typename P>
void FinishAll(P& product, const typename P::Finisher& finish, int turn) {
  product.template Finish<kSlot>(finish, *finish.scales, turn);
  if constexpr (kSlot + 1 < P::kSlots) FinishAll<kSlot + 1>(product, finish, turn);
}

// The tiles of one step are multiplied while the vector units finish an earlier one and unpack a part of the next
// block. A core looks only a few hundred operations ahead, so the three are interleaved: each multiplication is
// followed by as much of the others as fits into its time, a slot. What a step leaves in the tiles is stored early in
// the next, when it is there, and finished in the one after.
template <typename P>
void RunPass(P& product) {
  ConfigureTiles(product.rows().rows_per_tile(), P::kQuads);
  const int n_groups = product.n_groups();
  const int n_blocks = product.n_blocks();
  const int n_parts = product.n_parts();
  auto unpack = product.Unpack(0, 0, 0);
  unpack.Begin();
  for (int unit = 0; unit < kUnits; ++unit) unpack.Unit(unit);
  typename P::Finisher finishers[3];  // this step's, that of the one before it, and of the one before that
  for (auto& finisher : finishers) finisher.scales = unpack.scales;
  int now = 0;
  int turn = 0;
  int count = 0;  // of blocks before
  int finished_groups = 0;
  for (int group = 0; group < n_groups; ++group) {
    for (int block = 0; block < n_blocks; ++block, ++count) {
      const bool more = block + 1 < n_blocks || group + 1 < n_groups;
      for (int part = 0; part < n_parts; ++part, turn ^= 1, now = now == 2 ? 0 : now + 1) {
        const Step step{group, block, part};
        product.Prepare(step, count, finishers[now]);
        const typename P::Finisher finish = finishers[now == 2 ? 0 : now + 1];
        const auto scales = *finish.scales;
        if (part == 0 && more) {
          unpack = block + 1 < n_blocks ? product.Unpack(group, block + 1, count + 1)
                                        : product.Unpack(group + 1, 0, count + 1);
          unpack.Begin();
        }
        const int first_unit = kUnits * part / n_parts;
        const int n_units = more ? kUnits * (part + 1) / n_parts - first_unit : 0;
        StoresAreDone();
        product.Multiply(
            step, count, turn, [&]<int kSlot>(Slot<kSlot>) __attribute__((always_inline)) {
              product.template Finish<kSlot>(finish, scales, turn ^ 1);
              constexpr int kUnit = kSlot / P::kSlotsPerUnit;
              if (kSlot % P::kSlotsPerUnit == 0 && kUnit < n_units) unpack.Unit(first_unit + kUnit);
            });
        if (finish.last) product.Output(finished_groups++);
      }
    }
  }
  product.StoreLast(turn);
  for (int ago = 2; ago > 0; --ago, turn ^= 1) {
    const typename P::Finisher& finish = finishers[(now + 3 - ago) % 3];
    FinishAll<0>(product, finish, turn ^ 1);
    if (finish.last) product.Output(finished_groups++);
  }
  ReleaseTiles();
}

using FewFn = void(const MatMulTile& tile);

template <typename P>
void Run(const MatMulTile& tile, FewFn* few) {
  const int rows = P::MostRows(tile.cols);
  if (tile.n < kMinRows || tile.x_stride == 0 || rows == 0) return few(tile);
  for (int first = 0; first < tile.n; first += rows) {
    P product(tile, RowTiles{first, tile.n - first < rows ? tile.n - first : rows});
    RunPass(product);
  }
}

}  // namespace

void MatMulQ8_0(const MatMulTile& tile) { Run<ScaleProduct<FormatQ8_0<V>>>(tile, avx512vnni::MatMulQ8_0); }
void MatMulQ4_0(const MatMulTile& tile) { Run<ScaleProduct<FormatQ4_0<V>>>(tile, avx512vnni::MatMulQ4_0); }
void MatMulQ4K(const MatMulTile& tile) { Run<KProduct<Q4KDigits>>(tile, avx512vnni::MatMulQ4K); }
void MatMulQ5K(const MatMulTile& tile) { Run<KProduct<Q5KDigits>>(tile, avx512vnni::MatMulQ5K); }
void MatMulQ6K(const MatMulTile& tile) { Run<KProduct<Q6KDigits>>(tile, avx512vnni::MatMulQ6K); }

}  // namespace quern::kernels::amx
