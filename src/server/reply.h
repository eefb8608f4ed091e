// A response on its way out: what a dialect sends is turned into HTTP/1.1 bytes here and waits for the connection's
// writer. Strand only, except Post.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "api/http.h"

namespace quern::server {

// Owned by the connection's coroutine and by the callbacks of the request.
class Reply final : public api::ResponseSink, public std::enable_shared_from_this<Reply> {
 public:
  struct Options {
    bool head_only = false;  // HEAD: headers of the answer, no body
    bool http_1_0 = false;   // no chunks; a stream ends with the connection
    bool keep_alive = true;
  };

  Reply(boost::asio::any_io_executor strand, Options options);

  void SendWhole(int status, std::vector<api::Header> headers, std::string body) override;
  void StartStream(int status, std::vector<api::Header> headers) override;
  void Write(std::string bytes) override;
  void Close() override;
  void Abort() override;
  size_t unsent_bytes() const override { return out_.size() + n_in_flight_; }
  void Post(std::function<void()> fn) override;
  void SetTimer(std::chrono::milliseconds after, std::function<void()> fn) override;
  void OnDrained(std::function<void()> fn) override;
  void OnHalfClosed(std::function<void()> fn) override;
  void OnGone(std::function<void()> fn) override;

  // ---- the connection's side ----

  // Bytes to write; the writer reports with Wrote what the socket took.
  std::string TakeOut();
  void Wrote(size_t n_bytes);
  bool has_out() const { return !out_.empty(); }
  bool finished() const { return finished_; }
  bool aborted() const { return aborted_; }
  bool keep_alive() const { return options_.keep_alive; }
  void ForbidKeepAlive() { options_.keep_alive = false; }
  // The peer sends no more. Puts out something that a reader passes over and that a closed peer answers with a reset:
  // an interim response (100) before the head, what the dialect chose after it, which happens once because streams have
  // keep-alives of their own. False when nothing can be written: an HTTP/1.0 peer knows no interim responses.
  bool Probe();
  // The peer is gone: tells the dialect, drops everything.
  void PeerGone();
  // Called when there is something for the writer to do.
  void set_wake(std::function<void()> wake) { wake_ = std::move(wake); }

 private:
  void WriteHead(int status, const std::vector<api::Header>& headers, bool stream, size_t n_body);
  void Finish();

  boost::asio::any_io_executor strand_;
  Options options_;
  boost::asio::steady_timer timer_;
  uint64_t timer_round_ = 0;
  std::string out_;
  size_t n_in_flight_ = 0;
  bool chunked_ = false;
  bool started_ = false;
  bool finished_ = false;
  bool aborted_ = false;
  bool gone_ = false;
  std::function<void()> on_drained_;
  std::function<void()> on_half_closed_;
  std::function<void()> on_gone_;
  std::function<void()> wake_;
};

}  // namespace quern::server
