#include "model/kv_pool.h"

#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>

#include "base/check.h"

namespace quern::model {
namespace {

constexpr int kMaxPages = 1 << 26;        // 2^31 tokens
constexpr size_t kMaxBytes = 1ULL << 46;  // half of what user space can address on x86-64

// Pools may live on several threads.
uint64_t NextSequenceId() {
  static std::atomic<uint64_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

Result<std::unique_ptr<KvPoolBody>> KvPoolBody::Map(const kernels::KvLayout& layout, int n_layers, int n_pages,
                                                    const StateLayout& states) {
  if (n_pages < 1 || n_pages > kMaxPages) {
    return Error(Code::kInvalidArgument,
                 fmt::format("KV pool: {} pages asked for, expected 1 to {}", n_pages, kMaxPages));
  }
  // Fits 64 bits: the config's limits are 2^10 layers, 2^10 heads of 2^10 values.
  const size_t page_bytes = (layout.key_page_bytes() + layout.value_page_bytes()) * static_cast<size_t>(n_layers);
  if (page_bytes == 0 || page_bytes > kMaxBytes / static_cast<size_t>(n_pages)) {
    return Error(Code::kExhausted, fmt::format("KV pool: {} pages of {} bytes pass the limit of {} bytes", n_pages,
                                               page_bytes, kMaxBytes));
  }
  const size_t bytes = page_bytes * static_cast<size_t>(n_pages);
  auto memory = os::LargeMemory::Create(bytes);
  if (!memory) {
    return std::unexpected(
        memory.error().WithContext(fmt::format("KV pool of {} pages of {} tokens", n_pages, kKvPageTokens)));
  }
  return std::unique_ptr<KvPoolBody>(new KvPoolBody(layout, n_layers, n_pages, page_bytes, std::move(*memory), states));
}

KvPoolBody::~KvPoolBody() {
  QUERN_CHECK(n_used_ == 0 && state_bytes_used_ == 0);  // a sequence or a snapshot outlived its pool
}

int KvPoolBody::Take() {
  QUERN_CHECK(n_used_ < n_pages_);
  ++n_used_;
  if (returned_.empty()) return n_touched_++;
  const int page = returned_.back();
  returned_.pop_back();
  return page;
}

void KvPoolBody::Return(int page) {
  QUERN_CHECK(page >= 0 && page < n_touched_ && n_used_ > 0);
  returned_.push_back(page);
  --n_used_;
}

std::byte* KvPoolBody::keys(int page, int layer) const {
  return KvPoolBody::page(page) + static_cast<size_t>(layer) * (layout_.key_page_bytes() + layout_.value_page_bytes());
}

std::unique_ptr<SequenceState> SequenceState::Create(KvPool& pool) {
  return std::make_unique<SequenceStateBody>(static_cast<KvPoolBody&>(pool));
}

StateBuffer::~StateBuffer() {
  std::free(data_);
  used_ -= bytes_;
}

Result<void> StateBuffer::Allocate(size_t n_floats) {
  QUERN_CHECK(data_ == nullptr);
  if (n_floats == 0) return {};
  const size_t bytes = (n_floats * sizeof(float) + 63) / 64 * 64;
  data_ = static_cast<float*>(std::aligned_alloc(64, bytes));
  if (data_ == nullptr) {
    return Error(Code::kExhausted,
                 fmt::format("recurrent state: no memory for {} bytes; sequences and snapshots hold {}", bytes, used_));
  }
  bytes_ = n_floats * sizeof(float);
  used_ += bytes_;
  return {};
}

SequenceStateBody::SequenceStateBody(KvPoolBody& pool)
    : pool_(pool),
      id_(NextSequenceId()),
      state_(pool.state_bytes_count()),
      tables_(static_cast<size_t>(pool.n_layers())) {}

SequenceStateBody::~SequenceStateBody() { DropPagesFrom(0); }

Result<void> SequenceStateBody::Reserve(int n) {
  QUERN_CHECK(n >= 0);
  const int64_t n_wanted = static_cast<int64_t>(n_tokens_) + n;
  if (n_wanted > n_reserved()) QUERN_TRY(CheckFreePages(n_wanted, n));
  if (state_.bytes() == 0 && pool_.states().n_layers > 0) {
    QUERN_TRY(state_.Allocate(pool_.states().n_floats()));
    std::memset(state_.data(), 0, state_.bytes());
  }
  TakePages(n_wanted);
  return {};
}

Result<void> SequenceStateBody::CheckFreePages(int64_t n_wanted, int n) const {
  const int64_t n_more = (n_wanted - n_reserved() + kKvPageTokens - 1) / kKvPageTokens;
  if (n_more > pool_.n_free_pages()) {
    return Error(Code::kExhausted, fmt::format("KV pool: {} more tokens need {} pages, {} of {} are free", n, n_more,
                                               pool_.n_free_pages(), pool_.n_pages()));
  }
  return {};
}

void SequenceStateBody::TakePages(int64_t n_wanted) {
  while (n_reserved() < n_wanted) {
    const int page = pool_.Take();
    pages_.push_back(page);
    for (int layer = 0; layer < pool_.n_layers(); ++layer) {
      tables_[static_cast<size_t>(layer)].k.push_back(pool_.keys(page, layer));
      tables_[static_cast<size_t>(layer)].v.push_back(pool_.values(page, layer));
    }
  }
}

Result<void> SequenceStateBody::Truncate(int n) {
  QUERN_CHECK(n >= 0 && n <= n_tokens_);
  if (pool_.states().n_layers > 0 && n != 0 && n != n_tokens_) {
    return Error(Code::kUnsupported,
                 fmt::format("a sequence of {} tokens with recurrent layers cannot be cut to {}: only a snapshot "
                             "taken there can be restored",
                             n_tokens_, n));
  }
  if (n == 0) {
    if (state_.bytes() > 0) std::memset(state_.data(), 0, state_.bytes());
    in_forward_ = false;
  }
  GoBackTo(n);
  return {};
}

void SequenceStateBody::GoBackTo(int n) {
  if (n < n_tokens_) {
    while (!cuts_.empty() && cuts_.back().position >= n) cuts_.pop_back();
    cuts_.push_back({.number = ++n_cuts_, .position = n});
  }
  n_tokens_ = n;
  DropPagesFrom((static_cast<size_t>(n) + kKvPageTokens - 1) / kKvPageTokens);
}

Result<void> SequenceStateBody::CheckCanContinue(std::string_view what) const {
  if (CanContinue()) return {};
  return Error(Code::kInvalidArgument,
               fmt::format("{}: a forward pass broke off in this sequence after {} tokens", what, n_tokens_));
}

Result<std::unique_ptr<StateSnapshot>> SequenceStateBody::Snapshot() const {
  QUERN_TRY(CheckCanContinue("snapshot"));
  auto snapshot = std::make_unique<StateSnapshotBody>(id_, n_cuts_, n_tokens_, pool_.state_bytes_count());
  QUERN_TRY(snapshot->state().Allocate(state_.bytes() / sizeof(float)));
  if (state_.bytes() > 0) std::memcpy(snapshot->state().data(), state_.data(), state_.bytes());
  return snapshot;
}

Result<void> SequenceStateBody::Restore(const StateSnapshot& snapshot) {
  const auto& body = static_cast<const StateSnapshotBody&>(snapshot);
  if (body.sequence_id() != id_) {
    return Error(Code::kInvalidArgument, "restore: the snapshot was taken from another sequence");
  }
  // The first cut after the snapshot is the lowest of those after it: positions ascend.
  const auto cut = std::ranges::upper_bound(cuts_, body.cut(), {}, &Cut::number);
  if (body.n_tokens() > n_tokens_ || (cut != cuts_.end() && cut->position < body.n_tokens())) {
    return Error(Code::kInvalidArgument,
                 fmt::format("restore: the snapshot stands at {} tokens, the sequence has forgotten some of them",
                             body.n_tokens()));
  }
  if (body.bytes() > 0) {
    std::memcpy(state_.data(), body.state().data(), body.bytes());
  } else if (state_.bytes() > 0) {
    std::memset(state_.data(), 0, state_.bytes());  // taken before the first Reserve
  }
  in_forward_ = false;
  GoBackTo(body.n_tokens());
  return {};
}

Result<std::unique_ptr<SequenceState>> SequenceStateBody::Fork() const {
  QUERN_TRY(CheckCanContinue("fork"));
  auto fork = std::make_unique<SequenceStateBody>(pool_);
  QUERN_TRY(fork->Reserve(n_tokens_));
  for (size_t i = 0; i < fork->pages_.size(); ++i) {
    std::memcpy(pool_.page(fork->pages_[i]), pool_.page(pages_[i]), pool_.page_bytes());
  }
  if (state_.bytes() > 0) std::memcpy(fork->state_.data(), state_.data(), state_.bytes());
  fork->n_tokens_ = n_tokens_;
  return fork;
}

void SequenceStateBody::DropPagesFrom(size_t n_kept) {
  // Last page first, so that a sequence that starts anew gets its pages back in their old order.
  while (pages_.size() > n_kept) {
    pool_.Return(pages_.back());
    pages_.pop_back();
  }
  for (PageTable& table : tables_) {
    table.k.resize(n_kept < table.k.size() ? n_kept : table.k.size());
    table.v.resize(table.k.size());
  }
}

void SequenceStateBody::Store(int layer, int position, const float* k, const float* v) {
  const int page = pages_[static_cast<size_t>(position / kKvPageTokens)];
  const int slot = position % kKvPageTokens;
  kernels::StoreKeys(pool_.layout(), pool_.keys(page, layer), slot, k);
  kernels::StoreValues(pool_.layout(), pool_.values(page, layer), slot, v);
}

}  // namespace quern::model
