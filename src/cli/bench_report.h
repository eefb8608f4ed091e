// The measurements of `quern bench` as text: a table for people, JSON and CSV for programs, a plot over depth.
#pragma once

#include <span>
#include <string>

#include "cli/bench_run.h"

namespace quern::cli {

// "read 41.9 GB/s, int8 2.07 Top/s, bf16 1.04 Tflop/s, f32 0.52 Tflop/s", without what the level lacks.
std::string CeilingsText(const kernels::Ceilings& ceilings);

// Several lines, the last one ended. model_name heads the table.
std::string BenchTable(std::span<const BenchRow> rows, const std::string& model_name);

// One object {"model", "cpu", "isa", "rows": [...]}; the keys of a row are the columns of BenchCsv.
std::string BenchJson(std::span<const BenchRow> rows, const std::string& model_name);

// A header line and one line per row.
std::string BenchCsv(std::span<const BenchRow> rows);

// Tokens per second over depth, one line for each test, number of sequences and number of threads.
std::string BenchPlot(std::span<const BenchRow> rows, const std::string& model_name);

}  // namespace quern::cli
