// How keys and values lie in pages of memory, in each of the types they may be stored in.
#pragma once

#include <cstddef>
#include <string_view>

#include "kernels/tile.h"

namespace quern::kernels {

// From the most exact to the smallest.
inline constexpr KvType kKvTypes[] = {KvType::kF32,  KvType::kI16, KvType::kF16,
                                      KvType::kBF16, KvType::kQ8,  KvType::kQ4};

// "f32", "i16", "f16", "bf16", "q8", "q4".
std::string_view KvTypeName(KvType type);

// Types of keys and of values; any two go together.
struct KvTypes {
  KvType k = KvType::kI16;
  KvType v = KvType::kI16;

  bool operator==(const KvTypes&) const = default;
};

// A page holds page_tokens tokens of one sequence in one layer, keys and values in pages of their own, head after head.
// Token t of a sequence is slot t % page_tokens of page t / page_tokens. Of one head:
//   keys     by dimension, so that one vector holds neighbouring tokens:
//            f32, f16        [padded_dim, page_tokens]
//            bf16            [padded_dim / 2, page_tokens, 2], the pairs that a bf16 dot product takes
//            i16             [padded_dim / 2, page_tokens, 2] int16, then scales [page_tokens] f32
//            q8              [padded_dim / 4, page_tokens, 4] int8, then scales [groups, page_tokens] f16;
//                            the four bytes are dims 0, 2, 1, 3
//            q4              [padded_dim / 8, page_tokens, 4] bytes, then scales as q8; nibble n of the 32 bits is dim
//                            2n, or 2(n - 4) + 1 from n = 4 on; stored value + 8
//   values   by token, so that one vector holds neighbouring dimensions:
//            f32, f16        [page_tokens, padded_dim]
//            bf16            [page_tokens / 2, padded_dim, 2]
//            i16             [page_tokens / 2, padded_dim, 2] int16, then scales [page_tokens] f32
//            q8              [page_tokens, padded_dim] int8, then scales [page_tokens, groups] f16
//            q4              [page_tokens, padded_dim / 2] bytes, then scales; a group's low nibbles are its first 16
//                            dims, its high nibbles the other 16; stored value + 8
// padded_dim: head_dim filled up with zeros to a multiple of kKvGroup (every published model's already is one); a group
// is kKvGroup dims of one token and shares a scale: q8 max|x| / 127, q4 the value of largest magnitude / -8. In i16
// (fixed16.h) all dims of a head share one. So q8 takes 8.5 bits per value, q4 4.5, i16 16 and 32 per head and token;
// nothing else is stored.
struct KvLayout {
  KvTypes types;
  int page_tokens = 32;  // power of two, kKvGroup to kAttentionChunk
  int n_kv_heads = 0;
  int head_dim = 0;  // at most kMaxHeadDim

  int padded_dim() const { return (head_dim + kKvGroup - 1) / kKvGroup * kKvGroup; }
  // Bytes of one head of a page.
  size_t head_bytes(KvType type) const;
  // Bytes of one page of keys, of one page of values.
  size_t key_page_bytes() const { return head_bytes(types.k) * static_cast<size_t>(n_kv_heads); }
  size_t value_page_bytes() const { return head_bytes(types.v) * static_cast<size_t>(n_kv_heads); }

  bool operator==(const KvLayout&) const = default;
};

// Bytes that one head of one token takes, dim (a multiple of kKvGroup) values.
size_t KvBytes(KvType type, size_t dim);

// Write one token's keys or values, [n_kv_heads, head_dim] f32, into a slot of a page. Rounding is to nearest even;
// what a type cannot hold (f16 beyond 65504, i16 beyond kFixedRange) becomes its largest finite value, so that one
// number cannot turn a whole sequence into NaN.
void StoreKeys(const KvLayout& layout, std::byte* page, int slot, const float* heads);
void StoreValues(const KvLayout& layout, std::byte* page, int slot, const float* heads);

// The inverse, for tests and reports: [n_kv_heads, head_dim] f32, exactly what attention computes with.
void LoadKeys(const KvLayout& layout, const std::byte* page, int slot, float* heads);
void LoadValues(const KvLayout& layout, const std::byte* page, int slot, float* heads);

}  // namespace quern::kernels
