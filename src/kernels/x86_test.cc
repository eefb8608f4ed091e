// Variants that dispatch passes over on a CPU that has something newer: they are called directly, so that every file is
// tested wherever its instructions exist.
#if defined(__x86_64__)

#include <gtest/gtest.h>

#include "base/os/cpu.h"
#include "kernels/dequantize.h"
#include "kernels/matrix.h"
#include "kernels/test_rows.h"
#include "kernels/x86/x86.h"

namespace quern::kernels {
namespace {

constexpr int kOut = 37;  // two whole groups and a part of one
constexpr int kRows = 31;

struct Case {
  Case(DType type, int64_t cols) : bytes(RandomWeights(type, kOut, cols, 3)) {
    const auto matrix = Matrix::Prepare(type, kOut, cols, bytes);
    EXPECT_TRUE(matrix.has_value());
    weights = *matrix;
    x = NormalFloats(static_cast<size_t>(kRows * cols), 4);
    tile = {.w = weights.group(0),
            .group_bytes = weights.group_bytes(),
            .cols = cols,
            .n_out = kOut,
            .x = pointers,
            .x_stride = 0,
            .n = kRows,
            .y = nullptr,
            .y_stride = kOut,
            .bias = nullptr};
  }

  // Rows in a form, by the ref level.
  void Prepare(RowForm form) {
    const KernelTable& ref = *TableFor(Isa::kRef);
    const size_t row_bytes = FormRowBytes(form, tile.cols);
    prepared.resize(row_bytes / sizeof(GroupX8) * kRows + kRows);
    auto* out = reinterpret_cast<std::byte*>(prepared.data());
    for (int i = 0; i < kRows; ++i, out += row_bytes) {
      const float* row = x.data() + i * tile.cols;
      if (form == RowForm::kX8) ref.to_x8(row, tile.cols, reinterpret_cast<GroupX8*>(out));
      if (form == RowForm::kX8K) ref.to_x8k(row, tile.cols, reinterpret_cast<GroupX8K*>(out));
      pointers[i] = form == RowForm::kF32 ? static_cast<const void*>(row) : out;
    }
  }

  std::vector<float> Multiply(MatMulFn fn) {
    std::vector<float> y(kRows * kOut, NAN);
    tile.y = y.data();
    fn(tile);
    return y;
  }

  std::vector<std::byte> bytes;
  Matrix weights;
  std::vector<float> x;
  std::vector<GroupX8> prepared;
  const void* pointers[kRows];
  MatMulTile tile;
};

TEST(Avx512, WithAndWithoutVnniGiveTheSameBits) {
  if (!os::Cpu().avx512_vnni) GTEST_SKIP() << "this CPU has no AVX-512 VNNI";
  struct Pair {
    DType type;
    RowForm form;
    MatMulFn plain, vnni;
  };
  const Pair pairs[] = {
      {DType::kQ8_0, RowForm::kX8, avx512::MatMulQ8_0, avx512vnni::MatMulQ8_0},
      {DType::kQ4_0, RowForm::kX8, avx512::MatMulQ4_0, avx512vnni::MatMulQ4_0},
      {DType::kQ4K, RowForm::kX8K, avx512::MatMulQ4K, avx512vnni::MatMulQ4K},
      {DType::kQ5K, RowForm::kX8K, avx512::MatMulQ5K, avx512vnni::MatMulQ5K},
      {DType::kQ6K, RowForm::kX8K, avx512::MatMulQ6K, avx512vnni::MatMulQ6K},
  };
  for (const Pair& pair : pairs) {
    for (const int64_t blocks : {1, 5, 8, 19}) {
      Case c(pair.type, blocks * Info(pair.type).block_elements);
      c.Prepare(pair.form);
      ASSERT_EQ(c.Multiply(pair.plain), c.Multiply(pair.vnni)) << Info(pair.type).name << " blocks " << blocks;
    }
  }
}

// f32 sums in another order: 4e-6 of the sum of magnitudes, as in matmul_test.cc.
TEST(Avx512, Bf16WithoutItsInstructionsAgreesWithRef) {
  if (!os::Cpu().avx512) GTEST_SKIP() << "this CPU has no AVX-512";
  for (const int64_t cols : {1, 15, 16, 31, 32, 33, 100, 515}) {
    Case c(DType::kBF16, cols);
    c.Prepare(RowForm::kF32);
    const auto expected = c.Multiply(TableFor(Isa::kRef)->bf16.fn);
    const auto y = c.Multiply(avx512::MatMulBF16);
    std::vector<float> row(static_cast<size_t>(cols));
    for (size_t k = 0; k < y.size(); ++k) {
      DequantizeRow(DType::kBF16, c.bytes.data() + k % kOut * RowBytes(DType::kBF16, cols), cols, row.data());
      double size = 0;
      for (size_t e = 0; e < row.size(); ++e) {
        size += std::fabs(static_cast<double>(row[e] * c.x[k / kOut * static_cast<size_t>(cols) + e]));
      }
      ASSERT_NEAR(y[k], expected[k], 4e-6 * size) << "cols " << cols << " value " << k;
    }
  }
}

}  // namespace
}  // namespace quern::kernels

#endif
