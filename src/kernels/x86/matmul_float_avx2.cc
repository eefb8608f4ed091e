#include "kernels/x86/lanes_avx2-inl.h"
#include "kernels/x86/packed_float-inl.h"
#include "kernels/x86/x86.h"

namespace quern::kernels::avx2 {

void MatMulF32(const MatMulTile& tile) { RunTile<FloatKernel<FormatF32<Lanes256>>>(tile); }
void MatMulF16(const MatMulTile& tile) { RunTile<FloatKernel<FormatF16<Lanes256>>>(tile); }
void MatMulBF16(const MatMulTile& tile) { RunTile<FloatKernel<FormatBF16<Lanes256>>>(tile); }
void MatMulF8E4M3(const MatMulTile& tile) { RunTile<FloatKernel<FormatF8E4M3<Lanes256>>>(tile); }

}  // namespace quern::kernels::avx2
