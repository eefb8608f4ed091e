#include "model/kv_loss.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>

namespace quern::model {
namespace {

constexpr size_t kPiece = 64;

int PagesFor(size_t n_tokens) { return static_cast<int>((n_tokens + kKvPageTokens - 1) / kKvPageTokens); }

// One sequence in a pool of its own.
class Run {
 public:
  static Result<Run> Create(const Model& model, size_t n_tokens, std::optional<kernels::KvTypes> types) {
    Run run(model);
    QUERN_ASSIGN(run.pool_, KvPool::Create(model, PagesFor(n_tokens), types));
    run.sequence_ = SequenceState::Create(*run.pool_);
    return run;
  }

  Result<std::span<const float>> Next(std::span<const TokenId> tokens, ThreadPool& pool) {
    QUERN_TRY(sequence_->Reserve(static_cast<int>(tokens.size())));
    const Segment segment{.sequence = sequence_.get(), .tokens = tokens, .logits = LogitsFor::kAll};
    QUERN_ASSIGN(const ForwardResult result, model_->Forward({&segment, 1}, *activations_, pool));
    return result.logits;
  }

 private:
  explicit Run(const Model& model) : model_(&model), activations_(Activations::Create()) {}

  const Model* model_;
  std::unique_ptr<KvPool> pool_;
  std::unique_ptr<Activations> activations_;
  std::unique_ptr<SequenceState> sequence_;
};

double LogSum(std::span<const float> logits) {
  const auto max = static_cast<double>(*std::ranges::max_element(logits));
  double sum = 0;
  for (const float v : logits) sum += std::exp(static_cast<double>(v) - max);
  return max + std::log(sum);
}

double Divergence(std::span<const float> base, std::span<const float> other) {
  const double base_sum = LogSum(base), other_sum = LogSum(other);
  double kl = 0;
  for (size_t i = 0; i < base.size(); ++i) {
    const double log_p = static_cast<double>(base[i]) - base_sum;
    kl += std::exp(log_p) * (log_p - (static_cast<double>(other[i]) - other_sum));
  }
  return std::max(kl, 0.0);  // rounding may leave a tiny negative
}

}  // namespace

Result<KvLoss> MeasureKvLoss(const Model& model, std::span<const TokenId> tokens, kernels::KvTypes base,
                             kernels::KvTypes other, ThreadPool& pool) {
  if (tokens.empty()) return Error(Code::kInvalidArgument, "no tokens to measure the loss over");
  QUERN_ASSIGN(Run base_run, Run::Create(model, tokens.size(), base));
  QUERN_ASSIGN(Run other_run, Run::Create(model, tokens.size(), other));
  const auto vocab = static_cast<size_t>(model.config().vocab);
  KvLoss loss;
  for (size_t at = 0; at < tokens.size(); at += kPiece) {
    const auto piece = tokens.subspan(at, std::min(kPiece, tokens.size() - at));
    QUERN_ASSIGN(const std::span<const float> a, base_run.Next(piece, pool));
    QUERN_ASSIGN(const std::span<const float> b, other_run.Next(piece, pool));
    for (size_t row = 0; row < piece.size(); ++row) {
      const auto p = a.subspan(row * vocab, vocab), q = b.subspan(row * vocab, vocab);
      const double kl = Divergence(p, q);
      loss.mean_kl += kl;
      loss.max_kl = std::max(loss.max_kl, kl);
      loss.top1 += std::ranges::max_element(p) - p.begin() == std::ranges::max_element(q) - q.begin() ? 1 : 0;
    }
  }
  loss.n_positions = static_cast<int>(tokens.size());
  loss.mean_kl /= loss.n_positions;
  loss.top1 /= loss.n_positions;
  return loss;
}

Result<std::vector<TokenId>> SampleText(const Model& model, int n, uint32_t seed, ThreadPool& pool) {
  if (n < 1) return Error(Code::kInvalidArgument, "no tokens to sample");
  QUERN_ASSIGN(Run run, Run::Create(model, static_cast<size_t>(n), std::nullopt));
  std::mt19937 rng(seed);
  std::vector<TokenId> tokens = {static_cast<TokenId>(rng() % static_cast<uint32_t>(model.config().vocab))};
  while (static_cast<int>(tokens.size()) < n) {
    QUERN_ASSIGN(const std::span<const float> logits, run.Next({&tokens.back(), 1}, pool));
    const double sum = LogSum(logits);
    double left = static_cast<double>(rng()) / 4294967296.0;
    TokenId chosen = 0;
    while (chosen + 1 < static_cast<TokenId>(logits.size())) {
      left -= std::exp(static_cast<double>(logits[static_cast<size_t>(chosen)]) - sum);
      if (left < 0) break;
      ++chosen;
    }
    tokens.push_back(chosen);
  }
  return tokens;
}

}  // namespace quern::model
