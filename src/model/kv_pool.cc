#include "model/kv_pool.h"

#include <fmt/core.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "base/check.h"

namespace quern::model {
namespace {

constexpr int kMaxPages = 1 << 26;        // 2^31 tokens
constexpr size_t kMaxBytes = 1ULL << 46;  // half of what user space can address on x86-64

}  // namespace

Result<std::unique_ptr<KvPoolBody>> KvPoolBody::Map(const kernels::KvLayout& layout, int n_layers, int n_pages) {
  if (n_pages < 1 || n_pages > kMaxPages) {
    return Error(Code::kInvalidArgument,
                 fmt::format("KV pool: {} pages asked for, expected 1 to {}", n_pages, kMaxPages));
  }
  // Fits 64 bits: the config's limits are 2^10 layers, 2^10 heads of 2^10 values.
  const size_t page_bytes = layout.page_bytes() * 2 * static_cast<size_t>(n_layers);
  if (page_bytes == 0 || page_bytes > kMaxBytes / static_cast<size_t>(n_pages)) {
    return Error(Code::kExhausted, fmt::format("KV pool: {} pages of {} bytes pass the limit of {} bytes", n_pages,
                                               page_bytes, kMaxBytes));
  }
  const size_t bytes = page_bytes * static_cast<size_t>(n_pages);
  void* memory =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, /*fd=*/-1, 0);
  if (memory == MAP_FAILED) {
    return Error(Code::kExhausted, fmt::format("KV pool: cannot map {} bytes for {} pages of {} tokens: {}", bytes,
                                               n_pages, kKvPageTokens, std::strerror(errno)));
  }
  return std::unique_ptr<KvPoolBody>(
      new KvPoolBody(layout, n_layers, n_pages, page_bytes, static_cast<std::byte*>(memory)));
}

KvPoolBody::~KvPoolBody() {
  QUERN_CHECK(n_used_ == 0);  // a sequence outlived its pool
  munmap(memory_, bytes_total());
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
  return memory_ + static_cast<size_t>(page) * page_bytes_ + static_cast<size_t>(layer) * 2 * layout_.page_bytes();
}

std::unique_ptr<SequenceState> SequenceState::Create(KvPool& pool) {
  return std::make_unique<SequenceStateBody>(static_cast<KvPoolBody&>(pool));
}

SequenceStateBody::SequenceStateBody(KvPoolBody& pool) : pool_(pool), tables_(static_cast<size_t>(pool.n_layers())) {}

SequenceStateBody::~SequenceStateBody() { DropPagesFrom(0); }

Result<void> SequenceStateBody::Reserve(int n) {
  QUERN_CHECK(n >= 0);
  const int64_t n_wanted = static_cast<int64_t>(n_tokens_) + n;
  if (n_wanted <= n_reserved()) return {};
  const int64_t n_more = (n_wanted - n_reserved() + kKvPageTokens - 1) / kKvPageTokens;
  if (n_more > pool_.n_free_pages()) {
    return Error(Code::kExhausted, fmt::format("KV pool: {} more tokens need {} pages, {} of {} are free", n, n_more,
                                               pool_.n_free_pages(), pool_.n_pages()));
  }
  for (int64_t i = 0; i < n_more; ++i) {
    const int page = pool_.Take();
    pages_.push_back(page);
    for (int layer = 0; layer < pool_.n_layers(); ++layer) {
      tables_[static_cast<size_t>(layer)].k.push_back(pool_.keys(page, layer));
      tables_[static_cast<size_t>(layer)].v.push_back(pool_.values(page, layer));
    }
  }
  return {};
}

void SequenceStateBody::Truncate(int n) {
  QUERN_CHECK(n >= 0 && n <= n_tokens_);
  n_tokens_ = n;
  DropPagesFrom((static_cast<size_t>(n) + kKvPageTokens - 1) / kKvPageTokens);
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
  kernels::StoreKv(pool_.layout(), pool_.keys(page, layer), slot, k);
  kernels::StoreKv(pool_.layout(), pool_.values(page, layer), slot, v);
}

}  // namespace quern::model
