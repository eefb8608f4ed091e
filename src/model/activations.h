// Scratch of a forward pass. Buffers only grow; contents are undefined between uses.
#pragma once

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
  FloatBuffer x;                           // [n_rows, d_model] residual stream
  FloatBuffer normed;                      // [n_rows, d_model]
  FloatBuffer mtp_input;                   // [n_rows, 2 * d_model] normed embedding and hidden state side by side
  FloatBuffer q, mixed;                    // [n_rows, n_heads * head_dim]; mixed is attention's output
  FloatBuffer q_and_gate, attention_gate;  // with an attention gate: [n_rows, n_heads, 2, head_dim], [n_rows, as q]
  FloatBuffer k, v;                        // [n_rows, n_kv_heads * head_dim]
  FloatBuffer gate, up;                    // [n_rows, d_ff] or [n_rows * n_experts_used, d_ff_expert]
  FloatBuffer down;                        // [n_rows, d_model] or [n_rows * n_experts_used, d_model]
  FloatBuffer cos, sin;                    // [n_rows, rotary dims / 2]
  FloatBuffer router;                      // [n_rows, n_experts]
  FloatBuffer shared_gate;                 // [n_rows]

  // Of a DeltaNet layer.
  FloatBuffer qkvz;         // [n_rows, channels + values], when the file interleaves them
  FloatBuffer qkv, conv;    // [n_rows, channels] before and after the convolution
  FloatBuffer z, delta;     // [n_rows, values] output gate, and the recurrence's output
  FloatBuffer ba;           // [n_rows, 2 * n_linear_value_heads]
  FloatBuffer decay, beta;  // [n_rows, n_linear_value_heads]

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
