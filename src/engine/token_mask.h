// The bits of a grammar's constraint and a request's stop tokens as one set of allowed tokens.
#pragma once

#include <cstdint>
#include <span>

#include "engine/engine.h"

namespace quern::engine {

// mask[id / 32] bit id % 32 := id may come next. Stop tokens may come exactly where the text may end. Returns whether
// the text is complete: only they may. Errors: the constraint's; kInternal (nothing may come and the text may not end).
Result<bool> AllowedTokens(grammar::TokenConstraint& constraint, std::span<const TokenId> stop_tokens,
                           std::span<uint32_t> mask);

inline bool IsAllowed(std::span<const uint32_t> mask, TokenId id) {
  const auto i = static_cast<size_t>(id);
  return i / 32 < mask.size() && (mask[i / 32] >> (i % 32) & 1U) != 0;
}

// logits[i] := -infinity where mask has no bit i. mask: [(logits.size() + 31) / 32].
void BanOthers(std::span<const uint32_t> mask, std::span<float> logits);

}  // namespace quern::engine
