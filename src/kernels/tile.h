// What dispatched kernels see: plain structs and pointers, no library types, so that files built for one instruction
// set leave nothing behind that the linker could use elsewhere. Shapes are checked before a kernel is called; kernels
// neither throw nor allocate.
#pragma once

#include <cstddef>
#include <cstdint>

namespace quern::kernels {

// ---- Weight blocks as stored in files (docs: GGUF block layouts). Packed: files promise no alignment. ----

struct __attribute__((packed)) BlockQ8_0 {
  uint16_t d;  // f16 bits, as everywhere below
  int8_t q[32];
};
struct __attribute__((packed)) BlockQ4_0 {
  uint16_t d;
  uint8_t qs[16];
};
struct __attribute__((packed)) BlockQ4K {
  uint16_t d, dmin;
  uint8_t scales[12];
  uint8_t qs[128];
};
struct __attribute__((packed)) BlockQ5K {
  uint16_t d, dmin;
  uint8_t scales[12];
  uint8_t qh[32];
  uint8_t qs[128];
};
struct __attribute__((packed)) BlockQ6K {
  uint8_t ql[128];
  uint8_t qh[64];
  int8_t scales[16];
  uint16_t d;
};
static_assert(sizeof(BlockQ8_0) == 34 && sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4K) == 144);
static_assert(sizeof(BlockQ5K) == 176 && sizeof(BlockQ6K) == 210);

// ---- Activations as kernels read them ----

// What a row of activations is turned into before it meets weights of a type.
enum class RowForm : uint8_t {
  kF32,   // as it is
  kBF16,  // rounded to nearest even bf16
  kX8,    // int8 with one f32 scale per 32 elements
  kX8K,   // int8 with one f32 scale per 256 elements and sums per 16
};

// 256 elements: q = round(x / d) with d = max|x| / 127 of each 32. A row whose length is no multiple of 256 ends in a
// group filled up with zeros (d = 0).
struct alignas(64) GroupX8 {
  int8_t q[256];
  float d[8];
  int32_t start[8];  // -128 * sum of q, per 32: where a dot product with weights stored plus 128 begins
};

// 256 elements with one scale, d = max|x| / 127.
struct alignas(64) GroupX8K {
  int8_t q[256];
  int16_t sum16[16];  // of q, per 16
  int16_t sum32[8];   // of q, per 32
  float d;
  float pad[3];
  int32_t start[16];  // -32 * sum of q, per 16: where a dot product with q6_k's quants as stored begins
};
static_assert(sizeof(GroupX8) == 320 && sizeof(GroupX8K) == 384);

// ---- Tasks ----

// y[i * y_stride + o] = dot(x row i, weight row o) + bias[o] for i in [0, n), o in [0, n_out).
// The operations that make one y value, and their order, depend on cols alone: not on n, n_out or neighbours.
struct MatMulTile {
  const std::byte* w;  // first of the groups that hold n_out rows, see packed_block.h
  size_t group_bytes;
  int64_t cols;
  int n_out;
  const void* const* x;  // [n] pointers to rows in the kernel's RowForm
  size_t x_stride;       // bytes from one of them to the next, or 0: they lie anywhere
  int n;
  float* y;
  int64_t y_stride;
  const float* bias;  // [n_out] or null
};

// What keys and values are stored as; see kv_layout.h for how.
enum class KvType : uint8_t { kF32, kF16, kBF16, kQ8, kQ4, kI16 };
inline constexpr int kKvGroup = 32;  // dims that share a scale in q8 and q4

