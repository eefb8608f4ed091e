#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <iterator>

#include "base/check.h"
#include "kernels/delta_net.h"
#include "kernels/ops.h"
#include "model/blocks.h"
#include "model/delta_net_state.h"

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
};

struct Buffers {
  float* qkv;   // [n_rows, channels] before the convolution
  float* conv;  // and after; then q and k are normalised in it
  float* qkvz;  // [n_rows, channels + values] when the file interleaves them; dead before conv is written, in its place
  float* z;     // [n_rows, values] output gate
  float* ba;    // [n_rows, 2 * value_heads]
  float* decay;  // [n_rows, value_heads]
  float* beta;
  float* delta;  // [n_rows, values] the rule's output
  float* out;    // [n_rows, d_model]
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
  const std::array<kernels::MatMulJob, 2> jobs{{
      {.weights = &w.qkvz, .x = in, .y = {b.qkvz, width}, .bias = nullptr, .gather = {}},
      ba,
  }};
  kernels::MatMul(jobs, ctx.act.matmul, ctx.pool);
  ctx.ForRows(width,
              [&](int64_t row) { Separate(s, b.qkvz + row * width, b.qkv + row * s.channels, b.z + row * s.values); });
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

// Consecutive rows of one sequence, all of one chunk.
struct ChunkRows {
  int64_t first_row;  // of the batch
  int n_before;       // tokens of the chunk that earlier passes have taken
  int n;
};

// body(rows) for the chunks of a run, in order. position: of the run's first row.
template <typename Body>
void ForChunks(const BatchRun& run, int position, const Body& body) {
  for (int at = 0; at < run.n_rows;) {
    const int n_before = (position + at) % kernels::kDeltaChunk;
    const int n = std::min(kernels::kDeltaChunk - n_before, run.n_rows - at);
    body(ChunkRows{.first_row = run.first_row + at, .n_before = n_before, .n = n});
    at += n;
  }
}

// Value heads of one key head.
struct HeadGroup {
  int64_t key_head;
  int64_t first, n;
};

void TakeChunk(const Shape& s, const DeltaNetState& state, const HeadGroup& group, const ChunkRows& rows,
               const Buffers& b) {
  const float* x = b.conv + rows.first_row * s.channels;
  const float* q = x + group.key_head * s.key_dim;
  std::array<const float*, kernels::kDeltaChunk> keys{};
  for (int i = 0; i < rows.n_before; ++i) keys[static_cast<size_t>(i)] = state.key(group.key_head, i);
  for (int i = 0; i < rows.n; ++i) keys[static_cast<size_t>(rows.n_before + i)] = q + s.keys + i * s.channels;
  std::array<float, size_t{kernels::kDeltaChunk} * kernels::kDeltaChunk> by_key{}, by_query{};
  kernels::DeltaProducts({.key_dim = static_cast<int>(s.key_dim),
                          .n_before = rows.n_before,
                          .n_tokens = rows.n,
                          .k = keys.data(),
                          .q = q,
                          .qk_stride = s.channels,
                          .by_key = by_key.data(),
                          .by_query = by_query.data()});
  for (int64_t head = group.first; head < group.first + group.n; ++head) {
    float* decays = state.decays(head);
    for (int i = 0; i < rows.n; ++i) decays[rows.n_before + i] = b.decay[(rows.first_row + i) * s.value_heads + head];
    kernels::DeltaChunk({.state = state.matrix(head),
                         .key_dim = static_cast<int>(s.key_dim),
                         .value_dim = static_cast<int>(s.value_dim),
                         .n_before = rows.n_before,
                         .n_tokens = rows.n,
                         .k = keys.data(),
                         .decay = decays,
                         .u = state.changes(head),
                         .by_key = by_key.data(),
                         .by_query = by_query.data(),
                         .q = q,
                         .qk_stride = s.channels,
                         .v = x + 2 * s.keys + head * s.value_dim,
                         .v_stride = s.channels,
                         .beta = b.beta + rows.first_row * s.value_heads + head,
                         .gate_stride = s.value_heads,
                         .out = b.delta + rows.first_row * s.values + head * s.value_dim,
                         .out_stride = s.values});
  }
}

// The keys of the chunk that the run leaves unfinished. After all heads are done: until then earlier keys are read.
void KeepKeys(const Shape& s, const BatchRun& run, int position, const DeltaNetState& state, const Buffers& b) {
  const int n_kept = (position + run.n_rows) % kernels::kDeltaChunk;
  const int n_new = std::min(n_kept, run.n_rows);
  for (int i = 0; i < n_new; ++i) {
    const float* k = b.conv + (run.first_row + run.n_rows - n_new + i) * s.channels + s.keys;
    for (int64_t head = 0; head < s.key_heads; ++head) {
      std::copy_n(k + head * s.key_dim, s.key_dim, state.key(head, n_kept - n_new + i));
    }
  }
}

Buffers BuffersFor(const DeltaNetWeights& w, const Shape& s, ForwardContext& ctx) {
  const auto floats = [&](int64_t width) { return static_cast<size_t>(ctx.n_rows() * width); };
  const int64_t mixed = w.qkvz.rows() > 0 ? s.channels + s.values : s.channels;
  const auto [qkv, conv, z, ba, decay, beta, delta, out] =
      ctx.act.block.Get({floats(s.channels), floats(mixed), floats(s.values), floats(2 * s.value_heads),
                         floats(s.value_heads), floats(s.value_heads), floats(s.values), floats(ctx.config.d_model)});
  return {.qkv = qkv,
          .conv = conv,
          .qkvz = conv,
          .z = z,
          .ba = ba,
          .decay = decay,
          .beta = beta,
          .delta = delta,
          .out = out};
}

// States of all runs from b.qkv on, the rule's outputs into b.delta.
void RunSequences(const DeltaNetWeights& w, const Shape& s, int state_idx, const Buffers& b, ForwardContext& ctx) {
  const std::vector<BatchRun>& runs = ctx.act.runs;
  const auto state_of = [&](const BatchRun& run) { return DeltaNetState(ctx.config, run.sequence->state(state_idx)); };
  const auto position_of = [&](const BatchRun& run) { return ctx.rows[static_cast<size_t>(run.first_row)].position; };
  ctx.ForRows(s.channels, [&](int64_t row) {
    const auto after = std::ranges::upper_bound(runs, static_cast<int>(row), {}, &BatchRun::first_row);
    const BatchRun& run = *std::prev(after);
    PrepareRow(w, s, run, state_of(run).history(), static_cast<int>(row), b);
  });
  for (const BatchRun& run : runs) KeepHistory(s, run, b.qkv, state_of(run).history());
  // Value heads of a key head share its products, as long as every thread has something to do without cutting them up.
  const bool together = static_cast<int64_t>(runs.size()) * s.key_heads >= ctx.pool.n_threads();
  const int64_t n_heads = together ? s.heads_per_key : 1;
  const auto groups = static_cast<size_t>(s.value_heads / n_heads);
  ctx.pool.ParallelFor(runs.size() * groups, [&](size_t piece, int) {
    const BatchRun& run = runs[piece / groups];
    const int64_t first = static_cast<int64_t>(piece % groups) * n_heads;
    const HeadGroup group{.key_head = first / s.heads_per_key, .first = first, .n = n_heads};
    const DeltaNetState state = state_of(run);
    ForChunks(run, position_of(run), [&](const ChunkRows& rows) { TakeChunk(s, state, group, rows, b); });
  });
  for (const BatchRun& run : runs) KeepKeys(s, run, position_of(run), state_of(run), b);
}

}  // namespace

