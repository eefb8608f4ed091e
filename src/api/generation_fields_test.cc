#include "api/generation_fields.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

#include "api/test_sink.h"

namespace quern::api {
namespace {

class Fields : public testing::Test {
 protected:
  ApiResult<GenerationFields> Read(std::string_view more, FieldsFor kind = FieldsFor::kChat) {
    const std::string text = R"({"model":"demo")" + std::string(more.empty() ? "" : ",") + std::string(more) + "}";
    const boost::json::value body = boost::json::parse(text);
    return ReadGenerationFields(ObjectReader(body.get_object(), ""), *served_.model(), limits_, kind);
  }
  void Fails(std::string_view more, std::string_view param, std::string_view code, FieldsFor kind = FieldsFor::kChat) {
    const auto read = Read(more, kind);
    ASSERT_FALSE(read) << more;
    EXPECT_EQ(read.error().http_status, 400) << more;
    EXPECT_EQ(read.error().param, param) << more;
    EXPECT_EQ(read.error().code, code) << more;
  }

  ScriptedService served_{
      R"({"context_length":100,"rules":[{"text":"x"}],
          "defaults":{"temperature":0.7,"top_p":0.8,"top_k":20,"min_p":0.1,"repetition_penalty":1.05}})"};
  Limits limits_;
};

TEST_F(Fields, DefaultsComeFromTheCheckpointInChatOnly) {
  const GenerationFields chat = Read("").value();
  EXPECT_FLOAT_EQ(chat.sampling.temperature, 0.7F);
  EXPECT_FLOAT_EQ(chat.sampling.top_p, 0.8F);
  EXPECT_EQ(chat.sampling.top_k, 20);
  EXPECT_FLOAT_EQ(chat.sampling.min_p, 0.1F);
  EXPECT_FLOAT_EQ(chat.sampling.repetition_penalty, 1.05F);
  EXPECT_FALSE(chat.max_tokens.has_value());
  EXPECT_EQ(chat.n, 1);
  const GenerationFields text = Read("", FieldsFor::kCompletions).value();
  EXPECT_FLOAT_EQ(text.sampling.temperature, 1);
  EXPECT_FLOAT_EQ(text.sampling.top_p, 1);
  EXPECT_EQ(text.sampling.top_k, 0);
  EXPECT_FLOAT_EQ(text.sampling.repetition_penalty, 1);
}

TEST_F(Fields, WhatIsSentWins) {
  const auto read = Read(R"("temperature":0,"top_p":0.5,"top_k":7,"min_p":0,"presence_penalty":-1,
      "frequency_penalty":2,"repetition_penalty":1.5,"seed":11,"n":3,"max_tokens":5.0,"stream":true,
      "stream_options":{"include_usage":true,"continuous_usage_stats":true},"logit_bias":{"5":-100,"6":2.5},
      "ignore_eos":true,"return_token_ids":true,"min_tokens":2,"skip_special_tokens":false,"unknown":{"x":[1]})");
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->sampling.temperature, 0);
  EXPECT_FLOAT_EQ(read->sampling.top_p, 0.5F);
  EXPECT_EQ(read->sampling.top_k, 7);
  EXPECT_EQ(read->sampling.presence_penalty, -1);
  EXPECT_EQ(read->sampling.frequency_penalty, 2);
  EXPECT_FLOAT_EQ(read->sampling.repetition_penalty, 1.5F);
  EXPECT_EQ(read->sampling.seed, 11U);
  EXPECT_EQ(read->n, 3);
  EXPECT_EQ(read->max_tokens, 5);
  EXPECT_EQ(read->min_tokens, 2);
  EXPECT_TRUE(read->stream && read->include_usage && read->continuous_usage);
  EXPECT_TRUE(read->ignore_eos && read->return_token_ids);
  EXPECT_FALSE(read->skip_special_tokens);
  EXPECT_EQ(read->sampling.logit_bias.size(), 2U);
}

TEST_F(Fields, TheValuesThatProgramsReallySend) {
  EXPECT_EQ(Read(R"("max_tokens":-1)").value().max_tokens, -1) << "as many as fit";
  EXPECT_EQ(Read(R"("max_tokens":7,"max_completion_tokens":9)").value().max_tokens, 9) << "the newer name wins";
  EXPECT_EQ(Read(R"("max_tokens":null,"temperature":null,"stop":null,"seed":null,"n":null)").value().n, 1);
  EXPECT_EQ(Read(R"("temperature":2)").value().sampling.temperature, 2);
  EXPECT_EQ(Read(R"("top_p":0)").value().sampling.temperature, 0) << "only the best token";
  EXPECT_EQ(Read(R"("top_k":-1)").value().sampling.top_k, 0);
  EXPECT_EQ(Read(R"("top_k":101)").value().sampling.top_k, 0);
  EXPECT_FLOAT_EQ(Read(R"("repeat_penalty":1.25)").value().sampling.repetition_penalty, 1.25F);
  EXPECT_TRUE(Read(R"("max_tokens":0)", FieldsFor::kCompletions)) << "scoring";
}

