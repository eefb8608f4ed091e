// Load for streams: opens N chat streams at once, reads them with one thread, and says how many events came, how fast, and
// how far behind the scripted pace. Prints one line of JSON.
//
//   sse_load PORT N_STREAMS TOKENS_EACH PACE_MS
//
// PACE_MS is the script's delay_ms: what the gap between two events of a stream exceeds it by is the server's (and the
// machine's) share. A gap is measured between reads, so events that arrive together count as one late and some early.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::string_view kEvent = "data: ";
constexpr std::string_view kDone = "data: [DONE]";

[[noreturn]] void Die(const char* what) {
  std::perror(what);
  std::exit(1);
}

struct Stream {
  int fd = -1;
  std::string tail;  // the last bytes read, too few to hold a mark
  Clock::time_point asked;
  Clock::time_point last;  // of the last event
  size_t n_events = 0;
  bool done = false;
};

struct Totals {
  size_t n_events = 0;
  size_t n_bytes = 0;
  size_t n_done = 0;
  std::vector<float> late_ms;   // gaps beyond the pace
  std::vector<float> first_ms;  // request to first event
};

double Ms(Clock::duration span) { return std::chrono::duration<double, std::milli>(span).count(); }

int Connect(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0) Die("socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) Die("connect");
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

std::string Request(int n_tokens) {
  const std::string body = R"({"model":"load","stream":true,"messages":[{"role":"user","content":"x"}],"max_tokens":)" +
                           std::to_string(n_tokens) + "}";
  return "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: " +
         std::to_string(body.size()) + "\r\n\r\n" + body;
}

// Counts the events in what was read, across the borders of reads.
size_t CountEvents(Stream& stream, std::string_view data) {
  const size_t n_old = stream.tail.size();
  stream.tail += data;
  const std::string_view text = stream.tail;
  size_t n = 0;
  for (size_t at = text.find(kEvent); at != std::string_view::npos; at = text.find(kEvent, at + 1)) {
    if (at + kEvent.size() > n_old) ++n;
  }
  if (text.find(kDone) != std::string_view::npos) stream.done = true;
  stream.tail.erase(0, stream.tail.size() - std::min(stream.tail.size(), kDone.size() - 1));
  return n;
}

void Read(Stream& stream, double pace_ms, Totals& totals) {
  static char buffer[256 * 1024];
  const ssize_t n = read(stream.fd, buffer, sizeof buffer);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) Die("a stream was cut");
  totals.n_bytes += static_cast<size_t>(n);
  if (stream.n_events == 0 && std::memcmp(buffer, "HTTP/1.1 200", 12) != 0) {
    std::fprintf(stderr, "%.*s\n", static_cast<int>(n), buffer);
    std::exit(1);
  }
  const size_t n_new = CountEvents(stream, {buffer, static_cast<size_t>(n)});
  if (n_new == 0) return;
  const Clock::time_point now = Clock::now();
  if (stream.n_events == 0) {
    totals.first_ms.push_back(static_cast<float>(Ms(now - stream.asked)));
  } else {
    totals.late_ms.push_back(static_cast<float>(std::max(0.0, Ms(now - stream.last) - pace_ms)));
  }
  stream.last = now;
  stream.n_events += n_new;
  totals.n_events += n_new;
  if (!stream.done) return;
  ++totals.n_done;
  close(stream.fd);
}

float Quantile(std::vector<float>& values, double q) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  return values[std::min(values.size() - 1, static_cast<size_t>(q * static_cast<double>(values.size())))];
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: sse_load PORT N_STREAMS TOKENS_EACH PACE_MS\n");
    return 2;
  }
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  std::vector<Stream> streams(static_cast<size_t>(std::atoi(argv[2])));
  const int n_tokens = std::atoi(argv[3]);
  const double pace_ms = std::atof(argv[4]);
  const int poll = epoll_create1(0);
  for (size_t i = 0; i < streams.size(); ++i) {
    streams[i].fd = Connect(static_cast<uint16_t>(std::atoi(argv[1])));
    epoll_event event{.events = EPOLLIN, .data = {.u64 = i}};
    epoll_ctl(poll, EPOLL_CTL_ADD, streams[i].fd, &event);
  }
  const std::string request = Request(n_tokens);
  const Clock::time_point began = Clock::now();
  for (Stream& stream : streams) {
    stream.asked = Clock::now();
    if (write(stream.fd, request.data(), request.size()) != static_cast<ssize_t>(request.size())) Die("write");
    fcntl(stream.fd, F_SETFL, O_NONBLOCK);
  }
  Totals totals;
  std::vector<epoll_event> ready(1024);
  while (totals.n_done < streams.size()) {
    const int n = epoll_wait(poll, ready.data(), static_cast<int>(ready.size()), 30'000);
    if (n == 0) Die("nothing came for 30 s");
    for (int i = 0; i < n; ++i) Read(streams[ready[static_cast<size_t>(i)].data.u64], pace_ms, totals);
  }
  const double seconds = Ms(Clock::now() - began) / 1e3;
  const double n_all = static_cast<double>(streams.size()) * n_tokens;
  std::printf(
      "{\"streams\":%zu,\"seconds\":%.3f,\"tokens_per_s\":%.0f,\"events_per_s\":%.0f,\"tokens_per_event\":%.2f,"
      "\"mb_per_s\":%.1f,\"first_ms\":{\"p50\":%.2f,\"p99\":%.2f},\"late_ms\":{\"p50\":%.3f,\"p99\":%.3f,\"max\":%.3f}}\n",
      streams.size(), seconds, n_all / seconds, static_cast<double>(totals.n_events) / seconds,
      n_all / static_cast<double>(totals.n_events), static_cast<double>(totals.n_bytes) / seconds / 1e6,
      Quantile(totals.first_ms, 0.5), Quantile(totals.first_ms, 0.99), Quantile(totals.late_ms, 0.5),
      Quantile(totals.late_ms, 0.99), Quantile(totals.late_ms, 1));
}
