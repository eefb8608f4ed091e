// The frame of the fuzz targets of requests: the input's first byte chooses a route of the family, the rest is the
// body. The scripted backend answers what is accepted. Whatever the bytes are, there is one answer in UTF-8; it is a
// 200 that the route takes for whole, a stream that it takes for ended, or an error of 400 or 404 with a message. Never
// a 500.
#pragma once

#include <boost/json/parse.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/test_sink.h"
#include "base/utf8.h"

namespace quern::api {

// What is wrong, or null.
using FuzzCheck = const char* (*)(const TestSink& sink);

struct FuzzRoute {
  const char* path;
  FuzzCheck whole;   // an answer of 200, JSON
  FuzzCheck stream;  // a stream; null: the route has none
  std::vector<Header> headers = {};
};

struct FuzzFamily {
  const char* name;
  std::span<const FuzzRoute> routes;  // new ones at the end: the corpus names them by number
  FuzzCheck error;
};

inline void RequireOf(const FuzzFamily& family, const TestSink& sink, const char* wrong) {
  if (wrong == nullptr) return;
  std::fprintf(stderr, "%s: %s\nstatus %d\n%.2000s\n", family.name, wrong, sink.status, sink.body.c_str());
  std::abort();
}

inline const ScriptedService& FuzzedService() {
  static const ScriptedService served = [] {
    constexpr std::string_view kScript = R"({"context_length":4096,"rules":[
      {"match":"call","text":"x<tool_call>\n<function=write_file>\n<parameter=path>\na\n</parameter>\n</function>\n</tool_call>y"},
      {"text":"Hi 你好 🙂, one two three."}]})";
    ServiceOptions options;
    options.limits.max_choices = 4;  // small enough that no input makes a long answer
    return ScriptedService(kScript, options);
  }();
  return served;
}

inline const char* WrongWith(const FuzzFamily& family, const FuzzRoute& route, const TestSink& sink) {
  if (sink.n_answers != 1) return "not exactly one answer";
  if (!IsValidUtf8(sink.body)) return "the answer is not UTF-8";
  if (FuzzedService().service->metrics().n_active() != 0) return "the request is still there";
  if (sink.streamed) {
    if (sink.status != 200 || sink.aborted) return "a stream that is no 200";
    if (ScriptDidNotFit(sink)) return nullptr;  // it ends with an error
    return route.stream == nullptr ? "a stream that nobody asked for" : route.stream(sink);
  }
  if (ScriptDidNotFit(sink)) return nullptr;
  if (sink.status != 200 && sink.status != 400 && sink.status != 404) return "an unexpected status";
  boost::system::error_code error;
  const auto json = boost::json::parse(sink.body, error);
  if (error || !(json.is_object() || json.is_array())) return "the answer is no JSON";
  return sink.status == 200 ? route.whole(sink) : family.error(sink);
}

// LLVMFuzzerTestOneInput of a family.
inline int FuzzRequest(const FuzzFamily& family, const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const FuzzRoute& route = family.routes[data[0] % family.routes.size()];
  const std::string body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto sink = FuzzedService().Begin(route.path, body, "POST", route.headers);
  sink->Run();
  RequireOf(family, *sink, WrongWith(family, route, *sink));
  return 0;
}

// ---- checks that families share ----

// The member Key of the answer is there.
template <const auto& Key>
const char* Has(const TestSink& sink) {
  const auto json = sink.Json();
  return json.is_object() && json.as_object().contains(Key) ? nullptr : "an answer without its content";
}

inline const char* IsJson(const TestSink&) { return nullptr; }

// message, error or error.message.
inline const char* HasMessage(const TestSink& sink) {
  const auto json = sink.Json();
  const boost::json::value* message = json.is_object() ? json.as_object().if_contains("message") : nullptr;
  if (message == nullptr && json.is_object()) message = json.as_object().if_contains("error");
  if (message != nullptr && message->is_object()) message = message->get_object().if_contains("message");
  const bool told = message != nullptr && message->is_string() && !message->get_string().empty();
  return told ? nullptr : "an error without a message";
}

}  // namespace quern::api
