// One connection, over TCP or TLS: requests in, answers out, one at a time, until either side ends it. Everything runs
// on its strand.
#pragma once

#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/strand.hpp>
#include <functional>
#include <memory>

#include "api/service.h"

namespace quern::server {

// What all connections of a server share. Outlives them.
struct ConnectionContext {
  std::shared_ptr<api::Service> service;
  std::shared_ptr<boost::asio::ssl::context> tls;  // null = plain HTTP
  std::atomic<size_t> bodies_bytes{0};             // of all bodies being received or parsed
  std::atomic<bool> stopping{false};
};

class Connection {
 public:
  // on_closed runs once, on the strand, after the socket was closed.
  static std::shared_ptr<Connection> Start(boost::asio::ip::tcp::socket socket, ConnectionContext& context,
                                           std::function<void()> on_closed);
  virtual ~Connection() = default;

  // Any thread. BeginStop closes when idle, else after the running answer; Cut closes at once.
  virtual void BeginStop() = 0;
  virtual void Cut() = 0;
};

}  // namespace quern::server
