// The server over real sockets on loopback: what arrives in pieces, together, too large, cut, or is not read.
#include "server/server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "api/test_sink.h"

namespace quern::server {
namespace {

constexpr std::string_view kScript = R"({"context_length":100000,"rules":[
  {"match":"hang","text":"begun","fault":{"kind":"hang","at":5}},
  {"match":"flood","text":"0123456789abcdef","finish":"length"},
  {"match":"slow","text":"slowly","delay_ms":20},
  {"text":"hi"}]})";

// A blocking client. A lost answer would hang a read, so reads give up after a minute, which no passing test waits for.
class Client {
 public:
  explicit Client(int port, int receive_buffer = 0) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    if (receive_buffer > 0) setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    const timeval patience{60, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  }
  ~Client() { Close(); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }
  void Reset() {
    const linger hard{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    Close();
  }
  void HalfClose() const { shutdown(fd_, SHUT_WR); }
  void ShutBoth() const { shutdown(fd_, SHUT_RDWR); }
  bool connected() const { return connected_; }

  void Send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t n = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
  }
  // False at the end of the connection.
  bool ReadMore() {
    char piece[4096];
    const ssize_t n = recv(fd_, piece, sizeof(piece), 0);
    if (n > 0) in_.append(piece, static_cast<size_t>(n));
    return n > 0;
  }
  // Everything until the connection ends.
  std::string ReadAll() {
    while (ReadMore()) {
    }
    return std::exchange(in_, {});
  }
  // What was read so far.
  void Forget() { in_.clear(); }
  bool WaitFor(std::string_view words) {
    while (in_.find(words) == std::string::npos) {
      if (!ReadMore()) return false;
    }
    return true;
  }
  // One answer with a content-length: its head and body.
  std::string ReadAnswer() {
    if (!WaitFor("\r\n\r\n")) return std::exchange(in_, {});
    const size_t head = in_.find("\r\n\r\n") + 4;
    const size_t at = in_.find("content-length: ");
    const size_t n = at < head ? std::stoul(in_.substr(at + 16)) : 0;
    while (in_.size() < head + n && ReadMore()) {
    }
    std::string answer = in_.substr(0, head + n);
    in_.erase(0, head + n);
    return answer;
  }

 private:
  int fd_;
  bool connected_ = false;
  std::string in_;
};

std::string Post(std::string_view prompt, std::string_view more = "", std::string_view headers = "") {
  std::string body = R"({"model":"demo","messages":[{"role":"user","content":")";
  body += prompt;
  body += "\"}]";
  body += more;
  body += "}";
  return "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: " + std::to_string(body.size()) + "\r\n" +
         std::string(headers) + "\r\n" + body;
}

constexpr std::string_view kHealth = "GET /health HTTP/1.1\r\nhost: x\r\n\r\n";

class Loopback : public testing::Test {
 protected:
  void Serve(const api::Limits& limits = {}) {
    api::ServiceOptions options;
    options.limits = limits;
    served_ = std::make_unique<api::ScriptedService>(kScript, std::move(options));
    ServerOptions server_options;
    server_options.port = 0;
    server_options.n_threads = 3;
    server_ = std::make_unique<Server>(server_options, served_->service);
    port_ = server_->Start().value();
  }
  void WaitCancelled(uint64_t n) const {
    while (served_->backend->stats().n_cancelled < n) std::this_thread::yield();
  }
  void WaitIdle() const {
    while (server_->n_connections() > 0 || served_->service->metrics().n_active() > 0) std::this_thread::yield();
  }
  // What a fresh connection gets for bytes that do not leave it open.
  std::string Once(std::string_view bytes) const {
    Client client(port_);
    client.Send(bytes);
    client.HalfClose();
    return client.ReadAll();
  }

  std::unique_ptr<api::ScriptedService> served_;
  std::unique_ptr<Server> server_;
  int port_ = 0;
};

bool Has(std::string_view text, std::string_view words) { return text.find(words) != std::string_view::npos; }

TEST_F(Loopback, ManyRequestsOnOneConnection) {
  Serve();
  Client client(port_);
  for (int i = 0; i < 20; ++i) {
    client.Send(i % 2 == 0 ? Post("hello") : std::string(kHealth));
    const std::string answer = client.ReadAnswer();
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
    EXPECT_TRUE(Has(answer, i % 2 == 0 ? "\"content\":\"hi\"" : "\"status\":\"ok\"")) << answer;
  }
  EXPECT_EQ(server_->n_connections(), 1U);
}

TEST_F(Loopback, ByteByByte) {
  Serve();
  Client client(port_);
  for (const char c : Post("hello")) client.Send(std::string_view(&c, 1));
  EXPECT_TRUE(Has(client.ReadAnswer(), "\"content\":\"hi\""));
}

