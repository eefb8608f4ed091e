// All routes of the OpenAI family and the server's own: finds the handler of a request, checks keys and capacity, and
// starts its answer. The server hands every parsed request to Handle.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "api/exchange.h"
#include "api/http.h"
#include "api/key_check.h"
#include "api/limits.h"
#include "api/metrics.h"
#include "api/served_model.h"

namespace quern::api {

struct ServiceOptions {
  Limits limits;
  KeyCheck keys;
  std::string cors_origin = "*";  // access-control-allow-origin; empty = no CORS headers. Never with credentials
};

// Thread-safe: one instance serves all connections. Outlives them.
class Service {
 public:
  Service(ServiceOptions options, std::shared_ptr<const ModelRegistry> models);

  // On the connection's strand. Answers now or later, through sink only.
  void Handle(HttpRequest request, std::shared_ptr<ResponseSink> sink);

  // An error that the server found before there was a request to handle (bad HTTP, limits of the wire).
  void HandleBroken(const ApiError& error, std::shared_ptr<ResponseSink> sink);

  // From now on new generations are refused with 503; /health says so.
  void BeginShutdown() { stopping_ = true; }

  const Limits& limits() const { return options_.limits; }
  const KeyCheck& keys() const { return options_.keys; }
  Metrics& metrics() { return *metrics_; }

 private:
  struct Route;

  void Dispatch(const std::shared_ptr<Exchange>& exchange);
  void Options(Exchange& exchange) const;
  void Health(Exchange& exchange) const;
  void ListModels(Exchange& exchange) const;
  void GetModel(Exchange& exchange, std::string_view id) const;
  void Chat(const std::shared_ptr<Exchange>& exchange) const;
  void Completions(const std::shared_ptr<Exchange>& exchange, bool fim) const;
  bool Admit(Exchange& exchange) const;

  ServiceOptions options_;
  std::shared_ptr<const ModelRegistry> models_;
  std::shared_ptr<Metrics> metrics_;
  std::atomic<bool> stopping_{false};
};

}  // namespace quern::api
