#include "tokenizer/tokenizer_json.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include "tokenizer/test_vocabulary.h"

namespace quern::tokenizer {
namespace {

// A complete file with one merge, in the form that current writers use.
std::string ValidJson() {
  std::string vocab;
  const VocabularySpec spec = TestVocabulary({{"a", "b"}});
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    std::string text = spec.tokens[id];
    if (text == "\"" || text == "\\") text = '\\' + text;
    vocab += fmt::format("{}\"{}\":{}", id == 0 ? "" : ",", text, id);
  }
  return R"({"version":"1.0","truncation":null,"padding":null,"added_tokens":[{"id":257,"content":"<|im_end|>",)"
         R"("single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],)"
         R"("normalizer":{"type":"NFC"},"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":)"
         R"({"Regex":"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|)"
         R"(\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},"behavior":"Isolated","invert":false},{"type":"ByteLevel",)"
         R"("add_prefix_space":false,"trim_offsets":false,"use_regex":false}]},"post_processor":{"type":"ByteLevel"},)"
         R"("decoder":{"type":"ByteLevel"},"model":{"type":"BPE","dropout":null,"unk_token":null,)"
         R"("continuing_subword_prefix":"","end_of_word_suffix":"","fuse_unk":false,"byte_fallback":false,)"
         R"("ignore_merges":false,"vocab":{)" +
         vocab + R"(},"merges":[["a","b"]]}})";
}

// The valid file with the first occurrence of `from` replaced.
std::string With(std::string_view from, std::string_view to) {
  std::string json = ValidJson();
  const size_t at = json.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return json.replace(at, from.size(), to);
}

std::string ErrorOf(const std::string& json) {
  const auto tokenizer = Tokenizer::FromJson(json);
  return tokenizer.has_value() ? "no error" : tokenizer.error().ToString();
}

TEST(TokenizerJson, ReadsBothSpellingsOfMerges) {
  for (const std::string& json : {ValidJson(), With(R"(["a","b"])", R"("a b")")}) {
    const auto t = Tokenizer::FromJson(json);
    ASSERT_TRUE(t.has_value()) << t.error().ToString();
    EXPECT_EQ((*t)->Encode("abab<|im_end|>"), (std::vector<TokenId>{256, 256, 257}));
    EXPECT_TRUE((*t)->IsSpecial(257));
    EXPECT_EQ((*t)->vocab_size(), 258);
  }
}

TEST(TokenizerJson, NamesWhatItDoesNotSupport) {
  const std::string p = "unsupported: tokenizer.json: ";
  EXPECT_EQ(ErrorOf(With(R"({"type":"NFC"})", R"({"type":"NFKC"})")),
            p + "normalizer: type \"NFKC\" is not supported, expected \"NFC\"");
  EXPECT_EQ(ErrorOf(With(R"("type":"BPE")", R"("type":"Unigram")")),
            p + "model: type \"Unigram\" is not supported, expected \"BPE\"");
  EXPECT_EQ(ErrorOf(With(R"("type":"Sequence")", R"("type":"Whitespace")")),
            p + "pre_tokenizer: type \"Whitespace\" is not supported, expected \"Sequence\"");
  EXPECT_EQ(
      ErrorOf(With(R"("post_processor":{"type":"ByteLevel"})", R"("post_processor":{"type":"TemplateProcessing"})")),
      p + "post_processor: type \"TemplateProcessing\" is not supported, expected \"ByteLevel\"");
  EXPECT_EQ(ErrorOf(With(R"("decoder":{"type":"ByteLevel"})", R"("decoder":{"type":"Metaspace"})")),
            p + "decoder: type \"Metaspace\" is not supported, expected \"ByteLevel\"");
  EXPECT_EQ(ErrorOf(With(R"("ignore_merges":false)", R"("ignore_merges":true)")),
            p + "model.ignore_merges: true is not supported, only off");
  EXPECT_EQ(ErrorOf(With(R"("byte_fallback":false)", R"("byte_fallback":true)")),
            p + "model.byte_fallback: true is not supported, only off");
  EXPECT_EQ(ErrorOf(With(R"("unk_token":null)", R"("unk_token":"<unk>")")),
            p + "model.unk_token: \"<unk>\" is not supported, only off");
  EXPECT_EQ(ErrorOf(With(R"("lstrip":false)", R"("lstrip":true)")),
            p + "added_tokens[0].lstrip: true is not supported, only off");
  EXPECT_EQ(ErrorOf(With(R"("normalized":false)", R"("normalized":true)")),
            p + "added_tokens[0].normalized: true is not supported, only off");
  EXPECT_EQ(ErrorOf(With(R"("use_regex":false)", R"("use_regex":true)")),
            p + "pre_tokenizer.pretokenizers[1].use_regex: only false is supported");
  EXPECT_EQ(ErrorOf(With(R"("invert":false)", R"("invert":true)")),
            p + "pre_tokenizer.pretokenizers[0].invert: true is not supported, only off");
  EXPECT_EQ(ErrorOf(With(R"(|\\p{N}|)", R"(|\\p{N}{1,3}|)")).substr(0, 83),
            p + "pre_tokenizer.pretokenizers[0].pattern.Regex: \"(?i:'s|");
}

