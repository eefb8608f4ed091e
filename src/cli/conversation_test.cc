#include "cli/conversation.h"

#include <gtest/gtest.h>

#include "cli/fim_prompt.h"
#include "cli/inspect_report.h"
#include "cli/progress.h"
#include "engine/fake_tokenizer.h"
#include "engine/scripted_backend.h"

namespace quern::cli {
namespace {

Conversation Talk(std::string_view script, const Settings& settings = {}) {
  const auto tokenizer = std::make_shared<engine::FakeTokenizer>();
  std::shared_ptr<engine::Backend> backend = engine::ScriptedBackend::Create(script, tokenizer).value();
  return Conversation(backend, tokenizer, chat::ChatFormat::Create("").value(), settings);
}

void Ignore(std::string_view) {}

TEST(Conversation, KeepsTurnsAndSendsThemAgain) {
  Settings settings;
  settings.system = "be brief";
  Conversation conversation = Talk(R"({"rules":[{"match":["be brief","first","one","second"],"text":"two"},
                                      {"match":["be brief","first"],"text":"one"}]})",
                                   settings);
  std::string said;
  const auto keep = [&](std::string_view piece) { said += piece; };
  conversation.AddUser("first");
  ASSERT_TRUE(conversation.Answer(keep));
  conversation.AddUser("second");
  ASSERT_TRUE(conversation.Answer(keep));
  EXPECT_EQ(said, "onetwo") << "control tokens are not shown";
  EXPECT_EQ(conversation.messages().size(), 5U);
  EXPECT_TRUE(conversation.DropAnswer());
  EXPECT_EQ(conversation.messages().back().content, "second");
  conversation.Reset();
  EXPECT_EQ(conversation.messages().size(), 1U) << "the system message stays";
  EXPECT_FALSE(conversation.DropAnswer());
}

TEST(Conversation, AFailedAnswerTakesTheTurnBack) {
  Conversation conversation = Talk(R"({"rules":[{"match":"bad","fault":{"kind":"error","message":"boom"}},
                                      {"match":"half","text":"abc","fault":{"kind":"error","at":2}}]})");
  conversation.AddUser("bad");
  const auto failed = conversation.Answer(Ignore);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message(), "boom");
  EXPECT_TRUE(conversation.messages().empty());
  conversation.AddUser("half");
  EXPECT_FALSE(conversation.Answer(Ignore));
  ASSERT_EQ(conversation.messages().size(), 2U) << "what was said before the fault stays";
  EXPECT_EQ(conversation.messages().back().content, "ab");
}

TEST(Conversation, SaysWhenTheContextIsFull) {
  Conversation conversation = Talk(R"({"context_length":64,"rules":[{"text":"a"}]})");
  conversation.AddUser(std::string(100, 'x'));
  const auto full = conversation.Answer(Ignore);
  ASSERT_FALSE(full);
  EXPECT_NE(full.error().message().find("the context holds 64; /reset"), std::string::npos) << full.error().message();
}

// Byte tokens, and the three markers.
class FimTokenizer final : public tokenizer::Tokenizer {
 public:
  using Id = tokenizer::TokenId;
  std::vector<Id> Encode(std::string_view text, const tokenizer::EncodeOptions& options) const override {
    EXPECT_EQ(options.added, tokenizer::AddedTokens::kIgnore) << "markers inside a file are ordinary text";
    return {text.begin(), text.end()};
  }
  std::string DecodeBytes(std::span<const Id>, bool) const override { return ""; }
  std::string_view TokenBytes(Id) const override { return ""; }
  Id AddedTokenId(std::string_view text) const override {
    return text == "<|fim_prefix|>" ? 1000 : text == "<|fim_suffix|>" ? 1001 : text == "<|fim_middle|>" ? 1002 : -1;
  }
  bool IsAdded(Id) const override { return false; }
  bool IsSpecial(Id) const override { return false; }
  std::span<const tokenizer::AddedToken> added_tokens() const override { return {}; }
  int vocab_size() const override { return 2000; }
};

TEST(FimPrompt, IsPrefixSuffixMiddle) {
  const FimTokenizer tokenizer;
  const auto prompt = BuildFimPrompt(tokenizer, "ab", "yz", 100);
  ASSERT_TRUE(prompt);
  EXPECT_EQ(prompt->tokens, (std::vector<tokenizer::TokenId>{1000, 'a', 'b', 1001, 'y', 'z', 1002}));
  EXPECT_EQ(prompt->n_left_out, 0U);
  EXPECT_FALSE(BuildFimPrompt(engine::FakeTokenizer(), "a", "b", 100)) << "a tokenizer without markers";
}

TEST(FimPrompt, KeepsWhatIsNearThePlace) {
  const FimTokenizer tokenizer;
  std::string before, after;
  for (int i = 0; i < 100; ++i) before += static_cast<char>(i), after += static_cast<char>(i);
  const auto both = BuildFimPrompt(tokenizer, before, after, 43);
  ASSERT_TRUE(both);
  EXPECT_EQ(both->tokens.size(), 43U);
  EXPECT_EQ(both->n_left_out, 160U);
  EXPECT_EQ(both->tokens[1], 70) << "three quarters before";
  EXPECT_EQ(both->tokens[30], 99);
  EXPECT_EQ(both->tokens[32], 0);
  EXPECT_EQ(both->tokens[41], 9);
  const auto no_head = BuildFimPrompt(tokenizer, "", after, 43);
  ASSERT_TRUE(no_head);
  EXPECT_EQ(no_head->tokens.size(), 43U) << "room that one side leaves goes to the other";
  const auto no_tail = BuildFimPrompt(tokenizer, before, "", 43);
  ASSERT_TRUE(no_tail);
  EXPECT_EQ(no_tail->tokens.size(), 43U);
  EXPECT_FALSE(BuildFimPrompt(tokenizer, "a", "b", 3));
}

TEST(InspectReport, SortsTensorsIntoClasses) {
  EXPECT_EQ(TensorClass("model.embed_tokens.weight"), "embedding");
  EXPECT_EQ(TensorClass("model.layers.3.self_attn.q_proj.weight"), "attention");
  EXPECT_EQ(TensorClass("model.layers.3.self_attn.q_norm.weight"), "norms");
  EXPECT_EQ(TensorClass("model.layers.3.mlp.gate.weight"), "router");
  EXPECT_EQ(TensorClass("model.layers.3.mlp.gate_proj.weight"), "ffn");
  EXPECT_EQ(TensorClass("model.layers.3.mlp.experts.7.up_proj.weight"), "experts");
  EXPECT_EQ(TensorClass("lm_head.weight"), "lm_head");
  EXPECT_EQ(TensorClass("mtp.layers.0.mlp.experts.7.up_proj.weight"), "mtp");
  EXPECT_EQ(TensorClass("something"), "other");
  EXPECT_EQ(SizeText(1023), "1023 bytes");
  EXPECT_EQ(SizeText(uint64_t{3} << 30), "3.0 GiB");
  EXPECT_EQ(CountText(30'532'122'624), "30.5 B");
}

TEST(Progress, ShowsAShare) {
  EXPECT_EQ(ProgressText("x", 0, 10), "x [..............................]   0 %");
  EXPECT_EQ(ProgressText("x", 5, 10), "x [###############...............]  50 %");
  EXPECT_EQ(ProgressText("x", 20, 10), "x [##############################] 100 %");
  EXPECT_EQ(ProgressText("x", 0, 0), "x [##############################] 100 %");
}

}  // namespace
}  // namespace quern::cli
