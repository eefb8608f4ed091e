// HTTP/1.1 to one endpoint: connections, requests, answers piece by piece. Built on Asio and Beast. Everything runs on
// the one thread of the backend's io_context.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "upstream/options.h"

namespace quern::upstream {

struct HttpRequest {
  bool post = false;
  std::string path;
  std::string body;  // JSON, for a POST
};

struct HttpHead {
  int status = 0;
  std::string content_type;  // lower case, without parameters
  int retry_after_s = 0;     // 0 = none; capped at an hour
};

struct HttpLimits {
  size_t max_header_bytes;
  size_t max_answer_bytes;
};

// One connection and the exchange that is on it. Every call may end with kDeadline (its time passed), kUnavailable (the
// peer or the network), kCorrupt (not HTTP), kExhausted (a limit) or, after Cancel, kCancelled. After an error it is of
// no further use. Messages reach clients of ours, so they do not say which upstream it is.
class HttpConnection {
 public:
  virtual ~HttpConnection() = default;

  virtual boost::asio::awaitable<Result<void>> Connect(std::chrono::milliseconds time) = 0;
  virtual boost::asio::awaitable<Result<void>> Send(const HttpRequest& request, std::chrono::milliseconds time) = 0;
  virtual boost::asio::awaitable<Result<HttpHead>> ReadHead(const HttpLimits& limits,
                                                            std::chrono::milliseconds time) = 0;
  // The next piece of the body; empty at its end. Valid until the next call.
  virtual boost::asio::awaitable<Result<std::string_view>> ReadBody(std::chrono::milliseconds time) = 0;

  // The running call, or the next one, ends with kCancelled.
  virtual void Cancel() = 0;
  // The answer was read to its end and another request may follow.
  virtual bool reusable() const = 0;
};

// A TLS context for clients: TLS 1.2 or later, verified by the system's certificates or those of endpoint.ca_file.
// Errors: kInvalidArgument (the file cannot be used; it is named).
Result<std::shared_ptr<boost::asio::ssl::context>> MakeTlsClient(const EndpointOptions& endpoint);

// Connections to one endpoint that wait for a further request. Same thread as everything.
class ConnectionPool {
 public:
  // tls: null for http. endpoint outlives it.
  ConnectionPool(boost::asio::any_io_executor executor, const EndpointOptions& endpoint,
                 std::shared_ptr<boost::asio::ssl::context> tls, size_t max_idle, std::chrono::milliseconds keep_idle)
      : executor_(std::move(executor)),
        endpoint_(endpoint),
        tls_(std::move(tls)),
        max_idle_(max_idle),
        keep_idle_(keep_idle) {}

  struct Lease {
    std::unique_ptr<HttpConnection> connection;
    bool fresh;  // not connected yet
  };
  Lease Take(bool want_fresh);
  void Return(std::unique_ptr<HttpConnection> connection);
  void Clear() { idle_.clear(); }

 private:
  using Clock = std::chrono::steady_clock;
  boost::asio::any_io_executor executor_;
  const EndpointOptions& endpoint_;
  std::shared_ptr<boost::asio::ssl::context> tls_;
  size_t max_idle_;
  std::chrono::milliseconds keep_idle_;
  std::vector<std::pair<Clock::time_point, std::unique_ptr<HttpConnection>>> idle_;  // since when; oldest first
};

}  // namespace quern::upstream