TEST_F(Loopback, PipelinedRequestsAreAnsweredInOrder) {
  Serve();
  Client client(port_);
  client.Send(Post("slow") + std::string(kHealth) + Post("hello") + std::string(kHealth));
  EXPECT_TRUE(Has(client.ReadAnswer(), "\"content\":\"slowly\""));
  EXPECT_TRUE(Has(client.ReadAnswer(), "\"status\":\"ok\""));
  EXPECT_TRUE(Has(client.ReadAnswer(), "\"content\":\"hi\""));
  EXPECT_TRUE(Has(client.ReadAnswer(), "\"status\":\"ok\""));
}

TEST_F(Loopback, TooMuchSentAheadEndsTheConnection) {
  api::Limits limits;
  limits.max_pipelined_bytes = 4096;
  Serve(limits);
  Client client(port_);
  client.Send(Post("hang"));
  for (int i = 0; i < 2000; ++i) client.Send(kHealth);
  WaitCancelled(1);
  client.ReadAll();
  WaitIdle();
}

TEST_F(Loopback, StreamsAreChunkedAndTheConnectionGoesOn) {
  Serve();
  Client client(port_);
  for (int i = 0; i < 3; ++i) {
    client.Send(Post("hello", R"(,"stream":true)"));
    EXPECT_TRUE(client.WaitFor("data: [DONE]\n\n\r\n0\r\n\r\n"));
    client.ReadAnswer();
    Client other(port_);
    other.Send(Post("hello", R"(,"stream":true)", "connection: close\r\n"));
    const std::string all = other.ReadAll();
    EXPECT_TRUE(Has(all, "transfer-encoding: chunked")) << all;
    EXPECT_TRUE(all.ends_with("\r\n0\r\n\r\n")) << all;
  }
}

TEST_F(Loopback, OldClientsGetAStreamThatEndsWithTheConnection) {
  Serve();
  std::string request = Post("hello", R"(,"stream":true)");
  request.replace(request.find("HTTP/1.1"), 8, "HTTP/1.0");
  Client client(port_);
  client.Send(request);
  const std::string all = client.ReadAll();
  EXPECT_TRUE(all.ends_with("data: [DONE]\n\n")) << all;
  EXPECT_FALSE(Has(all, "chunked"));
}

