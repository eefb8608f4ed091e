// One server that has the model: its connections, its health, and what an exchange with it comes to. Used on the
// backend's thread only.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "upstream/format_check.h"
#include "upstream/health.h"
#include "upstream/http_client.h"
#include "upstream/options.h"
#include "upstream/token_assembler.h"

namespace quern::upstream {

// A request under way. Shared by its coroutine and by whoever cancels it.
struct Ask {
  std::string body;  // see WithModel
  Wanted wanted;
  std::chrono::steady_clock::time_point deadline;
  std::function<void(const engine::Event&)> emit;
  std::unique_ptr<FormatCheck> format;   // null when the answer is free
  int n_emitted = 0;                     // tokens handed to emit
  HttpConnection* connection = nullptr;  // that its exchange is on; null between two
};

// How one attempt ended.
struct Outcome {
  enum class Kind {
    kFinished,  // `finished` is the last event
    kTryAgain,  // nothing of the answer came; another attempt may do better
    kFailed,    // for good: the request cannot be answered, or its answer broke off
  };
  Kind kind;
  Status status = Status(Code::kInternal, "no error");  // unless kFinished
  engine::FinishedEvent finished{};
  int retry_after_s = 0;           // 0 = not said
  bool endpoint_at_fault = false;  // counts against its health
};

class Endpoint {
 public:
  // Errors: kInvalidArgument (a certificate file). options and what tokenizer and text_tokens refer to outlive it.
  static Result<std::unique_ptr<Endpoint>> Create(boost::asio::any_io_executor executor,
                                                  const EndpointOptions& endpoint, const UpstreamOptions& options,
                                                  const tokenizer::Tokenizer& tokenizer, const TextTokens& text_tokens);

  // Sends the request and hands its tokens out.
  boost::asio::awaitable<Outcome> Attempt(Ask& ask);

  // Whether it answers GET /models. Never blocks longer than the probe's times.
  boost::asio::awaitable<Result<void>> Probe();

  const EndpointOptions& options() const { return endpoint_; }
  Health& health() { return health_; }
  void ClosePool() { pool_.Clear(); }

  int n_running = 0;
  uint64_t n_requests = 0;
  uint64_t n_failures = 0;

 private:
  Endpoint(boost::asio::any_io_executor executor, const EndpointOptions& endpoint, const UpstreamOptions& options,
           std::shared_ptr<boost::asio::ssl::context> tls, const tokenizer::Tokenizer& tokenizer,
           const TextTokens& text_tokens);

  struct Opened {
    std::unique_ptr<HttpConnection> connection;
    HttpHead head;
  };
  boost::asio::awaitable<Result<Opened>> Open(const HttpRequest& request, Ask* ask, std::chrono::milliseconds time);
  boost::asio::awaitable<std::string> ReadErrorBody(HttpConnection& connection);
  boost::asio::awaitable<Outcome> ReadStream(HttpConnection& connection, Ask& ask,
                                             std::chrono::steady_clock::time_point first_byte_by);
  std::string WithoutKey(std::string text) const;
  Outcome OutcomeOfStatus(const HttpHead& head, const std::string& body) const;

  const EndpointOptions& endpoint_;
  const UpstreamOptions& options_;
  const tokenizer::Tokenizer& tokenizer_;
  const TextTokens& text_tokens_;
  ConnectionPool pool_;
  Health health_;
};

}  // namespace quern::upstream
