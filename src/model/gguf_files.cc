#include <fmt/core.h>

#include "model/checkpoint_files.h"

namespace quern::model {

Result<CheckpointFiles> OpenGgufFiles(const std::filesystem::path& path) {
  return Error(Code::kUnsupported, fmt::format("{}: expected a directory", path.string()));
}

}  // namespace quern::model
