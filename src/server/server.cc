#include "server/server.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <condition_variable>
#include <list>
#include <mutex>
#include <thread>
#include <vector>

#include "base/thread_pool.h"
#include "server/connection.h"
#include "server/tls.h"

namespace quern::server {

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

// Connections are files: as many as the administrator lets this process have.
void RaiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

Result<tcp::endpoint> Resolve(asio::io_context& io, const std::string& host, uint16_t port) {
  error_code error;
  const asio::ip::address address = asio::ip::make_address(host, error);
  if (!error) return tcp::endpoint(address, port);
  tcp::resolver resolver(io);
  const auto found = resolver.resolve(host, std::to_string(port), tcp::resolver::passive, error);
  if (error || found.empty()) {
    return Error(Code::kUnavailable, fmt::format("cannot resolve the listen address '{}': {}", host, error.message()));
  }
  return found.begin()->endpoint();
}

constexpr std::string_view kFull =
    "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close\r\n"
    "content-length: 130\r\n\r\n"
    R"({"error":{"message":"Too many connections (limit max_connections).","type":"server_error","param":null,"code":"overloaded"}}      )";
// A refused peer's bytes are read out this long: closing on unread ones would reset the connection, and the peer would
// lose the answer. Of so many at once; the others are closed at once.
constexpr std::chrono::seconds kRefusedLinger{2};
constexpr int kMostRefused = 64;
static_assert(kFull.size() - kFull.find("\r\n\r\n") - 4 == 130);

}  // namespace

struct Server::Impl {
  Impl(ServerOptions server_options, std::shared_ptr<api::Service> service) : options(std::move(server_options)) {
    context.service = std::move(service);
  }

  Result<void> Listen();
  asio::awaitable<void> AcceptLoop();
  void Adopt(tcp::socket socket);
  asio::awaitable<void> Refuse(std::shared_ptr<tcp::socket> socket);
  void Remove(std::list<std::weak_ptr<Connection>>::iterator entry);
  template <typename F>
  void ForEach(F fn);

  ServerOptions options;
  ConnectionContext context;
  std::atomic<int> n_refused{0};  // being read out
  asio::io_context io;
  tcp::acceptor acceptor{io};
  std::vector<std::thread> threads;
  std::mutex mutex;
  std::condition_variable changed;
  std::list<std::weak_ptr<Connection>> open;  // guarded by mutex
  size_t n_open = 0;                          // guarded by mutex
  bool started = false;
  bool stopped = false;
};

Server::Server(ServerOptions options, std::shared_ptr<api::Service> service)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(service))) {}

Server::~Server() { Stop(std::chrono::milliseconds(0)); }

Result<void> Server::Impl::Listen() {
  QUERN_ASSIGN(const tcp::endpoint endpoint, Resolve(io, options.host, options.port));
  if (!endpoint.address().is_loopback() && context.service->keys().empty() && !options.insecure) {
    return Error(Code::kPermission,
                 fmt::format("refusing to listen on {}: it can be reached from other machines and no API key is set. "
                             "Give one with --api-key or --api-key-file, or pass --insecure to serve everybody.",
                             endpoint.address().to_string()));
  }
  if (!endpoint.address().is_loopback() && context.tls == nullptr && !options.plain_http && !options.insecure) {
    return Error(Code::kPermission,
                 fmt::format("refusing to listen on {}: keys and prompts would cross the network unencrypted. Give "
                             "--tls-cert and --tls-key, or pass --plain-http where something else encrypts.",
                             endpoint.address().to_string()));
  }
  error_code error;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) {
    return Error(Code::kUnavailable,
                 fmt::format("cannot listen on {}:{}: {}", options.host, options.port, error.message()));
  }
  return {};
}

asio::awaitable<void> Server::Impl::AcceptLoop() {
  asio::steady_timer pause(io);
  while (acceptor.is_open()) {
    error_code error;
    tcp::socket socket =
        co_await acceptor.async_accept(asio::make_strand(io), asio::redirect_error(asio::use_awaitable, error));
    if (!error) {
      Adopt(std::move(socket));
      continue;
    }
    if (error == asio::error::operation_aborted || !acceptor.is_open()) co_return;
    // Out of files or memory: others will close.
    pause.expires_after(std::chrono::milliseconds(50));
    co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
  }
}

