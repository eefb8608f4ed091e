#include "kernels/x86/attention_avx512-inl.h"

namespace quern::kernels::avx512bf16 {

void Attention(const AttentionTile& tile) { RunAttention<Simd512>(tile); }

}  // namespace quern::kernels::avx512bf16
