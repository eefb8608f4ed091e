#include "server/connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <limits>
#include <optional>
#include <type_traits>

#include "server/inflate.h"
#include "server/reply.h"

namespace quern::server {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::awaitable;
using asio::redirect_error;
using asio::use_awaitable;
using asio::ip::tcp;
using Clock = std::chrono::steady_clock;
using Parser = http::request_parser<http::string_body>;
using BodyPlan = api::Service::BodyPlan;
using ReplyOptions = Reply::Options;
using UploadParser = http::request_parser<http::buffer_body>;
using boost::system::error_code;

constexpr size_t kReadBytes = 64 * 1024;
// After an answer that leaves unread input behind, input is thrown away this long so that the peer can read the answer.
constexpr std::chrono::milliseconds kLinger{2'000};
// For the peer's share in the end of a TLS connection, after ours was sent.
constexpr std::chrono::milliseconds kTlsEnd{1'000};
constexpr size_t kIdleReadBytes = 2048;

api::ApiError WireError(int status, std::string message, std::string code = {}) {
  api::ApiError error = api::BadField("", std::move(message), std::move(code));
  error.http_status = status;
  return error;
}

std::string Lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out;
}

std::string_view View(beast::string_view text) { return {text.data(), text.size()}; }

// A target in absolute form (http://host/path) from its path on.
std::string_view WithoutHost(std::string_view target) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!Lower(target.substr(0, scheme.size())).starts_with(scheme)) continue;
    const size_t slash = target.find('/', scheme.size());
    return slash == std::string_view::npos ? "/" : target.substr(slash);
  }
  return target;
}

// What a parse failure is called outside.
api::ApiError ParseError(const error_code& error, size_t max_body_bytes, const api::Limits& limits) {
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    return WireError(431,
                     fmt::format("The request's headers are larger than {} bytes (limit max_header_bytes).",
                                 limits.max_header_bytes),
                     "headers_too_large");
  }
  if (error == http::error::body_limit) {
    const char* limit = max_body_bytes == limits.max_body_bytes ? "max_body_bytes" : "max_file_bytes";
    return WireError(413, fmt::format("The request's body is larger than {} bytes (limit {}).", max_body_bytes, limit),
                     "request_too_large");
  }
  return WireError(400, fmt::format("This is not a valid HTTP/1.1 request: {}.", error.message()), "bad_http");
}

using TlsStream = asio::ssl::stream<tcp::socket>;

tcp::socket& RawOf(tcp::socket& socket) { return socket; }
tcp::socket& RawOf(TlsStream& stream) { return stream.next_layer(); }

// Over TCP or over TLS: Stream is tcp::socket or TlsStream.
template <typename Stream>
class ConnectionImpl final : public Connection, public std::enable_shared_from_this<ConnectionImpl<Stream>> {
 public:
  ConnectionImpl(Stream stream, ConnectionContext& context, std::function<void()> on_closed)
      : stream_(std::move(stream)),
        socket_(RawOf(stream_)),
        strand_(socket_.get_executor()),
        context_(context),
        limits_(context.service->limits()),
        on_closed_(std::move(on_closed)),
        deadline_timer_(strand_),
        probe_timer_(strand_),
        wake_timer_(strand_) {
    wake_timer_.expires_at(Clock::time_point::max());
  }

  void Spawn() {
    // Posted, so that nothing of the connection runs inside the acceptor's lock.
    asio::post(strand_, [self = this->shared_from_this()] {
      asio::co_spawn(
          self->strand_, [self] { return self->Run(); }, [self](const std::exception_ptr&) { self->Closed(); });
    });
  }

  void BeginStop() override {
    asio::post(strand_, [self = this->shared_from_this()] {
      if (!self->idle_) return;
      self->closing_ = true;
      error_code ignored;
      self->socket_.cancel(ignored);
    });
  }

  void Cut() override {
    asio::post(strand_, [self = this->shared_from_this()] {
      self->closing_ = true;
      error_code ignored;
      self->socket_.close(ignored);
      if (self->reply_) self->reply_->PeerGone();
      self->Wake();
    });
  }

 private:
  static constexpr bool kTls = std::is_same_v<Stream, TlsStream>;

  // ---- deadlines: one lazy timer ----

