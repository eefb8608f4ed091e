// The bodies of KvPool and SequenceState that the forward pass works on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/os/large_memory.h"
#include "base/status.h"
#include "kernels/attention.h"
#include "model/model.h"

namespace quern::model {

// Recurrent state of one sequence: layers of equal size, f32.
struct StateLayout {
  int n_layers = 0;
  size_t floats_per_layer = 0;

  size_t n_floats() const { return static_cast<size_t>(n_layers) * floats_per_layer; }
  bool operator==(const StateLayout&) const = default;
};

// The memory of one recurrent state, counted by the pool; empty until Allocate.
class StateBuffer {
 public:
  // used: the pool's count.
  explicit StateBuffer(size_t& used) : used_(used) {}
  ~StateBuffer();
  StateBuffer(const StateBuffer&) = delete;
  StateBuffer& operator=(const StateBuffer&) = delete;

  // Errors: kExhausted. The contents are undefined.
  Result<void> Allocate(size_t n_floats);
  float* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  size_t& used_;
  float* data_ = nullptr;
  size_t bytes_ = 0;
};

// A page of the pool holds kKvPageTokens tokens of one sequence for all attention layers:
//   [n_layers][a page of keys, a page of values] (kernels/kv_layout.h)
// so that a sequence's memory is a list of page numbers, and attention reads consecutive tokens of one head.
class KvPoolBody final : public KvPool {
 public:
  static Result<std::unique_ptr<KvPoolBody>> Map(const kernels::KvLayout& layout, int n_layers, int n_pages,
                                                 const StateLayout& states = {});
  ~KvPoolBody() override;
  KvPoolBody(const KvPoolBody&) = delete;
  KvPoolBody& operator=(const KvPoolBody&) = delete;

  int n_pages() const override { return n_pages_; }
  int n_free_pages() const override { return n_pages_ - n_used_; }
  size_t bytes_total() const override { return static_cast<size_t>(n_pages_) * page_bytes_; }
  size_t bytes_used() const override { return static_cast<size_t>(n_used_) * page_bytes_; }

  size_t state_bytes_per_sequence() const override { return states_.n_floats() * sizeof(float); }
  size_t state_bytes_used() const override { return state_bytes_used_; }

  const kernels::KvLayout& layout() const { return layout_; }
  const StateLayout& states() const { return states_; }
  size_t& state_bytes_count() { return state_bytes_used_; }
  int n_layers() const { return n_layers_; }

  // A free page's number; there must be one. Returned pages are taken again first: their memory is already backed.
  int Take();
  void Return(int page);

  std::byte* keys(int page, int layer) const;
  std::byte* page(int number) const { return memory_->bytes().data() + static_cast<size_t>(number) * page_bytes_; }
  size_t page_bytes() const { return page_bytes_; }
  std::byte* values(int page, int layer) const { return keys(page, layer) + layout_.key_page_bytes(); }

 private:
  KvPoolBody(const kernels::KvLayout& layout, int n_layers, int n_pages, size_t page_bytes,
             std::shared_ptr<os::LargeMemory> memory, const StateLayout& states)
      : layout_(layout),
        states_(states),
        n_layers_(n_layers),
        n_pages_(n_pages),
        page_bytes_(page_bytes),
        memory_(std::move(memory)) {}

  kernels::KvLayout layout_;
  StateLayout states_;
  size_t state_bytes_used_ = 0;
  int n_layers_;  // of attention
  int n_pages_;
  size_t page_bytes_;                        // all layers, keys and values
  std::shared_ptr<os::LargeMemory> memory_;  // [n_pages, page_bytes]
  int n_used_ = 0;
  int n_touched_ = 0;          // pages below this number have been handed out before
  std::vector<int> returned_;  // of these, the free ones
};

class StateSnapshotBody final : public StateSnapshot {
 public:
  StateSnapshotBody(uint64_t sequence_id, uint64_t cut, int n_tokens, size_t& used)
      : sequence_id_(sequence_id), cut_(cut), n_tokens_(n_tokens), state_(used) {}

  int n_tokens() const override { return n_tokens_; }
  size_t bytes() const override { return state_.bytes(); }

  uint64_t sequence_id() const { return sequence_id_; }
  uint64_t cut() const { return cut_; }  // number of times the sequence had gone back before
  StateBuffer& state() { return state_; }
  const StateBuffer& state() const { return state_; }

 private:
  uint64_t sequence_id_;
  uint64_t cut_;
  int n_tokens_;
  StateBuffer state_;
};

class SequenceStateBody final : public SequenceState {
 public:
  explicit SequenceStateBody(KvPoolBody& pool);
  ~SequenceStateBody() override;
  SequenceStateBody(const SequenceStateBody&) = delete;
  SequenceStateBody& operator=(const SequenceStateBody&) = delete;

  int n_tokens() const override { return n_tokens_; }
  Result<void> Reserve(int n) override;
  Result<void> Truncate(int n) override;
  Result<std::unique_ptr<StateSnapshot>> Snapshot() const override;
  Result<void> Restore(const StateSnapshot& snapshot) override;
  Result<std::unique_ptr<SequenceState>> Fork() const override;
  bool CanContinue() const override { return !in_forward_; }

  const KvPoolBody& pool() const { return pool_; }
  int64_t n_reserved() const { return static_cast<int64_t>(pages_.size()) * kKvPageTokens; }

  // Page table of one layer: entry i is the page of tokens [i * kKvPageTokens, ...).
  const std::byte* const* k_pages(int layer) const { return tables_[static_cast<size_t>(layer)].k.data(); }
  const std::byte* const* v_pages(int layer) const { return tables_[static_cast<size_t>(layer)].v.data(); }

  // Writes keys and values [n_kv_heads, head_dim] of the token at a reserved position.
  void Store(int layer, int position, const float* k, const float* v);

  // State of one recurrent layer, [floats_per_layer]; all zero before the first token. Reserved before.
  float* state(int layer) { return state_.data() + static_cast<size_t>(layer) * pool_.states().floats_per_layer; }

  // Around a forward pass: between the two the recurrent state belongs to no position.
  void Begin() { in_forward_ = pool_.states().n_layers > 0; }
  void Advance(int n) {
    n_tokens_ += n;
    in_forward_ = false;
  }

 private:
  struct Cut {
    uint64_t number;  // counts all times the sequence went back
    int position;
  };

  struct PageTable {
    std::vector<const std::byte*> k, v;
  };

  void DropPagesFrom(size_t n_kept);
  void GoBackTo(int n);
  Result<void> CheckFreePages(int64_t n_wanted, int n) const;
  void TakePages(int64_t n_wanted);
  Result<void> CheckCanContinue(std::string_view what) const;

  KvPoolBody& pool_;
  const uint64_t id_;
  int n_tokens_ = 0;
  bool in_forward_ = false;
  StateBuffer state_;
  uint64_t n_cuts_ = 0;
  std::vector<Cut> cuts_;  // those that no later one reached below; positions ascend
  std::vector<int> pages_;
  std::vector<PageTable> tables_;  // per layer
};

}  // namespace quern::model
