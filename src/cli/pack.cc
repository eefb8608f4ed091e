// quern pack: keeps a checkpoint's weights in the form that kernels read, so that a start maps a file and is done.
#include <fmt/core.h>

#include "cli/commands.h"
#include "cli/inspect_report.h"
#include "cli/load_model.h"
#include "cli/progress.h"
#include "model/packed_file.h"

namespace quern::cli {

Result<int> RunPack(const Invocation& invocation) {
  Settings settings = invocation.settings;
  settings.model = invocation.positional;
  QUERN_ASSIGN(const auto path, ModelPath(settings));
  QUERN_ASSIGN(const std::shared_ptr<const model::Checkpoint> checkpoint, model::Checkpoint::Open(path));
  const std::filesystem::path out =
      invocation.second.empty() ? model::PackedPathOf(path) : std::filesystem::path(invocation.second);
  if (!invocation.check_only) {
    ProgressBar bar(fmt::format("packing {}", path.filename().string()));
    QUERN_TRY(model::WritePackedFile(*checkpoint, out, [&](uint64_t done, uint64_t total) { bar.Show(done, total); }));
  }
  QUERN_ASSIGN(const auto packed, model::PackedFile::Open(out, *checkpoint));
  if (invocation.check_only) {
    ProgressBar bar(fmt::format("checking {}", out.filename().string()));
    QUERN_TRY(packed->CheckData([&](uint64_t done, uint64_t total) { bar.Show(done, total); }));
  }
  fmt::print("{}: {}, {}\n", out.string(), SizeText(packed->n_bytes()),
             invocation.check_only ? "whole" : "used from now on when it lies beside the checkpoint");
  return kExitDone;
}

}  // namespace quern::cli
