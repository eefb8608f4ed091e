// Paths, fill-in-the-middle prompts and keys: the pure functions in front of the dialects.
#include <gtest/gtest.h>

#include "api/fim.h"
#include "api/key_check.h"
#include "api/route.h"

namespace quern::api {
namespace {

void Nothing(const Call&) {}

constexpr Mount kMounts[] = {{"", RoutePrefix::kBare}, {"/v1", RoutePrefix::kV1}};
constexpr Mount kOther[] = {{"/other", RoutePrefix::kBare}};
constexpr Dialect kOtherDialect = {"other", nullptr, nullptr, "x", nullptr};
constexpr Route kTable[] = {
    {"things.list", "GET", "/things", kMounts, &kOpenAiDialect, Nothing, ""},
    {"things.make", "POST", "/things", kMounts, &kOpenAiDialect, Nothing, ""},
    {"things.part", "GET", "/things/{id}/parts/{part}", kMounts, &kOpenAiDialect, Nothing, ""},
    {"things.get", "GET", "/things/{id...}", kMounts, &kOpenAiDialect, Nothing, ""},
    {"root", "GET", "/", kRootMount, &kOpenAiDialect, Nothing, ""},
    {"other", "POST", "/x", kOther, &kOtherDialect, Nothing, ""},
};

const RouteTable& Table() {
  static const std::span<const Route> tables[] = {kTable};
  static const RouteTable table(tables);
  return table;
}

std::string NameOf(std::string_view method, std::string_view path) {
  const RouteMatch match = Table().Find(method, path);
  return match.route == nullptr ? "" : std::string(match.route->name);
}

TEST(RouteTable, EveryOperationUnderEveryMount) {
  for (const char* slash : {"", "/"}) {
    const std::string end = slash;
    for (const Mount& mount : kMounts) {
      const std::string at(mount.path);
      EXPECT_EQ(NameOf("GET", at + "/things" + end), "things.list");
      EXPECT_EQ(NameOf("HEAD", at + "/things" + end), "things.list");
      EXPECT_EQ(NameOf("POST", at + "/things" + end), "things.make");
      EXPECT_EQ(Table().Find("GET", at + "/things" + end).prefix, mount.prefix);
      const RouteMatch rest = Table().Find("GET", at + "/things/a/b%2Fc" + end);
      EXPECT_EQ(rest.route->name, "things.get");
      EXPECT_EQ(rest.params, std::vector<std::string>{"a/b/c"});
      const RouteMatch part = Table().Find("GET", at + "/things/a%20b/parts/7" + end);
      EXPECT_EQ(part.route->name, "things.part");
      EXPECT_EQ(part.params, (std::vector<std::string>{"a b", "7"}));
    }
  }
  EXPECT_EQ(NameOf("GET", "/"), "root");
  EXPECT_EQ(NameOf("GET", ""), "root");
}

TEST(RouteTable, UnknownPathsAreUnknown) {
  for (const char* path : {"/v1", "/V1/things", "//v1/things", "/v2/things", "/thingsx", "/v1//things", "things", "//",
                           "*", "/v1/v1/things"}) {
    const RouteMatch match = Table().Find("GET", path);
    EXPECT_EQ(match.route, nullptr) << path;
    EXPECT_TRUE(match.allow.empty()) << path;
  }
  EXPECT_TRUE(Table().Find("GET", "/v1/v1/things").doubled_v1);
  EXPECT_FALSE(Table().Find("GET", "/v1/things").doubled_v1);
}

TEST(RouteTable, AWrongMethodIsToldTheRightOnes) {
  const RouteMatch match = Table().Find("DELETE", "/things");
  EXPECT_EQ(match.route, nullptr);
  EXPECT_EQ(match.allow, "GET, HEAD, POST, OPTIONS");
  EXPECT_EQ(Table().Find("HEAD", "/other/x").allow, "POST, OPTIONS");
}

TEST(RouteTable, ErrorsHaveTheShapeOfTheLongestMount) {
  EXPECT_EQ(Table().Find("GET", "/other/nothing").dialect, &kOtherDialect);
  EXPECT_EQ(Table().Find("GET", "/otherwise").dialect, &kOpenAiDialect);
  EXPECT_EQ(Table().Find("GET", "/nothing").dialect, &kOpenAiDialect);
}

TEST(RouteTable, PercentDecodeLeavesWhatIsNoEscape) {
  EXPECT_EQ(PercentDecode("a%2Fb%20c"), "a/b c");
  EXPECT_EQ(PercentDecode("%"), "%");
  EXPECT_EQ(PercentDecode("%2"), "%2");
  EXPECT_EQ(PercentDecode("%zz%2f%4"), "%zz/%4");
  EXPECT_EQ(PercentDecode("%%41"), "%A");
  EXPECT_EQ(PercentDecode("100%25"), "100%");
}

TEST(Fim, PrefixAndSuffixMakeTheFormOfTheModelCard) {
  EXPECT_EQ(BuildFim("a", "b"), "<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>");
  EXPECT_EQ(BuildFim("", ""), "<|fim_prefix|><|fim_suffix|><|fim_middle|>");
}

TEST(Fim, AnOpenPromptIsAskedToBeginTheMiddle) {
  EXPECT_EQ(CompleteFim("<|fim_prefix|>a<|fim_suffix|>"), "<|fim_prefix|>a<|fim_suffix|><|fim_middle|>");
  EXPECT_EQ(CompleteFim("<|repo_name|>r\n<|file_sep|>f\n<|fim_prefix|>a<|fim_suffix|>b"),
            "<|repo_name|>r\n<|file_sep|>f\n<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>");
}

TEST(Fim, OtherPromptsStayAsTheyAre) {
  for (const char* prompt : {"", "plain", "<|fim_prefix|>a", "<|fim_suffix|>b",
                             "<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>", "<|fim_middle|>"}) {
    EXPECT_EQ(CompleteFim(prompt), prompt);
  }
  EXPECT_TRUE(HasFimMarkers("x<|fim_suffix|>"));
  EXPECT_FALSE(HasFimMarkers("fim_prefix <|fim_pad|>"));
}

KeyCheck::Verdict Check(const KeyCheck& keys, std::vector<Header> headers) {
  HttpRequest request;
  request.headers = std::move(headers);
  return keys.Check(request);
}

TEST(KeyCheck, TakesBearerThenXApiKeyThenApiKey) {
  KeyCheck keys;
  EXPECT_EQ(Check(keys, {}), KeyCheck::Verdict::kAllowed);
  keys.Add(" first \n");
  keys.Add("second");
  EXPECT_EQ(Check(keys, {}), KeyCheck::Verdict::kMissing);
  EXPECT_EQ(Check(keys, {{"authorization", "Bearer first"}}), KeyCheck::Verdict::kAllowed);
  EXPECT_EQ(Check(keys, {{"authorization", "bearer  second "}}), KeyCheck::Verdict::kAllowed);
  EXPECT_EQ(Check(keys, {{"x-api-key", "second"}}), KeyCheck::Verdict::kAllowed);
  EXPECT_EQ(Check(keys, {{"api-key", "first"}}), KeyCheck::Verdict::kAllowed);
  EXPECT_EQ(Check(keys, {{"authorization", "Bearer wrong"}, {"x-api-key", "first"}}), KeyCheck::Verdict::kWrong);
  EXPECT_EQ(Check(keys, {{"authorization", "Basic first"}}), KeyCheck::Verdict::kMissing);
  EXPECT_EQ(Check(keys, {{"x-api-key", "firs"}}), KeyCheck::Verdict::kWrong);
}

}  // namespace
}  // namespace quern::api
