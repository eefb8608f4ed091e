// Paths, fill-in-the-middle prompts and keys: the pure functions in front of the dialects.
#include <gtest/gtest.h>

#include "api/fim.h"
#include "api/key_check.h"
#include "api/router.h"

namespace quern::api {
namespace {

TEST(Router, EveryOperationUnderEveryPrefix) {
  const std::pair<const char*, RoutePrefix> mounts[] = {{"", RoutePrefix::kBare},
                                                        {"/v1", RoutePrefix::kV1},
                                                        {"/openai/v1", RoutePrefix::kOpenAi},
                                                        {"/compatible-mode/v1", RoutePrefix::kCompatibleMode}};
  const std::pair<const char*, Operation> operations[] = {{"/chat/completions", Operation::kChat},
                                                          {"/completions", Operation::kCompletions},
                                                          {"/fim/completions", Operation::kFim},
                                                          {"/models", Operation::kListModels},
                                                          {"/models/a/b%2Fc", Operation::kGetModel}};
  for (const auto& [mount, prefix] : mounts) {
    for (const auto& [rest, operation] : operations) {
      for (const char* slash : {"", "/"}) {
        const RouteMatch match = MatchRoute(std::string(mount) + rest + slash);
        EXPECT_EQ(match.operation, operation) << mount << rest << slash;
        EXPECT_EQ(match.prefix, prefix) << mount << rest << slash;
        if (operation == Operation::kGetModel) {
          EXPECT_EQ(match.model_id, "a/b/c") << mount << slash;
        }
      }
    }
  }
}

TEST(Router, TheServersOwnPaths) {
  EXPECT_EQ(MatchRoute("/health").operation, Operation::kHealth);
  EXPECT_EQ(MatchRoute("/metrics/").operation, Operation::kMetrics);
  EXPECT_EQ(MatchRoute("/").operation, Operation::kRoot);
  EXPECT_EQ(MatchRoute("").operation, Operation::kRoot);
}

TEST(Router, UnknownPathsAreUnknown) {
  for (const char* path : {"/v1", "/v1/chat", "/v1/chat/completions/x", "/V1/models", "//v1/models", "/v2/models",
                           "/v1/completionsx", "/v1//completions", "chat/completions", "//", "*"}) {
    EXPECT_EQ(MatchRoute(path).operation, Operation::kNone) << path;
    EXPECT_FALSE(MatchRoute(path).doubled_v1) << path;
  }
  EXPECT_TRUE(MatchRoute("/v1/v1/models").doubled_v1);
  EXPECT_EQ(MatchRoute("/v1/v1/models").operation, Operation::kNone);
}

TEST(Router, PercentDecodeLeavesWhatIsNoEscape) {
  EXPECT_EQ(PercentDecode("a%2Fb%20c"), "a/b c");
  EXPECT_EQ(PercentDecode("%"), "%");
  EXPECT_EQ(PercentDecode("%2"), "%2");
  EXPECT_EQ(PercentDecode("%zz%2f%4"), "%zz/%4");
  EXPECT_EQ(PercentDecode("%%41"), "%A");
  EXPECT_EQ(PercentDecode("100%25"), "100%");
}

TEST(Router, MethodsFollowOperations) {
  EXPECT_EQ(AllowedMethods(Operation::kChat), "POST, OPTIONS");
  EXPECT_EQ(AllowedMethods(Operation::kListModels), "GET, HEAD, OPTIONS");
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
