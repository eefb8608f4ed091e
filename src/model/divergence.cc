#include "model/divergence.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "model/window_runner.h"

namespace quern::model {
namespace {

// log of the sum of exp(logits).
double LogSum(std::span<const float> logits) {
  const double largest = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float v : logits) sum += std::exp(static_cast<double>(v) - largest);
  return largest + std::log(sum);
}

bool AllFinite(std::span<const float> values) {
  return std::ranges::all_of(values, [](float v) { return std::isfinite(v); });
}

}  // namespace

void DivergenceSum::Add(std::span<const float> source, std::span<const float> other, TokenId next) {
  const double source_sum = LogSum(source);
  const double other_sum = LogSum(other);
  double kl = 0;
  for (size_t i = 0; i < source.size(); ++i) {
    const double p = static_cast<double>(source[i]) - source_sum;
    const double q = static_cast<double>(other[i]) - other_sum;
    kl += std::exp(p) * (p - q);
  }
  kl_.push_back(static_cast<float>(std::max(kl, 0.0)));  // rounding may leave a little less than nothing
  const auto top = [](std::span<const float> logits) { return std::ranges::max_element(logits) - logits.begin(); };
  n_same_top_ += top(source) == top(other) ? 1 : 0;
  if (next < 0) return;
  ++n_next_;
  source_nll_ += source_sum - static_cast<double>(source[static_cast<size_t>(next)]);
  other_nll_ += other_sum - static_cast<double>(other[static_cast<size_t>(next)]);
}

Divergence DivergenceSum::Figures() const {
  Divergence out;
  if (kl_.empty()) return out;
  out.n_positions = static_cast<int64_t>(kl_.size());
  const auto n = static_cast<double>(kl_.size());
  out.mean_kl = std::accumulate(kl_.begin(), kl_.end(), 0.0) / n;
  std::vector<float> sorted = kl_;
  std::ranges::sort(sorted);
  out.kl_99 = static_cast<double>(sorted[(sorted.size() - 1) * 99 / 100]);
  out.max_kl = static_cast<double>(sorted.back());
  out.same_top = static_cast<double>(n_same_top_) / n;
  if (n_next_ > 0) {
    out.source_perplexity = std::exp(source_nll_ / static_cast<double>(n_next_));
    out.other_perplexity = std::exp(other_nll_ / static_cast<double>(n_next_));
  }
  return out;
}

Result<Divergence> CompareModels(const Model& source, const Model& other, std::span<const TokenId> tokens, int window,
                                 ThreadPool& pool, const ProgressFn& progress) {
  if (source.config().vocab != other.config().vocab) {
    return Error(Code::kInvalidArgument,
                 fmt::format("{} has a vocabulary of {}, {} one of {}: their predictions cannot be compared",
                             source.checkpoint().path().string(), source.config().vocab,
                             other.checkpoint().path().string(), other.config().vocab));
  }
  if (tokens.size() < 2) return Error(Code::kInvalidArgument, "a text of fewer than two tokens says nothing");
  QUERN_ASSIGN(const auto first, WindowRunner::Create(source, window));
  QUERN_ASSIGN(const auto second, WindowRunner::Create(other, window));
  const auto vocab = static_cast<size_t>(source.config().vocab);
  DivergenceSum sum;
  for (const WindowPiece& piece : WindowPieces(tokens.size(), static_cast<size_t>(window))) {
    if (piece.starts_window) {
      first->Restart();
      second->Restart();
    }
    const auto ids = tokens.subspan(piece.begin, piece.n);
    QUERN_ASSIGN(const ForwardResult p, first->Next(ids, pool));
    QUERN_ASSIGN(const ForwardResult q, second->Next(ids, pool));
    for (const auto& [model, logits] : {std::pair(&source, p.logits), std::pair(&other, q.logits)}) {
      if (AllFinite(logits)) continue;
      return Error(Code::kCorrupt, fmt::format("{}: the model computes numbers that are not finite",
                                               model->checkpoint().path().string()));
    }
    for (size_t i = 0; i < piece.n; ++i) {
      const size_t next = piece.begin + i + 1;
      const bool in_window = next < tokens.size() && next % static_cast<size_t>(window) != 0;
      sum.Add(p.logits.subspan(i * vocab, vocab), q.logits.subspan(i * vocab, vocab), in_window ? tokens[next] : -1);
    }
    if (progress) progress(piece.begin + piece.n, tokens.size());
  }
  return sum.Figures();
}

}  // namespace quern::model