void Server::Impl::Adopt(tcp::socket socket) {
  std::unique_lock lock(mutex);
  if (n_open >= context.service->limits().max_connections) {
    lock.unlock();
    const auto refused = std::make_shared<tcp::socket>(std::move(socket));
    asio::co_spawn(refused->get_executor(), Refuse(refused), asio::detached);
    return;
  }
  ++n_open;
  const auto entry = open.emplace(open.end());
  context.service->metrics().SetConnections(n_open);
  *entry = Connection::Start(std::move(socket), context, [this, entry] { Remove(entry); });
}

asio::awaitable<void> Server::Impl::Refuse(std::shared_ptr<tcp::socket> socket) {
  error_code error;
  if (context.tls != nullptr) co_return;  // without a handshake nothing can be said
  socket->non_blocking(true, error);
  socket->write_some(asio::buffer(kFull), error);
  socket->shutdown(tcp::socket::shutdown_send, error);
  if (++n_refused <= kMostRefused) {
    asio::steady_timer timer(socket->get_executor(), kRefusedLinger);
    timer.async_wait([socket](const error_code& cancelled) {
      error_code ignored;
      if (!cancelled) socket->close(ignored);
    });
    std::string scrap(4096, '\0');
    while (!error) {
      co_await socket->async_read_some(asio::buffer(scrap), asio::redirect_error(asio::use_awaitable, error));
    }
  }
  --n_refused;
}

void Server::Impl::Remove(std::list<std::weak_ptr<Connection>>::iterator entry) {
  const std::lock_guard lock(mutex);
  open.erase(entry);
  --n_open;
  context.service->metrics().SetConnections(n_open);
  changed.notify_all();
}

template <typename F>
void Server::Impl::ForEach(F fn) {
  std::vector<std::shared_ptr<Connection>> connections;
  {
    const std::lock_guard lock(mutex);
    for (const auto& weak : open) {
      if (auto connection = weak.lock()) connections.push_back(std::move(connection));
    }
  }
  for (const auto& connection : connections) fn(*connection);
}

Result<int> Server::Start() {
  RaiseFileLimit();
  const ServerOptions& options = impl_->options;
  if (options.tls_cert.empty() != options.tls_key.empty()) {
    return Error(Code::kInvalidArgument, "TLS needs a certificate and its key: --tls-cert and --tls-key");
  }
  if (!options.tls_cert.empty()) {
    QUERN_ASSIGN(impl_->context.tls, MakeTlsServer(options.tls_cert, options.tls_key));
  }
  QUERN_TRY(impl_->Listen());
  error_code error;
  const tcp::endpoint bound = impl_->acceptor.local_endpoint(error);
  if (error) return Error(Code::kUnavailable, fmt::format("cannot listen: {}", error.message()));
  asio::co_spawn(impl_->io, impl_->AcceptLoop(), asio::detached);
  int n_threads = impl_->options.n_threads;
  if (n_threads <= 0) n_threads = std::clamp(ThreadPool::AvailableThreads(), 2, 8);
  for (int i = 0; i < n_threads; ++i) {
    impl_->threads.emplace_back([this] {
      pthread_setname_np(pthread_self(), "quern-http");
      // A handler's exception fails its own connection; the loop serves the others.
      for (;;) {
        try {
          impl_->io.run();
          return;
        } catch (const std::exception& e) {
          fmt::print(stderr, "connection thread: {}\n", e.what());
        }
      }
    });
  }
  impl_->started = true;
  return bound.port();
}

void Server::Stop(std::chrono::milliseconds grace) {
  if (!impl_->started || impl_->stopped) return;
  impl_->stopped = true;
  impl_->context.service->BeginShutdown();
  impl_->context.stopping = true;
  asio::post(impl_->io, [this] {
    error_code ignored;
    impl_->acceptor.close(ignored);
  });
  impl_->ForEach([](Connection& connection) { connection.BeginStop(); });
  const auto none_open = [this] { return impl_->n_open == 0; };
  {
    std::unique_lock lock(impl_->mutex);
    impl_->changed.wait_for(lock, grace, none_open);
  }
  impl_->ForEach([](Connection& connection) { connection.Cut(); });
  {
    std::unique_lock lock(impl_->mutex);
    impl_->changed.wait_for(lock, std::chrono::seconds(2), none_open);
  }
  impl_->io.stop();
  for (std::thread& thread : impl_->threads) thread.join();
}

size_t Server::n_connections() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->n_open;
}

void BlockStopSignals() {
  signal(SIGPIPE, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

int WaitForStopSignal() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  int number = 0;
  while (sigwait(&set, &number) != 0) {
  }
  return number;
}

}  // namespace quern::server