  void SetDeadline(std::chrono::milliseconds after) {
    expiry_ = Clock::now() + after;
    if (!timer_armed_ || expiry_ < deadline_timer_.expiry()) ArmDeadline();
  }
  void ClearDeadline() { expiry_ = Clock::time_point::max(); }

  void ArmDeadline() {
    timer_armed_ = true;
    deadline_timer_.expires_at(expiry_);
    deadline_timer_.async_wait([weak = this->weak_from_this()](const error_code& error) {
      if (error) return;
      if (const auto self = weak.lock()) self->OnDeadlineTimer();
    });
  }

  void OnDeadlineTimer() {
    timer_armed_ = false;
    if (expiry_ == Clock::time_point::max()) return;
    if (Clock::now() < expiry_) return ArmDeadline();
    ClearDeadline();
    timed_out_ = true;
    error_code ignored;
    socket_.cancel(ignored);
  }

  void Wake() { wake_timer_.cancel(); }

  // ---- life ----

  awaitable<void> Run() {
    error_code ignored;
    socket_.set_option(tcp::no_delay(true), ignored);
    const bool ready = co_await Handshake();
    if (!ready) co_return;
    bool first = true;
    while (!closing_) {
      if (buffer_.size() == 0) {
        buffer_.shrink_to_fit();
        SetDeadline(first ? limits_.header_timeout : limits_.keep_alive_timeout);
        idle_ = true;
        if (context_.stopping) break;
        const error_code error = co_await WaitForInput(kIdleReadBytes);
        idle_ = false;
        if (error || closing_ || timed_out_) break;
      }
      first = false;
      const bool more = co_await OneRequest();
      parser_.reset();
      if (!more) break;
    }
    co_await EndTls();
  }

  // True when requests can be read.
  awaitable<bool> Handshake() {
    if constexpr (kTls) {
      SetDeadline(limits_.header_timeout);
      error_code error;
      co_await stream_.async_handshake(asio::ssl::stream_base::server, redirect_error(use_awaitable, error));
      co_return !error && !timed_out_ && !closing_;
    }
    co_return true;
  }

  // Tells the peer that what it has read is all there is. Without it a TLS client cannot tell the end from a cut.
  awaitable<void> EndTls() {
    if constexpr (kTls) {
      if (!socket_.is_open() || peer_gone_) co_return;
      timed_out_ = false;
      SetDeadline(kTlsEnd);
      error_code ignored;
      co_await stream_.async_shutdown(redirect_error(use_awaitable, ignored));
    }
  }

  // Returns when there is something to read, or the end. Over TLS it has to be read to know: up to most bytes then lie
  // in buffer_.
  awaitable<error_code> WaitForInput(size_t most) {
    error_code error;
    if constexpr (kTls) {
      const size_t n = co_await stream_.async_read_some(buffer_.prepare(most), redirect_error(use_awaitable, error));
      buffer_.commit(n);
    } else {
      co_await socket_.async_wait(tcp::socket::wait_read, redirect_error(use_awaitable, error));
    }
    co_return error;
  }

  void Closed() {
    if (reply_) reply_->PeerGone();
    ClearDeadline();
    deadline_timer_.cancel();
    error_code ignored;
    socket_.shutdown(tcp::socket::shutdown_both, ignored);
    socket_.close(ignored);
    if (on_closed_) std::exchange(on_closed_, nullptr)();
  }

