// One request on its way to its answer: the request, where the answer goes, the headers every response carries, and the
// accounting of it. Dialects answer through this and never touch the sink's head themselves.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "api/dialect.h"
#include "api/errors.h"
#include "api/http.h"
#include "api/limits.h"
#include "api/metrics.h"
#include "engine/engine.h"

namespace quern::api {

struct Shape;  // api/shape.h

// Which of the mounted prefixes the request came under; some defaults depend on it.
enum class RoutePrefix { kV1, kBare, kCompatibleMode, kOpenAi };

// Shared by the dialect and the callbacks of one request. Strand only.
class Exchange {
 public:
  struct Setup {
    HttpRequest request;
    std::shared_ptr<ResponseSink> sink;
    const Limits* limits;  // outlives the exchange
    std::shared_ptr<Metrics> metrics;
    std::string cors_origin;  // empty = no CORS headers
    RoutePrefix prefix = RoutePrefix::kV1;
    std::string route;                         // label for metrics, e.g. "chat.completions"
    const Dialect* dialect = &kOpenAiDialect;  // shape of errors; outlives the exchange
    std::string owner;                         // whose what the request leaves here is; empty = a caller without a key
    engine::Priority priority = engine::Priority::kInteractive;
    const Shape* body = nullptr;  // that the route's table gives its JSON body; null = any object
  };

  explicit Exchange(Setup setup);
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  const HttpRequest& request() const { return setup_.request; }
  HttpRequest& mutable_request() { return setup_.request; }
  const Limits& limits() const { return *setup_.limits; }
  ResponseSink& sink() const { return *setup_.sink; }
  const std::shared_ptr<ResponseSink>& shared_sink() const { return setup_.sink; }
  Metrics& metrics() const { return *setup_.metrics; }
  RoutePrefix prefix() const { return setup_.prefix; }
  const std::string& request_id() const { return request_id_; }
  const std::string& route() const { return setup_.route; }
  const Dialect& dialect() const { return *setup_.dialect; }
  const std::string& owner() const { return setup_.owner; }
  engine::Priority priority() const { return setup_.priority; }
  const Shape* body_shape() const { return setup_.body; }

  // ---- a whole answer ----
  void SendJson(int status, std::string json);
  void SendText(int status, std::string_view content_type, std::string text);
  void SendNoContent(std::vector<Header> headers);
  void SendError(const ApiError& error);

  // ---- a stream ----
  void StartStream(std::string_view content_type);  // status 200
  void WriteRaw(std::string_view bytes) { frames_ += bytes; }
  // What was written since the last call, in one piece. The frames are collected until then.
  void Flush();
  // Flushes and ends the stream. status: what metrics count, 200 or that of an error sent in the stream.
  void EndStream(int status);

  // ---- a stream of server-sent events ----
  void StartSse() { StartStream("text/event-stream; charset=utf-8"); }
  void WriteData(std::string_view json);                           // data: json
  void WriteEvent(std::string_view event, std::string_view json);  // event: event, data: json
  // An error after the stream began, as the OpenAI family has it: an error frame, [DONE], the end.
  void FailSse(const ApiError& error);
  // [DONE], the end.
  void FinishSse();

  bool streaming() const { return streaming_; }
  bool answered() const { return answered_; }
  // The peer left, or reads so slowly that it was given up. Counted as status 499.
  void MarkGone() { Count(499); }

 private:
  std::vector<Header> CommonHeaders(std::string_view content_type) const;
  void Count(int status);

  Setup setup_;
  std::string request_id_;
  std::chrono::steady_clock::time_point started_;
  std::string frames_;
  bool streaming_ = false;
  bool answered_ = false;
  bool counted_ = false;
};

}  // namespace quern::api
