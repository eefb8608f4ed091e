#include "kernels/attention.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "kernels/aligned_buffer.h"
#include "kernels/dispatch.h"
#include "tensor/dtype.h"

namespace quern::kernels {
namespace {

static_assert(kSpanTokens % kAttentionChunk == 0);

// Units per thread that make the last of them cost little waiting.
constexpr size_t kUnitsPerThread = 4;

// Running result of a unit's queries: max, sum and acc as AttentionTile has them, over some chunks.
struct Partial {
  float* max;  // [n_q filled up to blocks]
  float* sum;
  float* acc;  // [.., dim]
};

// from joins into: both sides are brought to the larger maximum.
void Merge(const Partial& from, const Partial& into, int n_q, int dim) {
  for (int i = 0; i < n_q; ++i) {
    const float max = std::fmax(into.max[i], from.max[i]);
    const float keep = std::exp(into.max[i] - max);
    const float join = std::exp(from.max[i] - max);
    into.max[i] = max;
    into.sum[i] = into.sum[i] * keep + from.sum[i] * join;
    float* a = into.acc + static_cast<ptrdiff_t>(i) * dim;
    const float* b = from.acc + static_cast<ptrdiff_t>(i) * dim;
    for (int d = 0; d < dim; ++d) a[d] = a[d] * keep + b[d] * join;
  }
}

struct Shape {
  const KvLayout& layout;
  int dim;    // layout.padded_dim()
  int group;  // query heads per KV head
  float scale;
  enum class Queries : uint8_t { kF32, kBf16, kFixed, kIntegers } queries;  // what the keys' type asks for

  Shape(const KvLayout& kv, int n_heads, float score_scale)
      : layout(kv),
        dim(kv.padded_dim()),
        group(n_heads / kv.n_kv_heads),
        scale(score_scale),
        queries(QueriesFor(kv.types.k)) {}

  static Queries QueriesFor(KvType keys) {
    switch (keys) {
      case KvType::kF32:
      case KvType::kF16:
        return Queries::kF32;
      case KvType::kBF16:
        return Queries::kBf16;
      case KvType::kI16:
        return Queries::kFixed;
      case KvType::kQ8:
      case KvType::kQ4:
        break;
    }
    return Queries::kIntegers;
  }
};

int Blocks(int n_q) { return (n_q + kQueryBlock - 1) / kQueryBlock; }

// Consecutive rows of one sequence and one KV head. Their last tokens stand in the same chunk, so that every row sees
// some of each chunk.
struct Unit {
  size_t first_row;
  int n_rows;
  int kv_head;
  int n_context;  // of the last row

  int n_spans() const { return (n_context + kSpanTokens - 1) / kSpanTokens; }
};

// Where a thread works.
struct Workspace {
  float* q;
  int16_t* q16;
  float* q_scale;
  float* score;
  Partial total, span, chunk;

