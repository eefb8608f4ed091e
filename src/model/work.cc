#include "model/work.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>

#include "model/delta_net_state.h"
#include "model/mtp_names.h"

namespace quern::model {
namespace {

// Which arithmetic multiplies weights of a type.
double& KindOf(Operations& ops, DType type) {
  switch (type) {
    case DType::kF32:
    case DType::kF16:
    case DType::kF8E4M3:
      return ops.f32;
    case DType::kBF16:
      return ops.bf16;
    default:
      return ops.int8;
  }
}

bool Has(std::string_view name, std::string_view part) { return name.find(part) != std::string_view::npos; }

// See ModelWork::last_dense; as LeaveOutUnwanted in model.cc.
bool LastLayerLeavesRowsOut(const ModelConfig& config) {
  return config.n_mtp_layers == 0 && config.KindOf(config.n_layers - 1) == LayerKind::kFullAttention;
}

// Keys and values that one token stores.
double KvValues(const ModelConfig& config) {
  return 2.0 * config.CountLayers(LayerKind::kFullAttention) * config.n_kv_heads * config.head_dim;
}

// What does not depend on the weights' types.
ModelWork ShapeWork(const ModelConfig& config) {
  ModelWork work;
  const double n_attention = config.CountLayers(LayerKind::kFullAttention);
  const double n_recurrent = config.CountLayers(LayerKind::kGatedDeltaNet);
  work.n_experts = config.n_experts;
  work.experts_used = config.n_experts_used;
  work.kv_values_per_token = KvValues(config);
  // A product for the score and one for the value, of head_dim multiply-adds each.
  work.attention_ops_per_pair = 4.0 * n_attention * config.n_heads * config.head_dim;
  if (LastLayerLeavesRowsOut(config)) work.last_attention_share = 1 / n_attention;
  // The rest of a state is some tenth of its matrices.
  const double n_matrix = n_recurrent * static_cast<double>(DeltaNetState::MatrixFloatsOf(config));
  work.state_bytes = sizeof(float) * n_matrix;
  // Per element: two multiply-adds to read it, one to write; what tokens of a chunk do to each other is some hundredth.
  work.recurrent_ops_per_row = 6 * n_matrix;
  return work;
}

}  // namespace

Operations& Operations::operator+=(const Operations& other) {
  int8 += other.int8;
  bf16 += other.bf16;
  f32 += other.f32;
  return *this;
}

void MatrixWork::Add(DType type, int64_t n_out, int64_t n_in, double n_bytes) {
  const int64_t n_parameters = n_out * n_in;
  bytes += n_bytes;
  outputs += static_cast<double>(n_out);
  weights[type] += static_cast<double>(n_parameters);
  KindOf(per_row, type) += 2.0 * static_cast<double>(n_parameters);
}

MatrixWork& MatrixWork::operator+=(const MatrixWork& other) {
  bytes += other.bytes;
  outputs += other.outputs;
  for (const auto& [type, n] : other.weights) weights[type] += n;
  per_row += other.per_row;
  return *this;
}

double ModelWork::ExpertShare(double n_rows) const {
  return n_experts == 0 ? 0 : 1 - std::pow(1 - experts_used / n_experts, n_rows);
}

ModelWork WorkOf(const Checkpoint& checkpoint) {
  const ModelConfig& config = checkpoint.config();
  ModelWork work = ShapeWork(config);
  const std::string last = fmt::format("model.layers.{}.", config.n_layers - 1);
  for (const StoredTensor& tensor : checkpoint.tensors()) {
    if (tensor.name.starts_with(kMtpPrefix) || tensor.shape.size() != 2 || Has(tensor.name, "conv1d") ||
        Has(tensor.name, "scale_inv")) {
      continue;
    }
    MatrixWork* group = &work.dense;
    if (Has(tensor.name, "embed_tokens")) {
      if (!config.tied_embeddings) continue;  // single rows are looked up
      group = &work.head;
    } else if (Has(tensor.name, "lm_head")) {
      if (config.tied_embeddings) continue;
      group = &work.head;
    } else if (Has(tensor.name, ".mlp.experts.")) {
      group = &work.experts;
    }
    const auto n_bytes = static_cast<double>(tensor.bytes.size());
    group->Add(tensor.dtype, tensor.shape[0], tensor.shape[1], n_bytes);
    const bool left_out = LastLayerLeavesRowsOut(config) && tensor.name.starts_with(last) &&
                          !Has(tensor.name, ".k_proj.") && !Has(tensor.name, ".v_proj.");
    if (!left_out) continue;
    (group == &work.experts ? work.last_experts : work.last_dense)
        .Add(tensor.dtype, tensor.shape[0], tensor.shape[1], n_bytes);
  }
  return work;
}

ModelWork WorkOf(const ModelConfig& config, DType type, double bytes_per_weight) {
  ModelWork work = ShapeWork(config);
  int layer = 0;
  const auto add_as = [&](DType t, double bytes, MatrixWork& group, MatrixWork& last, int64_t n_out, int64_t n_in) {
    const double n_bytes = bytes * static_cast<double>(n_out * n_in);
    group.Add(t, n_out, n_in, n_bytes);
    if (layer + 1 == config.n_layers && LastLayerLeavesRowsOut(config)) last.Add(t, n_out, n_in, n_bytes);
  };
  const auto add_dense = [&](int64_t n_out, int64_t n_in) {
    add_as(type, bytes_per_weight, work.dense, work.last_dense, n_out, n_in);
  };
  const auto add_keys = [&](int64_t n_out, int64_t n_in) {
    work.dense.Add(type, n_out, n_in, bytes_per_weight * static_cast<double>(n_out * n_in));
  };
  const auto add_ffn = [&](int64_t d_ff) {
    add_dense(2 * d_ff, config.d_model);
    add_dense(config.d_model, d_ff);
  };
  const int64_t d = config.d_model;
  const int64_t queries = int64_t{config.n_heads} * config.head_dim;
  const int64_t values = int64_t{config.n_linear_value_heads} * config.linear_value_dim;
  for (; layer < config.n_layers; ++layer) {
    if (config.KindOf(layer) == LayerKind::kGatedDeltaNet) {
      add_dense(config.ConvChannels() + values + 2 * int64_t{config.n_linear_value_heads}, d);
      add_dense(d, values);
    } else {
      const int64_t keys = int64_t{config.n_kv_heads} * config.head_dim;
      add_dense((config.attention_gate ? 2 : 1) * queries, d);
      add_dense(d, queries);
      add_keys(2 * keys, d);
    }
    if (!config.IsMoeLayer(layer)) {
      add_ffn(config.d_ff);
      continue;
    }
    const auto add_experts = [&](int64_t n_out, int64_t n_in) {
      add_as(type, bytes_per_weight, work.experts, work.last_experts, config.n_experts * n_out, n_in);
    };
    add_experts(2 * int64_t{config.d_ff_expert}, d);
    add_experts(d, config.d_ff_expert);
    if (config.d_ff_shared > 0) add_ffn(config.d_ff_shared);
    const int64_t n_routed = config.n_experts + (config.d_ff_shared > 0 ? 1 : 0);
    add_as(DType::kF32, 4.0, work.dense, work.last_dense, n_routed, d);
  }
  work.head.Add(type, config.vocab, d, bytes_per_weight * static_cast<double>(d * config.vocab));
  return work;
}

StepWork& StepWork::operator+=(const StepWork& other) {
  weight_bytes += other.weight_bytes;
  kv_bytes += other.kv_bytes;
  state_bytes += other.state_bytes;
  ops += other.ops;
  attention += other.attention;
  recurrent_ops += other.recurrent_ops;
  return *this;
}

KvWork KvWorkOf(const ModelConfig& config, kernels::KvTypes types) {
  // Scores and sums of values are half of the operations each.
  const auto share = [&](kernels::KvType type) {
    return ((types.k == type ? 1.0 : 0.0) + (types.v == type ? 1.0 : 0.0)) / 2;
  };
  return {.value_bytes = static_cast<double>(config.KvBytesPerToken(types)) / KvValues(config),
          .i16_share = share(kernels::KvType::kI16),
          .bf16_share = share(kernels::KvType::kBF16)};
}

double ActivationBytes(const ModelWork& model, const StepShape& step) {
  constexpr double kTimes = 4;
  const double chosen = model.n_experts > 0 ? model.experts_used / model.n_experts : 0;
  return kTimes * sizeof(float) *
         (step.n_rows * (model.dense.outputs + chosen * model.experts.outputs) +
          step.n_logit_rows * model.head.outputs);
}

double AttentionOps(const ModelWork& model, const StepShape& step) {
  const double left_out = (step.n_rows - step.n_logit_rows) / step.n_rows;
  return model.attention_ops_per_pair * step.pairs * (1 - model.last_attention_share * left_out);
}

StepWork WorkOf(const ModelWork& model, const StepShape& step, const KvWork& kv) {
  StepWork work;
  work.weight_bytes =
      model.dense.bytes + model.ExpertBytes(step.n_rows) + (step.n_logit_rows > 0 ? model.head.bytes : 0);
  work.kv_bytes = step.kv_tokens * model.kv_values_per_token * kv.value_bytes;
  const double chunks = step.n_rows / step.n_sequences / kernels::kDeltaChunk;
  work.state_bytes = (1 + std::min(1.0, chunks)) * step.n_sequences * model.state_bytes;
  work.ops = model.dense.per_row * step.n_rows;
  if (model.n_experts > 0) {
    work.ops += model.experts.per_row * (step.n_rows * model.experts_used / model.n_experts);
  }
  work.ops += model.head.per_row * step.n_logit_rows;
  const double left_out = step.n_rows - step.n_logit_rows;
  work.ops += model.last_dense.per_row * -left_out;
  if (model.n_experts > 0) {
    work.ops += model.last_experts.per_row * (-left_out * model.experts_used / model.n_experts);
  }
  const double attention = AttentionOps(model, step);
  // A dot product takes half as many 16-bit integers as 8-bit ones, so one operation counts for two.
  work.attention = {.int8 = 2 * attention * kv.i16_share,
                    .bf16 = attention * kv.bf16_share,
                    .f32 = attention * (1 - kv.i16_share - kv.bf16_share)};
  work.recurrent_ops = model.recurrent_ops_per_row * step.n_rows;
  return work;
}

}  // namespace quern::model
