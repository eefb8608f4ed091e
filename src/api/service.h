// The API: finds the handler of a request by the families' route tables, checks keys, and starts its answer. The server
// hands every parsed request to Handle.
#pragma once

#include <memory>

#include "api/exchange.h"
#include "api/http.h"
#include "api/route.h"
#include "api/service_context.h"

namespace quern::api {

// Thread-safe: one instance serves all connections. Outlives them.
class Service {
 public:
  Service(ServiceOptions options, std::shared_ptr<const ModelRegistry> models);

  // On the connection's strand. Answers now or later, through sink only.
  void Handle(HttpRequest request, std::shared_ptr<ResponseSink> sink);

  // An error that the server found before there was a request to handle (bad HTTP, limits of the wire). path: as far as
  // it is known; its family gives the error's shape.
  void HandleBroken(const ApiError& error, std::string_view path, std::shared_ptr<ResponseSink> sink);

  // From now on new generations are refused with 503; /health says so.
  void BeginShutdown() { context_.stopping = true; }

  const Limits& limits() const { return context_.options.limits; }
  const KeyCheck& keys() const { return context_.options.keys; }
  Metrics& metrics() { return *context_.metrics; }

 private:
  void Dispatch(const std::shared_ptr<Exchange>& exchange, RouteMatch match);

  ServiceContext context_;
};

}  // namespace quern::api
