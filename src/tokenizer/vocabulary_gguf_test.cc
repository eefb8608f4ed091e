#include "tokenizer/vocabulary_gguf.h"

#include <gtest/gtest.h>

#include "tokenizer/test_vocabulary.h"

namespace quern::tokenizer {
namespace {

// The arrays of a file, to be damaged by tests.
struct Arrays {
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
  std::vector<std::string> merges;
  std::string model = "gpt2";
  std::string pre = "qwen2";

  Result<VocabularySpec> Read() const {
    const std::vector<std::string_view> token_views(tokens.begin(), tokens.end());
    const std::vector<std::string_view> merge_views(merges.begin(), merges.end());
    return SpecFromGguf({.model = model, .pre = pre, .tokens = token_views, .types = types, .merges = merge_views});
  }
  std::string ErrorText() const {
    const auto spec = Read();
    return spec.has_value() ? "no error" : spec.error().ToString();
  }
};

Arrays Valid() {
  Arrays arrays;
  arrays.tokens = TestVocabulary({{"a", "b"}}).tokens;
  arrays.types.assign(arrays.tokens.size(), 1);
  const std::pair<const char*, int32_t> rest[] = {
      {"<|im_end|>", 3}, {"<|fim_prefix|>", 3}, {"<tool_call>", 4}, {"[PAD260]", 5}, {"[PAD261]", 5}};
  for (const auto& [text, type] : rest) {
    arrays.tokens.push_back(text);
    arrays.types.push_back(type);
  }
  arrays.merges = {"a b"};
  return arrays;
}

TEST(VocabularyGguf, MakesTheSameTokenizerAsTheOriginalFile) {
  const auto spec = Valid().Read();
  ASSERT_TRUE(spec.has_value()) << spec.error().ToString();
  const auto t = Tokenizer::FromSpec(*spec);
  ASSERT_TRUE(t.has_value()) << t.error().ToString();
  EXPECT_EQ((*t)->Encode("ab<|im_end|><|fim_prefix|>"), (std::vector<TokenId>{256, 257, 258}));
  EXPECT_TRUE((*t)->IsSpecial(257));
  EXPECT_FALSE((*t)->IsSpecial(258));  // control in the file, yet not special
  EXPECT_TRUE((*t)->IsAdded(259));
  EXPECT_FALSE((*t)->IsSpecial(259));
  EXPECT_EQ((*t)->vocab_size(), 260);  // rows of padding have no text
  EXPECT_EQ((*t)->TokenBytes(260), "");
}

TEST(VocabularyGguf, RefusesWhatItDoesNotRead) {
  Arrays arrays = Valid();
  arrays.model = "llama";
  EXPECT_EQ(arrays.ErrorText(), "unsupported: tokenizer.ggml.model: \"llama\" is not supported, expected \"gpt2\"");
  arrays = Valid();
  arrays.pre = "default";
  EXPECT_EQ(arrays.ErrorText(), "unsupported: tokenizer.ggml.pre: \"default\" is not supported, expected \"qwen2\"");
  arrays = Valid();
  arrays.types.pop_back();
  EXPECT_EQ(arrays.ErrorText(), "corrupt: tokenizer.ggml.token_type: 261 entries for 262 tokens");
  arrays = Valid();
  arrays.types[3] = 6;
  EXPECT_EQ(arrays.ErrorText(), "unsupported: tokenizer.ggml.token_type[3]: 6 is not supported");
  arrays = Valid();
  arrays.merges[0] = "ab";
  EXPECT_EQ(arrays.ErrorText(), "corrupt: tokenizer.ggml.merges[0]: expected \"left right\", got \"ab\"");
}

}  // namespace
}  // namespace quern::tokenizer
