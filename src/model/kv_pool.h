// The bodies of KvPool and SequenceState that the forward pass works on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/status.h"
#include "kernels/attention.h"
#include "model/model.h"

namespace quern::model {

// A page of the pool holds kKvPageTokens tokens of one sequence for all layers:
//   [n_layers][2: keys, values][n_kv_heads, kKvPageTokens, head_dim]
// so that a sequence's memory is a list of page numbers, and attention reads consecutive tokens of one head.
class KvPoolBody final : public KvPool {
 public:
  static Result<std::unique_ptr<KvPoolBody>> Map(const kernels::KvLayout& layout, int n_layers, int n_pages);
  ~KvPoolBody() override;
  KvPoolBody(const KvPoolBody&) = delete;
  KvPoolBody& operator=(const KvPoolBody&) = delete;

  int n_pages() const override { return n_pages_; }
  int n_free_pages() const override { return n_pages_ - n_used_; }
  size_t bytes_total() const override { return static_cast<size_t>(n_pages_) * page_bytes_; }
  size_t bytes_used() const override { return static_cast<size_t>(n_used_) * page_bytes_; }

  const kernels::KvLayout& layout() const { return layout_; }
  int n_layers() const { return n_layers_; }

  // A free page's number; there must be one. Returned pages are taken again first: their memory is already backed.
  int Take();
  void Return(int page);

  std::byte* keys(int page, int layer) const;
  std::byte* values(int page, int layer) const { return keys(page, layer) + layout_.page_bytes(); }

 private:
  KvPoolBody(const kernels::KvLayout& layout, int n_layers, int n_pages, size_t page_bytes, std::byte* memory)
      : layout_(layout), n_layers_(n_layers), n_pages_(n_pages), page_bytes_(page_bytes), memory_(memory) {}

  kernels::KvLayout layout_;
  int n_layers_;
  int n_pages_;
  size_t page_bytes_;  // all layers, keys and values
  std::byte* memory_;  // [n_pages, page_bytes]
  int n_used_ = 0;
  int n_touched_ = 0;          // pages below this number have been handed out before
  std::vector<int> returned_;  // of these, the free ones
};

class SequenceStateBody final : public SequenceState {
 public:
  explicit SequenceStateBody(KvPoolBody& pool);
  ~SequenceStateBody() override;
  SequenceStateBody(const SequenceStateBody&) = delete;
  SequenceStateBody& operator=(const SequenceStateBody&) = delete;

  int n_tokens() const override { return n_tokens_; }
  Result<void> Reserve(int n) override;
  void Truncate(int n) override;

  const KvPoolBody& pool() const { return pool_; }
  int64_t n_reserved() const { return static_cast<int64_t>(pages_.size()) * kKvPageTokens; }

  // Page table of one layer: entry i is the page of tokens [i * kKvPageTokens, ...).
  const std::byte* const* k_pages(int layer) const { return tables_[static_cast<size_t>(layer)].k.data(); }
  const std::byte* const* v_pages(int layer) const { return tables_[static_cast<size_t>(layer)].v.data(); }

  // Writes keys and values [n_kv_heads, head_dim] of the token at a reserved position.
  void Store(int layer, int position, const float* k, const float* v);

  void Advance(int n) { n_tokens_ += n; }

 private:
  struct PageTable {
    std::vector<const std::byte*> k, v;
  };

  void DropPagesFrom(size_t n_kept);

  KvPoolBody& pool_;
  int n_tokens_ = 0;
  std::vector<int> pages_;
  std::vector<PageTable> tables_;  // per layer
};

}  // namespace quern::model
