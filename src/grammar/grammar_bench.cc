// Cost of a constraint: reading the vocabulary, compiling, starting, one mask, one token. The vocabulary is that of the
// model in the box.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "grammar/json_schema.h"
#include "grammar/nested_text.h"
#include "grammar/test_walk.h"

namespace quern::grammar {
namespace {

GrammarSource Source() {
  const auto schema = ParseJson(R"({"type":"object","properties":{"action":{"enum":["read","write","run"]},
    "path":{"type":"string"},"lines":{"type":"array","items":{"type":"integer"}},"note":{"type":"string"}},
    "required":["action","path"],"additionalProperties":false})");
  return SchemaGrammar(*schema).value();
}

void BM_Vocabulary(benchmark::State& state) {
  for (auto _ : state) {
    const auto compiler = GrammarCompiler::Create(DemoTokenizer());
    benchmark::DoNotOptimize(compiler->Compile({GrammarKind::kRegex, "a"}));
  }
}
BENCHMARK(BM_Vocabulary)->Unit(benchmark::kMillisecond);

void BM_Compile(benchmark::State& state) {
  const GrammarSource source = Source();
  const auto compiler = GrammarCompiler::Create(DemoTokenizer(), {.max_cached = 0});
  for (auto _ : state) benchmark::DoNotOptimize(compiler->Compile(source));
}
BENCHMARK(BM_Compile)->Unit(benchmark::kMicrosecond);

void BM_Start(benchmark::State& state) {
  const auto compiled = DemoCompiler()->Compile(Source()).value();
  for (auto _ : state) benchmark::DoNotOptimize(compiled->Start());
}
BENCHMARK(BM_Start)->Unit(benchmark::kMicrosecond);

// Mask and token together, along one text.
void Follow(benchmark::State& state, const Grammar& grammar, std::string_view text) {
  const auto ids = DemoTokenizer()->Encode(text);
  auto mask = EmptyMask();
  for (auto _ : state) {
    state.PauseTiming();
    const auto constraint = grammar.Start().value();
    state.ResumeTiming();
    for (const int32_t id : ids) {
      benchmark::DoNotOptimize(constraint->ComputeMask(mask));
      if (!constraint->Accept(id)) state.SkipWithError("a token of the text was not allowed");
    }
  }
  state.counters["us_per_token"] =
      benchmark::Counter(static_cast<double>(ids.size()) * 1e-6,
                         benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

void BM_MaskAndToken(benchmark::State& state) {
  Follow(state, *DemoCompiler()->Compile(Source()).value(),
         R"({"action": "write", "path": "src/quick_sort.py", "lines": [1, 20, 300], "note": "sorts a list in place"})");
}
BENCHMARK(BM_MaskAndToken)->Unit(benchmark::kMicrosecond);

// The same text between marks: 0 = any text, 1 = nested, any text too, 2 = nested, lines.
void BM_MaskAndTokenBetweenMarks(benchmark::State& state) {
  const GrammarSource outer{GrammarKind::kLark, "start: \"<t>\\n\" body\nbody[lazy]: /(?s:.*)/ \"\\n</t>\"\n"};
  const char* const larks[] = {"", R"(start: /(.|\n)+/)", "start: (/[^\\n]+/ LF)+\n%import common.LF\n"};
  std::vector<NestedText> texts;
  if (state.range(0) > 0)
    texts.push_back({.name = "t", .opener = "<t>\n", .closer = "\n</t>", .lark = larks[state.range(0)]});
  Follow(state, *CompileNested(*DemoCompiler(), outer, texts).value(),
         "<t>\n*** Update File: sort.py\n+def smallest(values):\n+    return min(values)\n*** End Patch\n\n</t>");
}
BENCHMARK(BM_MaskAndTokenBetweenMarks)->DenseRange(0, 2)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace quern::grammar

BENCHMARK_MAIN();
