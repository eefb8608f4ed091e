#include "server/reply.h"

#include <fmt/format.h>

#include <boost/asio/post.hpp>
#include <boost/beast/http/status.hpp>
#include <ctime>
#include <iterator>

namespace quern::server {

namespace {

std::string HttpDate() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  return fmt::format("{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT", kDays[utc.tm_wday], utc.tm_mday, kMonths[utc.tm_mon],
                     utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
}

}  // namespace

Reply::Reply(boost::asio::any_io_executor strand, Options options)
    : strand_(std::move(strand)), options_(options), timer_(strand_) {}

void Reply::WriteHead(int status, const std::vector<api::Header>& headers, bool stream, size_t n_body) {
  const auto reason = boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(status));
  auto out = std::back_inserter(out_);
  fmt::format_to(out, "HTTP/1.1 {} {}\r\ndate: {}\r\n", status, std::string_view(reason.data(), reason.size()),
                 HttpDate());
  for (const api::Header& header : headers) {
    // A line break inside a value would let its source write headers of its own.
    std::string value = header.value;
    for (char& c : value) {
      if (c == '\r' || c == '\n') c = ' ';
    }
    fmt::format_to(out, "{}: {}\r\n", header.name, value);
  }
  chunked_ = stream && !options_.http_1_0;
  if (chunked_) {
    out_ += "transfer-encoding: chunked\r\n";
  } else if (stream) {
    options_.keep_alive = false;
  } else if (status != 204) {
    fmt::format_to(out, "content-length: {}\r\n", n_body);
  }
  out_ += options_.keep_alive ? "connection: keep-alive\r\n\r\n" : "connection: close\r\n\r\n";
}

void Reply::SendWhole(int status, std::vector<api::Header> headers, std::string body) {
  if (gone_ || started_) return;
  started_ = true;
  WriteHead(status, headers, false, body.size());
  if (!options_.head_only) out_ += body;
  Finish();
}

void Reply::StartStream(int status, std::vector<api::Header> headers) {
  if (gone_ || started_) return;
  started_ = true;
  WriteHead(status, headers, true, 0);
  if (wake_) wake_();
}

void Reply::Write(std::string bytes) {
  if (gone_ || finished_ || bytes.empty() || options_.head_only) return;
  if (chunked_) {
    fmt::format_to(std::back_inserter(out_), "{:x}\r\n", bytes.size());
    out_ += bytes;
    out_ += "\r\n";
  } else {
    out_ += bytes;
  }
  if (wake_) wake_();
}

void Reply::Close() {
  if (gone_ || finished_) return;
  if (chunked_ && !options_.head_only) out_ += "0\r\n\r\n";
  Finish();
}

void Reply::Finish() {
  finished_ = true;
  SetTimer({}, nullptr);
  on_half_closed_ = nullptr;
  // Dropped here because they own the answer, which owns this.
  const std::function<void()> last_owner = std::exchange(on_gone_, nullptr);
  const std::function<void()> waiting_owner = std::exchange(on_drained_, nullptr);
  if (wake_) wake_();
}

void Reply::Abort() {
  if (gone_) return;
  aborted_ = true;
  out_.clear();
  Finish();
}

void Reply::Post(std::function<void()> fn) {
  boost::asio::post(strand_, [self = shared_from_this(), fn = std::move(fn)] { fn(); });
}

void Reply::SetTimer(std::chrono::milliseconds after, std::function<void()> fn) {
  const uint64_t round = ++timer_round_;
  timer_.cancel();
  if (!fn || gone_ || finished_) return;
  timer_.expires_after(after);
  timer_.async_wait([self = shared_from_this(), round, fn = std::move(fn)](const boost::system::error_code& error) {
    if (!error && round == self->timer_round_ && !self->gone_) fn();
  });
}

void Reply::OnDrained(std::function<void()> fn) {
  if (finished_ || gone_) return;
  if (unsent_bytes() == 0) return Post(std::move(fn));
  on_drained_ = std::move(fn);
}

void Reply::Wrote(size_t n_bytes) {
  n_in_flight_ -= n_bytes;
  if (unsent_bytes() == 0 && on_drained_) Post(std::exchange(on_drained_, nullptr));
}

void Reply::OnHalfClosed(std::function<void()> fn) {
  if (!finished_ && !gone_) on_half_closed_ = std::move(fn);
}

bool Reply::Probe() {
  if (finished_ || gone_ || unsent_bytes() > 0) return true;  // what is on its way already tells as much
  if (started_) {
    if (const auto fn = std::exchange(on_half_closed_, nullptr)) fn();
    return true;
  }
  if (options_.http_1_0) return false;
  out_ += "HTTP/1.1 100 Continue\r\n\r\n";
  if (wake_) wake_();
  return true;
}

void Reply::OnGone(std::function<void()> fn) {
  if (finished_) return;
  on_gone_ = std::move(fn);
  if (!gone_) return;
  Post([self = shared_from_this()] {
    if (const auto fn = std::exchange(self->on_gone_, nullptr)) fn();
  });
}

std::string Reply::TakeOut() {
  std::string out;
  out.swap(out_);
  n_in_flight_ = out.size();
  return out;
}

void Reply::PeerGone() {
  if (gone_) return;
  gone_ = true;
  on_half_closed_ = nullptr;
  const std::function<void()> waiting_owner = std::exchange(on_drained_, nullptr);
  out_.clear();
  SetTimer({}, nullptr);
  if (const auto fn = std::exchange(on_gone_, nullptr)) fn();
}

}  // namespace quern::server
