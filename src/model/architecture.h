// What differs between architectures: which tensors a layer has and which blocks it runs through. One file each.
#pragma once

#include <string>

#include "base/status.h"
#include "model/config.h"
#include "model/weights.h"

namespace quern::model {

struct ForwardContext;  // forward.h

// Stateless; one constant object per architecture.
class ArchitectureForm {
 public:
  virtual ~ArchitectureForm() = default;

  // prefix: "model.layers.N." of this layer.
  virtual Result<LayerWeights> LoadLayer(WeightLoader& loader, int layer, const std::string& prefix) const = 0;

  // Adds the layer's mixer and feed-forward outputs to ctx.x.
  virtual void RunLayer(const LayerWeights& weights, int layer, ForwardContext& ctx) const = 0;
};

const ArchitectureForm& Qwen2Form();
const ArchitectureForm& Qwen3Form();
const ArchitectureForm& Qwen3MoeForm();
const ArchitectureForm& Qwen3NextForm();

const ArchitectureForm& FormOf(Architecture architecture);

}  // namespace quern::model
