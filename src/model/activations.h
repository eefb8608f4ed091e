// Scratch of a forward pass. Buffers only grow; contents are undefined between uses.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/aligned_buffer.h"
#include "kernels/attention.h"
#include "kernels/matmul.h"
#include "kernels/ops.h"
#include "model/model.h"

namespace quern::model {

// Floats at a 64-byte boundary; the old contents are lost when it grows.
class FloatBuffer {
 public:
  float* Get(size_t n) { return reinterpret_cast<float*>(bytes_.Get(n * sizeof(float))); }

 private:
  kernels::AlignedBuffer bytes_;
};

// The arrays that one block of a layer, mixer or feed-forward, computes with. The next block takes the same memory for
// its own: what a forward pass needs is that of its largest block.
class BlockBuffers {
 public:
  // Arrays of so many floats, each at a 64-byte boundary. What an earlier call returned is dead.
  template <size_t kN>
  std::array<float*, kN> Get(const size_t (&sizes)[kN]) {
    constexpr size_t kLine = 16;  // floats
    size_t total = 0;
    for (const size_t size : sizes) total += (size + kLine - 1) / kLine * kLine;
    float* at = floats_.Get(total);
    std::array<float*, kN> arrays;
    for (size_t i = 0; i < kN; ++i) {
      arrays[i] = at;
      at += (sizes[i] + kLine - 1) / kLine * kLine;
    }
    return arrays;
  }

 private:
  FloatBuffer floats_;
};

class SequenceStateBody;

struct BatchRow {
  SequenceStateBody* sequence;
  TokenId token;
  int position;
};

// The rows of one sequence: consecutive positions.
struct BatchRun {
  SequenceStateBody* sequence;
  int first_row;
  int n_rows;
};

struct ActivationsBody final : Activations {
  FloatBuffer x;          // [n_rows, d_model] residual stream
  FloatBuffer normed;     // [n_rows, d_model]
  FloatBuffer mtp_input;  // [n_rows, 2 * d_model] normed embedding and hidden state side by side
  FloatBuffer cos, sin;   // [n_rows, rotary dims / 2]
  BlockBuffers block;
  FloatBuffer logits;  // [rows that want them, vocab]

  std::vector<BatchRow> rows;
  std::vector<BatchRun> runs;       // the same rows by sequence
  std::vector<int32_t> logit_rows;  // rows that want logits, ascending

  std::vector<kernels::RoutedExpert> routed;  // [n_rows, n_experts_used]
  std::vector<int32_t> expert_start;          // [n_experts + 1] first slot of each expert
  std::vector<int32_t> expert_fill;           // [n_experts] next slot while sorting
  std::vector<int32_t> slot_row;              // [n_rows * n_experts_used] row whose result goes into the slot
  std::vector<int32_t> row_slot;              // [n_rows, n_experts_used] slot of a row's k-th expert
  std::vector<kernels::MatMulJob> jobs;
  std::vector<kernels::AttentionRow> attention_rows;

  kernels::MatMulScratch matmul;
  kernels::AttentionScratch attention;
};

}  // namespace quern::model
