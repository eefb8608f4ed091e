#include "engine/token_mask.h"

#include <algorithm>
#include <limits>

namespace quern::engine {

Result<bool> AllowedTokens(grammar::TokenConstraint& constraint, std::span<const TokenId> stop_tokens,
                           std::span<uint32_t> mask) {
  QUERN_ASSIGN(const bool may_end, constraint.ComputeMask(mask));
  const auto word = [&](TokenId id) -> uint32_t& { return mask[static_cast<size_t>(id) / 32]; };
  const auto bit = [](TokenId id) { return 1U << (static_cast<uint32_t>(id) % 32U); };
  for (const TokenId id : stop_tokens) word(id) &= ~bit(id);
  const bool is_complete = std::all_of(mask.begin(), mask.end(), [](uint32_t bits) { return bits == 0; });
  if (is_complete && !may_end) return Error(Code::kInternal, "the grammar allows no token and no end");
  if (may_end) {
    for (const TokenId id : stop_tokens) word(id) |= bit(id);
  }
  return is_complete;
}

void BanOthers(std::span<const uint32_t> mask, std::span<float> logits) {
  for (size_t begin = 0; begin < logits.size(); begin += 32) {
    const uint32_t bits = mask[begin / 32];
    if (bits == ~0U) continue;
    const size_t end = std::min(begin + 32, logits.size());
    for (size_t i = begin; i < end; ++i) {
      if ((bits >> (i - begin) & 1U) == 0) logits[i] = -std::numeric_limits<float>::infinity();
    }
  }
}

}  // namespace quern::engine
