// What passes between the server and the dialects: a whole request in, a response out through a sink. No socket and no
// HTTP library is visible here, so that dialects are tested on plain values.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace quern::api {

struct Header {
  std::string name;  // lower case
  std::string value;
};

// Takes a body that is too large to be held in memory, piece by piece as it arrives. Connection's strand only.
class BodyTaker {
 public:
  virtual ~BodyTaker() = default;
  // False when no more is wanted: the request is then answered without the rest.
  virtual bool Take(std::string_view bytes) = 0;
};

struct HttpRequest {
  std::string method;                 // as sent, upper case by convention
  std::string path;                   // without query, not percent-decoded
  std::string query;                  // after '?', may be empty
  std::vector<Header> headers;        // in order
  std::string body;                   // content codings already removed
  std::shared_ptr<BodyTaker> upload;  // has taken the body instead, of routes that are uploads

  // Value of the first header with this lower-case name, or empty.
  std::string_view Find(std::string_view name) const {
    for (const Header& header : headers) {
      if (header.name == name) return header.value;
    }
    return {};
  }
};

// Where one response goes. Implemented by server/ over a connection, by tests over a vector. Everything except Post is
// called on the connection's strand only, and every callback given here runs there, never inside the call that
// registered it. Exactly one of SendWhole or StartStream ... Close ends the request.
class ResponseSink {
 public:
  virtual ~ResponseSink() = default;

  virtual void SendWhole(int status, std::vector<Header> headers, std::string body) = 0;

  // Headers go out at once; Write appends to the stream; Close ends it after what was written.
  virtual void StartStream(int status, std::vector<Header> headers) = 0;
  virtual void Write(std::string bytes) = 0;
  virtual void Close() = 0;
  // Ends the connection without a proper end, so that the peer sees a cut stream.
  virtual void Abort() = 0;

  // Bytes written but not yet taken by the peer's socket.
  virtual size_t unsent_bytes() const = 0;

  // Runs fn on the strand, soon. Any thread. Dropped when the connection is gone and its callbacks were run.
  virtual void Post(std::function<void()> fn) = 0;

  // One timer per request: arming again replaces it; a null fn disarms it.
  virtual void SetTimer(std::chrono::milliseconds after, std::function<void()> fn) = 0;

  // fn runs at most once, when the peer has closed its sending side while a stream is under way. It may still read, or
  // be gone: only a write finds out, so fn should write what a reader passes over (a keep-alive).
  virtual void OnHalfClosed(std::function<void()> fn) = 0;

  // fn runs once, soon after everything that was written has been taken by the peer's socket.
  virtual void OnDrained(std::function<void()> fn) = 0;

  // fn runs once when the peer went away before the response was complete. Nothing may be sent from then on; what is
  // sent anyway is dropped.
  virtual void OnGone(std::function<void()> fn) = 0;
};

}  // namespace quern::api
