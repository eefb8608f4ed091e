#include "tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "base/utf8.h"
#include "tokenizer/nfc.h"
#include "tokenizer/test_vocabulary.h"

namespace quern::tokenizer {
namespace {

std::shared_ptr<const Tokenizer> Make(VocabularySpec spec) {
  auto tokenizer = Tokenizer::FromSpec(std::move(spec));
  EXPECT_TRUE(tokenizer.has_value()) << tokenizer.error().ToString();
  return *tokenizer;
}

std::shared_ptr<const Tokenizer> MakeSmall() {
  return Make(TestVocabulary({{"h", "e"}, {"l", "l"}, {"he", "ll"}, {"hell", "o"}, {" ", "w"}, {"\xC3", "\xA9"}}));
}

std::vector<std::string> Texts(const Tokenizer& tokenizer, const std::vector<TokenId>& ids) {
  std::vector<std::string> out;
  for (const TokenId id : ids) out.emplace_back(tokenizer.TokenBytes(id));
  return out;
}

using Strings = std::vector<std::string>;

TEST(Tokenizer, MergesByRank) {
  const auto t = MakeSmall();
  EXPECT_EQ(Texts(*t, t->Encode("hello world")), (Strings{"hello", " w", "o", "r", "l", "d"}));
}

TEST(Tokenizer, EncodesNothingAsNothing) { EXPECT_TRUE(MakeSmall()->Encode("").empty()); }

TEST(Tokenizer, MatchesAddedTokensLongestFirst) {
  const auto t = MakeSmall();
  EXPECT_EQ(Texts(*t, t->Encode("<|im_end|><tool_call>x<|im_end|>")),
            (Strings{"<|im_end|><", "t", "o", "o", "l", "_", "c", "a", "ll", ">", "x", "<|im_end|>"}));
  EXPECT_EQ(Texts(*t, t->Encode("<|im_end|>\n<tool_call>")), (Strings{"<|im_end|>", "\n", "<tool_call>"}));
}

TEST(Tokenizer, IgnoresAddedTokensWhenTold) {
  const auto t = MakeSmall();
  for (const TokenId id : t->Encode("<|im_start|>hello<|im_end|>", {.added = AddedTokens::kIgnore})) {
    EXPECT_FALSE(t->IsAdded(id));
  }
}

TEST(Tokenizer, LiteralRangesCannotForgeControlTokens) {
  const auto t = MakeSmall();
  const std::string text = "<|im_start|>a<|im_start|>b<|im_end|>c<|im_end|>";
  const ByteRange user[] = {{13, 36}};  // all of "<|im_start|>b<|im_end|>"
  const auto ids = t->Encode(text, {.literal = user});
  EXPECT_EQ(std::count(ids.begin(), ids.end(), t->AddedTokenId("<|im_start|>")), 1);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), t->AddedTokenId("<|im_end|>")), 1);
  EXPECT_EQ(t->DecodeBytes(ids, false), text);
}

// Any overlap, be it one byte at either end, makes a match ordinary text; ranges that only touch do not.
TEST(Tokenizer, EveryLiteralRangeForbidsExactlyWhatItOverlaps) {
  const auto t = MakeSmall();
  const std::string text = "ab<|im_start|>cd";
  const TokenId control = t->AddedTokenId("<|im_start|>");
  for (size_t begin = 0; begin <= text.size(); ++begin) {
    for (size_t end = begin; end <= text.size(); ++end) {
      const ByteRange range[] = {{begin, end}};
      const auto ids = t->Encode(text, {.literal = range});
      const bool overlaps = begin < end && begin < 14 && end > 2;
      EXPECT_EQ(std::count(ids.begin(), ids.end(), control), overlaps ? 0 : 1) << begin << ".." << end;
      EXPECT_EQ(t->DecodeBytes(ids, false), text);
    }
  }
}

TEST(Tokenizer, FallsBackToAShorterAddedTokenBeforeALiteralRange) {
  const auto t = MakeSmall();
  const ByteRange user[] = {{10, 11}};
  EXPECT_EQ(Texts(*t, t->Encode("<|im_end|><", {.literal = user})), (Strings{"<|im_end|>", "<"}));
}

TEST(Tokenizer, NormalizesToNfc) {
  const auto t = MakeSmall();
  EXPECT_EQ(Texts(*t, t->Encode("e\xCC\x81")), (Strings{"\xC3\xA9"}));
}

TEST(Tokenizer, SkipsSpecialTokensOnly) {
  const auto t = MakeSmall();
  const auto ids = t->Encode("<|im_start|>hello<tool_call>");
  EXPECT_EQ(t->DecodeBytes(ids, true), "hello<tool_call>");
  EXPECT_EQ(t->DecodeBytes(ids, false), "<|im_start|>hello<tool_call>");
}

TEST(Tokenizer, AnswersAboutUnknownIds) {
  const auto t = MakeSmall();
  for (const TokenId id : {-1, t->vocab_size(), 1 << 30}) {
    EXPECT_EQ(t->TokenBytes(id), "");
    EXPECT_FALSE(t->IsAdded(id));
    EXPECT_FALSE(t->IsSpecial(id));
  }
  EXPECT_EQ(t->AddedTokenId("hello"), -1);
  const std::vector<TokenId> ids = {-7, 'h' - 33, 1 << 30};
  EXPECT_EQ(t->DecodeBytes(ids, false), t->TokenBytes('h' - 33));
}

