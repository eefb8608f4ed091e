// Chat completions with `store`, by the routes that read them.
#include "api/stored_chat.h"

#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "api/test_sink.h"

namespace quern::api {
namespace {

namespace json = boost::json;

constexpr std::string_view kScript = R"({"rules":[
  {"match":"call","text":"x<tool_call>\n<function=read>\n<parameter=path>\na\n</parameter>\n</function>\n</tool_call>"},
  {"match":"fault","fault":{"kind":"error","code":"internal","message":"broken","at":1},"text":"abc"},
  {"text":"Hello there."}]})";

class StoredChat : public ::testing::Test {
 protected:
  static std::string Ask(const std::string& text, const std::string& more = "") {
    return R"({"model":"demo","store":true,"messages":[{"role":"system","content":"be brief"},{"role":"user","content":")" +
           text + "\"}]" + more + "}";
  }
  json::value Page(const std::string& path, const std::string& query) const {
    auto sink = std::make_shared<TestSink>();
    served_.service->Handle({"GET", path, query, {}, "", nullptr}, sink);
    sink->Run();
    return sink->Json();
  }
  std::string Ids(const std::string& query) const {
    std::string text;
    const json::value page = Page("/v1/chat/completions", query);
    if (!page.as_object().contains("data")) return json::serialize(page);
    for (const json::value& object : page.at("data").as_array()) {
      text += std::string(object.at("metadata").at("n").as_string());
    }
    return text + (page.at("has_more").as_bool() ? "+" : "");
  }

  ScriptedService served_{kScript};
};

TEST_F(StoredChat, IsKeptAsItWasAnswered) {
  json::value answer = served_.Post("/v1/chat/completions", Ask("hello", R"(,"metadata":{"k":"v"})"))->Json();
  const std::string path = "/v1/chat/completions/" + std::string(answer.at("id").as_string());
  const json::value kept = served_.Get(path)->Json();
  EXPECT_EQ(kept.at("metadata").at("k"), "v");
  answer.as_object()["metadata"] = kept.at("metadata");
  EXPECT_EQ(kept, answer);
  EXPECT_EQ(served_.Get(path, "GET", {{"x-api-key", "other"}})->status, 404);
  const json::value messages = served_.Get(path + "/messages")->Json();
  ASSERT_EQ(messages.at("data").as_array().size(), 2);
  EXPECT_EQ(messages.at("data").at(1).at("role"), "user");
  EXPECT_EQ(messages.at("data").at(1).at("content"), "hello");
  EXPECT_EQ(std::string(messages.at("first_id").as_string()), std::string(answer.at("id").as_string()) + "-0");
}

TEST_F(StoredChat, AStreamIsKeptAsItsWholeAnswer) {
  const std::string tools = R"(,"tools":[{"type":"function","function":{"name":"read","parameters":{"type":"object",
    "properties":{"path":{"type":"string"}}}}}],"n":2)";
  const json::value whole = served_.Post("/v1/chat/completions", Ask("call", tools))->Json();
  const auto frames = served_.Post("/v1/chat/completions", Ask("call", tools + R"(,"stream":true)"))->Frames();
  const json::value kept =
      served_.Get("/v1/chat/completions/" + std::string(frames.front().at("id").as_string()))->Json();
  EXPECT_EQ(kept.at("object"), "chat.completion");
  EXPECT_EQ(kept.at("usage"), whole.at("usage"));
  ASSERT_EQ(kept.at("choices").as_array().size(), 2);
  for (size_t i = 0; i < 2; ++i) {
    json::value left = kept.at("choices").at(i);
    json::value right = whole.at("choices").at(i);
    for (json::value* choice : {&left, &right}) choice->at("message").at("tool_calls").at(0).as_object().erase("id");
    EXPECT_EQ(left, right);
  }
}

TEST_F(StoredChat, WhatFailedOrWasNotToBeKeptIsNot) {
  served_.Post("/v1/chat/completions", Ask("fault"));
  served_.Post("/v1/chat/completions", Ask("fault", R"(,"stream":true)"));
  served_.Post("/v1/chat/completions",
               R"({"model":"demo","metadata":{"n":1},"messages":[{"role":"user","content":"x"}]})");
  EXPECT_TRUE(Page("/v1/chat/completions", "").at("data").as_array().empty());
  const auto bad = served_.Post("/v1/chat/completions", Ask("x", R"(,"metadata":{"n":1})"));
  EXPECT_EQ(bad->status, 400);
  EXPECT_EQ(bad->Json().at("error").at("param"), "metadata.n");
}

TEST_F(StoredChat, ListsChangesAndForgets) {
  std::vector<std::string> ids;
  for (int i = 0; i < 4; ++i) {
    const json::value answer =
        served_
            .Post("/v1/chat/completions", Ask("x", R"(,"metadata":{"odd":")" + std::to_string(i % 2) + R"(","n":")" +
                                                       std::to_string(i) + "\"}"))
            ->Json();
    ids.emplace_back(answer.at("id").as_string());
  }
  EXPECT_EQ(Ids(""), "0123");
  EXPECT_EQ(Ids("limit=3"), "012+");
  EXPECT_EQ(Ids("after=" + ids[1]), "23");
  EXPECT_EQ(Ids("order=desc&limit=2"), "32+");
  EXPECT_EQ(Ids("metadata%5Bodd%5D=1"), "13");
  EXPECT_EQ(Ids("metadata[odd]=1&metadata[n]=3"), "3");
  EXPECT_EQ(Ids("model=other"), "");
  EXPECT_NE(Ids("limit=0").find("limit"), std::string::npos);
  const std::string path = "/v1/chat/completions/" + ids[1];
  const json::value changed = served_.Post(path, R"({"metadata":{"n":"9"}})")->Json();
  EXPECT_EQ(changed.at("metadata").at("n"), "9");
  EXPECT_EQ(changed, served_.Get(path)->Json());
  EXPECT_EQ(Ids("metadata[odd]=1"), "3");
  const json::value gone = served_.Get(path, "DELETE")->Json();
  EXPECT_EQ(gone.at("object"), "chat.completion.deleted");
  EXPECT_EQ(served_.Get(path, "DELETE")->status, 404);
  EXPECT_EQ(served_.Post(path, "{}")->status, 404);
  EXPECT_EQ(Ids(""), "023");
}

}  // namespace
}  // namespace quern::api
