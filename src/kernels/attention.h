// Causal grouped-query attention of query positions over keys and values kept in pages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/thread_pool.h"
#include "kernels/kv_layout.h"
#include "kernels/tile.h"

namespace quern::kernels {

// One query position. The row sees tokens [0, n_context): its own key is already stored.
struct AttentionRow {
  const float* q = nullptr;                   // [n_heads, head_dim]
  float* out = nullptr;                       // [n_heads, head_dim]; must not overlap q of any row
  const std::byte* const* k_pages = nullptr;  // page table of the row's sequence in this layer
  const std::byte* const* v_pages = nullptr;
  int n_context = 0;  // at least 1
};

// Room for packed queries and partial results; grows, is reused. One caller at a time. A step needs some 256 KiB per
// thread, and when a few rows share the threads, 4 * head_dim bytes per query head and 2048 tokens of depth.
class AttentionScratch {
 public:
  AttentionScratch();
  ~AttentionScratch();
  AttentionScratch(AttentionScratch&&) noexcept;
  AttentionScratch& operator=(AttentionScratch&&) noexcept;

  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

// out = softmax(scale * q k^T) v per head; query head h reads KV head h / (n_heads / n_kv_heads). n_heads is a multiple
// of n_kv_heads, at most kMaxGroup times. f32 arithmetic; against keys of type q8 and q4, q is rounded to 16 bits per
// group of 32 dims (relative to their largest: 2^-16) and multiplied as integers; against keys of type i16, q is
// rounded as they are (fixed16.h), against values of type i16 the softmax's weights are, to 16 bits per kWeightRun
// tokens, and the sums of their products are exact integers (docs/kv_cache.md compares with f16); against keys of type
// bf16, q is rounded to bf16, against values of type bf16 the softmax's weights are, as models in bf16 were trained and
// are published to run, and products of pairs are summed in f32.
//
// Each key and value is read once for all query heads that share it, and for several consecutive rows of one sequence
// (neighbours in `rows` with the same page tables). Order of reduction: tokens within a chunk of kAttentionChunk, the
// chunks within a span of kSpanTokens, the spans, all counted from token 0. So a row's result depends on its own q,
// keys and values and on nothing else: not on other rows, threads, page size, or who works on which span.
inline constexpr int kSpanTokens = 2048;
void Attention(std::span<const AttentionRow> rows, const KvLayout& layout, int n_heads, float scale,
               AttentionScratch& scratch, ThreadPool& pool);

}  // namespace quern::kernels