  // Reads and answers one request. False ends the connection.
  awaitable<bool> OneRequest() {
    SetDeadline(limits_.header_timeout);
    parser_.emplace();
    parser_->header_limit(static_cast<uint32_t>(limits_.max_header_bytes));
    parser_->body_limit(std::numeric_limits<uint64_t>::max());  // known when it is known what the body is for
    error_code error;
    co_await http::async_read_header(stream_, buffer_, *parser_, redirect_error(use_awaitable, error));
    if (error) co_return co_await HeaderFailed(error);
    if (const auto unclear = UnclearFraming()) {
      co_await SendBroken(*unclear);
      co_return false;
    }
    std::optional<api::HttpRequest> upload;
    BodyPlan plan;
    if (context_.service->IsUpload(View(parser_->get().method_string()), Path())) {
      api::ApiResult<api::HttpRequest> head = TakeHead(parser_->get());
      if (head) {
        plan = context_.service->PlanBody(*head);
        upload = std::move(*head);
      }
    }
    const size_t max_bytes = plan.kind == BodyPlan::Kind::kTake ? plan.max_bytes : limits_.max_body_bytes;
    if (plan.kind != BodyPlan::Kind::kRefuse && parser_->content_length().value_or(0) > max_bytes) {
      co_await SendBroken(ParseError(http::error::body_limit, max_bytes, limits_));
      co_return false;
    }
    const ReplyOptions options = OptionsOf(parser_->get());
    if (plan.kind == BodyPlan::Kind::kRefuse) co_return co_await AnswerUnread(std::move(*upload), options);
    const bool continue_sent = co_await SendContinue(error);
    if (error) co_return false;
    if (!continue_sent) {
      co_await SendBroken(WireError(417, "The only expectation supported is 100-continue."));
      co_return false;
    }
    parser_->body_limit(max_bytes);
    if (plan.kind == BodyPlan::Kind::kTake) {
      co_return co_await TakeUpload(std::move(*upload), std::move(plan), options);
    }
    BodyBudget budget{context_, 0};
    const std::optional<api::ApiError> failed = co_await ReadBody(budget);
    if (failed) {
      if (failed->http_status != 0) co_await SendBroken(*failed);
      co_return false;
    }
    ClearDeadline();
    const std::string path = Path();
    api::ApiResult<api::HttpRequest> request = TakeRequest();
    parser_.reset();
    co_return co_await Answer(std::move(request), path, options);
  }

  awaitable<bool> HeaderFailed(error_code error) {
    const bool began = parser_->got_some() || buffer_.size() > 0;
    if (timed_out_) {
      timed_out_ = false;
      if (began) co_await SendBroken(WireError(408, "The request's headers did not arrive in time (header_timeout)."));
      co_return false;
    }
    // Errors of the socket itself have nobody to be told to.
    const bool ours = error.category() == http::make_error_code(http::error::bad_version).category();
    if (!ours || error == http::error::end_of_stream) co_return false;
    co_await SendBroken(ParseError(error, limits_.max_body_bytes, limits_));
    co_return false;
  }

  // Where this request ends or whom it is for must not be a matter of opinion: a proxy in front of us may hold another,
  // and what we take for a next request could then be a part of this one.
  std::optional<api::ApiError> UnclearFraming() const {
    const auto& fields = parser_->get();
    if (fields.count(http::field::host) > 1) {
      return WireError(400, "The request has more than one Host header.", "bad_http");
    }
    const size_t n_codings = fields.count(http::field::transfer_encoding);
    if (n_codings == 0) return std::nullopt;
    const std::string coding = Lower(View(fields[http::field::transfer_encoding]));
    if (n_codings == 1 && coding == "chunked") return std::nullopt;
    return WireError(
        400,
        fmt::format("The transfer-encoding '{}' is not supported, only a single 'chunked' is.", coding.substr(0, 40)),
        "bad_http");
  }

  // True: go on. False: an expectation that cannot be met. error: the socket failed.
  awaitable<bool> SendContinue(error_code& error) {
    const std::string expect = Lower(View(parser_->get()[http::field::expect]));
    if (expect.empty() || parser_->get().version() < 11) co_return true;
    if (expect != "100-continue") co_return false;
    if (parser_->is_done()) co_return true;
    static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    co_await asio::async_write(stream_, asio::buffer(kContinue), redirect_error(use_awaitable, error));
    co_return true;
  }

  // Counts this body in the server's total for as long as it lives.
  struct BodyBudget {
    ConnectionContext& context;
    size_t n_bytes;
    bool Grow(size_t to, size_t limit) {
      const size_t more = to > n_bytes ? to - n_bytes : 0;
      n_bytes += more;
      return context.bodies_bytes.fetch_add(more) + more <= limit;
    }
    ~BodyBudget() { context.bodies_bytes.fetch_sub(n_bytes); }
  };

