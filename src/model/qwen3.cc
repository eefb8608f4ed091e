// Qwen3 dense: RMSNorm on each head of q and k before the rotary embedding, no biases; dense feed-forward.
#include "model/architecture.h"
#include "model/blocks.h"
#include "model/forward.h"

namespace quern::model {
namespace {

class Qwen3 final : public ArchitectureForm {
 public:
  Result<LayerWeights> LoadLayer(WeightLoader& loader, int /*layer*/, const std::string& prefix) const override {
    QUERN_ASSIGN(LayerWeights layer, loader.AttentionLayer(prefix));
    QUERN_ASSIGN(layer.ffn, loader.Ffn(prefix + "mlp.", loader.config().d_ff, "ffn"));
    return layer;
  }

  void RunLayer(const LayerWeights& weights, int layer, ForwardContext& ctx) const override {
    AttentionBlock(weights, layer, ctx);
    FfnBlock(weights, std::get<FfnWeights>(weights.ffn), ctx);
  }
};

}  // namespace

const ArchitectureForm& Qwen3Form() {
  static const Qwen3 form;
  return form;
}

}  // namespace quern::model