  static size_t PartialFloats(int dim, int n_blocks) {
    return static_cast<size_t>(n_blocks * kQueryBlock) * static_cast<size_t>(2 + dim);
  }
  static Partial PartialAt(float* at, int n_blocks) {
    const ptrdiff_t n = n_blocks * kQueryBlock;
    return {at, at + n, at + 2 * n};
  }
  static size_t Floats(int dim, int n_blocks) {
    const auto n = static_cast<size_t>(n_blocks * kQueryBlock);
    const auto d = static_cast<size_t>(dim);
    return n * d + n * d / 2 + n * d / kKvGroup + n * kAttentionChunk + 3 * PartialFloats(dim, n_blocks);
  }
  Workspace(float* at, int dim, int n_blocks) {
    const ptrdiff_t n = n_blocks * kQueryBlock;
    const auto take = [&at](ptrdiff_t size) {
      float* here = at;
      at += size;
      return here;
    };
    score = take(n * kAttentionChunk);
    q = take(n * dim);
    q16 = reinterpret_cast<int16_t*>(take(n * dim / 2));
    q_scale = take(n * dim / kKvGroup);
    const auto partial = static_cast<ptrdiff_t>(PartialFloats(dim, n_blocks));
    total = PartialAt(take(partial), n_blocks);
    span = PartialAt(take(partial), n_blocks);
    chunk = PartialAt(take(partial), n_blocks);
  }
};

// Query i of the unit: row i / group, head i % group.
const float* QueryOf(std::span<const AttentionRow> rows, const Shape& shape, const Unit& unit, int i) {
  const AttentionRow& row = rows[unit.first_row + static_cast<size_t>(i / shape.group)];
  return row.q + static_cast<ptrdiff_t>(unit.kv_head * shape.group + i % shape.group) * shape.layout.head_dim;
}

// One query, x, into its lane of a block of [dim, kQueryBlock], or [dim / 2, kQueryBlock, 2] in 16 bits.
void PackF32(const float* x, int dim, int lane, float* q) {
  for (int d = 0; d < dim; ++d) q[d * kQueryBlock + lane] = x[d];
}

void PackPairs(const int16_t* x, int dim, int lane, int16_t* q16) {
  for (int d = 0; d < dim; d += 2) std::memcpy(q16 + ptrdiff_t{d} * kQueryBlock + ptrdiff_t{2} * lane, x + d, 4);
}

void PackBf16(const float* x, int dim, int lane, int16_t* q16) {
  int16_t rounded[kMaxHeadDim];
  for (int d = 0; d < dim; ++d) rounded[d] = static_cast<int16_t>(F32ToBf16(x[d]));
  PackPairs(rounded, dim, lane, q16);
}

// As 16-bit integers with one scale.
void PackFixed(const float* x, int dim, int lane, int16_t* q16, float* q_scale) {
  int16_t integers[kMaxHeadDim];
  q_scale[lane] = Kernels().to_fixed16(x, dim, integers);
  PackPairs(integers, dim, lane, q16);
}

// The same per group of dims.
void PackIntegers(const float* query, int dim, int lane, int16_t* q16, float* q_scale) {
  for (int group = 0; group < dim / kKvGroup; ++group) {
    const float* x = query + static_cast<ptrdiff_t>(group) * kKvGroup;
    float largest = 0;
    for (int d = 0; d < kKvGroup; ++d) largest = std::fmax(largest, std::fabs(x[d]));
    const float inverse = largest > 0 ? 32767 / largest : 0;
    q_scale[group * kQueryBlock + lane] = largest / 32767;
    for (int d = 0; d < kKvGroup; ++d) {
      const float rounded = std::nearbyint(x[d] * inverse);
      // NaN and infinity come from a broken model; they must not make the conversion undefined.
      const float bounded = rounded >= -32767 ? std::min(rounded, 32767.0F) : -32767.0F;
      const ptrdiff_t pair = (static_cast<ptrdiff_t>(group) * kKvGroup + d) / 2;
      q16[(pair * kQueryBlock + lane) * 2 + d % 2] = static_cast<int16_t>(bounded);
    }
  }
}

void PackQueries(std::span<const AttentionRow> rows, const Shape& shape, const Unit& unit, const Workspace& work) {
  const int n_q = unit.n_rows * shape.group;
  float x[kMaxHeadDim] = {};
  for (int i = 0; i < Blocks(n_q) * kQueryBlock; ++i) {
    if (i < n_q) {
      const float* from = QueryOf(rows, shape, unit, i);
      for (int d = 0; d < shape.layout.head_dim; ++d) x[d] = from[d] * shape.scale;
    } else {
      std::fill_n(x, shape.layout.head_dim, 0.0F);
    }
    const ptrdiff_t block = ptrdiff_t{i / kQueryBlock} * shape.dim * kQueryBlock;
    const int lane = i % kQueryBlock;
    switch (shape.queries) {
      case Shape::Queries::kF32:
        PackF32(x, shape.dim, lane, work.q + block);
        break;
      case Shape::Queries::kBf16:
        PackBf16(x, shape.dim, lane, work.q16 + block);
        break;
      case Shape::Queries::kFixed:
        PackFixed(x, shape.dim, lane, work.q16 + block, work.q_scale + block / kKvGroup);
        break;
      case Shape::Queries::kIntegers:
        PackIntegers(x, shape.dim, lane, work.q16 + block, work.q_scale + block / kKvGroup);
        break;
    }
  }
}

// The chunks of one span into work.span.
void RunSpan(const KernelTable& kernels, std::span<const AttentionRow> rows, const Shape& shape, const Unit& unit,
             int span, const Workspace& work, const Partial& result) {
  const KvLayout& layout = shape.layout;
  const AttentionRow& first = rows[unit.first_row];
  int visible[kMaxTileQueries];
  AttentionTile tile{
      .k_type = layout.types.k,
      .v_type = layout.types.v,
      .head_dim = shape.dim,
      .n_q = unit.n_rows * shape.group,
      .q = work.q,
      .q16 = work.q16,
      .q_scale = work.q_scale,
      .page_tokens = layout.page_tokens,
      .k_pages = first.k_pages + span * (kSpanTokens / layout.page_tokens),
      .v_pages = first.v_pages + span * (kSpanTokens / layout.page_tokens),
      .k_offset = static_cast<size_t>(unit.kv_head) * layout.head_bytes(layout.types.k),
      .v_offset = static_cast<size_t>(unit.kv_head) * layout.head_bytes(layout.types.v),
      .next_k = nullptr,
      .n_tokens = 0,
      .n_visible = visible,
      .score = work.score,
      .max = result.max,
      .sum = result.sum,
      .acc = result.acc,
  };
  const int n_pages = kAttentionChunk / layout.page_tokens;
  const int end = std::min(unit.n_context, (span + 1) * kSpanTokens);
  for (int begin = span * kSpanTokens; begin < end; begin += kAttentionChunk) {
    tile.n_tokens = std::min(kAttentionChunk, end - begin);
    tile.next_k = begin + kAttentionChunk < end ? tile.k_pages[n_pages] + tile.k_offset : nullptr;
    for (int i = 0; i < tile.n_q; ++i) {
      const int context = rows[unit.first_row + static_cast<size_t>(i / shape.group)].n_context;
      visible[i] = std::min(tile.n_tokens, context - begin);
    }
    kernels.attention(tile);
    if (begin > span * kSpanTokens) Merge(work.chunk, result, tile.n_q, shape.dim);
    tile.max = work.chunk.max;
    tile.sum = work.chunk.sum;
    tile.acc = work.chunk.acc;
    tile.k_pages += n_pages;
    tile.v_pages += n_pages;
  }
}

void WriteOut(std::span<const AttentionRow> rows, const Shape& shape, const Unit& unit, const Partial& total) {
  const ptrdiff_t head_dim = shape.layout.head_dim;
  for (int i = 0; i < unit.n_rows * shape.group; ++i) {
    const AttentionRow& row = rows[unit.first_row + static_cast<size_t>(i / shape.group)];
    float* out = row.out + (unit.kv_head * shape.group + i % shape.group) * head_dim;
    const float* acc = total.acc + static_cast<ptrdiff_t>(i) * shape.dim;
    const float inverse = 1.0F / total.sum[i];
    for (ptrdiff_t d = 0; d < head_dim; ++d) out[d] = acc[d] * inverse;
  }
}

// Rows that may share a unit with rows[first]; at most n_most.
int CountTogether(std::span<const AttentionRow> rows, size_t first, int n_most) {
  const auto chunk = [&](size_t row) { return (rows[row].n_context - 1) / kAttentionChunk; };
  int n = 1;
  for (; n < n_most && first + static_cast<size_t>(n) < rows.size(); ++n) {
    const size_t row = first + static_cast<size_t>(n);
    if (rows[row].k_pages != rows[first].k_pages || rows[row].v_pages != rows[first].v_pages ||
        rows[row].n_context != rows[row - 1].n_context + 1 || chunk(row) != chunk(first)) {
      break;
    }
  }
  return n;
}

}  // namespace

struct AttentionScratch::Impl {
  AlignedBuffer bytes;
  AlignedBuffer partials;
  std::vector<Unit> units;
  std::vector<size_t> first_span;  // [n_units + 1] of all spans of all units