  // The next deadline inside a body whose last byte is due at `last`.
  void SetBodyDeadline(Clock::time_point last) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(last - Clock::now());
    SetDeadline(std::clamp(limits_.body_idle_timeout, std::chrono::milliseconds(1),
                           std::max(left, std::chrono::milliseconds(1))));
  }

  // What to say of a body that broke off; http_status 0 when there is nobody left to tell.
  api::ApiError BodyError(const error_code& error, size_t max_bytes) {
    if (timed_out_) {
      timed_out_ = false;
      return WireError(408, "The request's body did not arrive in time (body_idle_timeout or body_timeout).");
    }
    const bool ours = error.category() == http::make_error_code(http::error::bad_version).category();
    if (!ours) return WireError(0, "gone");
    // The peer may have closed its sending side only, and then it reads this.
    if (error == http::error::partial_message || error == http::error::end_of_stream) {
      return WireError(400, "The request ended before its body was complete.", "bad_http");
    }
    return ParseError(error, max_bytes, limits_);
  }

  // Nothing on success; http_status 0 when there is nobody left to tell.
  awaitable<std::optional<api::ApiError>> ReadBody(BodyBudget& budget) {
    if (parser_->is_done()) co_return std::nullopt;
    buffer_.reserve(kReadBytes);
    const Clock::time_point last = Clock::now() + limits_.body_timeout;
    while (!parser_->is_done()) {
      SetBodyDeadline(last);
      error_code error;
      co_await http::async_read_some(stream_, buffer_, *parser_, redirect_error(use_awaitable, error));
      if (error || timed_out_) co_return BodyError(error, limits_.max_body_bytes);
      if (!budget.Grow(parser_->get().body().size(), limits_.max_bodies_bytes)) {
        api::ApiError busy = WireError(
            503,
            fmt::format("Request bodies in flight exceed {} bytes (limit max_bodies_bytes).", limits_.max_bodies_bytes),
            "overloaded");
        busy.type = "server_error";
        busy.retry_after_s = 1;
        co_return busy;
      }
    }
    co_return std::nullopt;
  }

  // ---- uploads: bodies that go to whom they are for, piece by piece ----

  awaitable<bool> TakeUpload(api::HttpRequest request, BodyPlan plan, ReplyOptions options) {
    if (!request.Find("content-encoding").empty()) {
      co_await SendBroken(WireError(415, "An upload must not have a content-encoding.", "invalid_content_encoding"));
      co_return false;
    }
    UploadParser parser(std::move(*parser_));
    std::string piece(kReadBytes, '\0');
    buffer_.reserve(kReadBytes);
    const Clock::time_point last = Clock::now() + limits_.body_timeout;
    bool wanted = true;
    while (wanted && !parser.is_done()) {
      parser.get().body() = {piece.data(), piece.size(), true};
      SetBodyDeadline(last);
      error_code error;
      co_await http::async_read_some(stream_, buffer_, parser, redirect_error(use_awaitable, error));
      if (error == http::error::need_buffer) error = {};
      if (error || timed_out_) {
        const api::ApiError failed = BodyError(error, plan.max_bytes);
        if (failed.http_status != 0) co_await SendBroken(failed, request.path);
        co_return false;
      }
      const size_t n_bytes = piece.size() - parser.get().body().size;
      if (n_bytes > 0) wanted = plan.taker->Take(std::string_view(piece).substr(0, n_bytes));
    }
    ClearDeadline();
    request.upload = std::move(plan.taker);
    const std::string path = request.path;
    parser_.reset();
    if (!wanted && !parser.is_done()) co_return co_await AnswerUnread(std::move(request), options);
    co_return co_await Answer(std::move(request), path, options);
  }

  // Answers a request whose body is not read to its end.
  awaitable<bool> AnswerUnread(api::HttpRequest request, ReplyOptions options) {
    options.keep_alive = false;
    const auto reply = std::make_shared<Reply>(strand_, options);
    Attach(reply);
    context_.service->Handle(std::move(request), reply);
    const bool sent = co_await WriteReply(reply, false);
    if (sent) co_await Linger();
    co_return false;
  }

  // What was asked for, as far as it is known: errors are answered in the shape of its family.
  std::string Path() const {
    const std::string_view target = WithoutHost(View(parser_->get().target()));
    return std::string(target.substr(0, target.find('?')));
  }

  // The head of a message as plain values; an error when its target cannot be used.
  static api::ApiResult<api::HttpRequest> TakeHead(const http::request<http::string_body>& message) {
    api::HttpRequest request;
    request.method = View(message.method_string());
    std::string_view target = View(message.target());
    if (message.version() >= 11 && message.find(http::field::host) == message.end()) {
      return api::Fail(WireError(400, "The request has no Host header.", "bad_http"));
    }
    target = WithoutHost(target);
    const size_t query = target.find('?');
    request.path = target.substr(0, query);
    if (query != std::string_view::npos) request.query = target.substr(query + 1);
    for (const auto& field : message) {
      request.headers.push_back({Lower(View(field.name_string())), std::string(View(field.value()))});
    }
    return request;
  }

  // The whole of it; an error when its target or body cannot be used.
  api::ApiResult<api::HttpRequest> TakeRequest() {
    http::request<http::string_body> message = parser_->release();
    api::ApiResult<api::HttpRequest> request = TakeHead(message);
    if (!request) return request;
    Result<std::string> body =
        DecodeBody(std::move(message.body()), Lower(request->Find("content-encoding")), limits_.max_inflated_bytes);
    if (!body) {
      const Code code = body.error().code();
      const int status = code == Code::kExhausted ? 413 : code == Code::kUnsupported ? 415 : 400;
      return api::Fail(WireError(status, body.error().message(),
                                 code == Code::kExhausted ? "request_too_large" : "invalid_content_encoding"));
    }
    request->body = std::move(*body);
    return request;
  }

  static ReplyOptions OptionsOf(const http::request<http::string_body>& message) {
    return {.head_only = message.method() == http::verb::head,
            .http_1_0 = message.version() < 11,
            .keep_alive = message.keep_alive()};
  }

  // path: for an error's shape, when there is no request.
  awaitable<bool> Answer(api::ApiResult<api::HttpRequest> request, std::string path, ReplyOptions options) {
    if (context_.stopping) options.keep_alive = false;
    const auto reply = std::make_shared<Reply>(strand_, options);
    Attach(reply);
    if (request) {
      context_.service->Handle(std::move(*request), reply);
    } else {
      context_.service->HandleBroken(request.error(), path, reply);
    }
    const bool sent = co_await WriteReply(reply, true);
    co_return sent && reply->keep_alive() && !closing_;
  }

  awaitable<void> SendBroken(api::ApiError error) { co_await SendBroken(std::move(error), Path()); }

  awaitable<void> SendBroken(api::ApiError error, std::string path) {
    timed_out_ = false;
    Reply::Options options;
    options.keep_alive = false;
    const auto reply = std::make_shared<Reply>(strand_, options);
    Attach(reply);
    context_.service->HandleBroken(error, path, reply);
    const bool sent = co_await WriteReply(reply, false);
    if (sent) co_await Linger();
  }

  void Attach(const std::shared_ptr<Reply>& reply) {
    reply_ = reply;
    reply->set_wake([weak = this->weak_from_this()] {
      if (const auto self = weak.lock()) self->Wake();
    });
  }

  // Writes until the reply is finished. False when the peer is gone or the answer was cut.
  awaitable<bool> WriteReply(std::shared_ptr<Reply> reply, bool watch) {
    if (watch && !reply->finished()) StartWatch(reply);
    bool ok = true;
    while (ok) {
      if (reply->aborted() || peer_gone_ || closing_) {
        ok = false;
      } else if (reply->has_out()) {
        const std::string out = reply->TakeOut();
        ok = co_await WriteAll(*reply, out);
      } else if (reply->finished()) {
        break;
      } else {
        error_code ignored;
        co_await wake_timer_.async_wait(redirect_error(use_awaitable, ignored));
      }
    }
    ClearDeadline();
    if (!ok) {
      reply->PeerGone();
      error_code ignored;
      socket_.close(ignored);
    }
    reply_.reset();
    reply->set_wake(nullptr);
    co_await StopWatch();
    timed_out_ = false;
    co_return ok && !peer_gone_;
  }

  awaitable<bool> WriteAll(Reply& reply, const std::string& out) {
    size_t at = 0;
    while (at < out.size()) {
      SetDeadline(limits_.write_timeout);
      error_code error;
      const size_t n = co_await stream_.async_write_some(asio::buffer(out.data() + at, out.size() - at),
                                                         redirect_error(use_awaitable, error));
      if (error || timed_out_) co_return false;
      reply.Wrote(n);
      at += n;
      if (peer_gone_ || reply.aborted()) co_return false;
    }
    ClearDeadline();
    co_return true;
  }

  // ---- noticing that the peer left while its answer is being made ----
  //
  // The end of what it sends is no proof: programs that close their sending side and then read are served. A socket
  // that was closed looks the same until something is written to it, so that is done at once and again in silent
  // phases; the reset that comes back ends the answer. docs/decisions/half-closed.md.

  void StartWatch(const std::shared_ptr<Reply>& reply) {
    watching_ = true;
    watch_stop_ = false;
    asio::co_spawn(
        strand_, [self = this->shared_from_this(), reply] { return self->Watch(reply); },
        [self = this->shared_from_this()](const std::exception_ptr&) {
          self->watching_ = false;
          self->Wake();
        });
  }

  awaitable<void> Watch(std::shared_ptr<Reply> reply) {
    while (!watch_stop_) {
      error_code error = co_await WaitForInput(kIdleReadBytes);
      if (watch_stop_) co_return;
      if (!kTls && !error) {
        const size_t n =
            co_await stream_.async_read_some(buffer_.prepare(kIdleReadBytes), redirect_error(use_awaitable, error));
        buffer_.commit(n);
      }
      if (watch_stop_) co_return;  // also at the end of what the peer sends: nobody cancels what is begun from here on
      const bool too_much = buffer_.size() > limits_.max_pipelined_bytes;
      if (!error && !too_much) continue;
      const bool ended = error == asio::error::eof || error == asio::ssl::error::stream_truncated;
      if (ended && Probe(reply)) {
        if (buffer_.size() == 0) reply->ForbidKeepAlive();
        co_await socket_.async_wait(tcp::socket::wait_error, redirect_error(use_awaitable, error));
        probe_timer_.cancel();
        if (watch_stop_) co_return;
      }
      peer_gone_ = true;
      reply->PeerGone();
      Wake();
      co_return;
    }
  }

  // False when a peer that sends no more cannot be asked whether it still reads.
  bool Probe(const std::shared_ptr<Reply>& reply) {
    if (!reply->Probe()) return false;
    probe_timer_.expires_after(limits_.keep_alive_interval);
    probe_timer_.async_wait([weak = this->weak_from_this(), reply](const error_code& error) {
      const auto self = weak.lock();
      if (!error && self && self->reply_ == reply) self->Probe(reply);
    });
    return true;
  }

  awaitable<void> StopWatch() {
    watch_stop_ = true;
    error_code ignored;
    if (watching_) socket_.cancel(ignored);
    while (watching_) {
      error_code waited;
      co_await wake_timer_.async_wait(redirect_error(use_awaitable, waited));
    }
  }

  awaitable<void> Linger() {
    error_code error;
    co_await EndTls();
    socket_.shutdown(tcp::socket::shutdown_send, error);
    const Clock::time_point last = Clock::now() + kLinger;
    std::string scrap(16 * 1024, '\0');
    while (!error && Clock::now() < last) {
      SetDeadline(std::max(std::chrono::milliseconds(1),
                           std::chrono::duration_cast<std::chrono::milliseconds>(last - Clock::now())));
      co_await socket_.async_read_some(asio::buffer(scrap), redirect_error(use_awaitable, error));
    }
  }

  Stream stream_;
  tcp::socket& socket_;  // under it, or it: deadlines, cancelling, closing
  asio::any_io_executor strand_;
  ConnectionContext& context_;
  const api::Limits& limits_;
  std::function<void()> on_closed_;
  asio::steady_timer deadline_timer_;
  asio::steady_timer probe_timer_;
  asio::steady_timer wake_timer_;  // never expires: a cancel wakes the writer
  Clock::time_point expiry_ = Clock::time_point::max();
  beast::flat_buffer buffer_;
  std::optional<Parser> parser_;
  std::shared_ptr<Reply> reply_;
  bool timer_armed_ = false;
  bool timed_out_ = false;
  bool idle_ = false;
  bool closing_ = false;
  bool peer_gone_ = false;
  bool watching_ = false;
  bool watch_stop_ = false;
};

}  // namespace

std::shared_ptr<Connection> Connection::Start(tcp::socket socket, ConnectionContext& context,
                                              std::function<void()> on_closed) {
  const auto started = [](auto connection) {
    connection->Spawn();
    return std::shared_ptr<Connection>(std::move(connection));
  };
  if (context.tls == nullptr) {
    return started(std::make_shared<ConnectionImpl<tcp::socket>>(std::move(socket), context, std::move(on_closed)));
  }
  return started(std::make_shared<ConnectionImpl<TlsStream>>(TlsStream(std::move(socket), *context.tls), context,
                                                             std::move(on_closed)));
}

}  // namespace quern::server
