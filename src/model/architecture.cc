#include "model/architecture.h"

#include "base/check.h"

namespace quern::model {

const ArchitectureForm& FormOf(Architecture architecture) {
  switch (architecture) {
    case Architecture::kQwen2:
      return Qwen2Form();
    case Architecture::kQwen3:
      return Qwen3Form();
    case Architecture::kQwen3Moe:
      return Qwen3MoeForm();
    case Architecture::kQwen3Next:
      return Qwen3NextForm();
  }
  QUERN_CHECK(false);
}

}  // namespace quern::model
