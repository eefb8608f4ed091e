#include "cli/bench_run.h"

#include <gtest/gtest.h>

#include "cli/bench_report.h"

namespace quern::cli {
namespace {

BenchRow Row(BenchCase test, std::vector<double> seconds) {
  BenchRow row{.test = test, .seconds = std::move(seconds), .work = {}, .ceilings = {}};
  row.ceilings = {.read_bytes = 100, .int8_ops = 1000, .bf16_ops = 500, .f32_ops = 250};
  return row;
}

TEST(Bench, CrossesItsLists) {
  const auto cases =
      CasesOf({.prompt = {16, 0}, .generate = {4}, .depth = {0, 64}, .batch = {1, 8}, .threads = {1, 2}});
  EXPECT_EQ(cases.size(), 2U * 2U * (1U + 2U));
  EXPECT_EQ(cases.front().Name(), "pp16");
  EXPECT_EQ(cases[2].Name(), "tg4");
  EXPECT_EQ(cases[2].n_tokens(), 32);
}

TEST(Bench, MedianAndSpreadIgnoreOneOutlier) {
  const BenchRow row = Row({.prompt = 10}, {1, 1, 1, 1, 50});
  EXPECT_DOUBLE_EQ(row.Median(), 1);
  EXPECT_DOUBLE_EQ(row.Spread(), 0);
  EXPECT_DOUBLE_EQ(row.TokensPerSecond(), 10);
}

TEST(Bench, FractionsAreOfTheMeasuredCeilings) {
  BenchRow row = Row({.generate = 1}, {2});
  row.work.weight_bytes = 50;
  row.work.ops = {.int8 = 1000, .bf16 = 250, .f32 = 125};
  EXPECT_DOUBLE_EQ(row.ReadFraction(), 0.25);
  EXPECT_DOUBLE_EQ(row.ComputeFraction(), (1 + 0.5 + 0.5) / 2);
}

TEST(Bench, PlotHasALineForEveryTestAndEscapesTheName) {
  const std::vector<BenchRow> rows = {Row({.prompt = 8}, {1}), Row({.prompt = 8, .depth = 100}, {2}),
                                      Row({.generate = 8}, {1})};
  const std::string svg = BenchPlot(rows, "a<b");
  size_t n_lines = 0;
  for (size_t at = svg.find("<path"); at != std::string::npos; at = svg.find("<path", at + 1)) ++n_lines;
  EXPECT_EQ(n_lines, 2U);
  EXPECT_EQ(svg.find("a<b"), std::string::npos);
}

}  // namespace
}  // namespace quern::cli
