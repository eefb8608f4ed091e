// Causal grouped-query attention of single query positions over keys and values kept in pages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/thread_pool.h"
#include "kernels/tile.h"

namespace quern::kernels {

// How keys (and, in pages of their own, values) lie in memory: a page is [n_kv_heads, page_tokens, head_dim] of type,
// so that one head's tokens are consecutive. Token t of a sequence is slot t % page_tokens of page t / page_tokens.
struct KvLayout {
  KvType type = KvType::kF16;
  int page_tokens = 32;  // power of two, at most kAttentionChunk
  int n_kv_heads = 0;
  int head_dim = 0;  // at most kMaxHeadDim

  size_t value_bytes() const { return type == KvType::kF16 ? 2 : 4; }
  // Bytes of one page of keys, or of one page of values.
  size_t page_bytes() const {
    return value_bytes() * static_cast<size_t>(page_tokens) * static_cast<size_t>(n_kv_heads) *
           static_cast<size_t>(head_dim);
  }
};

// Writes one token's keys or values, [n_kv_heads, head_dim] f32, into a slot of a page (f16: nearest even; beyond its
// range: infinity).
void StoreKv(const KvLayout& layout, std::byte* page, int slot, const float* heads);

// One query position. The row sees tokens [0, n_context): its own key is already stored.
struct AttentionRow {
  const float* q = nullptr;                   // [n_heads, head_dim]
  float* out = nullptr;                       // [n_heads, head_dim]; must not overlap q of any row
  const std::byte* const* k_pages = nullptr;  // page table of the row's sequence in this layer
  const std::byte* const* v_pages = nullptr;
  int n_context = 0;  // at least 1
};

// Room for partial results; grows, is reused. One caller at a time.
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
// of n_kv_heads, at most kMaxGroup times. f32 arithmetic. Order of reduction: chunks of kAttentionChunk tokens counted
// from token 0, then the chunks in order; so a row's result depends on its own q, keys and values and on nothing else
// (not on other rows, threads, page size).
void Attention(std::span<const AttentionRow> rows, const KvLayout& layout, int n_heads, float scale,
               AttentionScratch& scratch, ThreadPool& pool);

}  // namespace quern::kernels
