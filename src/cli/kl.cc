#include <fmt/core.h>

#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/text_model.h"
#include "model/divergence.h"

namespace quern::cli {

Result<int> RunKl(const Invocation& invocation) {
  QUERN_ASSIGN(const auto source, LoadWeightsOf(invocation.positional, invocation.settings));
  QUERN_ASSIGN(const auto other, LoadWeightsOf(invocation.second, invocation.settings));
  QUERN_ASSIGN(const auto tokens, ReadTextTokens(source->checkpoint(), invocation));
  const int threads = invocation.settings.threads;
  ThreadPool pool(threads > 0 ? threads : ThreadPool::AvailableThreads());
  ProgressBar bar("comparing");
  QUERN_ASSIGN(const model::Divergence d,
               model::CompareModels(*source, *other, tokens, invocation.window, pool,
                                    [&](uint64_t done, uint64_t total) { bar.Show(done, total); }));
  fmt::print("positions      {} in windows of {}\n", d.n_positions, invocation.window);
  fmt::print("mean KL        {:.5f} nats (99 % of the positions below {:.4f}, the largest {:.4f})\n", d.mean_kl,
             d.kl_99, d.max_kl);
  fmt::print("same top token {:.2f} %\n", 100 * d.same_top);
  fmt::print("perplexity     {:.4f}, of the source {:.4f}\n", d.other_perplexity, d.source_perplexity);
  return kExitDone;
}

}  // namespace quern::cli
