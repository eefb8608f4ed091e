#include "cli/bench_report.h"

#include <fmt/core.h>

#include <utility>
#include <vector>

#include "base/json_text.h"
#include "base/os/cpu.h"
#include "kernels/dispatch.h"

namespace quern::cli {
namespace {

// One measured row as named columns; text ones carry their quotes in JSON only.
struct Column {
  const char* name;
  std::string value;
  bool is_text = false;
};

std::vector<Column> ColumnsOf(const BenchRow& row) {
  const auto number = [](double value) { return fmt::format("{:.6g}", value); };
  return {{"test", row.test.Name(), true},
          {"depth", std::to_string(row.test.depth)},
          {"sequences", std::to_string(row.test.batch)},
          {"threads", std::to_string(row.test.threads)},
          {"repetitions", std::to_string(row.seconds.size())},
          {"tokens", std::to_string(row.test.n_tokens())},
          {"seconds", number(row.Median())},
          {"spread", number(row.Spread())},
          {"tokens_per_second", number(row.TokensPerSecond())},
          {"predicted_seconds", number(row.predicted_seconds)},
          {"bytes", number(row.work.bytes())},
          {"peak_resident_bytes", std::to_string(row.peak_resident_bytes)},
          {"read_fraction", number(row.ReadFraction())},
          {"compute_fraction", number(row.ComputeFraction())},
          {"read_bytes_per_second", number(row.ceilings.read_bytes)},
          {"int8_ops_per_second", number(row.ceilings.MatrixInt8())},
          {"bf16_ops_per_second", number(row.ceilings.MatrixBf16())},
          {"f32_ops_per_second", number(row.ceilings.f32_ops)}};
}

}  // namespace

std::string CeilingsText(const kernels::Ceilings& ceilings) {
  std::string text = fmt::format("read {:.1f} GB/s", ceilings.read_bytes * 1e-9);
  const std::pair<const char*, double> kPeaks[] = {{"int8", ceilings.int8_ops},
                                                   {"bf16", ceilings.bf16_ops},
                                                   {"f32", ceilings.f32_ops},
                                                   {"int8 tiles", ceilings.tile_int8_ops},
                                                   {"bf16 tiles", ceilings.tile_bf16_ops}};
  for (const auto& [name, ops] : kPeaks) {
    if (ops > 0) text += fmt::format(", {} {:.2f} Top/s", name, ops * 1e-12);
  }
  return text;
}

std::string BenchTable(std::span<const BenchRow> rows, const std::string& model_name) {
  std::string out =
      fmt::format("{}; {}; level {}\n", model_name, os::CpuName(), kernels::IsaName(kernels::Kernels().isa));
  int threads = 0;
  for (const BenchRow& row : rows) {
    if (row.test.threads != threads) {
      threads = row.test.threads;
      out += fmt::format("\n{} thread{}: the machine gives {}\n", threads, threads == 1 ? "" : "s",
                         CeilingsText(row.ceilings));
      out += fmt::format("{:<8} {:>7} {:>5} {:>10} {:>7} {:>10} {:>7} {:>8} {:>9} {:>8}\n", "test", "depth", "seqs",
                         "tok/s", "+-", "ms/step", "% read", "% peak", "predicted", "MiB");
    }
    const double tokens = row.TokensPerSecond();
    const int n_steps = row.test.prompt > 0 ? 1 : row.test.generate;
    out += fmt::format("{:<8} {:>7} {:>5} {:>10.2f} {:>7.2f} {:>10.2f} {:>7.1f} {:>8.1f} {:>8.2f}x {:>8}\n",
                       row.test.Name(), row.test.depth, row.test.batch, tokens, tokens * row.Spread() / row.Median(),
                       1e3 * row.Median() / n_steps, 100 * row.ReadFraction(), 100 * row.ComputeFraction(),
                       row.predicted_seconds / row.Median(), row.peak_resident_bytes >> 20);
  }
  return out;
}

std::string BenchJson(std::span<const BenchRow> rows, const std::string& model_name) {
  std::string out = fmt::format("{{\"model\":{},\"cpu\":{},\"isa\":{},\"rows\":[", JsonString(model_name),
                                JsonString(os::CpuName()), JsonString(kernels::IsaName(kernels::Kernels().isa)));
  const char* between = "\n";
  for (const BenchRow& row : rows) {
    out += std::exchange(between, ",\n");
    const char* comma = "{";
    for (const Column& column : ColumnsOf(row)) {
      out += fmt::format("{}\"{}\":{}", std::exchange(comma, ","), column.name,
                         column.is_text ? JsonString(column.value) : column.value);
    }
    out += "}";
  }
  return out + "\n]}\n";
}

std::string BenchCsv(std::span<const BenchRow> rows) {
  std::string out;
  for (const BenchRow& row : rows) {
    const auto columns = ColumnsOf(row);
    std::string head, line;
    for (const Column& column : columns) {
      head += fmt::format("{}{}", head.empty() ? "" : ",", column.name);
      line += fmt::format("{}{}", line.empty() ? "" : ",", column.value);
    }
    if (out.empty()) out = head + "\n";
    out += line + "\n";
  }
  return out;
}

}  // namespace quern::cli
