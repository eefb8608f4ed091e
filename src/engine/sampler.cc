#include "engine/sampler.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/random.h"
#include "engine/token_mask.h"

namespace quern::engine {
namespace {

constexpr float kImpossible = -std::numeric_limits<float>::infinity();
constexpr float kLargest = std::numeric_limits<float>::max();
constexpr float kBan = -100.0F;  // a bias of this much or less forbids the token

// From this many on, moving a heap costs more than one pass of selection over everything.
constexpr size_t kHeapLimit = 512;

// Better first: higher value, then lower id.
bool Better(const TokenLogprob& a, const TokenLogprob& b) {
  return a.logprob > b.logprob || (a.logprob == b.logprob && a.token < b.token);
}

// The highest value; kInternal unless at least one is a number and none is NaN or +infinity.
Result<float> Highest(std::span<const float> logits) {
  float highest = kImpossible;
  bool sane = true;
  for (const float x : logits) {
    sane &= x <= kLargest;  // false for NaN too
    highest = x > highest ? x : highest;
  }
  if (!sane) return Error(Code::kInternal, "the model computed a logit that is not a number");
  if (highest == kImpossible) return Error(Code::kInternal, "the model gives no token any probability");
  return highest;
}

// The n best of values, sorted, into best. value in TokenLogprob::logprob.
void SelectBest(std::span<const float> values, size_t n, std::vector<TokenLogprob>& best) {
  n = std::min(n, values.size());
  best.clear();
  if (n == 0) return;
  if (n <= kHeapLimit) {
    // A heap with the worst kept entry on top; nearly all values fail the one comparison with it.
    float worst = kImpossible;
    for (size_t i = 0; i < values.size(); ++i) {
      if (best.size() == n) {
        if (!(values[i] > worst)) continue;  // an equal one has a higher id
        std::pop_heap(best.begin(), best.end(), Better);
        best.pop_back();
      }
      best.push_back({static_cast<TokenId>(i), values[i]});
      std::push_heap(best.begin(), best.end(), Better);
      worst = best.front().logprob;
    }
  } else {
    best.resize(values.size());
    for (size_t i = 0; i < values.size(); ++i) best[i] = {static_cast<TokenId>(i), values[i]};
    if (n < best.size()) {
      std::nth_element(best.begin(), best.begin() + static_cast<std::ptrdiff_t>(n - 1), best.end(), Better);
      best.resize(n);
    }
  }
  std::sort(best.begin(), best.end(), Better);
}

double WeightOf(float value, float highest, double inverse_temperature) {
  return std::exp((static_cast<double>(value) - static_cast<double>(highest)) * inverse_temperature);
}

// The entry in which the point u * (sum of weights) lies.
size_t PickWeighted(std::span<const double> weights, double u) {
  double total = 0;
  for (const double w : weights) total += w;
  const double point = u * total;
  double sum = 0;
  size_t last = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] <= 0) continue;
    sum += weights[i];
    last = i;
    if (point < sum) return i;
  }
  return last;  // rounding put the point at the very end
}

}  // namespace

Sampler::Sampler(const GenerateRequest& request, int vocab_size)
    : params_(request.sampling),
      stop_tokens_(request.stop_tokens),
      min_tokens_(request.min_tokens),
      vocab_size_(static_cast<size_t>(vocab_size)),
      n_prompt_(request.prompt.size()),
      has_penalties_(params_.repetition_penalty != 1 || params_.presence_penalty != 0 ||
                     params_.frequency_penalty != 0) {
  if (!has_penalties_) return;
  for (const TokenId id : request.prompt) SeenEntry(id);
}

Sampler::Seen& Sampler::SeenEntry(TokenId token) {
  const auto [it, is_new] = seen_idx_.try_emplace(token, static_cast<uint32_t>(seen_.size()));
  if (is_new) seen_.push_back({token, 0});
  return seen_[it->second];
}

void Sampler::Accept(TokenId token) {
  if (has_penalties_) ++SeenEntry(token).n_in_output;
}

void Sampler::Adjust(std::span<float> logits, bool may_stop) const {
  for (const auto& [id, bias] : params_.logit_bias) {
    float& x = logits[static_cast<size_t>(id)];
    x = bias <= kBan ? kImpossible : x + bias;
  }
  for (const Seen& seen : seen_) {
    float& x = logits[static_cast<size_t>(seen.token)];
    if (x == kImpossible) continue;
    x = x > 0 ? x / params_.repetition_penalty : x * params_.repetition_penalty;
    const float count = static_cast<float>(seen.n_in_output);
    if (count > 0) x -= params_.presence_penalty + count * params_.frequency_penalty;
    x = std::clamp(x, -kLargest, kLargest);  // an extreme penalty must not make an infinity of a number
  }
  if (may_stop) return;
  for (const TokenId id : stop_tokens_) logits[static_cast<size_t>(id)] = kImpossible;
}