// One chunk of at most kAttentionChunk keys for query vectors that share one KV head: the heads of a group, of one or
// more positions of one sequence. Queries come in blocks of kQueryBlock, the last filled up with zeros. Each query's
// numbers, and the order of the operations on them, depend on that query and on the tokens it sees alone.
inline constexpr int kAttentionChunk = 256;
inline constexpr int kMaxHeadDim = 512;
inline constexpr int kMaxGroup = 64;
inline constexpr int kQueryBlock = 8;
inline constexpr int kMaxTileQueries = 64;
// Tokens whose weights share a scale when they meet values of type i16. The integers are at most 32767 and sum to
// little more than kWeightSum, so that their products with the values, summed, stay below 2^31: exact in 32 bits.
inline constexpr int kWeightRun = 32;
static_assert(kWeightRun <= kKvGroup, "a run lies in one page, whatever the size of pages");
inline constexpr float kWeightSum = 65512;  // 2^16, less what rounding may add to a run and its sum
struct AttentionTile {
  KvType k_type, v_type;
  int head_dim;  // filled up to a multiple of kKvGroup
  int n_q;       // 1..kMaxTileQueries, counted without the last block's filling
  // The queries, times the scale of the scores. For keys of type q8 and q4 as 16-bit integers with a scale per group of
  // dims, for those of type i16 with one scale (fixed16.h; it stands in the first group's place), so that the products
  // with stored keys are exact integers; for keys of type bf16 rounded to bf16, in q16; else q.
  const float* q;                   // [blocks, head_dim, kQueryBlock]
  const int16_t* q16;               // [blocks, head_dim / 2, kQueryBlock, 2]
  const float* q_scale;             // [blocks, head_dim / kKvGroup, kQueryBlock]
  int page_tokens;                  // power of two, kKvGroup to kAttentionChunk
  const std::byte* const* k_pages;  // pages from the chunk's first token on
  const std::byte* const* v_pages;
  size_t k_offset, v_offset;  // of this KV head inside a page, bytes
  const std::byte* next_k;    // this head's keys behind the chunk, which come next, or null: only brought near
  int n_tokens;               // 1..kAttentionChunk: the most that a query sees of the chunk
  const int* n_visible;       // [n_q] 1..n_tokens: how many each query sees
  float* score;               // [blocks * kQueryBlock, kAttentionChunk] scratch
  // Out: per query the largest score, the sum of exp(score - max), and sum of exp(score - max) * v. For values of type
  // bf16 every exp is rounded to bf16 first, in both sums. Those that meet values of type i16 become, times the value's
  // scale, integers with a scale per kWeightRun tokens: their sum / kWeightSum, twice that where one of them is above
  // half of the sum. Rows of the filling are undefined.
  float* max;  // [n_q]
  float* sum;  // [n_q]
  float* acc;  // [blocks * kQueryBlock, head_dim]
};

// One token of a causal depthwise convolution, see ConvSilu.
inline constexpr int kMaxConvWidth = 16;
struct ConvTile {
  const float* const* rows;  // [width]
  int width;
  const float* w;  // [width, n_channels]
  int64_t n_channels;
  float* out;  // [n_channels]
};

// The gated delta rule for one value head. S is [key_dim, value_dim], zero before the first token; each token does
//   S *= decay;  m = S^T k;  change = beta (v - m);  S += k change^T;  out = S^T q
// Here tokens are taken by chunks: those of positions [i * kDeltaChunk, (i + 1) * kDeltaChunk) of a sequence. Inside a
// chunk S stays what it was at the chunk's start and the changes u are kept beside it. With d the decays and
// reach(m, t) = d[t] * ... * d[m + 1], multiplied in this order, what token t leaves of token m's change:
//   u_t = beta_t (v_t - reach(start, t) S^T k_t - sum over m < t of (k_m . k_t) reach(m, t) u_m)
//   out_t = reach(start, t) S^T q_t + sum over m <= t of (k_m . q_t) reach(m, t) u_m
// and when the chunk is full S = reach(start, end) S + sum over m of k_m (reach(m, end) u_m)^T.
// A token's values depend on S, on the tokens of its chunk up to it, and on nothing else: it does not matter how many
// come in one call. All sums run in order: over key_dim from 0, over tokens from the chunk's first.
// 8: see delta_net.h.
inline constexpr int kDeltaChunk = 8;
struct DeltaChunkTile {
  float* state;  // [key_dim, value_dim] at the chunk's start; at the next chunk's start when the call fills the chunk
  int key_dim;
  int value_dim;
  int n_before;           // tokens of the chunk that came in earlier calls
  int n_tokens;           // n_before + n_tokens <= kDeltaChunk
  const float* const* k;  // [n_before + n_tokens] pointers to [key_dim]: keys of the chunk's tokens, normalised
  const float* decay;     // [n_before + n_tokens] of the chunk's tokens, exp of the log decay: 0..1
  float* u;               // [kDeltaChunk, value_dim] changes of the chunk's tokens; rows of the new ones are written
  const float* by_key;    // [n_tokens, kDeltaChunk] of DeltaProducts
  const float* by_query;
  const float* q;  // [key_dim] per new token, normalised and scaled
  int64_t qk_stride;
  const float* v;  // [value_dim] per new token
  int64_t v_stride;
  const float* beta;  // one per new token, 0..1
  int64_t gate_stride;
  float* out;  // [value_dim] per new token; overlaps nothing above
  int64_t out_stride;
};

// Products of keys and queries inside a chunk, the same for all value heads of a key head:
// by_key[t, m] = k_m . k_(n_before + t), by_query[t, m] = k_m . q_t for m <= n_before + t.
struct DeltaProductsTile {
  int key_dim;
  int n_before;
  int n_tokens;
  const float* const* k;  // [n_before + n_tokens] pointers to [key_dim]
  const float* q;         // [key_dim] per new token
  int64_t qk_stride;
  float* by_key;  // [n_tokens, kDeltaChunk]
  float* by_query;
};

}  // namespace quern::kernels