TEST_F(Loopback, BodiesInChunksAndAfterAContinue) {
  Serve();
  const std::string whole = Post("hello");
  const std::string body = whole.substr(whole.find("\r\n\r\n") + 4);
  Client client(port_);
  client.Send("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
  for (size_t at = 0; at < body.size(); at += 10) {
    const std::string piece = body.substr(at, 10);
    client.Send((piece.size() == 10 ? "a" : std::to_string(piece.size())) + "\r\n" + piece + "\r\n");
  }
  client.Send("0\r\n\r\n");
  EXPECT_TRUE(Has(client.ReadAnswer(), "\"content\":\"hi\""));
  client.Send("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: " +
              std::to_string(body.size()) + "\r\n\r\n");
  EXPECT_TRUE(client.ReadAnswer().starts_with("HTTP/1.1 100 "));
  client.Send(body);
  EXPECT_TRUE(Has(client.ReadAnswer(), "\"content\":\"hi\""));
}

TEST_F(Loopback, APeerThatLeavesCancelsItsGeneration) {
  api::Limits limits;
  limits.keep_alive_interval = std::chrono::hours(1);  // it is the leaving itself that is noticed
  Serve(limits);
  uint64_t n = 0;
  for (const char* more : {"", R"(,"stream":true)"}) {
    for (const auto leave : {&Client::Close, &Client::Reset}) {
      Client client(port_);
      client.Send(Post("hang", more));
      if (*more != 0) {
        EXPECT_TRUE(client.WaitFor("data: "));
      } else {
        while (served_->backend->stats().n_running == 0) std::this_thread::yield();
      }
      (client.*leave)();
      WaitCancelled(++n);
    }
    Client client(port_);
    client.Send(Post("hang", more));
    while (served_->backend->stats().n_running == 0) std::this_thread::yield();
    client.ShutBoth();
    WaitCancelled(++n);
  }
  WaitIdle();
}

TEST_F(Loopback, APeerThatOnlyStopsSendingGetsItsAnswers) {
  api::Limits limits;
  limits.keep_alive_interval = std::chrono::milliseconds(5);
  Serve(limits);
  const std::string whole = Once(Post("slow"));
  EXPECT_TRUE(Has(whole, "HTTP/1.1 200 OK\r\n") && Has(whole, "\"content\":\"slowly\"")) << whole;
  const std::string stream = Once(Post("slow", R"(,"stream":true)"));
  EXPECT_TRUE(stream.ends_with("data: [DONE]\n\n\r\n0\r\n\r\n")) << stream;
  std::string old = Post("slow", R"(,"stream":true)");
  old.replace(old.find("HTTP/1.1"), 8, "HTTP/1.0");
  EXPECT_TRUE(Once(old).ends_with("data: [DONE]\n\n"));
  const std::string both = Once(Post("slow") + Post("hello"));
  EXPECT_TRUE(Has(both, "\"content\":\"slowly\"") && Has(both, "\"content\":\"hi\"")) << both;
  WaitIdle();
  EXPECT_EQ(served_->backend->stats().n_cancelled, 0U);
}

TEST_F(Loopback, APeerThatStoppedSendingAndThenLeavesIsFoundInSilence) {
  api::Limits limits;
  limits.keep_alive_interval = std::chrono::milliseconds(5);
  Serve(limits);
  uint64_t n = 0;
  for (const bool stream : {false, true}) {
    Client client(port_);
    client.Send(Post("hang", stream ? R"(,"stream":true)" : ""));
    client.HalfClose();
    for (int i = 0; i < 3; ++i) {
      // Streams: the empty deltas after the last word. Whole answers: interim responses.
      EXPECT_TRUE(client.WaitFor(stream ? "\"content\":\"\"" : "HTTP/1.1 100 Continue\r\n\r\n"));
      client.Forget();
    }
    EXPECT_EQ(served_->backend->stats().n_cancelled, n) << "it reads";
    client.Close();
    WaitCancelled(++n);
  }
  WaitIdle();
}

TEST_F(Loopback, AnOldClientThatStopsSendingIsTakenForGone) {
  Serve();
  std::string request = Post("hang");
  request.replace(request.find("HTTP/1.1"), 8, "HTTP/1.0");
  EXPECT_EQ(Once(request), "");
  WaitCancelled(1);
}

TEST_F(Loopback, ASlowReaderCostsBoundedMemoryAndIsCutOff) {
  api::Limits limits;
  limits.max_unsent_bytes = 64 * 1024;
  Serve(limits);
  Client client(port_, 4096);
  client.Send(Post("flood", R"(,"stream":true,"max_tokens":90000,"logprobs":true,"top_logprobs":20)"));
  WaitCancelled(1);  // although nobody left
  EXPECT_FALSE(client.ReadAll().ends_with("0\r\n\r\n")) << "a cut stream has no proper end";
  WaitIdle();
}

TEST_F(Loopback, APeerThatTakesNothingIsGivenUp) {
  api::Limits limits;
  limits.max_unsent_bytes = 1ULL << 40;
  limits.write_timeout = std::chrono::milliseconds(30);
  Serve(limits);
  Client client(port_, 4096);
  client.Send(Post("flood", R"(,"stream":true,"max_tokens":90000,"logprobs":true,"top_logprobs":20)"));
  WaitCancelled(1);
  EXPECT_FALSE(client.ReadAll().ends_with("0\r\n\r\n"));
  WaitIdle();
}

TEST_F(Loopback, RequestsThatAreCutAreNoWork) {
  Serve();
  const std::string whole = Post("hello");
  for (size_t n = 0; n < whole.size(); n += 7) {
    Client client(port_);
    client.Send(std::string_view(whole).substr(0, n));
    n % 2 == 0 ? client.Close() : client.Reset();
  }
  WaitIdle();
  EXPECT_EQ(served_->backend->stats().n_prompt_tokens, 0U);
  EXPECT_TRUE(Has(Once(kHealth), "200 OK")) << "others are served";
}

TEST_F(Loopback, LimitsOfTheWire) {
  api::Limits limits;
  limits.max_header_bytes = 2048;
  limits.max_body_bytes = 1000;
  Serve(limits);
  EXPECT_TRUE(Once("GET /" + std::string(5000, 'a') + " HTTP/1.1\r\nhost: x\r\n\r\n").starts_with("HTTP/1.1 431 "));
  EXPECT_TRUE(Once(Post(std::string(2000, 'x'))).starts_with("HTTP/1.1 413 "));
  EXPECT_TRUE(Has(Once(Post(std::string(2000, 'x'))), "max_body_bytes"));
  EXPECT_TRUE(Once("hello\r\n\r\n").starts_with("HTTP/1.1 400 "));
  EXPECT_TRUE(Once("GET /health HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 400 ")) << "no host";
  EXPECT_TRUE(Once("POST /v1/completions HTTP/1.1\r\nhost: x\r\nexpect: x\r\ncontent-length: 1\r\n\r\nx")
                  .starts_with("HTTP/1.1 417 "));
  EXPECT_TRUE(Once("POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999\r\n\r\n")
                  .starts_with("HTTP/1.1 4"));
  EXPECT_TRUE(Once(Post("hello", "", "content-encoding: br\r\n")).starts_with("HTTP/1.1 415 "));
  EXPECT_TRUE(Once(Post("hello", "", "content-encoding: gzip\r\n")).starts_with("HTTP/1.1 400 "));
  EXPECT_TRUE(Has(Once(kHealth), "200 OK")) << "others are served";
}

TEST_F(Loopback, SilentPeersAreLetGo) {
  api::Limits limits;
  limits.header_timeout = std::chrono::milliseconds(30);
  limits.body_idle_timeout = std::chrono::milliseconds(30);
  limits.keep_alive_timeout = std::chrono::milliseconds(30);
  Serve(limits);
  Client nothing(port_);
  EXPECT_EQ(nothing.ReadAll(), "");
  Client half_head(port_);
  half_head.Send("GET /health HT");
  EXPECT_TRUE(half_head.ReadAll().starts_with("HTTP/1.1 408 "));
  Client half_body(port_);
  half_body.Send("POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nxx");
  EXPECT_TRUE(half_body.ReadAll().starts_with("HTTP/1.1 408 "));
  WaitIdle();
}

TEST_F(Loopback, MoreConnectionsThanAllowedAreTold) {
  api::Limits limits;
  limits.max_connections = 2;
  Serve(limits);
  Client first(port_);
  Client second(port_);
  first.Send(kHealth);
  second.Send(kHealth);
  EXPECT_TRUE(Has(first.ReadAnswer(), "200 OK"));
  EXPECT_TRUE(Has(second.ReadAnswer(), "200 OK"));
  Client third(port_);
  EXPECT_TRUE(Has(third.ReadAll(), "max_connections"));
  Client busy(port_);
  busy.Send(Post("hello", "", "x-padding: " + std::string(20000, 'x') + "\r\n"));
  EXPECT_TRUE(Has(busy.ReadAll(), "max_connections")) << "not lost although its request was not read";
  first.Close();
  while (server_->n_connections() > 1) std::this_thread::yield();
  Client fourth(port_);
  fourth.Send(kHealth);
  EXPECT_TRUE(Has(fourth.ReadAnswer(), "200 OK"));
}

TEST_F(Loopback, HeadAnswersHaveNoBody) {
  Serve();
  const std::string answer = Once("HEAD /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK")) << answer;
  EXPECT_TRUE(answer.ends_with("\r\n\r\n")) << answer;
}