void DeltaNetBlock(const LayerWeights& weights, ForwardContext& ctx) {
  const ModelConfig& c = ctx.config;
  const DeltaNetWeights& w = weights.delta_net;
  ActivationsBody& act = ctx.act;
  const Shape s(c);
  const auto n = static_cast<size_t>(ctx.n_rows());
  const Buffers b = BuffersFor(w, s, ctx);
  float* h = act.normed.Get(n * static_cast<size_t>(c.d_model));
  kernels::RmsNorm(ctx.In(ctx.x, c.d_model), weights.mixer_norm, c.norm_eps, {h, c.d_model}, ctx.pool);
  Project(w, s, h, b, ctx);
  RunSequences(w, s, weights.kind_idx, b, ctx);
  ctx.ForRows(s.values, [&](int64_t row) {
    float* out = b.delta + row * s.values;
    kernels::RmsNormHeads(out, static_cast<int>(s.value_heads), w.norm, c.norm_eps);
    kernels::SiluMul(b.z + row * s.values, out, s.values, out);
  });
  kernels::MatMul(
      {.weights = &w.out, .x = ctx.In(b.delta, s.values), .y = {b.out, c.d_model}, .bias = nullptr, .gather = {}},
      act.matmul, ctx.pool);
  ctx.AddToX(b.out);
}

}  // namespace quern::model
