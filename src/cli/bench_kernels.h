// `quern bench kernels`: matrix products alone, per weight type, shape and number of rows.
#pragma once

#include <span>
#include <string>

#include "base/status.h"
#include "base/thread_pool.h"
#include "cli/bench_run.h"
#include "kernels/ceilings.h"

namespace quern::cli {

// A table, the last line ended; each figure is the median of n_repeats (kernels::MatrixTimer). progress is called
// before every case. Errors: kExhausted.
Result<std::string> KernelTable(ThreadPool& pool, const kernels::Ceilings& ceilings, int n_repeats,
                                const BenchProgress& progress);

}  // namespace quern::cli