  // As many rows to a unit as fit a tile, but enough units for the threads.
  void Divide(std::span<const AttentionRow> rows, const Shape& shape, int n_threads) {
    const size_t n_heads = static_cast<size_t>(shape.layout.n_kv_heads);
    const size_t wanted = kUnitsPerThread * static_cast<size_t>(n_threads);
    const size_t fair = std::max<size_t>(1, rows.size() * n_heads / wanted);
    const int n_most = static_cast<int>(std::min<size_t>(fair, static_cast<size_t>(kMaxTileQueries / shape.group)));
    units.clear();
    for (size_t row = 0; row < rows.size();) {
      QUERN_CHECK(rows[row].n_context >= 1);
      const int n = CountTogether(rows, row, n_most);
      for (int head = 0; head < shape.layout.n_kv_heads; ++head) {
        units.push_back({row, n, head, rows[row + static_cast<size_t>(n) - 1].n_context});
      }
      row += static_cast<size_t>(n);
    }
    // Long ones first, so that no thread begins one when the others are done.
    std::stable_sort(units.begin(), units.end(),
                     [](const Unit& a, const Unit& b) { return a.n_context > b.n_context; });
  }
};

AttentionScratch::AttentionScratch() : impl_(std::make_unique<Impl>()) {}
AttentionScratch::~AttentionScratch() = default;
AttentionScratch::AttentionScratch(AttentionScratch&&) noexcept = default;
AttentionScratch& AttentionScratch::operator=(AttentionScratch&&) noexcept = default;

namespace {

// One call: units over threads, each thread with its workspace.
class Call {
 public:
  Call(std::span<const AttentionRow> rows, const Shape& shape, AttentionScratch::Impl& scratch, ThreadPool& pool)
      : rows_(rows), shape_(shape), scratch_(scratch), pool_(pool) {
    scratch.Divide(rows, shape, pool.n_threads());
    for (const Unit& unit : scratch.units) n_blocks_ = std::max(n_blocks_, Blocks(unit.n_rows * shape.group));
    thread_bytes_ = (Workspace::Floats(shape.dim, n_blocks_) * sizeof(float) + 63) / 64 * 64;
    base_ = scratch.bytes.Get(thread_bytes_ * static_cast<size_t>(pool.n_threads()));
  }

