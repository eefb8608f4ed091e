// Test double: a model whose logits are a hash of the whole sequence, with pages that are counted, and with wishes: a
// step can be held, slowed, broken. It checks what the engine owes to Model::Forward.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "engine/native_engine.h"
#include "model/model.h"

namespace quern::engine {

class FakePool final : public model::KvPool {
 public:
  explicit FakePool(int n_pages) : n_pages_(n_pages), n_free_(n_pages) {}
  int n_pages() const override { return n_pages_; }
  int n_free_pages() const override { return n_free_; }
  size_t bytes_total() const override { return static_cast<size_t>(n_pages_) * 1000; }
  size_t bytes_used() const override { return static_cast<size_t>(n_pages_ - n_free_) * 1000; }

  const int n_pages_;
  std::atomic<int> n_free_;
};

class FakeSequence final : public model::SequenceState {
 public:
  explicit FakeSequence(FakePool& pool) : pool_(pool) {}
  ~FakeSequence() override { pool_.n_free_ += n_held_; }
  int n_tokens() const override { return static_cast<int>(tokens_.size()); }
  Result<void> Reserve(int n) override {
    const int needed = (n_tokens() + n + model::kKvPageTokens - 1) / model::kKvPageTokens - n_held_;
    if (needed > pool_.n_free_) return Error(Code::kExhausted, "no free pages");
    if (needed > 0) {
      pool_.n_free_ -= needed;
      n_held_ += needed;
    }
    return {};
  }
  Result<void> Truncate(int n) override {
    tokens_.resize(static_cast<size_t>(n));
    return {};
  }

  FakePool& pool_;
  int n_held_ = 0;
  std::vector<TokenId> tokens_;
};

class FakeActivations final : public model::Activations {
 public:
  std::vector<float> logits;
};

// What a test sets and reads; shared with the model inside the engine.
struct FakeWishes {
  static constexpr TokenId kNanToken = 7;    // as last token: this row's logits are NaN
  static constexpr TokenId kThrowToken = 8;  // anywhere in a batch: Forward throws
  static constexpr TokenId kErrorToken = 9;  // anywhere in a batch: Forward fails

  bool faults = false;
  std::chrono::microseconds per_step{0};
  std::atomic<bool> held{false};  // while true, Forward waits
  std::atomic<int> n_steps{0};
  std::atomic<int> most_rows{0};
  std::atomic<int> most_sequences{0};
  std::atomic<int64_t> n_rows{0};
};

class FakeModel final : public model::Model {
 public:
  FakeModel(int vocab, int context_length, std::shared_ptr<FakeWishes> wishes) : wishes_(std::move(wishes)) {
    config_.architecture = model::Architecture::kQwen3;
    config_.vocab = vocab;
    config_.context_length = context_length;
  }

  const model::ModelConfig& config() const override { return config_; }
  std::vector<model::TensorClassInfo> DescribeTensors() const override { return {}; }
  uint64_t weight_bytes() const override { return 0; }
  kernels::KvTypes default_kv_types() const override { return {}; }
  const model::Checkpoint& checkpoint() const override { std::abort(); }  // the engine has no business there

  // The definition: logits after `prefix`.
  std::vector<float> LogitsAfter(std::span<const TokenId> prefix) const {
    uint64_t hash = 1469598103934665603ULL;
    for (const TokenId id : prefix) hash = (hash ^ static_cast<uint64_t>(id)) * 1099511628211ULL;
    std::vector<float> row(static_cast<size_t>(config_.vocab));
    for (size_t i = 0; i < row.size(); ++i) {
      uint64_t x = hash + i * 0x9E3779B97F4A7C15ULL;
      x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
      x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
      row[i] = static_cast<float>((x >> 40) % 4096U) / 512.0F;
    }
    if (wishes_->faults && prefix.back() == FakeWishes::kNanToken) row[row.size() / 2] = std::nanf("");
    return row;
  }

  Result<model::ForwardResult> Forward(std::span<const model::Segment> segments, model::Activations& activations,
                                       ThreadPool&, const model::LayerObserver*) const override {
    while (wishes_->held) std::this_thread::sleep_for(std::chrono::microseconds(100));
    if (wishes_->per_step.count() > 0) std::this_thread::sleep_for(wishes_->per_step);
    CheckBatch(segments);
    if (auto fault = Fault(segments); !fault) return std::unexpected(fault.error());
    auto& logits = static_cast<FakeActivations&>(activations).logits;
    logits.clear();
    for (const model::Segment& segment : segments) {
      auto& sequence = static_cast<FakeSequence&>(*segment.sequence);
      for (size_t i = 0; i < segment.tokens.size(); ++i) {
        sequence.tokens_.push_back(segment.tokens[i]);
        const bool last = i + 1 == segment.tokens.size();
        if (segment.logits == model::LogitsFor::kAll || (segment.logits == model::LogitsFor::kLast && last)) {
          const auto row = LogitsAfter(sequence.tokens_);
          logits.insert(logits.end(), row.begin(), row.end());
        }
      }
    }
    return model::ForwardResult{logits, static_cast<int>(logits.size()) / config_.vocab};
  }

 private:
  void CheckBatch(std::span<const model::Segment> segments) const {
    std::set<const model::SequenceState*> seen;
    int n_rows = 0;
    for (const model::Segment& segment : segments) {
      const auto& sequence = static_cast<const FakeSequence&>(*segment.sequence);
      EXPECT_TRUE(seen.insert(segment.sequence).second) << "a batch names a sequence twice";
      EXPECT_FALSE(segment.tokens.empty());
      EXPECT_LE(sequence.n_tokens() + static_cast<int>(segment.tokens.size()), sequence.n_held_ * model::kKvPageTokens)
          << "pages were not reserved";
      EXPECT_LE(sequence.n_tokens() + static_cast<int>(segment.tokens.size()), config_.context_length);
      n_rows += static_cast<int>(segment.tokens.size());
    }
    ++wishes_->n_steps;
    wishes_->n_rows += n_rows;
    wishes_->most_rows = std::max(wishes_->most_rows.load(), n_rows);
    wishes_->most_sequences = std::max(wishes_->most_sequences.load(), static_cast<int>(segments.size()));
  }

  Result<void> Fault(std::span<const model::Segment> segments) const {
    if (!wishes_->faults) return {};
    for (const model::Segment& segment : segments) {
      for (const TokenId id : segment.tokens) {
        if (id == FakeWishes::kThrowToken) throw std::runtime_error("fake fault");
        if (id == FakeWishes::kErrorToken) return Error(Code::kInternal, "fake error");
      }
    }
    return {};
  }

  model::ModelConfig config_;
  const std::shared_ptr<FakeWishes> wishes_;
};

}  // namespace quern::engine
