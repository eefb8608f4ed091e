#include <fmt/core.h>

#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/text_model.h"
#include "model/importance_collect.h"

namespace quern::cli {

Result<int> RunImatrix(const Invocation& invocation) {
  QUERN_ASSIGN(const auto model, LoadWeightsOf(invocation.positional, invocation.settings));
  QUERN_ASSIGN(const auto tokens, ReadTextTokens(model->checkpoint(), invocation));
  const int threads = invocation.settings.threads;
  ThreadPool pool(threads > 0 ? threads : ThreadPool::AvailableThreads());
  ProgressBar bar("reading");
  QUERN_ASSIGN(const model::ImportanceMatrix importance,
               model::CollectImportance(*model, tokens, invocation.window, pool,
                                        [&](uint64_t done, uint64_t total) { bar.Show(done, total); }));
  QUERN_TRY(importance.Save(invocation.second));
  fmt::print("{}: {} matrices, {} tokens in windows of {}\n", invocation.second, importance.entries().size(),
             tokens.size(), invocation.window);
  return kExitDone;
}

}  // namespace quern::cli
