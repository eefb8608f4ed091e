// Qwen3-Coder-Next: three of four layers are gated DeltaNet, the others attention with an output gate and partly
// rotated heads; feed-forward by routed experts and one that every token shares.
#include "model/architecture.h"
#include "model/blocks.h"
#include "model/forward.h"

namespace quern::model {
namespace {

class Qwen3Next final : public ArchitectureForm {
 public:
  Result<LayerWeights> LoadLayer(WeightLoader& loader, int layer_idx, const std::string& prefix) const override {
    const bool recurrent = loader.config().KindOf(layer_idx) == LayerKind::kGatedDeltaNet;
    QUERN_ASSIGN(LayerWeights layer, recurrent ? loader.DeltaNetLayer(prefix) : loader.AttentionLayer(prefix));
    if (loader.config().IsMoeLayer(layer_idx)) {
      QUERN_ASSIGN(layer.ffn, loader.Moe(prefix + "mlp."));
    } else {
      QUERN_ASSIGN(layer.ffn, loader.Ffn(prefix + "mlp.", loader.config().d_ff, "ffn"));
    }
    return layer;
  }

  void RunLayer(const LayerWeights& weights, int /*layer*/, ForwardContext& ctx) const override {
    switch (weights.kind) {
      case LayerKind::kFullAttention:
        AttentionBlock(weights, weights.kind_idx, ctx);
        break;
      case LayerKind::kGatedDeltaNet:
        DeltaNetBlock(weights, ctx);
        break;
    }
    if (const auto* moe = std::get_if<MoeWeights>(&weights.ffn)) {
      MoeBlock(weights, *moe, ctx);
    } else {
      FfnBlock(weights, std::get<FfnWeights>(weights.ffn), ctx);
    }
  }
};

}  // namespace

const ArchitectureForm& Qwen3NextForm() {
  static const Qwen3Next form;
  return form;
}

}  // namespace quern::model
