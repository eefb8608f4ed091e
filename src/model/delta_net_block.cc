#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <iterator>

#include "base/check.h"
#include "kernels/delta_net.h"
#include "kernels/ops.h"
#include "model/blocks.h"

namespace quern::model {
namespace {

constexpr float kL2Eps = 1e-6F;  // the reference's own, not the config's norm_eps

struct Shape {
  explicit Shape(const ModelConfig& c)
      : key_heads(c.n_linear_key_heads),
        value_heads(c.n_linear_value_heads),
        heads_per_key(value_heads / key_heads),
        key_dim(c.linear_key_dim),
        value_dim(c.linear_value_dim),
        keys(key_heads * key_dim),
        values(value_heads * value_dim),
        channels(2 * keys + values),
        n_history(c.conv_width - 1) {}

  int64_t key_heads, value_heads, heads_per_key, key_dim, value_dim;
  int64_t keys, values, channels;  // of all heads together
  int64_t n_history;               // columns that the convolution looks back
  int64_t state_size() const { return value_heads * key_dim * value_dim; }
};

struct Buffers {
  float* qkv;   // [n_rows, channels] before the convolution
  float* conv;  // and after; then q and k are normalised in it
  float* z;
  float* ba;
  float* decay;
  float* beta;
  float* delta;
};

// One row of qkvz, per key head q, k, its value heads' v and z, to all heads' q, k, v and all heads' z.
void Separate(const Shape& s, const float* qkvz, float* qkv, float* z) {
  const int64_t per_key = s.heads_per_key * s.value_dim;
  const auto copy = [&](float* to, int64_t n) {
    std::memcpy(to, qkvz, static_cast<size_t>(n) * sizeof(float));
    qkvz += n;
  };
  for (int64_t h = 0; h < s.key_heads; ++h) {
    copy(qkv + h * s.key_dim, s.key_dim);
    copy(qkv + s.keys + h * s.key_dim, s.key_dim);
    copy(qkv + 2 * s.keys + h * per_key, per_key);
    copy(z + h * per_key, per_key);
  }
}

void Project(const DeltaNetWeights& w, const Shape& s, const float* h, const Buffers& b, ForwardContext& ctx) {
  const kernels::RowsIn in = ctx.In(h, ctx.config.d_model);
  const kernels::MatMulJob ba{.weights = &w.ba, .x = in, .y = {b.ba, 2 * s.value_heads}, .bias = nullptr, .gather = {}};
  if (w.qkvz.rows() == 0) {
    const std::array<kernels::MatMulJob, 3> jobs{{
        {.weights = &w.qkv, .x = in, .y = {b.qkv, s.channels}, .bias = nullptr, .gather = {}},
        {.weights = &w.z, .x = in, .y = {b.z, s.values}, .bias = nullptr, .gather = {}},
        ba,
    }};
    kernels::MatMul(jobs, ctx.act.matmul, ctx.pool);
    return;
  }
  const int64_t width = s.channels + s.values;
  float* qkvz = ctx.act.qkvz.Get(static_cast<size_t>(ctx.n_rows() * width));
  const std::array<kernels::MatMulJob, 2> jobs{{
      {.weights = &w.qkvz, .x = in, .y = {qkvz, width}, .bias = nullptr, .gather = {}},
      ba,
  }};
  kernels::MatMul(jobs, ctx.act.matmul, ctx.pool);
  ctx.ForRows(width,
              [&](int64_t row) { Separate(s, qkvz + row * width, b.qkv + row * s.channels, b.z + row * s.values); });
}

// Per key head the betas of its value heads, then their decays.
void Gates(const DeltaNetWeights& w, const Shape& s, const float* ba, float* decay, float* beta) {
  for (int64_t head = 0; head < s.value_heads; ++head) {
    const float* group = ba + head / s.heads_per_key * 2 * s.heads_per_key;
    const int64_t i = head % s.heads_per_key;
    const auto h = static_cast<size_t>(head);
    beta[head] = kernels::Sigmoid(group[i]);
    decay[head] = std::exp(w.decay_rate[h] * kernels::Softplus(group[s.heads_per_key + i] + w.dt_bias[h]));
  }
}

// Everything of one row that needs no state but the columns before it.
void PrepareRow(const DeltaNetWeights& w, const Shape& s, const BatchRun& run, const float* history, int row,
                const Buffers& b) {
  std::array<const float*, kernels::kMaxConvWidth> columns{};
  for (int64_t i = 0; i <= s.n_history; ++i) {
    const int64_t at = row - run.first_row - s.n_history + i;  // inside the run; the history ends at -1
    columns[static_cast<size_t>(i)] =
        at >= 0 ? b.qkv + (run.first_row + at) * s.channels : history + (s.n_history + at) * s.channels;
  }
  float* out = b.conv + row * s.channels;
  kernels::ConvSilu(columns.data(), static_cast<int>(s.n_history + 1), w.conv.data(), s.channels, out);
  const auto key_heads = static_cast<int>(s.key_heads);
  kernels::L2NormHeads(out, key_heads, s.key_dim, kL2Eps, 1.0F / std::sqrt(static_cast<float>(s.key_dim)));
  kernels::L2NormHeads(out + s.keys, key_heads, s.key_dim, kL2Eps, 1.0F);
  Gates(w, s, b.ba + row * 2 * s.value_heads, b.decay + row * s.value_heads, b.beta + row * s.value_heads);
}

// The last columns of history and rows together.
void KeepHistory(const Shape& s, const BatchRun& run, const float* qkv, float* history) {
  const int64_t n_new = std::min<int64_t>(run.n_rows, s.n_history);
  const int64_t n_old = s.n_history - n_new;
  const auto bytes = [&](int64_t n) { return static_cast<size_t>(n * s.channels) * sizeof(float); };
  std::memmove(history, history + n_new * s.channels, bytes(n_old));
  std::memcpy(history + n_old * s.channels, qkv + (run.first_row + run.n_rows - n_new) * s.channels, bytes(n_new));
}

void Recur(const Shape& s, const BatchRun& run, float* state, int64_t head, const Buffers& b) {
  const int64_t row = run.first_row;
  const float* x = b.conv + row * s.channels;
  const int64_t key_head = head / s.heads_per_key;
  kernels::DeltaSteps({.state = state + head * s.key_dim * s.value_dim,
                       .key_dim = static_cast<int>(s.key_dim),
                       .value_dim = static_cast<int>(s.value_dim),
                       .n_tokens = run.n_rows,
                       .q = x + key_head * s.key_dim,
                       .k = x + s.keys + key_head * s.key_dim,
                       .qk_stride = s.channels,
                       .v = x + 2 * s.keys + head * s.value_dim,
                       .v_stride = s.channels,
                       .decay = b.decay + row * s.value_heads + head,
                       .beta = b.beta + row * s.value_heads + head,
                       .gate_stride = s.value_heads,
                       .out = b.delta + row * s.values + head * s.value_dim,
                       .out_stride = s.values});
}

Buffers BuffersFor(const Shape& s, ForwardContext& ctx) {
  const auto floats = [&](int64_t width) { return static_cast<size_t>(ctx.n_rows() * width); };
  ActivationsBody& act = ctx.act;
  return {.qkv = act.qkv.Get(floats(s.channels)),
          .conv = act.conv.Get(floats(s.channels)),
          .z = act.z.Get(floats(s.values)),
          .ba = act.ba.Get(floats(2 * s.value_heads)),
          .decay = act.decay.Get(floats(s.value_heads)),
          .beta = act.beta.Get(floats(s.value_heads)),
          .delta = act.delta.Get(floats(s.values))};
}

// States and histories of all runs from b.qkv on, the recurrence's outputs into b.delta.
void RunSequences(const DeltaNetWeights& w, const Shape& s, int state_idx, const Buffers& b, ForwardContext& ctx) {
  const std::vector<BatchRun>& runs = ctx.act.runs;
  const auto history_of = [&](const BatchRun& run) { return run.sequence->state(state_idx) + s.state_size(); };
  ctx.ForRows(s.channels, [&](int64_t row) {
    const auto after = std::ranges::upper_bound(runs, static_cast<int>(row), {}, &BatchRun::first_row);
    const BatchRun& run = *std::prev(after);
    PrepareRow(w, s, run, history_of(run), static_cast<int>(row), b);
  });
  for (const BatchRun& run : runs) KeepHistory(s, run, b.qkv, history_of(run));
  const auto heads = static_cast<size_t>(s.value_heads);
  ctx.pool.ParallelFor(runs.size() * heads, [&](size_t piece, int) {
    const BatchRun& run = runs[piece / heads];
    Recur(s, run, run.sequence->state(state_idx), static_cast<int64_t>(piece % heads), b);
  });
}

}  // namespace

void DeltaNetBlock(const LayerWeights& weights, ForwardContext& ctx) {
  const ModelConfig& c = ctx.config;
  const DeltaNetWeights& w = weights.delta_net;
  ActivationsBody& act = ctx.act;
  const Shape s(c);
  const auto n = static_cast<size_t>(ctx.n_rows());
  const Buffers b = BuffersFor(s, ctx);
  float* h = act.normed.Get(n * static_cast<size_t>(c.d_model));
  kernels::RmsNorm(ctx.In(ctx.x, c.d_model), weights.mixer_norm, c.norm_eps, {h, c.d_model}, ctx.pool);
  Project(w, s, h, b, ctx);
  RunSequences(w, s, weights.kind_idx, b, ctx);
  ctx.ForRows(s.values, [&](int64_t row) {
    float* out = b.delta + row * s.values;
    kernels::RmsNormHeads(out, static_cast<int>(s.value_heads), w.norm, c.norm_eps);
    kernels::SiluMul(b.z + row * s.values, out, s.values, out);
  });
  float* out = act.down.Get(n * static_cast<size_t>(c.d_model));
  kernels::MatMul(
      {.weights = &w.out, .x = ctx.In(b.delta, s.values), .y = {out, c.d_model}, .bias = nullptr, .gather = {}},
      act.matmul, ctx.pool);
  kernels::Add(out, ctx.n_rows() * int64_t{c.d_model}, ctx.x);
}

}  // namespace quern::model
