#include "kernels/x86/lanes_avx512-inl.h"
#include "kernels/x86/packed_quant-inl.h"
#include "kernels/x86/x86.h"

namespace quern::kernels::avx512 {

void MatMulQ8_0(const MatMulTile& tile) { RunTile<ScaleKernel<FormatQ8_0<Lanes512>>>(tile); }
void MatMulQ4_0(const MatMulTile& tile) { RunTile<ScaleKernel<FormatQ4_0<Lanes512>>>(tile); }
void MatMulQ4K(const MatMulTile& tile) { RunTile<ScaleMinKernel<FormatQ4K<Lanes512>>>(tile); }
void MatMulQ5K(const MatMulTile& tile) { RunTile<ScaleMinKernel<FormatQ5K<Lanes512>>>(tile); }
void MatMulQ6K(const MatMulTile& tile) { RunTile<Q6KKernel<Lanes512>>(tile); }

}  // namespace quern::kernels::avx512