TEST_F(Fields, Stops) {
  EXPECT_EQ(Read(R"("stop":"a")").value().stops, std::vector<std::string>({"a"}));
  EXPECT_EQ(Read(R"("stop":["a","b"])").value().stops, std::vector<std::string>({"a", "b"}));
  const GenerationFields ids = Read(R"("stop":[65,"c",[66,67],[68]],"stop_token_ids":[69])").value();
  EXPECT_EQ(ids.stops.size(), 2U);
  EXPECT_EQ(ids.stop_tokens, std::vector<engine::TokenId>({65, 68, 69}));
  Fails(R"("stop":"")", "stop", "invalid_value");
  Fails(R"("stop":["a",true])", "stop[1]", "invalid_type");
  Fails(R"("stop":[999999])", "stop[0]", "invalid_value");
  Fails(R"("stop_token_ids":[-1])", "stop_token_ids[0]", "invalid_value");
  limits_.max_stops = 2;
  Fails(R"("stop":["a","b","c"])", "stop[2]", "invalid_value");
  limits_.max_stop_bytes = 3;
  Fails(R"("stop":"abcd")", "stop", "invalid_value");
}

TEST_F(Fields, RefusesWhatCannotBeMeant) {
  Fails(R"("temperature":2.1)", "temperature", "invalid_value");
  Fails(R"("temperature":-0.1)", "temperature", "invalid_value");
  Fails(R"("temperature":"1")", "temperature", "invalid_type");
  Fails(R"("top_p":1.1)", "top_p", "invalid_value");
  Fails(R"("top_k":-2)", "top_k", "invalid_value");
  Fails(R"("min_p":1.5)", "min_p", "invalid_value");
  Fails(R"("presence_penalty":2.5)", "presence_penalty", "invalid_value");
  Fails(R"("frequency_penalty":-2.5)", "frequency_penalty", "invalid_value");
  Fails(R"("repetition_penalty":0)", "repetition_penalty", "invalid_value");
  Fails(R"("repetition_penalty":1e-60)", "repetition_penalty", "invalid_value");
  Fails(R"("seed":-1)", "seed", "invalid_value");
  Fails(R"("seed":1.5)", "seed", "invalid_type");
  Fails(R"("n":0)", "n", "invalid_value");
  Fails(R"("n":1000)", "n", "invalid_value");
  Fails(R"("max_tokens":0)", "max_tokens", "invalid_value");
  Fails(R"("max_tokens":-2)", "max_tokens", "invalid_value");
  Fails(R"("max_tokens":3,"min_tokens":4)", "min_tokens", "invalid_value");
  Fails(R"("stream":"true")", "stream", "invalid_type");
  Fails(R"("stream_options":[])", "stream_options", "invalid_type");
  Fails(R"("stream_options":{"include_usage":1})", "stream_options.include_usage", "invalid_type");
  Fails(R"("logit_bias":{"x":1})", "logit_bias", "invalid_value");
  Fails(R"("logit_bias":{"99999":1})", "logit_bias", "invalid_value");
  Fails(R"("logit_bias":{"5":101})", "logit_bias.5", "invalid_value");
  Fails(R"("guided_json":3)", "guided_json", "invalid_json_schema");
  Fails(R"("user":5)", "user", "invalid_type");
}

TEST_F(Fields, ModelNames) {
  const auto find = [&](std::string_view text) {
    const boost::json::value body = boost::json::parse(text);
    return ReadModel(ObjectReader(body.get_object(), ""), *served_.models);
  };
  EXPECT_EQ(find(R"({"model":" DEMO "})").value(), served_.model());
  EXPECT_EQ(find(R"({"model":"Qwen/Qwen3-Coder-480B-A35B-Instruct"})").value(), served_.model());
  EXPECT_EQ(find(R"({"model":"gpt-4"})").error().http_status, 404);
  EXPECT_EQ(find(R"({"model":"gpt-4"})").error().code, "model_not_found");
  EXPECT_EQ(find(R"({})").error().http_status, 400);
  EXPECT_EQ(find(R"({"model":""})").error().http_status, 400);
  EXPECT_EQ(find(R"({"model":7})").error().code, "invalid_type");
}

TEST_F(Fields, TheEnginesRequestFitsTheContext) {
  const auto make = [&](std::string_view more, size_t n_prompt, int choice = 0) {
    return MakeGenerateRequest(Read(more).value(), *served_.model(), std::vector<engine::TokenId>(n_prompt, 1), choice,
                               16);
  };
  EXPECT_EQ(make("", 10).max_tokens, 16);
  EXPECT_EQ(make(R"("max_tokens":1000000)", 10).max_tokens, 90) << "what is left of the context";
  EXPECT_EQ(make(R"("max_tokens":-1)", 30).max_tokens, 70);
  EXPECT_EQ(make(R"("seed":5)", 10, 2).sampling.seed, 7U) << "choices differ";
  EXPECT_EQ(make("", 10).stop_tokens, served_.backend->info().eos_tokens);
  EXPECT_TRUE(make(R"("ignore_eos":true)", 10).stop_tokens.empty());
}

TEST_F(Fields, ALongPromptIsNamedWithItsNumbers) {
  EXPECT_TRUE(CheckPromptFits(*served_.model(), 99, true, "messages"));
  EXPECT_TRUE(CheckPromptFits(*served_.model(), 100, false, "prompt")) << "scoring needs no room";
  const auto check = CheckPromptFits(*served_.model(), 120, true, "messages");
  ASSERT_FALSE(check);
  EXPECT_EQ(check.error().code, "context_length_exceeded");
  for (const char* words : {"maximum context length is 100 tokens", "resulted in 120 tokens", "input length should be"})
    EXPECT_NE(check.error().message.find(words), std::string::npos) << check.error().message;
  EXPECT_EQ(check.error().numbers.size(), 3U);
  EXPECT_FALSE(CheckTextFits(*served_.model(), 1 << 20, "prompt"));
  EXPECT_TRUE(CheckTextFits(*served_.model(), 100, "prompt"));
}

}  // namespace
}  // namespace quern::api
