#include "upstream/endpoint.h"

#include <fmt/format.h>

#include <algorithm>

#include "upstream/chunk.h"
#include "upstream/request_json.h"
#include "upstream/sse_parser.h"

namespace quern::upstream {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::milliseconds;

// After [DONE] the end of the body follows at once; longer it is not waited for.
constexpr Milliseconds kEndOfBody{1'000};

Outcome TryAgain(Status status, bool at_fault = true) {
  return {.kind = Outcome::Kind::kTryAgain, .status = std::move(status), .endpoint_at_fault = at_fault};
}
Outcome Failed(Status status, bool at_fault) {
  return {.kind = Outcome::Kind::kFailed, .status = std::move(status), .endpoint_at_fault = at_fault};
}

Milliseconds Left(Clock::time_point until) {
  return std::max(Milliseconds(1), std::chrono::duration_cast<Milliseconds>(until - Clock::now()));
}

// What a peer did wrong is no fault of the client's request, whatever it was.
Status AsUnavailable(const Status& status) {
  const bool kept = status.code() == Code::kCancelled || status.code() == Code::kDeadline;
  return kept ? status : Status(Code::kUnavailable, status.message());
}

}  // namespace

Result<std::unique_ptr<Endpoint>> Endpoint::Create(asio::any_io_executor executor, const EndpointOptions& endpoint,
                                                   const UpstreamOptions& options,
                                                   const tokenizer::Tokenizer& tokenizer,
                                                   const TextTokens& text_tokens) {
  std::shared_ptr<asio::ssl::context> tls;
  if (endpoint.url.https) {
    QUERN_ASSIGN(tls, MakeTlsClient(endpoint));
  }
  return std::unique_ptr<Endpoint>(
      new Endpoint(std::move(executor), endpoint, options, std::move(tls), tokenizer, text_tokens));
}

Endpoint::Endpoint(asio::any_io_executor executor, const EndpointOptions& endpoint, const UpstreamOptions& options,
                   std::shared_ptr<asio::ssl::context> tls, const tokenizer::Tokenizer& tokenizer,
                   const TextTokens& text_tokens)
    : endpoint_(endpoint),
      options_(options),
      tokenizer_(tokenizer),
      text_tokens_(text_tokens),
      pool_(std::move(executor), endpoint, std::move(tls), options.max_idle_connections, options.times.keep_idle),
      health_({.max_failures = options.max_failures,
               .cooldown = options.times.cooldown,
               .max_cooldown = options.times.max_cooldown,
               .probed = options.times.probe_interval.count() > 0}) {}

// Sends a request and reads its answer's head. A connection that was kept may have been closed by the peer meanwhile:
// then a fresh one is taken, once. time: for the head.
awaitable<Result<Endpoint::Opened>> Endpoint::Open(const HttpRequest& request, Ask* ask, Milliseconds time) {
  const HttpLimits limits{options_.max_header_bytes, options_.max_answer_bytes};
  for (const bool want_fresh : {false, true}) {
    ConnectionPool::Lease lease = pool_.Take(want_fresh);
    if (ask != nullptr) ask->connection = lease.connection.get();
    Result<void> sent;
    if (lease.fresh) sent = co_await lease.connection->Connect(std::min(time, options_.times.connect));
    if (sent) sent = co_await lease.connection->Send(request, options_.times.idle);
    Result<HttpHead> head = HttpHead{};
    if (sent) head = co_await lease.connection->ReadHead(limits, time);
    if (sent && head) co_return Opened{std::move(lease.connection), *head};
    if (ask != nullptr) ask->connection = nullptr;
    const Status& failure = sent ? head.error() : sent.error();
    if (lease.fresh || failure.code() != Code::kUnavailable) co_return std::unexpected(failure);
  }
  co_return Error(Code::kInternal, "a fresh connection is always the last attempt");
}

awaitable<Outcome> Endpoint::Attempt(Ask& ask) {
  const auto first_byte_by = std::min(Clock::now() + options_.times.first_byte, ask.deadline);
  HttpRequest request{.post = true, .path = "/completions", .body = WithModel(endpoint_.model, ask.body)};
  auto opened = co_await Open(request, &ask, Left(first_byte_by));
  if (!opened) {
    const bool cancelled = opened.error().code() == Code::kCancelled;
    co_return TryAgain(AsUnavailable(opened.error()), !cancelled);
  }
  HttpConnection& connection = *opened->connection;
  Outcome outcome{.kind = Outcome::Kind::kFinished};
  if (opened->head.status != 200) {
    const std::string body = co_await ReadErrorBody(connection);
    outcome = OutcomeOfStatus(opened->head, body);
  } else if (opened->head.content_type != "text/event-stream") {
    const Status other(Code::kUnavailable,
                       "the upstream answers a stream request with another type than text/event-stream");
    outcome = Failed(other, true);
  } else {
    outcome = co_await ReadStream(connection, ask, first_byte_by);
  }
  ask.connection = nullptr;
  pool_.Return(std::move(opened->connection));
  outcome.status = Status(outcome.status.code(), WithoutKey(outcome.status.message()));
  co_return outcome;
}

// A server that quotes what it was sent must not make us show it.
std::string Endpoint::WithoutKey(std::string text) const {
  const std::string& key = endpoint_.api_key;
  for (size_t at = 0; !key.empty() && (at = text.find(key, at)) != std::string::npos;)
    text.replace(at, key.size(), "***");
  return text;
}

awaitable<std::string> Endpoint::ReadErrorBody(HttpConnection& connection) {
  std::string body;
  while (body.size() < options_.max_error_bytes) {
    const auto piece = co_await connection.ReadBody(options_.times.connect);
    if (!piece || piece->empty()) break;
    body += piece->substr(0, options_.max_error_bytes - body.size());
  }
  co_return body;
}

Outcome Endpoint::OutcomeOfStatus(const HttpHead& head, const std::string& body) const {
  const std::string said = ErrorText(body, "it does not say why");
  // What is said about our key may quote it.
  const bool about_key = head.status == 401 || head.status == 403;
  const std::string what =
      fmt::format("the upstream answered {}{}", head.status, about_key ? ", our key is not good there" : ": " + said);
  if (head.status == 429) {
    Outcome busy = TryAgain(Status(Code::kExhausted, what), false);
    busy.retry_after_s = head.retry_after_s;
    return busy;
  }
  if (head.status == 400 || head.status == 413 || head.status == 422) {
    return Failed(Status(Code::kInvalidArgument,
                         fmt::format("the server that runs this model answered {}: {}", head.status, said)),
                  false);
  }
  // Everything else is between us and it: a wrong key, a wrong path, a redirect, an overload, a breakdown.
  Outcome broken = TryAgain(Status(Code::kUnavailable, what));
  broken.retry_after_s = head.retry_after_s;
  return broken;
}

awaitable<Outcome> Endpoint::ReadStream(HttpConnection& connection, Ask& ask, Clock::time_point first_byte_by) {
  const auto n_prompt = static_cast<size_t>(ask.wanted.n_prompt);
  SseParser sse(options_.max_event_bytes + PromptEchoBytes(n_prompt));
  TokenAssembler assembler(ask.wanted, options_.exchange, tokenizer_, text_tokens_);
  std::vector<std::string> events;
  std::vector<engine::TokenEvent> tokens;
  Result<void> read;
  bool done = false;
  Result<void> kept;
  const auto emit = [&] {
    for (const engine::TokenEvent& token : tokens) {
      if (kept && ask.format) kept = ask.format->Take(token.token);
      if (!kept) break;
      ask.emit(token);
      ++ask.n_emitted;
    }
    tokens.clear();
  };
  while (read && kept && !done) {
    const bool waiting = assembler.n_tokens() == 0;
    const Milliseconds left = Left(waiting ? first_byte_by : ask.deadline);
    const auto piece = co_await connection.ReadBody(waiting ? left : std::min(left, options_.times.idle));
    if (!piece) {
      read = std::unexpected(piece.error());
      break;
    }
    if (piece->empty()) break;
    events.clear();
    read = sse.Feed(*piece, events);
    for (const std::string& event : events) {
      // Behind [DONE] only the end of the body comes, which frees the connection for another request.
      if (done || !read) break;
      done = event == "[DONE]";
      if (done) break;
      const Result<Chunk> chunk = ReadChunk(event, tokenizer_.vocab_size(), n_prompt);
      read = chunk ? assembler.Push(*chunk, tokens) : Result<void>(std::unexpected(chunk.error()));
    }
    emit();
  }
  // A server that does not enforce formats is still good for everything else.
  if (!kept) co_return Failed(kept.error(), false);
  if (done) co_await connection.ReadBody(std::min(Left(ask.deadline), kEndOfBody));
  // What broke after the upstream had said why it ended takes nothing from the answer.
  if (read || assembler.ended()) {
    Result<engine::FinishedEvent> finished = assembler.Finish(tokens);
    emit();
    if (!kept) co_return Failed(kept.error(), false);
    if (finished) co_return Outcome{.kind = Outcome::Kind::kFinished, .finished = std::move(*finished)};
    read = std::unexpected(finished.error());
  }
  if (read.error().code() == Code::kUnsupported) {
    co_return Failed(Status(Code::kUnavailable, read.error().message()), true);
  }
  if (assembler.n_tokens() == 0) co_return TryAgain(AsUnavailable(read.error()));
  co_return Failed(AsUnavailable(read.error().WithContext(
                       fmt::format("the answer broke off after {} tokens", assembler.n_tokens()))),
                   true);
}

awaitable<Result<void>> Endpoint::Probe() {
  const HttpRequest request{.post = false, .path = "/models", .body = {}};
  auto opened = co_await Open(request, nullptr, options_.times.probe);
  if (!opened) co_return std::unexpected(opened.error());
  static_cast<void>(co_await ReadErrorBody(*opened->connection));  // so that the connection can be used again
  const int status = opened->head.status;
  pool_.Return(std::move(opened->connection));
  // A 429 comes from a server that lives; a list longer than we read is one too.
  if (status == 200 || status == 429) co_return Result<void>();
  co_return Error(Code::kUnavailable, fmt::format("GET /models was answered {}", status));
}

}  // namespace quern::upstream
