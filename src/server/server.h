// The HTTP server: listens, reads requests within limits, hands them to api::Service, writes what it answers. Knows
// nothing of JSON or models. Built on Asio and Beast, neither of which is visible here.
//
//   Server server(options, service);
//   QUERN_ASSIGN(const int port, server.Start());
//   ... WaitForStopSignal() ...
//   server.Stop(std::chrono::seconds(30));
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "api/service.h"
#include "base/status.h"

namespace quern::server {

struct ServerOptions {
  std::string host = "127.0.0.1";  // address or name
  uint16_t port = 8080;            // 0 = any free one
  int n_threads = 0;               // connection threads: HTTP, JSON, templates, tokenizing. 0 = by the machine, 2 to 8
  bool insecure = false;           // listen beyond loopback although no API key is required, and without TLS
  bool plain_http = false;         // listen beyond loopback without TLS
  std::string tls_cert, tls_key;   // PEM files, the certificate with its chain; both = HTTPS, none = HTTP
};

// Owned by main. Start and Stop once each, from one thread.
class Server {
 public:
  Server(ServerOptions options, std::shared_ptr<api::Service> service);
  ~Server();  // Stop without grace
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Returns the port. Errors: kInvalidArgument (the certificate or key cannot be used; the file is named), kPermission
  // (beyond loopback without keys or without TLS, and no flag that allows it), kUnavailable (the address is taken or
  // unknown).
  Result<int> Start();

  // Stops accepting, closes idle connections, refuses new generations, lets running answers finish for up to `grace`,
  // then cuts what is left. Returns when all threads have ended.
  void Stop(std::chrono::milliseconds grace);

  size_t n_connections() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Call before any thread is started: SIGINT and SIGTERM then wait for WaitForStopSignal instead of ending the process,
// and SIGPIPE is ignored.
void BlockStopSignals();
// Blocks until SIGINT or SIGTERM; returns its number.
int WaitForStopSignal();

}  // namespace quern::server
