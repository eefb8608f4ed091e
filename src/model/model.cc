#include "model/model.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "kernels/ops.h"
#include "model/activations.h"
#include "model/architecture.h"
#include "model/delta_net_state.h"
#include "model/forward.h"
#include "model/kv_pool.h"
#include "model/rope.h"
#include "model/weights.h"

namespace quern::model {
namespace {

kernels::KvLayout LayoutOf(const ModelConfig& config, kernels::KvTypes types) {
  return {.types = types, .page_tokens = kKvPageTokens, .n_kv_heads = config.n_kv_heads, .head_dim = config.head_dim};
}

constexpr int kMtpLayers = 1;

// What the kernels' fixed-size scratch asks for beyond the config's own limits.
Result<void> CheckKernelLimits(const ModelConfig& config) {
  if (config.head_dim > kernels::kMaxHeadDim || config.head_dim % 2 != 0) {
    return Error(Code::kUnsupported, fmt::format("head_dim {}: expected an even number of at most {}", config.head_dim,
                                                 kernels::kMaxHeadDim));
  }
  if (config.n_heads / config.n_kv_heads > kernels::kMaxGroup) {
    return Error(Code::kUnsupported, fmt::format("{} query heads share a KV head ({} / {}), expected at most {}",
                                                 config.n_heads / config.n_kv_heads, config.n_heads, config.n_kv_heads,
                                                 kernels::kMaxGroup));
  }
  return {};
}

class ModelBody final : public Model {
 public:
  ModelBody(std::shared_ptr<const Checkpoint> checkpoint, ModelConfig config, Weights weights)
      : checkpoint_(std::move(checkpoint)),
        config_(std::move(config)),
        weights_(std::move(weights)),
        rope_(config_),
        form_(FormOf(config_.architecture)) {}

  const ModelConfig& config() const override { return config_; }
  const Checkpoint& checkpoint() const override { return *checkpoint_; }
  std::vector<TensorClassInfo> DescribeTensors() const override { return weights_.classes; }
  uint64_t weight_bytes() const override { return weights_.n_bytes; }
  const Weights* weights() const override { return &weights_; }
  kernels::KvTypes default_kv_types() const override { return {weights_.kv_type, weights_.kv_type}; }
  StateLayout state_layout() const {
    return {.n_layers = config().CountLayers(LayerKind::kGatedDeltaNet),
            .floats_per_layer = static_cast<size_t>(DeltaNetState::FloatsOf(config()))};
  }

  Result<ForwardResult> Forward(std::span<const Segment> segments, Activations& activations, ThreadPool& pool,
                                const LayerObserver* observer) const override;

  bool has_mtp() const override { return weights_.mtp.has_value(); }
  Result<ForwardResult> ForwardMtp(std::span<const MtpSegment> segments, Activations& activations,
                                   ThreadPool& pool) const override;

 private:
  // What the sequences' pool must hold: the model's layers, or the one of the head.
  struct PoolShape {
    int n_layers;
    StateLayout states;
  };

  Result<void> CheckSegments(std::span<const Segment> segments, const PoolShape& shape) const;
  void FillRows(std::span<const Segment> segments, ActivationsBody& act) const;
  ForwardContext Begin(const EmbeddingTable& embedding, ActivationsBody& act, ThreadPool& pool) const;
  void MixMtpInput(std::span<const MtpSegment> segments, ForwardContext& ctx) const;
  void LeaveOutUnwanted(ForwardContext& ctx) const;
  ForwardResult Finish(std::span<const float> norm, const kernels::Matrix& head, ForwardContext& ctx,
                       const LayerObserver* observer) const;

