// Qwen3-Coder 30B-A3B and 480B-A35B: attention as qwen3; feed-forward by routed experts in all layers but those that
// the config names as dense.
#include "model/architecture.h"
#include "model/blocks.h"
#include "model/forward.h"

namespace quern::model {
namespace {

class Qwen3Moe final : public ArchitectureForm {
 public:
  Result<LayerWeights> LoadLayer(WeightLoader& loader, int layer_idx, const std::string& prefix) const override {
    QUERN_ASSIGN(LayerWeights layer, loader.AttentionLayer(prefix));
    if (loader.config().IsMoeLayer(layer_idx)) {
      QUERN_ASSIGN(layer.ffn, loader.Moe(prefix + "mlp."));
    } else {
      QUERN_ASSIGN(layer.ffn, loader.Ffn(prefix + "mlp.", loader.config().d_ff, "ffn"));
    }
    return layer;
  }

  void RunLayer(const LayerWeights& weights, int layer, ForwardContext& ctx) const override {
    AttentionBlock(weights, layer, ctx);
    if (const auto* moe = std::get_if<MoeWeights>(&weights.ffn)) {
      MoeBlock(weights, *moe, ctx);
    } else {
      FfnBlock(weights, std::get<FfnWeights>(weights.ffn), ctx);
    }
  }
};

}  // namespace

const ArchitectureForm& Qwen3MoeForm() {
  static const Qwen3Moe form;
  return form;
}

}  // namespace quern::model
