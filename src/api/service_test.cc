// Routes, methods, keys, content types and capacity, in front of every dialect.
#include "api/service.h"

#include <gtest/gtest.h>

#include <boost/json/array.hpp>

#include "api/test_sink.h"

namespace quern::api {
namespace {

constexpr std::string_view kScript = R"({"rules":[{"match":"hang","fault":{"kind":"hang"}},{"text":"hi"}]})";
constexpr const char* kHello = R"({"model":"demo","messages":[{"role":"user","content":"hello"}]})";
constexpr const char* kHang = R"({"model":"demo","messages":[{"role":"user","content":"hang"}]})";

std::string ErrorCode(const TestSink& sink) {
  const auto json = sink.Json();
  if (!json.as_object().contains("error")) return "no error: " + sink.body;
  const auto& code = json.at("error").at("code");
  return code.is_string() ? std::string(code.as_string()) : "";
}

TEST(Service, EveryPrefixAnswersChat) {
  const ScriptedService served(kScript);
  for (const char* path : {"/chat/completions", "/v1/chat/completions", "/compatible-mode/v1/chat/completions",
                           "/openai/v1/chat/completions/"}) {
    EXPECT_EQ(served.Post(path, kHello)->status, 200) << path;
  }
}

TEST(Service, UnknownPathsAndMethods) {
  const ScriptedService served(kScript);
  EXPECT_EQ(served.Get("/nowhere")->status, 404);
  EXPECT_EQ(ErrorCode(*served.Get("/nowhere")), "not_found");
  EXPECT_NE(served.Get("/v1/v1/models")->body.find("occurs twice"), std::string::npos);
  const auto wrong = served.Get("/v1/completions");
  EXPECT_EQ(wrong->status, 405);
  EXPECT_EQ(wrong->Find("allow"), "POST, OPTIONS");
  EXPECT_EQ(served.Get("/v1/models", "DELETE")->status, 405);
  EXPECT_EQ(served.Get("/v1/models", "\xFF")->status, 405);
  EXPECT_EQ(served.Get("/\xFF\xFE")->status, 404);
}

TEST(Service, HealthRootAndPreflight) {
  const ScriptedService served(kScript);
  EXPECT_EQ(served.Get("/health")->status, 200);
  EXPECT_EQ(served.Get("/")->status, 200);
  const auto preflight = served.Get("/v1/chat/completions", "OPTIONS");
  EXPECT_EQ(preflight->status, 204);
  EXPECT_EQ(preflight->Find("access-control-allow-origin"), "*");
  EXPECT_NE(preflight->Find("access-control-allow-headers").find("authorization"), std::string_view::npos);
}

TEST(Service, Models) {
  const ScriptedService served(kScript);
  const auto list = served.Get("/v1/models")->Json();
  EXPECT_EQ(list.at("object"), "list");
  EXPECT_EQ(list.at("first_id"), "demo");
  EXPECT_EQ(list.at("data").at(0).at("id"), "demo");
  EXPECT_EQ(list.at("data").at(0).at("created_at"), "2026-02-02T02:40:00Z");
  EXPECT_EQ(served.Get("/v1/models/qwen/qwen3-coder-next")->Json().at("id"), "qwen/qwen3-coder-next");
  EXPECT_EQ(served.Get("/v1/models/qwen%2Fqwen3-coder-next")->status, 200);
  for (const char* path : {"/v1/models/none", "/v1/models/%FF%FE", "/v1/models/%00"}) {
    const auto sink = served.Get(path);
    EXPECT_EQ(sink->status, 404) << path;
    EXPECT_EQ(ErrorCode(*sink), "model_not_found") << path;
  }
}

TEST(Service, KeysGuardEverythingButHealth) {
  ServiceOptions options;
  options.keys.Add("sk-right");
  const ScriptedService served(kScript, std::move(options));
  EXPECT_EQ(served.Get("/health")->status, 200);
  for (const char* path : {"/v1/models", "/v1/models/demo", "/metrics"}) {
    EXPECT_EQ(served.Get(path)->status, 401) << path;
    EXPECT_EQ(served.Get(path, "GET", {{"authorization", "Bearer sk-right"}})->status, 200) << path;
  }
  const auto wrong = served.Begin("/v1/chat/completions", kHello, "POST", {{"x-api-key", "sk-wrong"}});
  wrong->Run();
  EXPECT_EQ(wrong->status, 401);
  EXPECT_EQ(ErrorCode(*wrong), "invalid_api_key");
  EXPECT_EQ(wrong->body.find("sk-"), std::string::npos) << "keys are not repeated";
}

TEST(Service, ContentTypes) {
  const ScriptedService served(kScript);
  const auto status = [&](const char* type) {
    const auto sink = served.Begin("/v1/chat/completions", kHello, "POST", {{"content-type", type}});
    sink->Run();
    return sink->status;
  };
  for (const char* type : {"application/json", "application/json; charset=utf-8", "Application/JSON ;charset=\"utf-8\"",
                           "application/vnd.x+json"}) {
    EXPECT_EQ(status(type), 200) << type;
  }
  for (const char* type : {"text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1"}) {
    EXPECT_EQ(status(type), 400) << type;
  }
}

TEST(Service, BodiesThatAreNoObject) {
  const ScriptedService served(kScript);
  for (const char* path : {"/v1/chat/completions", "/v1/completions", "/v1/fim/completions"}) {
    for (const char* body : {"", "[]", "1", "null", "{", "{}}", "{\"model\":\"demo\",}", "\xFF"}) {
      const auto sink = served.Post(path, body);
      EXPECT_EQ(sink->status, 400) << body;
      EXPECT_EQ(ErrorCode(*sink), "invalid_json") << body;
    }
  }
}

TEST(Service, NoMoreThanItMayHold) {
  ServiceOptions options;
  options.limits.max_requests = 2;
  const ScriptedService served(kScript, std::move(options));
  const auto first = served.Begin("/v1/chat/completions", kHang);
  const auto second = served.Begin("/v1/chat/completions", kHang);
  const auto third = served.Post("/v1/chat/completions", kHello);
  EXPECT_EQ(third->status, 503);
  EXPECT_EQ(ErrorCode(*third), "overloaded");
  EXPECT_NE(third->body.find("max_requests"), std::string::npos);
  first->Leave();
  EXPECT_EQ(served.Post("/v1/chat/completions", kHello)->status, 200) << "there is room again";
  second->Leave();
  EXPECT_EQ(served.service->metrics().n_active(), 0);
}

TEST(Service, ShuttingDownRefusesNewWork) {
  const ScriptedService served(kScript);
  served.service->BeginShutdown();
  EXPECT_EQ(served.Post("/v1/chat/completions", kHello)->status, 503);
  EXPECT_EQ(served.Get("/health")->status, 503);
  EXPECT_EQ(served.Get("/v1/models")->status, 200);
}

TEST(Service, MetricsCountWhatHappened) {
  const ScriptedService served(kScript);
  served.Post("/v1/chat/completions", kHello);
  served.Get("/nowhere/sk-secret");
  served.Begin("/v1/chat/completions", kHang)->Leave();
  const std::string text = served.Get("/metrics")->body;
  const auto has = [&](const char* line) { EXPECT_NE(text.find(line), std::string::npos) << line << "\n" << text; };
  has(R"(quern_requests_total{route="chat.completions",status="200"} 1)");
  has(R"(quern_requests_total{route="chat.completions",status="499"} 1)");
  has(R"(quern_requests_total{route="unknown",status="404"} 1)");
  has(R"(quern_tokens_total{kind="generated",route="chat.completions"} 3)");
  EXPECT_EQ(text.find("secret"), std::string::npos) << "no label comes from outside";
}

TEST(ModelRegistry, RefusesHalfModelsAndTakenNames) {
  const ScriptedService served(kScript);
  ModelRegistry registry;
  EXPECT_FALSE(registry.Add(ServedModel()));
  EXPECT_TRUE(registry.Add(*served.model(), {"other"}));
  EXPECT_FALSE(registry.Add(*served.model())) << "the same id";
  EXPECT_EQ(registry.Find("claude-x"), nullptr);
  registry.EnableCatchAll();
  EXPECT_NE(registry.Find("claude-x"), nullptr);
  EXPECT_NE(registry.Find("\tOTHER "), nullptr);
}

}  // namespace
}  // namespace quern::api