  std::shared_ptr<const Checkpoint> checkpoint_;
  ModelConfig config_;
  Weights weights_;
  RopeTable rope_;
  const ArchitectureForm& form_;
};

Result<void> ModelBody::CheckSegments(std::span<const Segment> segments, const PoolShape& shape) const {
  const ModelConfig& c = config();
  if (segments.empty()) return Error(Code::kInvalidArgument, "forward: no segments");
  for (size_t i = 0; i < segments.size(); ++i) {
    const Segment& segment = segments[i];
    if (segment.tokens.empty()) return Error(Code::kInvalidArgument, fmt::format("forward: segment {} is empty", i));
    for (size_t j = 0; j < i; ++j) {
      if (segments[j].sequence == segment.sequence) {
        return Error(Code::kInvalidArgument, fmt::format("forward: segments {} and {} name one sequence", j, i));
      }
    }
    const auto& sequence = static_cast<const SequenceStateBody&>(*segment.sequence);
    const kernels::KvLayout& layout = sequence.pool().layout();
    // A pool of another model, or one for the head given to the model.
    QUERN_CHECK(layout == LayoutOf(c, layout.types) && sequence.pool().n_layers() == shape.n_layers &&
                sequence.pool().states() == shape.states);
    const int64_t end = sequence.n_tokens() + static_cast<int64_t>(segment.tokens.size());
    if (end > c.context_length) {
      return Error(Code::kInvalidArgument, fmt::format("forward: segment {} reaches position {}, the context holds {}",
                                                       i, end, c.context_length));
    }
    if (end > sequence.n_reserved()) {
      return Error(Code::kInvalidArgument, fmt::format("forward: segment {} reaches position {}, {} are reserved", i,
                                                       end, sequence.n_reserved()));
    }
    if (!sequence.CanContinue()) {
      return Error(Code::kInvalidArgument, fmt::format("forward: segment {}: an earlier forward pass broke off in this "
                                                       "sequence after {} tokens",
                                                       i, sequence.n_tokens()));
    }
    for (const TokenId id : segment.tokens) {
      if (id < 0 || id >= c.vocab) {
        return Error(Code::kInvalidArgument, fmt::format("forward: token id {}, expected 0 to {}", id, c.vocab - 1));
      }
    }
  }
  return {};
}

void ModelBody::FillRows(std::span<const Segment> segments, ActivationsBody& act) const {
  act.rows.clear();
  act.logit_rows.clear();
  act.runs.clear();
  for (const Segment& segment : segments) {
    auto* sequence = static_cast<SequenceStateBody*>(segment.sequence);
    act.runs.push_back({sequence, static_cast<int>(act.rows.size()), static_cast<int>(segment.tokens.size())});
    for (size_t i = 0; i < segment.tokens.size(); ++i) {
      const bool wants_logits =
          segment.logits == LogitsFor::kAll || (segment.logits == LogitsFor::kLast && i + 1 == segment.tokens.size());
      if (wants_logits) act.logit_rows.push_back(static_cast<int32_t>(act.rows.size()));
      act.rows.push_back({sequence, segment.tokens[i], sequence->n_tokens() + static_cast<int>(i)});
    }
  }
}

ForwardContext ModelBody::Begin(const EmbeddingTable& embedding, ActivationsBody& act, ThreadPool& pool) const {
  const auto d_model = static_cast<size_t>(config().d_model);
  const auto n_pairs = static_cast<size_t>(rope_.n_pairs());
  float* x = act.x.Get(act.rows.size() * d_model);
  float* cos = act.cos.Get(act.rows.size() * n_pairs);
  float* sin = act.sin.Get(act.rows.size() * n_pairs);
  const ForwardContext ctx{.config = config(),
                           .rows = act.rows,
                           .act = act,
                           .pool = pool,
                           .x = x,
                           .cos = cos,
                           .sin = sin,
                           .n_rope_pairs = rope_.n_pairs()};
  // A sine takes as long as some twenty additions.
  ctx.ForRows(config().d_model + 40 * rope_.n_pairs(), [&](int64_t row) {
    const auto r = static_cast<size_t>(row);
    embedding.Read(act.rows[r].token, x + r * d_model);
    rope_.Fill(act.rows[r].position, cos + r * n_pairs, sin + r * n_pairs);
  });
  return ctx;
}

// What nobody asks for is not computed: in the last layer rows without logits need to leave their keys and values
// behind and nothing else. With a multi-token prediction head every row's hidden state is of use. (No published model
// ends in a recurrent layer; there all rows go on.)
void ModelBody::LeaveOutUnwanted(ForwardContext& ctx) const {
  const bool last_attends = config().KindOf(config().n_layers - 1) == LayerKind::kFullAttention;
  if (last_attends && !has_mtp() && ctx.act.logit_rows.size() < ctx.rows.size()) ctx.wanted = &ctx.act.logit_rows;
}

ForwardResult ModelBody::Finish(std::span<const float> norm, const kernels::Matrix& head, ForwardContext& ctx,
                                const LayerObserver* observer) const {
  const ModelConfig& c = config();
  const auto d_model = static_cast<size_t>(c.d_model);
  if (ctx.rows.empty()) return {};
  float* normed = ctx.act.normed.Get(ctx.rows.size() * d_model);
  kernels::RmsNorm(ctx.In(ctx.x, c.d_model), norm, c.norm_eps, {normed, c.d_model}, ctx.pool);
  const std::span<const float> all_normed(normed, ctx.rows.size() * d_model);
  if (observer != nullptr) (*observer)(c.n_layers, all_normed, ctx.n_rows());

  const auto hidden = has_mtp() ? all_normed : std::span<const float>();
  const std::vector<int32_t>& wanted = ctx.act.logit_rows;
  if (wanted.empty()) return {.logits = {}, .n_rows = 0, .hidden = hidden};
  const size_t n_logits = wanted.size() * static_cast<size_t>(c.vocab);
  float* logits = ctx.act.logits.Get(n_logits);
  const bool all = wanted.size() == ctx.rows.size();
  kernels::MatMul({.weights = &head,
                   .x = ctx.In(normed, c.d_model),
                   .y = {logits, c.vocab},
                   .bias = nullptr,
                   .gather = all ? std::span<const int32_t>() : std::span<const int32_t>(wanted)},
                  ctx.act.matmul, ctx.pool);
  return {.logits = {logits, n_logits}, .n_rows = static_cast<int>(wanted.size()), .hidden = hidden};
}

Result<ForwardResult> ModelBody::Forward(std::span<const Segment> segments, Activations& activations, ThreadPool& pool,
                                         const LayerObserver* observer) const {
  QUERN_TRY(CheckSegments(segments, {config().CountLayers(LayerKind::kFullAttention), state_layout()}));
  auto& act = static_cast<ActivationsBody&>(activations);
  FillRows(segments, act);
  ForwardContext ctx = Begin(weights_.embedding, act, pool);
  for (const BatchRun& run : act.runs) run.sequence->Begin();
  const std::span<const float> x(ctx.x, act.rows.size() * static_cast<size_t>(config().d_model));
  if (observer != nullptr) (*observer)(-1, x, ctx.n_rows());
  for (int layer = 0; layer < config().n_layers; ++layer) {
    if (layer + 1 == config().n_layers && observer == nullptr) LeaveOutUnwanted(ctx);
    form_.RunLayer(weights_.layers[static_cast<size_t>(layer)], layer, ctx);
    if (observer != nullptr) (*observer)(layer, x, ctx.n_rows());
  }
  const ForwardResult result = Finish(weights_.final_norm, weights_.lm_head, ctx, observer);
  for (const BatchRun& run : act.runs) run.sequence->Advance(run.n_rows);
  return result;
}

// x = fc(norm(embedding) | norm(hidden)); the embeddings are in x.
void ModelBody::MixMtpInput(std::span<const MtpSegment> segments, ForwardContext& ctx) const {
  const MtpWeights& w = *weights_.mtp;
  const int64_t d_model = config().d_model;
  float* pairs = ctx.act.mtp_input.Get(ctx.rows.size() * 2 * static_cast<size_t>(d_model));
  kernels::RmsNorm(ctx.In(ctx.x, d_model), w.token_norm, config().norm_eps, {pairs, 2 * d_model}, ctx.pool);
  int64_t row = 0;
  for (const MtpSegment& segment : segments) {
    const auto n = static_cast<int64_t>(segment.tokens.size());
    kernels::RmsNorm({segment.hidden.data(), n, d_model}, w.hidden_norm, config().norm_eps,
                     {pairs + row * 2 * d_model + d_model, 2 * d_model}, ctx.pool);
    row += n;
  }
  kernels::MatMul(
      {.weights = &w.fc, .x = ctx.In(pairs, 2 * d_model), .y = {ctx.x, d_model}, .bias = nullptr, .gather = {}},
      ctx.act.matmul, ctx.pool);
}

Result<ForwardResult> ModelBody::ForwardMtp(std::span<const MtpSegment> segments, Activations& activations,
                                            ThreadPool& pool) const {
  if (!has_mtp()) return Model::ForwardMtp(segments, activations, pool);
  const auto d_model = static_cast<size_t>(config().d_model);
  std::vector<Segment> rows;
  for (const MtpSegment& segment : segments) {
    if (segment.hidden.size() != segment.tokens.size() * d_model) {
      return Error(Code::kInvalidArgument, fmt::format("forward: {} hidden values for {} tokens, expected {} each",
                                                       segment.hidden.size(), segment.tokens.size(), d_model));
    }
    rows.push_back({.sequence = segment.sequence, .tokens = segment.tokens, .logits = segment.logits});
  }
  QUERN_TRY(CheckSegments(rows, {.n_layers = kMtpLayers, .states = {}}));
  const MtpWeights& w = *weights_.mtp;
  auto& act = static_cast<ActivationsBody&>(activations);
  FillRows(rows, act);
  ForwardContext ctx = Begin(w.embedding, act, pool);
  MixMtpInput(segments, ctx);
  form_.RunLayer(w.layer, config().n_layers, ctx);
  const bool own_head = w.lm_head.rows() > 0;
  const ForwardResult result = Finish(w.final_norm, own_head ? w.lm_head : weights_.lm_head, ctx, nullptr);
  for (const BatchRun& run : act.runs) run.sequence->Advance(run.n_rows);
  return result;
}

}  // namespace

Result<std::unique_ptr<KvPool>> KvPool::Create(const Model& model, int n_pages, std::optional<kernels::KvTypes> types) {
  const auto& body = static_cast<const ModelBody&>(model);
  return KvPoolBody::Map(LayoutOf(model.config(), types.value_or(model.default_kv_types())),
                         model.config().CountLayers(LayerKind::kFullAttention), n_pages, body.state_layout());
}

Result<std::unique_ptr<KvPool>> KvPool::CreateForMtp(const Model& model, int n_pages,
                                                     std::optional<kernels::KvTypes> types) {
  if (!model.has_mtp()) return Error(Code::kUnsupported, "KV pool: the model has no multi-token prediction head");
  return KvPoolBody::Map(LayoutOf(model.config(), types.value_or(model.default_kv_types())), kMtpLayers, n_pages);
}

std::unique_ptr<Activations> Activations::Create() { return std::make_unique<ActivationsBody>(); }

Result<std::unique_ptr<Model>> Model::Load(const std::filesystem::path& path, const LoadOptions& options) {
  QUERN_ASSIGN(std::shared_ptr<const Checkpoint> checkpoint, Checkpoint::Open(path));
  return Load(std::move(checkpoint), options);
}

Result<std::unique_ptr<Model>> Model::Load(std::shared_ptr<const Checkpoint> checkpoint, const LoadOptions& options) {
  if (auto fits = CheckKernelLimits(checkpoint->config()); !fits) {
    return std::unexpected(fits.error().WithContext(checkpoint->path().string()));
  }
  ModelConfig config = checkpoint->config();
  if (options.yarn_factor.has_value()) {
    QUERN_ASSIGN(config, WithYarn(std::move(config), *options.yarn_factor));
  }
  QUERN_ASSIGN(Weights weights, LoadWeights(*checkpoint, options.progress, options.packed.get()));
  return std::make_unique<ModelBody>(std::move(checkpoint), std::move(config), std::move(weights));
}

}  // namespace quern::model
