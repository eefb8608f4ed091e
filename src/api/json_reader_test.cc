#include "api/json_reader.h"

#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <limits>

namespace quern::api {
namespace {

boost::json::value Body(std::string_view text) { return ParseBody(text, Limits()).value(); }

TEST(ParseBody, TakesObjectsAndAByteOrderMark) {
  EXPECT_EQ(Body(R"({"a":1})").at("a"), 1);
  EXPECT_EQ(Body("\xEF\xBB\xBF{\"a\":\"\xE4\xBD\xA0\"}").at("a"), "\xE4\xBD\xA0");
}

TEST(ParseBody, SaysWhatIsWrong) {
  const std::pair<std::string, const char*> rows[] = {
      {"", "empty"},       {"{", ""},
      {"{} {}", ""},       {"{\"a\":\"\xFF\"}", "UTF-8"},
      {"{\"a\":NaN}", ""}, {std::string(200, '[') + std::string(200, ']'), "max_json_depth"},
  };
  for (const auto& [text, words] : rows) {
    const auto parsed = ParseBody(text, Limits());
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().http_status, 400) << text;
    EXPECT_EQ(parsed.error().code, "invalid_json") << text;
    EXPECT_NE(parsed.error().message.find(words), std::string::npos) << parsed.error().message;
  }
}

TEST(ParseBody, HoldsTheNumberOfValues) {
  Limits limits;
  limits.max_json_values = 100;
  std::string list = "[";
  for (int i = 0; i < 200; ++i) list += i == 0 ? "1" : ",1";
  const auto parsed = ParseBody(list + "]", limits);
  ASSERT_FALSE(parsed);
  EXPECT_NE(parsed.error().message.find("max_json_values"), std::string::npos) << parsed.error().message;
}

class Reader : public testing::Test {
 protected:
  const boost::json::value value_ = boost::json::parse(
      R"({"t":true,"i":3,"whole":4.0,"half":2.5,"s":"x","n":null,"o":{"k":1},"l":[1],"huge":1e300,
          "big":18446744073709551615,"min":-9223372036854775808})");
  const ObjectReader reader_{value_.get_object(), "p"};
};

TEST_F(Reader, NullIsAbsent) {
  EXPECT_FALSE(reader_.Has("n"));
  EXPECT_FALSE(reader_.Has("absent"));
  EXPECT_EQ(reader_.Bool("n").value(), std::nullopt);
  EXPECT_EQ(reader_.Int("n", 0, 1).value(), std::nullopt);
  EXPECT_EQ(reader_.Number("n", 0, 1).value(), std::nullopt);
  EXPECT_EQ(reader_.String("n").value(), std::nullopt);
  EXPECT_EQ(reader_.Object("n").value(), nullptr);
  EXPECT_EQ(reader_.Array("n").value(), nullptr);
}

TEST_F(Reader, TakesWhatIsMeant) {
  EXPECT_EQ(reader_.Bool("t").value(), true);
  EXPECT_EQ(reader_.Int("i", 0, 9).value(), 3);
  EXPECT_EQ(reader_.Int("whole", 0, 9).value(), 4);
  EXPECT_EQ(reader_.Number("i", 0, 9).value(), 3.0);
  EXPECT_EQ(reader_.String("s").value(), "x");
  EXPECT_EQ(reader_.Object("o").value()->at("k"), 1);
  EXPECT_EQ(reader_.Array("l").value()->size(), 1U);
  EXPECT_EQ(reader_.Int("min", std::numeric_limits<int64_t>::min(), 0).value(), std::numeric_limits<int64_t>::min());
}

TEST_F(Reader, RefusesOtherKindsAndNamesThePath) {
  const auto fails = [](const auto& result, std::string_view param, std::string_view code) {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().param, param);
    EXPECT_EQ(result.error().code, code) << result.error().message;
    EXPECT_NE(result.error().message.find(param), std::string::npos) << result.error().message;
  };
  fails(reader_.Bool("s"), "p.s", "invalid_type");
  fails(reader_.Bool("i"), "p.i", "invalid_type");
  fails(reader_.Int("s", 0, 9), "p.s", "invalid_type");
  fails(reader_.Int("t", 0, 9), "p.t", "invalid_type");
  fails(reader_.Int("half", 0, 9), "p.half", "invalid_type");
  fails(reader_.Int("i", 4, 9), "p.i", "invalid_value");
  fails(reader_.Int("i", 0, 2), "p.i", "invalid_value");
  fails(reader_.Int("huge", 0, 9), "p.huge", "invalid_value");
  fails(reader_.Int("big", 0, std::numeric_limits<int64_t>::max()), "p.big", "invalid_value");
  fails(reader_.Number("huge", 0, 9), "p.huge", "invalid_value");
  fails(reader_.Number("s", 0, 9), "p.s", "invalid_type");
  fails(reader_.String("l"), "p.l", "invalid_type");
  fails(reader_.Object("l"), "p.l", "invalid_type");
  fails(reader_.Array("o"), "p.o", "invalid_type");
  fails(reader_.NeedString("n"), "p.n", "missing_required_parameter");
}

TEST(AsInteger, WholeNumbersOnly) {
  const auto of = [](std::string_view text) { return AsInteger(boost::json::parse(text)); };
  EXPECT_EQ(of("7"), 7);
  EXPECT_EQ(of("-7.0"), -7);
  EXPECT_EQ(of("9007199254740992.0"), 9007199254740992);
  EXPECT_EQ(of("9007199254740994.0"), std::nullopt) << "a double that no longer names one integer";
  EXPECT_EQ(of("0.5"), std::nullopt);
  EXPECT_EQ(of("1e300"), std::nullopt);
  EXPECT_EQ(of("true"), std::nullopt);
  EXPECT_EQ(of("\"7\""), std::nullopt);
}

}  // namespace
}  // namespace quern::api
