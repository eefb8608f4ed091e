// Between the row layout of files and the packed form of packed_block.h. Pure functions of their arguments: the same
// source gives the same bytes on every machine, so packed bytes can be kept in a file.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/packed_block.h"
#include "tensor/dtype.h"

namespace quern::kernels {

// Raise it whenever packed bytes change their meaning: files of packed bytes carry it (model/packed_file.h), and one of
// another layout must be told from a damaged one.
inline constexpr uint32_t kPackingVersion = 2;

// True for f32, f16, bf16, f8_e4m3, q8_0, q4_0, q4_k, q5_k, q6_k. The functions below take these types only (checked).
bool CanPack(DType type);

// Bytes of a group of kGroupRows rows, and of a whole matrix: a multiple of 64. cols is a multiple of the type's block.
size_t PackedGroupBytes(DType type, int64_t cols);
size_t PackedBytes(DType type, int64_t rows, int64_t cols);

// One group of a type other than f8_e4m3 from n_rows (1..kGroupRows) rows in the file's layout, row_bytes apart, any
// alignment; missing rows become zeros. out: PackedGroupBytes, 64-byte aligned.
void PackGroup(DType type, const std::byte* rows, int n_rows, size_t row_bytes, int64_t cols, std::byte* out);

// The same for f8_e4m3; scales: one f32 for each kF8Block columns, of these rows' block.
void PackF8Group(const std::byte* rows, int n_rows, size_t row_bytes, int64_t cols, const float* scales,
                 std::byte* out);

// The inverse for one row (0..15) of a group; out: RowBytes(type, cols) bytes, the ones that went in.
void UnpackRow(DType type, const std::byte* group, int row, int64_t cols, std::byte* out);

}  // namespace quern::kernels