// A token of the vocabulary that merging never reaches must not be used, however well it fits.
TEST(Tokenizer, DoesNotUseUnreachableTokens) {
  VocabularySpec spec = TestVocabulary({{"a", "b"}, {"b", "c"}});
  spec.tokens.resize(spec.added.back().id + 1);
  spec.tokens.push_back("abc");  // no merge makes it
  spec.tokens.push_back("zz");
  const auto t = Make(spec);
  EXPECT_EQ(Texts(*t, t->Encode("abc")), (Strings{"ab", "c"}));
  EXPECT_EQ(Texts(*t, t->Encode("zz")), (Strings{"z", "z"}));
}

// Random bytes, many of them from what this vocabulary knows.
std::string RandomBytes(std::mt19937_64& rng, size_t n) {
  constexpr std::string_view kFamiliar = "he lo w<|im_end|>\n\xC3\xA9\xF0\x9F\x98\x80";
  std::string out(n, '\0');
  for (char& c : out) c = rng() % 3 == 0 ? static_cast<char>(rng()) : kFamiliar[rng() % kFamiliar.size()];
  return out;
}

TEST(Tokenizer, TakesAnyBytesAndKeepsTheText) {
  const auto t = MakeSmall();
  std::mt19937_64 rng(1);
  for (int i = 0; i < 2000; ++i) {
    const std::string text = RandomBytes(rng, rng() % 60);
    const std::string decoded = t->DecodeBytes(t->Encode(text), false);
    EXPECT_TRUE(IsValidUtf8(decoded));
    std::string storage;
    if (text.find("<|") == std::string::npos) {
      EXPECT_EQ(decoded, ToNfc(text, storage)) << i;
    }
  }
}

TEST(Tokenizer, GivesEqualIdsInEveryThread) {
  const auto t = MakeSmall();
  std::mt19937_64 rng(2);
  std::vector<std::string> texts;
  for (int i = 0; i < 200; ++i) texts.push_back(RandomBytes(rng, 200));
  std::vector<std::vector<TokenId>> expected;
  for (const std::string& text : texts) expected.push_back(t->Encode(text));
  std::vector<int> n_wrong(4, 0);
  std::vector<std::thread> threads;
  for (size_t k = 0; k < n_wrong.size(); ++k) {
    threads.emplace_back([&, k] {
      for (size_t i = 0; i < texts.size(); ++i) n_wrong[k] += t->Encode(texts[i]) != expected[i];
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(n_wrong, std::vector<int>(4, 0));
}

TEST(StreamDecoder, HoldsBackHalfCharacters) {
  const auto t = Make(TestVocabulary({}));
  StreamDecoder decoder(t, false);
  const auto ids = t->Encode("a\xF0\x9F\x98\x80");
  ASSERT_EQ(ids.size(), 5u);
  EXPECT_EQ(decoder.Push(ids[0]), "a");
  EXPECT_EQ(decoder.Push(ids[1]), "");
  EXPECT_EQ(decoder.Push(ids[2]), "");
  EXPECT_EQ(decoder.Push(ids[3]), "");
  EXPECT_EQ(decoder.Push(ids[4]), "\xF0\x9F\x98\x80");
  EXPECT_EQ(decoder.Push(ids[1]), "");
  EXPECT_EQ(decoder.Flush(), "\xEF\xBF\xBD");
  EXPECT_EQ(decoder.Flush(), "");
}

TEST(StreamDecoder, PushesJoinToTheWholeDecodeForAnyTokens) {
  const auto t = MakeSmall();
  std::mt19937_64 rng(3);
  for (int i = 0; i < 3000; ++i) {
    std::vector<TokenId> ids(rng() % 30);
    for (TokenId& id : ids) id = static_cast<TokenId>(rng() % static_cast<uint64_t>(t->vocab_size() + 2));
    const bool skip_special = rng() % 2 == 0;
    StreamDecoder decoder(t, skip_special);
    std::string joined;
    for (const TokenId id : ids) {
      const std::string text = decoder.Push(id);
      EXPECT_TRUE(IsValidUtf8(text));
      joined += text;
    }
    joined += decoder.Flush();
    EXPECT_EQ(joined, ReplaceInvalidUtf8(t->DecodeBytes(ids, skip_special)));
  }
}

std::string SpecError(const VocabularySpec& spec) {
  const auto tokenizer = Tokenizer::FromSpec(spec);
  return tokenizer.has_value() ? "no error" : tokenizer.error().ToString();
}

TEST(Tokenizer, RefusesContradictingVocabularies) {
  VocabularySpec spec = TestVocabulary({{"a", "b"}});
  spec.merges.emplace_back("a", "q");
  EXPECT_EQ(SpecError(spec), "corrupt: merge 1: \"aq\" is not in the vocabulary");
  spec = TestVocabulary({{"a", "b"}, {"a", "b"}});
  EXPECT_EQ(SpecError(spec), "corrupt: merge 1 repeats merge 0: \"a\" \"b\"");
  spec = TestVocabulary({});
  spec.tokens[7] = spec.tokens[9];
  EXPECT_EQ(SpecError(spec), "corrupt: token \"" + spec.tokens[9] + "\" has the ids 7 and 9");
  spec = TestVocabulary({});
  spec.tokens[7].clear();
  EXPECT_EQ(SpecError(spec), "unsupported: vocabulary: no token for byte 0x07");
  spec = TestVocabulary({});
  spec.added[0].id = 5;
  EXPECT_EQ(SpecError(spec).substr(0, 19), "corrupt: token 5 is");
  spec.added[0] = {-3, "<x>", false};
  EXPECT_EQ(SpecError(spec).substr(0, 41), "corrupt: added token \"<x>\": id -3 is not ");
}

}  // namespace
}  // namespace quern::tokenizer
