#include "kernels/attention.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "kernels/aligned_buffer.h"
#include "kernels/dispatch.h"
#include "tensor/dtype.h"

namespace quern::kernels {
namespace {

// Running result of one query head: max, sum and acc as AttentionTile has them, over all chunks so far.
struct Partial {
  float* max;
  float* sum;
  float* acc;
};

// from joins into: both sides are brought to the larger maximum.
void Merge(const Partial& from, const Partial& into, int n_q, int head_dim) {
  for (int h = 0; h < n_q; ++h) {
    const float max = std::fmax(into.max[h], from.max[h]);
    const float keep = std::exp(into.max[h] - max);
    const float join = std::exp(from.max[h] - max);
    into.max[h] = max;
    into.sum[h] = into.sum[h] * keep + from.sum[h] * join;
    float* a = into.acc + static_cast<ptrdiff_t>(h) * head_dim;
    const float* b = from.acc + static_cast<ptrdiff_t>(h) * head_dim;
    for (int i = 0; i < head_dim; ++i) a[i] = a[i] * keep + b[i] * join;
  }
}

struct Shape {
  const KvLayout& layout;
  int group;  // query heads per KV head
  float scale;
};

// One KV head of one row. scratch: 2 * group * (2 + head_dim) floats.
void RunHead(const KernelTable& kernels, const Shape& shape, const AttentionRow& row, int kv_head, float* scratch) {
  const KvLayout& layout = shape.layout;
  const ptrdiff_t group = shape.group;
  const Partial total{scratch, scratch + group, scratch + 2 * group};
  float* second = scratch + group * (2 + layout.head_dim);
  const Partial chunk{second, second + group, second + 2 * group};
  AttentionTile tile{
      .type = layout.type,
      .head_dim = layout.head_dim,
      .n_q = shape.group,
      .q = row.q + kv_head * group * layout.head_dim,
      .scale = shape.scale,
      .page_tokens = layout.page_tokens,
      .k_pages = row.k_pages,
      .v_pages = row.v_pages,
      .head_offset_bytes =
          static_cast<size_t>(kv_head) * (layout.page_bytes() / static_cast<size_t>(layout.n_kv_heads)),
      .n_tokens = 0,
      .max = total.max,
      .sum = total.sum,
      .acc = total.acc,
  };
  for (int begin = 0; begin < row.n_context; begin += kAttentionChunk) {
    tile.n_tokens = std::min(kAttentionChunk, row.n_context - begin);
    kernels.attention(tile);
    if (begin > 0) Merge(chunk, total, shape.group, layout.head_dim);
    tile.max = chunk.max;
    tile.sum = chunk.sum;
    tile.acc = chunk.acc;
    tile.k_pages += kAttentionChunk / layout.page_tokens;
    tile.v_pages += kAttentionChunk / layout.page_tokens;
  }
  float* out = row.out + kv_head * group * layout.head_dim;
  for (ptrdiff_t h = 0; h < group; ++h) {
    const float inverse = 1.0F / total.sum[h];
    for (ptrdiff_t i = h * layout.head_dim; i < (h + 1) * layout.head_dim; ++i) out[i] = total.acc[i] * inverse;
  }
}

}  // namespace

struct AttentionScratch::Impl {
  AlignedBuffer bytes;
};

AttentionScratch::AttentionScratch() : impl_(std::make_unique<Impl>()) {}
AttentionScratch::~AttentionScratch() = default;
AttentionScratch::AttentionScratch(AttentionScratch&&) noexcept = default;
AttentionScratch& AttentionScratch::operator=(AttentionScratch&&) noexcept = default;

void StoreKv(const KvLayout& layout, std::byte* page, int slot, const float* heads) {
  QUERN_DCHECK(slot >= 0 && slot < layout.page_tokens);
  const auto n = static_cast<size_t>(layout.head_dim);
  const size_t head_bytes = layout.page_bytes() / static_cast<size_t>(layout.n_kv_heads);
  for (size_t head = 0; head < static_cast<size_t>(layout.n_kv_heads); ++head) {
    std::byte* out = page + head * head_bytes + static_cast<size_t>(slot) * n * layout.value_bytes();
    const float* in = heads + head * n;
    if (layout.type == KvType::kF32) {
      std::memcpy(out, in, n * 4);
      continue;
    }
    for (size_t i = 0; i < n; ++i) {
      const uint16_t half = F32ToF16(in[i]);
      std::memcpy(out + 2 * i, &half, sizeof(half));
    }
  }
}

void Attention(std::span<const AttentionRow> rows, const KvLayout& layout, int n_heads, float scale,
               AttentionScratch& scratch, ThreadPool& pool) {
  QUERN_CHECK(layout.n_kv_heads > 0 && n_heads % layout.n_kv_heads == 0);
  QUERN_CHECK(layout.head_dim > 0 && layout.head_dim <= kMaxHeadDim);
  QUERN_CHECK(layout.page_tokens > 0 && layout.page_tokens <= kAttentionChunk &&
              std::has_single_bit(static_cast<unsigned>(layout.page_tokens)));
  const Shape shape{layout, n_heads / layout.n_kv_heads, scale};
  QUERN_CHECK(shape.group <= kMaxGroup);
  const size_t floats = static_cast<size_t>(2 * shape.group * (2 + layout.head_dim));
  const size_t per_thread = (floats * sizeof(float) + 63) / 64 * 64;
  std::byte* base = scratch.impl().bytes.Get(per_thread * static_cast<size_t>(pool.n_threads()));
  const KernelTable& kernels = Kernels();
  const auto n_kv_heads = static_cast<size_t>(layout.n_kv_heads);
  pool.ParallelFor(rows.size() * n_kv_heads, [&](size_t piece, int thread) {
    const AttentionRow& row = rows[piece / n_kv_heads];
    QUERN_CHECK(row.n_context >= 1);
    auto* mine = reinterpret_cast<float*>(base + static_cast<size_t>(thread) * per_thread);
    RunHead(kernels, shape, row, static_cast<int>(piece % n_kv_heads), mine);
  });
}

}  // namespace quern::kernels