bool Sampler::IsStop(TokenId token) const {
  return std::find(stop_tokens_.begin(), stop_tokens_.end(), token) != stop_tokens_.end();
}

Result<TokenId> Sampler::Choose(std::span<const float> logits, int n_generated, SamplerScratch& scratch,
                                grammar::TokenConstraint* constraint) const {
  const std::span<const float> raw = logits.first(vocab_size_);
  QUERN_TRY(Highest(raw));
  scratch.adjusted.assign(raw.begin(), raw.end());
  bool may_stop = n_generated >= min_tokens_;
  if (constraint != nullptr) {
    scratch.mask.resize((vocab_size_ + 31) / 32);
    QUERN_ASSIGN(const bool is_complete, AllowedTokens(*constraint, stop_tokens_, scratch.mask));
    may_stop = may_stop || is_complete;
    BanOthers(scratch.mask, scratch.adjusted);
  }
  Adjust(scratch.adjusted, may_stop);
  const auto highest = std::max_element(scratch.adjusted.begin(), scratch.adjusted.end());  // the first of equals
  if (*highest == kImpossible)
    return Error(Code::kInvalidArgument, constraint == nullptr
                                             ? "logit_bias and min_tokens ban every token"
                                             : "logit_bias, min_tokens and the grammar ban every token");
  if (params_.temperature == 0 || params_.top_k == 1) return static_cast<TokenId>(highest - scratch.adjusted.begin());
  const double u = UniformAt(params_.seed, n_prompt_ + static_cast<uint64_t>(n_generated));
  return Draw(scratch.adjusted, *highest, u, scratch);
}

TokenId Sampler::Draw(std::span<const float> logits, float highest, double u, SamplerScratch& scratch) const {
  const double inverse_temperature = 1.0 / static_cast<double>(params_.temperature);
  const double least = static_cast<double>(params_.min_p);  // the most likely token's weight is 1
  const auto weight_of = [&](float value) {
    const double w = WeightOf(value, highest, inverse_temperature);
    return w >= least ? w : 0.0;
  };
  auto& weights = scratch.weights;
  weights.clear();
  const bool cut_k = params_.top_k > 0 && static_cast<size_t>(params_.top_k) < logits.size();
  if (!cut_k && params_.top_p >= 1) {
    for (const float x : logits) weights.push_back(weight_of(x));
    return static_cast<TokenId>(PickWeighted(weights, u));
  }

  // top_p looks at the distribution that top_k left, before min_p.
  double total = 0;
  if (cut_k) {
    SelectBest(logits, static_cast<size_t>(params_.top_k), scratch.best);
    for (const auto& entry : scratch.best) total += WeightOf(entry.logprob, highest, inverse_temperature);
  } else {
    total = SelectLikely(logits, highest, scratch);
  }
  const double wanted = static_cast<double>(params_.top_p) * total;
  double sum = 0;
  size_t n_kept = 0;
  for (; n_kept < scratch.best.size() && (n_kept == 0 || sum < wanted); ++n_kept)
    sum += WeightOf(scratch.best[n_kept].logprob, highest, inverse_temperature);
  weights.clear();
  for (size_t i = 0; i < n_kept; ++i) weights.push_back(weight_of(scratch.best[i].logprob));
  return scratch.best[PickWeighted(weights, u)].token;
}

double Sampler::SelectLikely(std::span<const float> logits, float highest, SamplerScratch& scratch) const {
  const double inverse_temperature = 1.0 / static_cast<double>(params_.temperature);
  double total = 0;
  for (const float x : logits) {
    scratch.weights.push_back(WeightOf(x, highest, inverse_temperature));
    total += scratch.weights.back();
  }
  const double least = (1 - static_cast<double>(params_.top_p)) * total / static_cast<double>(logits.size());
  scratch.best.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    if (scratch.weights[i] >= least) scratch.best.push_back({static_cast<TokenId>(i), logits[i]});
  }
  std::sort(scratch.best.begin(), scratch.best.end(), Better);
  return total;
}

Result<float> LogprobOf(std::span<const float> logits, TokenId token, int n_top, int vocab_size,
                        std::vector<TokenLogprob>& top) {
  const std::span<const float> raw = logits.first(static_cast<size_t>(vocab_size));
  QUERN_ASSIGN(const float highest, Highest(raw));
  double total = 0;
  for (const float x : raw) total += std::exp(static_cast<double>(x) - static_cast<double>(highest));
  const double log_total = static_cast<double>(highest) + std::log(total);
  const auto logprob = [&](float x) { return static_cast<float>(static_cast<double>(x) - log_total); };
  SelectBest(raw, static_cast<size_t>(n_top), top);
  for (auto& entry : top) entry.logprob = logprob(entry.logprob);
  return logprob(raw[static_cast<size_t>(token)]);
}

}  // namespace quern::engine