  void Run() {
    // Few units: threads share them span by span. Otherwise a thread takes a whole unit, which needs no extra memory.
    const bool few = scratch_.units.size() < kUnitsPerThread * static_cast<size_t>(pool_.n_threads());
    if (few && pool_.n_threads() > 1) {
      RunSpans();
    } else {
      pool_.ParallelFor(scratch_.units.size(), [&](size_t i, int thread) { RunUnit(scratch_.units[i], thread); });
    }
  }

 private:
  Workspace WorkspaceOf(int thread) const {
    return {reinterpret_cast<float*>(base_ + static_cast<size_t>(thread) * thread_bytes_), shape_.dim, n_blocks_};
  }

  void RunUnit(const Unit& unit, int thread) const {
    const Workspace work = WorkspaceOf(thread);
    PackQueries(rows_, shape_, unit, work);
    for (int span = 0; span < unit.n_spans(); ++span) {
      RunSpan(kernels_, rows_, shape_, unit, span, work, span == 0 ? work.total : work.span);
      if (span > 0) Merge(work.span, work.total, unit.n_rows * shape_.group, shape_.dim);
    }
    WriteOut(rows_, shape_, unit, work.total);
  }

  void RunSpans() {
    const std::vector<Unit>& units = scratch_.units;
    std::vector<size_t>& first = scratch_.first_span;
    first.assign(1, 0);
    for (const Unit& unit : units) first.push_back(first.back() + static_cast<size_t>(unit.n_spans()));
    const size_t partial = Workspace::PartialFloats(shape_.dim, n_blocks_);
    auto* partials = reinterpret_cast<float*>(scratch_.partials.Get(first.back() * partial * sizeof(float)));
    const auto at = [&](size_t span) { return Workspace::PartialAt(partials + span * partial, n_blocks_); };
    pool_.ParallelFor(first.back(), [&](size_t piece, int thread) {
      const auto idx = static_cast<size_t>(std::upper_bound(first.begin(), first.end(), piece) - first.begin()) - 1;
      const Workspace work = WorkspaceOf(thread);
      PackQueries(rows_, shape_, units[idx], work);
      RunSpan(kernels_, rows_, shape_, units[idx], static_cast<int>(piece - first[idx]), work, at(piece));
    });
    for (size_t i = 0; i < units.size(); ++i) {
      const Partial total = at(first[i]);
      for (size_t span = first[i] + 1; span < first[i + 1]; ++span) {
        Merge(at(span), total, units[i].n_rows * shape_.group, shape_.dim);
      }
      WriteOut(rows_, shape_, units[i], total);
    }
  }

  std::span<const AttentionRow> rows_;
  const Shape& shape_;
  AttentionScratch::Impl& scratch_;
  ThreadPool& pool_;
  const KernelTable& kernels_ = Kernels();
  int n_blocks_ = 1;  // of the largest unit
  size_t thread_bytes_ = 0;
  std::byte* base_ = nullptr;
};

}  // namespace

void Attention(std::span<const AttentionRow> rows, const KvLayout& layout, int n_heads, float scale,
               AttentionScratch& scratch, ThreadPool& pool) {
  QUERN_CHECK(layout.n_kv_heads > 0 && n_heads % layout.n_kv_heads == 0);
  QUERN_CHECK(layout.head_dim > 0 && layout.head_dim <= kMaxHeadDim);
  QUERN_CHECK(layout.page_tokens >= kKvGroup && layout.page_tokens <= kAttentionChunk &&
              std::has_single_bit(static_cast<unsigned>(layout.page_tokens)));
  const Shape shape(layout, n_heads, scale);
  QUERN_CHECK(shape.group <= kMaxGroup);
  if (!rows.empty()) Call(rows, shape, scratch.impl(), pool).Run();
}

}  // namespace quern::kernels
