// The C face seen from C++: a template renders, a matcher masks, failures are values and their texts can be freed.
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "quern_deps.h"

namespace {

const uint8_t* Bytes(std::string_view text) { return reinterpret_cast<const uint8_t*>(text.data()); }

struct Outcome {
  int32_t code;
  uint32_t line;
  std::string text;
};

Outcome Take(quern_outcome raw) {
  Outcome out{raw.code, raw.line, std::string(reinterpret_cast<char*>(raw.text.data), raw.text.size)};
  quern_text_free(raw.text);
  return out;
}

Outcome Render(std::string_view source, std::string_view context) {
  const quern_template_limits limits{.steps = 10000, .recursion = 50, .output_bytes = 1000};
  quern_template* compiled = nullptr;
  Outcome made = Take(quern_template_new(Bytes(source), source.size(), &limits, &compiled));
  if (made.code != QUERN_OK) {
    EXPECT_EQ(compiled, nullptr);
    return made;
  }
  Outcome rendered = Take(quern_template_render(compiled, Bytes(context), context.size()));
  quern_template_free(compiled);
  return rendered;
}

TEST(QuernDeps, RendersATemplate) {
  const Outcome out =
      Render("{% for m in ms %}{{ m.a | tojson }};{% endfor %}", R"({"ms":[{"a":"é"},{"a":[1,null]}]})");
  EXPECT_EQ(out.code, QUERN_OK);
  EXPECT_EQ(out.text, "\"é\";[1, null];");
}

TEST(QuernDeps, FailuresNameLineAndReason) {
  EXPECT_EQ(Render("x\n{% for %}", "{}").line, 2U);
  const Outcome out = Render("x\n\n{{ raise_exception('roles must alternate') }}", "{}");
  EXPECT_EQ(out.code, QUERN_INVALID);
  EXPECT_EQ(out.line, 3U);
  EXPECT_EQ(out.text, "roles must alternate");
  EXPECT_EQ(Render("{{ 'a' * 2000 }}", "{}").code, QUERN_LIMIT);
  EXPECT_EQ(Render("{{ a }}", "{\"a\":").code, QUERN_INVALID);
  EXPECT_EQ(Render("\xff", "{}").code, QUERN_INVALID);
}

TEST(QuernDeps, MasksFollowASchema) {
  std::string words;
  std::vector<size_t> ends;
  for (int byte = 0; byte < 256; ++byte) {
    words.push_back(static_cast<char>(byte));
    ends.push_back(words.size());
  }
  words += "\xff<|end|>";
  ends.push_back(words.size());
  const quern_grammar_limits limits{};
  quern_vocabulary* vocabulary = nullptr;
  ASSERT_EQ(Take(quern_vocabulary_new(Bytes(words), ends.data(), ends.size(), 256, &limits, &vocabulary)).text, "");
  quern_matcher* matcher = nullptr;
  const std::string_view kind = "json_schema";
  const std::string_view schema = R"({"enum":["on","off"]})";
  ASSERT_EQ(Take(quern_matcher_new(vocabulary, Bytes(kind), kind.size(), Bytes(schema), schema.size(), &matcher)).text,
            "");
  quern_vocabulary_free(vocabulary);  // the matcher keeps what it needs
  quern_matcher* other = nullptr;
  ASSERT_EQ(Take(quern_matcher_clone(matcher, &other)).text, "");
  std::vector<uint32_t> mask(9);
  for (const char c : std::string_view("\"on\"")) {
    ASSERT_EQ(Take(quern_matcher_mask(matcher, mask.data(), mask.size())).text, "");
    EXPECT_TRUE((mask[c / 32] >> (c % 32) & 1U) != 0) << c;
    EXPECT_EQ(mask['x' / 32] >> ('x' % 32) & 1U, 0U);
    ASSERT_EQ(Take(quern_matcher_consume(matcher, c)).text, "");
  }
  uint8_t accepting = 0;
  ASSERT_EQ(Take(quern_matcher_accepting(matcher, &accepting)).text, "");
  EXPECT_EQ(accepting, 1);
  EXPECT_EQ(Take(quern_matcher_mask(matcher, mask.data(), 3)).code, QUERN_INVALID);
  quern_matcher_free(matcher);
  // The copy is where the first was when it was made, and stays without it.
  ASSERT_EQ(Take(quern_matcher_mask(other, mask.data(), mask.size())).text, "");
  EXPECT_EQ(mask['"' / 32] >> ('"' % 32) & 1U, 1U);
  ASSERT_EQ(Take(quern_matcher_accepting(other, &accepting)).text, "");
  EXPECT_EQ(accepting, 0);
  EXPECT_NE(Take(quern_matcher_consume(other, 'x')).code, QUERN_OK);
  EXPECT_NE(Take(quern_matcher_mask(other, mask.data(), mask.size())).code, QUERN_OK) << "an error stays";
  quern_matcher_free(other);
}

}  // namespace
