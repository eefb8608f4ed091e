#include "kernels/x86/lanes_avx512-inl.h"
#include "kernels/x86/packed_float-inl.h"
#include "kernels/x86/x86.h"

namespace quern::kernels::avx512 {

void MatMulF32(const MatMulTile& tile) { RunTile<FloatKernel<FormatF32<Lanes512>>>(tile); }
void MatMulF16(const MatMulTile& tile) { RunTile<FloatKernel<FormatF16<Lanes512>>>(tile); }
void MatMulBF16(const MatMulTile& tile) { RunTile<FloatKernel<FormatBF16<Lanes512>>>(tile); }
void MatMulF8E4M3(const MatMulTile& tile) { RunTile<FloatKernel<FormatF8E4M3<Lanes512>>>(tile); }

}  // namespace quern::kernels::avx512
