#include <fmt/core.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <semaphore>
#include <sstream>
#include <thread>

#include "api/service.h"
#include "base/os/mapped_file.h"
#include "cli/commands.h"
#include "cli/served_models.h"
#include "server/server.h"

namespace quern::cli {
namespace {

constexpr size_t kMaxKeyFileBytes = 16U << 20;

Result<api::KeyCheck> KeysOf(const Settings& settings) {
  api::KeyCheck keys;
  for (const std::string& key : settings.api_keys) keys.Add(key);
  if (settings.api_key_file.empty()) return keys;
  QUERN_ASSIGN(const std::string text, os::ReadTextFile(settings.api_key_file, kMaxKeyFileBytes));
  std::istringstream lines(text);
  int n_keys = 0;
  for (std::string line; std::getline(lines, line);) {
    line.erase(0, line.find_first_not_of(" \t\r") == std::string::npos ? line.size() : line.find_first_not_of(" \t\r"));
    line.erase(line.find_last_not_of(" \t\r") + 1);
    if (line.empty() || line.starts_with("#")) continue;
    keys.Add(line);
    ++n_keys;
  }
  // An empty file must not open the server to everybody.
  if (n_keys == 0) return Error(Code::kInvalidArgument, fmt::format("{} holds no key", settings.api_key_file));
  return keys;
}

void Announce(const Address& address, int port, bool tls, const std::string& name, bool needs_key) {
  const bool v6 = address.host.find(':') != std::string::npos;
  const std::string host = v6 ? "[" + address.host + "]" : address.host;
  const std::string url = fmt::format("{}://{}:{}", tls ? "https" : "http", host, port);
  fmt::print("listening on {}\n", url);
  fmt::print(
      "curl {}/v1/chat/completions -H 'content-type: application/json'{} -d "
      "'{{\"model\":\"{}\",\"messages\":[{{\"role\":"
      "\"user\",\"content\":\"Write a Python function that returns all primes below n.\"}}]}}'\n",
      url, needs_key ? " -H \"authorization: Bearer $QUERN_API_KEY\"" : "", name);
  std::fflush(stdout);
}

api::Limits LimitsOf(const Settings& settings) {
  api::Limits limits;
  const auto set_seconds = [](std::chrono::milliseconds& limit, const std::optional<int>& given) {
    if (given) limit = std::chrono::seconds(*given);
  };
  if (settings.max_connections) limits.max_connections = static_cast<size_t>(*settings.max_connections);
  set_seconds(limits.header_timeout, settings.header_timeout);
  set_seconds(limits.body_idle_timeout, settings.body_idle_timeout);
  set_seconds(limits.body_timeout, settings.body_timeout);
  set_seconds(limits.keep_alive_timeout, settings.keep_alive_timeout);
  set_seconds(limits.write_timeout, settings.write_timeout);
  set_seconds(limits.response_retention, settings.response_retention);
  set_seconds(limits.file_retention, settings.file_retention);
  const auto set = [](auto& limit, const auto& given) {
    if (given) limit = static_cast<std::decay_t<decltype(limit)>>(*given);
  };
  set(limits.max_stored_bytes, settings.max_stored);
  set(limits.max_file_bytes, settings.max_file_bytes);
  set(limits.max_files, settings.max_files);
  set(limits.max_files_bytes, settings.max_files_bytes);
  set(limits.max_uploads, settings.max_uploads);
  set(limits.max_batch_lines, settings.max_batch_lines);
  set(limits.max_batch_line_bytes, settings.max_batch_line_bytes);
  set(limits.max_open_batches, settings.max_open_batches);
  set(limits.batch_parallel, settings.batch_parallel);
  return limits;
}

// What SIGINT and SIGTERM do. The first one while serving is a wish that `asked` hands on; before that (models are
// being loaded) and after it a signal ends the program at once.
struct StopWatch {
  std::atomic<bool> serving{false};
  std::binary_semaphore asked{0};
};

std::shared_ptr<StopWatch> WatchStopSignals() {
  const auto watch = std::make_shared<StopWatch>();
  std::thread([watch] {
    for (;;) {
      server::WaitForStopSignal();
      if (!watch->serving.exchange(false)) std::_Exit(kExitInterrupted);
      watch->asked.release();
    }
  }).detach();
  return watch;
}

}  // namespace

Result<int> RunServe(const Invocation& invocation) {
  const Settings& settings = invocation.settings;
  QUERN_ASSIGN(const Address address, ParseAddress(settings.listen));
  api::ServiceOptions service_options;
  QUERN_ASSIGN(service_options.keys, KeysOf(settings));
  service_options.cors_origin = settings.cors_origin;
  service_options.limits = LimitsOf(settings);
  service_options.workspaces = settings.workspaces;
  QUERN_ASSIGN(service_options.storage, api::OpenStorage(settings.data_dir, service_options.limits));
  const bool needs_key = !service_options.keys.empty();

  server::BlockStopSignals();
  const auto stop = WatchStopSignals();
  QUERN_ASSIGN(const auto registry, MakeRegistry(settings));
  auto service = std::make_shared<api::Service>(std::move(service_options), registry);
  service->StartBatches();
  server::Server server({.host = address.host,
                         .port = address.port,
                         .n_threads = settings.http_threads,
                         .insecure = settings.insecure,
                         .plain_http = settings.plain_http,
                         .tls_cert = settings.tls_cert,
                         .tls_key = settings.tls_key},
                        service);
  QUERN_ASSIGN(const int port, server.Start());
  stop->serving = true;  // before anyone is told
  Announce(address, port, !settings.tls_cert.empty(), registry->models().front()->id, needs_key);
  stop->asked.acquire();
  fmt::print(stderr, "stopping: running answers have {} s to finish; a second signal ends at once\n", settings.grace);
  server.Stop(std::chrono::seconds(settings.grace));
  return kExitDone;
}

}  // namespace quern::cli
