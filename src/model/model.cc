#include "model/model.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "kernels/ops.h"
#include "model/activations.h"
#include "model/architecture.h"
#include "model/forward.h"
#include "model/kv_pool.h"
#include "model/rope.h"
#include "model/weights.h"

namespace quern::model {
namespace {

kernels::KvLayout LayoutOf(const ModelConfig& config, kernels::KvTypes types) {
  return {.types = types, .page_tokens = kKvPageTokens, .n_kv_heads = config.n_kv_heads, .head_dim = config.head_dim};
}

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
            .floats_per_layer = static_cast<size_t>(config().StateFloatsPerLayer())};
  }

  Result<ForwardResult> Forward(std::span<const Segment> segments, Activations& activations, ThreadPool& pool,
                                const LayerObserver* observer) const override;

 private:
  Result<void> CheckSegments(std::span<const Segment> segments) const;
  void FillRows(std::span<const Segment> segments, ActivationsBody& act) const;
  ForwardContext Begin(ActivationsBody& act, ThreadPool& pool) const;
  ForwardResult Finish(ForwardContext& ctx, const LayerObserver* observer) const;

  std::shared_ptr<const Checkpoint> checkpoint_;
  ModelConfig config_;
  Weights weights_;
  RopeTable rope_;
  const ArchitectureForm& form_;
};

Result<void> ModelBody::CheckSegments(std::span<const Segment> segments) const {
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
    QUERN_CHECK(layout == LayoutOf(c, layout.types) &&
                sequence.pool().n_layers() == c.CountLayers(LayerKind::kFullAttention) &&
                sequence.pool().states() == state_layout());  // a pool of another model
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

ForwardContext ModelBody::Begin(ActivationsBody& act, ThreadPool& pool) const {
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
    weights_.embedding.Read(act.rows[r].token, x + r * d_model);
    rope_.Fill(act.rows[r].position, cos + r * n_pairs, sin + r * n_pairs);
  });
  return ctx;
}

ForwardResult ModelBody::Finish(ForwardContext& ctx, const LayerObserver* observer) const {
  const ModelConfig& c = config();
  const auto d_model = static_cast<size_t>(c.d_model);
  float* normed = ctx.act.normed.Get(ctx.rows.size() * d_model);
  kernels::RmsNorm(ctx.In(ctx.x, c.d_model), weights_.final_norm, c.norm_eps, {normed, c.d_model}, ctx.pool);
  if (observer != nullptr) (*observer)(c.n_layers, {normed, ctx.rows.size() * d_model}, ctx.n_rows());

  const std::vector<int32_t>& wanted = ctx.act.logit_rows;
  if (wanted.empty()) return {};
  const size_t n_logits = wanted.size() * static_cast<size_t>(c.vocab);
  float* logits = ctx.act.logits.Get(n_logits);
  kernels::MatMul({.weights = &weights_.lm_head,
                   .x = ctx.In(normed, c.d_model),
                   .y = {logits, c.vocab},
                   .bias = nullptr,
                   .gather = wanted},
                  ctx.act.matmul, ctx.pool);
  return {.logits = {logits, n_logits}, .n_rows = static_cast<int>(wanted.size())};
}

Result<ForwardResult> ModelBody::Forward(std::span<const Segment> segments, Activations& activations, ThreadPool& pool,
                                         const LayerObserver* observer) const {
  QUERN_TRY(CheckSegments(segments));
  auto& act = static_cast<ActivationsBody&>(activations);
  FillRows(segments, act);
  ForwardContext ctx = Begin(act, pool);
  for (const BatchRun& run : act.runs) run.sequence->Begin();
  const std::span<const float> x(ctx.x, act.rows.size() * static_cast<size_t>(config().d_model));
  if (observer != nullptr) (*observer)(-1, x, ctx.n_rows());
  for (int layer = 0; layer < config().n_layers; ++layer) {
    form_.RunLayer(weights_.layers[static_cast<size_t>(layer)], layer, ctx);
    if (observer != nullptr) (*observer)(layer, x, ctx.n_rows());
  }
  const ForwardResult result = Finish(ctx, observer);
  for (const BatchRun& run : act.runs) run.sequence->Advance(run.n_rows);
  return result;
}

}  // namespace

Result<std::unique_ptr<KvPool>> KvPool::Create(const Model& model, int n_pages, std::optional<kernels::KvTypes> types) {
  const auto& body = static_cast<const ModelBody&>(model);
  return KvPoolBody::Map(LayoutOf(model.config(), types.value_or(model.default_kv_types())),
                         model.config().CountLayers(LayerKind::kFullAttention), n_pages, body.state_layout());
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
