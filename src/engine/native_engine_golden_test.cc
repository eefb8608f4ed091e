// The engine over real (tiny) checkpoints: what it generates is what the reference generated, and what a request gets
// is the same bits alone, in company, in small pieces, on more threads, and after losing its pages.
#include <gtest/gtest.h>

#include <boost/json/value.hpp>
#include <filesystem>
#include <random>
#include <string>

#include "base/json.h"
#include "base/os/mapped_file.h"
#include "engine/collector.h"
#include "engine/native_engine.h"

namespace quern::engine {
namespace {

const std::filesystem::path kGoldens = "tests/golden/model";
constexpr const char* kNames[] = {"qwen2_untied",     "qwen3_tied",        "qwen3_yarn",     "qwen3_moe_tied",
                                  "qwen3_moe_untied", "qwen3_next_untied", "qwen3_next_tied"};

struct Way {
  int n_threads = 1;
  int prefill_tokens = 256;
  int n_pages = 0;  // 0 = plenty
  int context_length = 0;
};

std::unique_ptr<Backend> Make(const std::string& name, const std::string& dtype, const Way& way) {
  auto model = model::Model::Load(kGoldens / name / dtype);
  if (!model) ADD_FAILURE() << model.error().ToString();
  if (!model) return nullptr;
  NativeOptions options;
  options.n_threads = way.n_threads;
  options.prefill_tokens = way.prefill_tokens;
  options.score_tokens = way.prefill_tokens;
  options.context_length = way.context_length;
  // Bytes of a page: two numbers per value, over layers, heads and the page's tokens. Recurrent states come on top.
  const model::ModelConfig& config = (*model)->config();
  const auto page = static_cast<uint64_t>(config.KvBytesPerToken((*model)->default_kv_types())) * model::kKvPageTokens;
  const auto states = static_cast<uint64_t>(config.StateBytesPerSequence() * options.limits.max_running);
  const uint64_t budget = way.n_pages > 0 ? page * static_cast<uint64_t>(way.n_pages) + states : 0;
  auto parts = MakeNativeParts(std::move(*model), budget, options);
  if (!parts) ADD_FAILURE() << parts.error().ToString();
  if (!parts) return nullptr;
  EXPECT_TRUE(way.n_pages == 0 || parts->pool->n_pages() <= way.n_pages);
  return CreateNativeEngine(std::move(*parts), options).value();
}

struct Answer {
  std::vector<TokenId> ids;
  std::vector<float> logprobs;
  std::vector<float> prompt_logprobs;
  bool operator==(const Answer&) const = default;
};

Answer Take(Collector& out) {
  Answer answer;
  EXPECT_TRUE(out.WaitFinished());
  EXPECT_NE(out.finished()->reason, FinishReason::kError) << out.finished()->error.ToString();
  EXPECT_EQ(out.n_wrong(), 0);
  answer.ids = out.ids();
  for (const auto& token : out.tokens()) answer.logprobs.push_back(token.logprob);
  if (const auto scores = out.prompt_logprobs()) {
    for (const auto& entry : scores->chosen) answer.prompt_logprobs.push_back(entry.logprob);
  }
  return answer;
}

std::vector<Answer> Together(Backend& backend, const std::vector<GenerateRequest>& requests) {
  std::vector<Collector> out(requests.size());
  std::vector<Generation> generations;
  for (size_t i = 0; i < requests.size(); ++i) {
    auto generation = backend.Submit(requests[i], out[i].Sink());
    EXPECT_TRUE(generation) << generation.error().ToString();
    if (generation) generations.push_back(std::move(*generation));
  }
  std::vector<Answer> answers;
  for (auto& collector : out) answers.push_back(Take(collector));
  return answers;
}

std::vector<TokenId> Ids(const boost::json::value& list) {
  std::vector<TokenId> ids;
  for (const auto& id : list.as_array()) ids.push_back(static_cast<TokenId>(id.as_int64()));
  return ids;
}

TEST(NativeEngineGolden, GreedyAnswersInOneBatchAreTheReferences) {
  for (const char* name : kNames) {
    SCOPED_TRACE(name);
    const auto text = os::ReadTextFile(kGoldens / name / "expected.json", 64U << 20);
    ASSERT_TRUE(text) << text.error().ToString();
    const auto expected = ParseJson(*text, {.max_bytes = 64U << 20});
    ASSERT_TRUE(expected) << expected.error().ToString();
    std::vector<GenerateRequest> requests;
    std::vector<std::vector<TokenId>> wanted;
    for (const auto& entry : expected->as_object().at("greedy").as_array()) {
      GenerateRequest request;
      request.prompt = Ids(entry.as_object().at("prompt"));
      request.sampling.temperature = 0;
      wanted.push_back(Ids(entry.as_object().at("f32")));
      request.max_tokens = static_cast<int>(wanted.back().size());
      requests.push_back(std::move(request));
    }
    ASSERT_GE(requests.size(), 10U);
    for (const Way& way : {Way{}, Way{.n_threads = 3, .prefill_tokens = 5}}) {
      auto backend = Make(name, "f32", way);
      ASSERT_TRUE(backend);
      const auto answers = Together(*backend, requests);
      for (size_t i = 0; i < answers.size(); ++i) EXPECT_EQ(answers[i].ids, wanted[i]) << "prompt " << i;
    }
  }
}

std::vector<GenerateRequest> SampledRequests(int vocab_size, int n) {
  std::mt19937 rng(17);
  std::vector<GenerateRequest> requests;
  for (int i = 0; i < n; ++i) {
    GenerateRequest request;
    const size_t n_prompt = 1 + rng() % 70;
    for (size_t j = 0; j < n_prompt; ++j)
      request.prompt.push_back(static_cast<TokenId>(rng() % static_cast<unsigned>(vocab_size)));
    request.max_tokens = 10 + static_cast<int>(rng() % 40);
    request.sampling = {
        .temperature = 1, .top_k = i % 3 == 0 ? 0 : 20, .top_p = 0.9F, .repetition_penalty = 1.05F, .seed = rng()};
    request.n_logprobs = 0;
    request.prompt_logprobs = i % 2 == 0;
    requests.push_back(std::move(request));
  }
  return requests;
}

TEST(NativeEngineGolden, AloneTogetherCutThreadedAndSetAsideGiveTheSameBits) {
  for (const char* name : kNames) {
    for (const char* dtype : {"f32", "bf16"}) {
      SCOPED_TRACE(std::string(name) + " " + dtype);
      auto plain = Make(name, dtype, {});
      ASSERT_TRUE(plain);
      const auto requests = SampledRequests(plain->info().vocab_size, 6);
      std::vector<Answer> alone;
      for (const auto& request : requests) alone.push_back(Together(*plain, {request}).front());
      EXPECT_EQ(Together(*plain, requests), alone) << "together";
      // 130 places are 5 pages: hardly two sequences fit at once.
      for (const Way& way : {Way{.n_threads = 4}, Way{.prefill_tokens = 1}, Way{.n_threads = 2, .prefill_tokens = 13},
                             Way{.n_pages = 5, .context_length = 130}}) {
        auto backend = Make(name, dtype, way);
        ASSERT_TRUE(backend);
        EXPECT_EQ(Together(*backend, requests), alone) << way.n_threads << " threads, " << way.prefill_tokens
                                                       << " prompt tokens a step, " << way.n_pages << " pages";
        EXPECT_EQ(backend->stats().kv_bytes_used, 0U);
      }
    }
  }
}

TEST(NativeEngineGolden, CancelledNeighboursLeaveTheBytesAlone) {
  auto backend = Make("qwen3_moe_untied", "bf16", {.n_threads = 2, .prefill_tokens = 7});
  ASSERT_TRUE(backend);
  const auto requests = SampledRequests(backend->info().vocab_size, 8);
  std::vector<Answer> alone;
  for (const auto& request : requests) alone.push_back(Together(*backend, {request}).front());
  std::vector<Collector> out(requests.size());
  std::vector<Generation> generations;
  for (size_t i = 0; i < requests.size(); ++i)
    generations.push_back(backend->Submit(requests[i], out[i].Sink()).value());
  for (size_t i = 0; i < requests.size(); i += 2) {
    if (i % 4 == 0) out[i].WaitTokens(4);
    generations[i].Cancel();
  }
  for (size_t i = 1; i < requests.size(); i += 2) EXPECT_EQ(Take(out[i]), alone[i]) << "request " << i;
}

}  // namespace
}  // namespace quern::engine
