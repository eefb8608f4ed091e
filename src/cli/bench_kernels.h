// `quern bench kernels`: matrix products alone, per weight type, shape and number of rows.
#pragma once

#include <span>
#include <string>

#include "base/thread_pool.h"
#include "cli/bench_run.h"
#include "kernels/ceilings.h"

namespace quern::cli {

// A table, the last line ended. Weights are random and read in turn from 256 MiB of copies, as a model's are; each
// figure is the median of n_repeats. progress is called before every case.
std::string KernelTable(ThreadPool& pool, const kernels::Ceilings& ceilings, int n_repeats,
                        const BenchProgress& progress);

}  // namespace quern::cli
