#include "kernels/x86/quant_avx512-inl.h"
#include "kernels/x86/x86.h"

namespace quern::kernels::avx512 {

void MatMulQ8_0(const MatMulTile& tile) { RunTile<ScaleKernel<UnpackQ8_0>>(tile); }
void MatMulQ4_0(const MatMulTile& tile) { RunTile<ScaleKernel<UnpackQ4_0>>(tile); }
void MatMulQ4K(const MatMulTile& tile) { RunTile<ScaleMinKernel<UnpackQ4K>>(tile); }
void MatMulQ5K(const MatMulTile& tile) { RunTile<ScaleMinKernel<UnpackQ5K>>(tile); }
void MatMulQ6K(const MatMulTile& tile) { RunTile<Q6KKernel>(tile); }

}  // namespace quern::kernels::avx512
