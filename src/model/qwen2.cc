// Qwen2.5-Coder: grouped-query attention with biases on q, k and v; dense feed-forward.
#include "model/architecture.h"
#include "model/blocks.h"
#include "model/forward.h"

namespace quern::model {
namespace {

class Qwen2 final : public ArchitectureForm {
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

const ArchitectureForm& Qwen2Form() {
  static const Qwen2 form;
  return form;
}

}  // namespace quern::model