TEST_F(Loopback, ManyClientsAtOnce) {
  Serve();
  std::vector<std::thread> threads;
  std::atomic<int> n_right{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 10; ++i) {
        Client client(port_);
        const bool stream = (t + i) % 2 == 0;
        client.Send(Post("hello", stream ? R"(,"stream":true)" : "", "connection: close\r\n"));
        const std::string all = client.ReadAll();
        if (Has(all, "200 OK") && Has(all, "\"content\":\"h") && Has(all, stream ? "[DONE]" : "\"usage\"")) ++n_right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(n_right, 80);
  WaitIdle();
}

TEST_F(Loopback, StoppingLetsRunningAnswersFinish) {
  Serve();
  Client idle(port_);
  idle.Send(kHealth);
  idle.ReadAnswer();
  Client running(port_);
  running.Send(Post("slow", R"(,"stream":true)"));
  ASSERT_TRUE(running.WaitFor("data: "));
  server_->Stop(std::chrono::seconds(60));
  EXPECT_EQ(idle.ReadAll(), "") << "idle connections are closed";
  EXPECT_TRUE(running.ReadAll().ends_with("data: [DONE]\n\n\r\n0\r\n\r\n"));
  Client late(port_);
  EXPECT_FALSE(late.connected() && Has(late.ReadAll(), "HTTP"));
}

TEST_F(Loopback, StoppingWithoutGraceCutsWhatRuns) {
  Serve();
  Client client(port_);
  client.Send(Post("hang", R"(,"stream":true)"));
  ASSERT_TRUE(client.WaitFor("data: "));
  server_->Stop(std::chrono::milliseconds(0));
  EXPECT_FALSE(Has(client.ReadAll(), "[DONE]"));
  WaitCancelled(1);
}

TEST(ServerStart, RefusesWhatItShould) {
  const api::ScriptedService served(kScript);
  ServerOptions open;
  open.host = "0.0.0.0";
  open.port = 0;
  EXPECT_EQ(Server(open, served.service).Start().error().code(), Code::kPermission) << "no key, and not on loopback";
  ServerOptions local;
  local.port = 0;
  Server first(local, served.service);
  local.port = static_cast<uint16_t>(first.Start().value());
  EXPECT_EQ(Server(local, served.service).Start().error().code(), Code::kUnavailable) << "the port is taken";
}

}  // namespace
}  // namespace quern::server
