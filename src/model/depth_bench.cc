// Speed of generating by depth: quern_model_bench CHECKPOINT [KV_TYPE [DEPTH,DEPTH,...]]
//
// The tokens before are not computed but stored as random keys and values, so that a depth of 131,072 takes seconds to
// reach; the tokens that are timed go through the whole model. Prints, per depth, the median of kRepeat single tokens,
// the bytes that such a token must read at least (model/work.h) as a part of what the memory delivers in that time,
// what the depth adds, and the rate at which its keys and values are read. With a checkpoint of a few layers the tokens
// per second are those of its layers; the last two columns do not depend on their number.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "kernels/ceilings.h"
#include "model/kv_pool.h"
#include "model/kv_types.h"
#include "model/model.h"
#include "model/work.h"

namespace quern::model {
namespace {

constexpr int kRepeat = 9;

template <typename T>
T Must(Result<T> result) {
  if (result) return std::move(*result);
  fmt::print(stderr, "{}\n", result.error().ToString());
  std::exit(1);
}

std::vector<int> ParseDepths(const std::string& text) {
  std::vector<int> out;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, ',');) out.push_back(std::atoi(part.c_str()));
  return out;
}

// Makes `sequence` n_tokens long.
void FillContext(SequenceStateBody& sequence, int n_tokens) {
  if (!sequence.Reserve(n_tokens + kRepeat + 1)) {
    fmt::print(stderr, "no memory for {} tokens\n", n_tokens);
    std::exit(1);
  }
  const kernels::KvLayout& layout = sequence.pool().layout();
  const auto width = static_cast<size_t>(layout.n_kv_heads * layout.head_dim);
  std::mt19937 rng(1);
  std::normal_distribution<float> normal;
  std::vector<float> noise(width + 4096);
  for (float& v : noise) v = normal(rng);
  for (int t = 0; t < n_tokens; ++t) {
    for (int layer = 0; layer < sequence.pool().n_layers(); ++layer) {
      sequence.Store(layer, t, noise.data() + rng() % 4096, noise.data() + rng() % 4096);
    }
  }
  sequence.Advance(n_tokens);
}

double MedianSecondsPerToken(const Model& model, SequenceStateBody& sequence, Activations& scratch, ThreadPool& pool) {
  std::vector<double> seconds;
  const TokenId token = 1;
  for (int i = 0; i <= kRepeat; ++i) {
    const Segment segment{.sequence = &sequence, .tokens = {&token, 1}};
    const auto start = std::chrono::steady_clock::now();
    Must(model.Forward({&segment, 1}, scratch, pool));
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    if (i > 0) seconds.push_back(took.count());  // the first warms up
  }
  std::ranges::nth_element(seconds, seconds.begin() + kRepeat / 2);
  return seconds[kRepeat / 2];
}

int Main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: quern_model_bench CHECKPOINT [KV_TYPE [DEPTH,DEPTH,...]]\n");
    return 2;
  }
  const auto model = Must(Model::Load(argv[1]));
  const kernels::KvTypes types = argc > 2 ? Must(ParseKvTypes(argv[2])) : model->default_kv_types();
  const std::vector<int> depths = ParseDepths(argc > 3 ? argv[3] : "0,8192,32768,131072");
  const auto bytes = static_cast<double>(model->config().KvBytesPerToken(types));
  ThreadPool pool(ThreadPool::AvailableThreads());
  const auto scratch = Activations::Create();
  fmt::print("{}, {} layers of attention, keys and values {} ({:.2f} KiB per token), {} threads\n", argv[1],
             model->config().CountLayers(LayerKind::kFullAttention), KvTypesName(types), bytes / 1024,
             pool.n_threads());
  const double read_rate = kernels::MeasureCeilings(pool).read_bytes;
  const ModelWork work = WorkOf(model->checkpoint());
  fmt::print("the memory delivers {:.1f} GB/s\n", read_rate / 1e9);
  fmt::print("{:>8} {:>10} {:>10} {:>10} {:>12} {:>10}\n", "depth", "tokens/s", "ms/token", "% of read", "ms of depth",
             "KV GB/s");
  double shallow = 0;
  for (const int depth : depths) {
    const auto kv = Must(KvPool::Create(*model, (depth + kRepeat + 1) / kKvPageTokens + 1, types));
    const auto sequence = SequenceState::Create(*kv);
    auto& body = static_cast<SequenceStateBody&>(*sequence);
    FillContext(body, depth);
    const double seconds = MedianSecondsPerToken(*model, body, *scratch, pool);
    if (depth == 0) shallow = seconds;
    const double more = seconds - shallow;
    const StepShape step{.pairs = static_cast<double>(depth), .kv_tokens = static_cast<double>(depth)};
    const double least = WorkOf(work, step, KvWorkOf(model->config(), types)).bytes() / read_rate;
    fmt::print("{:>8} {:>10.2f} {:>10.3f} {:>10.1f} {:>12.3f} {:>10.2f}\n", depth, 1 / seconds, 1e3 * seconds,
               1e2 * least / seconds, 1e3 * more, depth > 0 && more > 0 ? bytes * depth / more / 1e9 : 0);
  }
  return 0;
}

}  // namespace
}  // namespace quern::model

int main(int argc, char** argv) { return quern::model::Main(argc, argv); }
