#include "upstream/http_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <cctype>
#include <charconv>
#include <optional>

namespace quern::upstream {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace ssl = boost::asio::ssl;
using asio::awaitable;
using asio::redirect_error;
using asio::use_awaitable;
using asio::ip::tcp;
using boost::system::error_code;
using Milliseconds = std::chrono::milliseconds;
using Parser = http::response_parser<http::buffer_body>;

constexpr size_t kReadBytes = 16 * 1024;
constexpr int kMaxRetryAfterS = 3600;

int RetryAfterOf(const http::response_header<>& head) {
  const auto text = head[http::field::retry_after];
  int seconds = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  // Dates are not read: who sends them means a wait that we would not take anyway.
  return ec == std::errc() && end == text.data() + text.size() ? std::clamp(seconds, 0, kMaxRetryAfterS) : 0;
}

std::string ContentTypeOf(const http::response_header<>& head) {
  const auto text = head[http::field::content_type];
  std::string type(text.data(), std::min(text.find(';'), text.size()));
  while (type.ends_with(' ')) type.pop_back();
  std::ranges::transform(type, type.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return type;
}

// A name on its way to addresses. The system's resolver cannot be interrupted, but nobody has to wait for it: what it
// says too late is dropped.
struct Lookup : std::enable_shared_from_this<Lookup> {
  explicit Lookup(const asio::any_io_executor& executor) : resolver(executor), timer(executor) {}

  // Returns when the answer is there, at `last`, or when the timer is cancelled.
  awaitable<void> Run(const Url& url, std::chrono::steady_clock::time_point last) {
    error_code ignored;
    const asio::ip::address address = asio::ip::make_address(url.host, ignored);
    if (!ignored) {
      found = tcp::resolver::results_type::create(tcp::endpoint(address, url.port), url.host, "");
      done = true;
      co_return;
    }
    timer.expires_at(last);
    resolver.async_resolve(url.host, std::to_string(url.port),
                           [self = shared_from_this()](const error_code& failed, tcp::resolver::results_type results) {
                             self->done = true;
                             self->error = failed;
                             self->found = std::move(results);
                             self->timer.cancel();
                           });
    co_await timer.async_wait(redirect_error(use_awaitable, ignored));
  }

  tcp::resolver resolver;
  asio::steady_timer timer;
  tcp::resolver::results_type found;
  error_code error;
  bool done = false;
};

// The same calls over TCP and over TLS.
template <typename Stream>
class ConnectionOver final : public HttpConnection {
 public:
  ConnectionOver(Stream stream, const EndpointOptions& endpoint, std::shared_ptr<ssl::context> tls)
      : tls_(std::move(tls)), stream_(std::move(stream)), endpoint_(endpoint) {}

  awaitable<Result<void>> Connect(Milliseconds time) override {
    const auto last = std::chrono::steady_clock::now() + time;
    const auto lookup = std::make_shared<Lookup>(stream_.get_executor());
    lookup_ = lookup;
    error_code error;
    co_await lookup->Run(endpoint_.url, last);
    if (!lookup->done) co_return Failed("resolve the name of", beast::error::timeout);
    if (lookup->error || cancelled_) co_return Failed("resolve the name of", lookup->error);
    Lowest().expires_at(last);
    co_await Lowest().async_connect(lookup->found, redirect_error(use_awaitable, error));
    if (error) co_return Failed("connect to", error);
    Lowest().socket().set_option(tcp::no_delay(true), error);
    if constexpr (kIsTls) {
      co_await stream_.async_handshake(ssl::stream_base::client, redirect_error(use_awaitable, error));
      if (error) co_return Failed("make a TLS connection to", error);
    }
    co_return Result<void>();
  }

  awaitable<Result<void>> Send(const HttpRequest& request, Milliseconds time) override {
    http::request<http::string_body> message;
    message.version(11);
    message.method(request.post ? http::verb::post : http::verb::get);
    message.target(endpoint_.url.path + request.path);
    message.set(http::field::host, endpoint_.url.Authority());
    message.set(http::field::user_agent, "quern");
    message.set(http::field::accept, request.post ? "text/event-stream" : "application/json");
    if (!endpoint_.api_key.empty()) message.set(http::field::authorization, "Bearer " + endpoint_.api_key);
    if (request.post) {
      message.set(http::field::content_type, "application/json");
      message.body() = request.body;
    }
    message.prepare_payload();
    Lowest().expires_after(time);
    error_code error;
    co_await http::async_write(stream_, message, redirect_error(use_awaitable, error));
    if (error) co_return Failed("send a request to", error);
    co_return Result<void>();
  }

  awaitable<Result<HttpHead>> ReadHead(const HttpLimits& limits, Milliseconds time) override {
    parser_.emplace();
    parser_->header_limit(static_cast<uint32_t>(limits.max_header_bytes));
    parser_->body_limit(limits.max_answer_bytes);
    Lowest().expires_after(time);
    error_code error;
    co_await http::async_read_header(stream_, buffer_, *parser_, redirect_error(use_awaitable, error));
    if (error) co_return Failed("read an answer of", error);
    HttpHead head;
    head.status = static_cast<int>(parser_->get().result_int());
    head.content_type = ContentTypeOf(parser_->get());
    head.retry_after_s = RetryAfterOf(parser_->get());
    co_return head;
  }

  awaitable<Result<std::string_view>> ReadBody(Milliseconds time) override {
    Lowest().expires_after(time);
    while (!parser_->is_done()) {
      auto& body = parser_->get().body();
      body.data = piece_.data();
      body.size = piece_.size();
      body.more = true;
      error_code error;
      co_await http::async_read_some(stream_, buffer_, *parser_, redirect_error(use_awaitable, error));
      const size_t n = piece_.size() - parser_->get().body().size;
      if (error && error != http::error::need_buffer) co_return Failed("read an answer of", error);
      if (n > 0) co_return std::string_view(piece_.data(), n);
    }
    co_return std::string_view();
  }

  void Cancel() override {
    cancelled_ = true;
    if (const auto lookup = lookup_.lock()) lookup->timer.cancel();
    Lowest().close();
  }

  bool reusable() const override { return parser_ && parser_->is_done() && parser_->keep_alive() && !cancelled_; }

 private:
  static constexpr bool kIsTls = !std::is_same_v<Stream, beast::tcp_stream>;

  beast::tcp_stream& Lowest() { return beast::get_lowest_layer(stream_); }

  std::unexpected<Status> Failed(std::string_view doing, const error_code& error) const {
    const std::string what = fmt::format("cannot {} the upstream", doing);
    if (cancelled_) return Error(Code::kCancelled, what);
    if (error == beast::error::timeout) return Error(Code::kDeadline, what + " in time");
    const bool limit =
        error == http::error::body_limit || error == http::error::header_limit || error == http::error::buffer_overflow;
    const bool ended = error == http::error::end_of_stream || error == http::error::partial_message;
    const bool not_http = !ended && error.category() == http::make_error_code(http::error::bad_version).category();
    const Code code = limit ? Code::kExhausted : not_http ? Code::kCorrupt : Code::kUnavailable;
    return Error(code, fmt::format("{}: {}", what, ended ? "the connection was closed" : error.message()));
  }

  std::shared_ptr<ssl::context> tls_;  // outlives stream_
  Stream stream_;
  const EndpointOptions& endpoint_;
  std::weak_ptr<Lookup> lookup_;  // under way
  beast::flat_buffer buffer_{64 * 1024};
  std::optional<Parser> parser_;
  std::array<char, kReadBytes> piece_{};
  bool cancelled_ = false;
};

using PlainConnection = ConnectionOver<beast::tcp_stream>;
using TlsConnection = ConnectionOver<ssl::stream<beast::tcp_stream>>;

std::unique_ptr<HttpConnection> NewConnection(const asio::any_io_executor& executor, const EndpointOptions& endpoint,
                                              const std::shared_ptr<ssl::context>& tls) {
  if (!tls) return std::make_unique<PlainConnection>(beast::tcp_stream(executor), endpoint, nullptr);
  ssl::stream<beast::tcp_stream> stream(executor, *tls);
  if (endpoint.verify_certificate) stream.set_verify_callback(ssl::host_name_verification(endpoint.url.host));
  error_code not_address;
  asio::ip::make_address(endpoint.url.host, not_address);
  if (not_address) SSL_set_tlsext_host_name(stream.native_handle(), endpoint.url.host.c_str());
  return std::make_unique<TlsConnection>(std::move(stream), endpoint, tls);
}

}  // namespace

Result<std::shared_ptr<ssl::context>> MakeTlsClient(const EndpointOptions& endpoint) {
  auto context = std::make_shared<ssl::context>(ssl::context::tls_client);
  SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
  context->set_verify_mode(endpoint.verify_certificate ? ssl::verify_peer : ssl::verify_none);
  error_code error;
  if (endpoint.ca_file.empty()) {
    context->set_default_verify_paths(error);
    if (error) return Error(Code::kInvalidArgument, "the system's certificates cannot be read: " + error.message());
  } else {
    context->load_verify_file(endpoint.ca_file, error);
    if (error) {
      return Error(Code::kInvalidArgument,
                   fmt::format("{} holds no certificates in PEM form: {}", endpoint.ca_file, error.message()));
    }
  }
  return context;
}

ConnectionPool::Lease ConnectionPool::Take(bool want_fresh) {
  const auto oldest = Clock::now() - keep_idle_;
  std::erase_if(idle_, [&](const auto& entry) { return entry.first < oldest; });
  if (want_fresh || idle_.empty()) return {NewConnection(executor_, endpoint_, tls_), true};
  Lease lease{std::move(idle_.back().second), false};
  idle_.pop_back();
  return lease;
}

void ConnectionPool::Return(std::unique_ptr<HttpConnection> connection) {
  if (!connection->reusable() || max_idle_ == 0) return;
  if (idle_.size() >= max_idle_) idle_.erase(idle_.begin());
  idle_.emplace_back(Clock::now(), std::move(connection));
}

}  // namespace quern::upstream