TEST(TokenizerJson, SaysWhereTheFileIsWrong) {
  const std::string p = "corrupt: tokenizer.json: ";
  EXPECT_EQ(ErrorOf("[]"), p + "expected an object, got an array");
  EXPECT_EQ(ErrorOf("{}"), p + "model: expected an object, got nothing");
  EXPECT_EQ(ErrorOf(With(R"(["a","b"])", R"(["a"])")),
            p + "model.merges[0]: expected \"left right\" or [\"left\", \"right\"], got an array");
  EXPECT_EQ(ErrorOf(With(R"(["a","b"])", R"("a  b")")),
            p + "model.merges[0]: expected \"left right\" or [\"left\", \"right\"], got \"a  b\"");
  EXPECT_EQ(ErrorOf(With(R"(["a","b"])", R"(["a","c"])")), p + "merge 0: \"ac\" is not in the vocabulary");
  EXPECT_EQ(ErrorOf(With(R"("ab":256)", R"("ab":-1)")), p + "model.vocab: expected an id from 0 to 1048575, got -1");
  EXPECT_EQ(ErrorOf(With(R"("ab":256)", R"("ab":1e3)")), p + "model.vocab: expected an id from 0 to 1048575, got 1E3");
  EXPECT_EQ(ErrorOf(With(R"("ab":256)", R"("ab":255)")).substr(0, p.size() + 23), p + "model.vocab: id 255 is ");
  EXPECT_EQ(ErrorOf(With(R"("id":257)", R"("id":3)")).substr(0, p.size() + 24), p + "added_tokens[0]: id 3 is");
  EXPECT_EQ(ErrorOf(With(R"("content":"<|im_end|>")", R"("content":7)")),
            p + "added_tokens[0].content: expected a text");
  EXPECT_EQ(ErrorOf(ValidJson().substr(0, 500)).substr(0, p.size() + 8), p + "not JSON");
}

TEST(TokenizerJson, EveryTruncationIsRefused) {
  const std::string json = ValidJson();
  for (size_t n = 0; n < json.size(); ++n) {
    const auto tokenizer = Tokenizer::FromJson(std::string_view(json).substr(0, n));
    ASSERT_FALSE(tokenizer.has_value()) << n;
    EXPECT_EQ(tokenizer.error().code(), Code::kCorrupt) << n;
  }
}

TEST(TokenizerJson, LimitsSizes) {
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += "[";
  EXPECT_EQ(ErrorOf(deep).substr(0, 10), "exhausted:");
  const std::string long_token(kMaxTokenBytes + 1, 'a');
  EXPECT_EQ(ErrorOf(With(R"("ab":256)", "\"" + long_token + "\":256")),
            "exhausted: tokenizer.json: model.vocab: a token of 4097 bytes, at most 4096");
  const std::string long_added(kMaxAddedTokenBytes + 1, 'a');
  EXPECT_EQ(ErrorOf(With("<|im_end|>", long_added)),
            "exhausted: tokenizer.json: added token 257: 257 bytes of text, expected 1 to 256");
  EXPECT_EQ(ErrorOf(std::string(kMaxJsonBytes + 1, ' ')).substr(0, 10), "exhausted:");
}

}  // namespace
}  // namespace quern::tokenizer
