// The API: finds the handler of a request by the families' route tables, checks keys, and starts its answer. The server
// hands every parsed request to Handle.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "api/batch_worker.h"
#include "api/exchange.h"
#include "api/http.h"
#include "api/route.h"
#include "api/service_context.h"

namespace quern::api {

// Thread-safe: one instance serves all connections. Outlives them.
class Service {
 public:
  Service(ServiceOptions options, std::shared_ptr<const ModelRegistry> models);
  ~Service();

  // On the connection's strand. Answers now or later, through sink only.
  void Handle(HttpRequest request, std::shared_ptr<ResponseSink> sink);

  // An error that the server found before there was a request to handle (bad HTTP, limits of the wire). path: as far as
  // it is known; its family gives the error's shape.
  void HandleBroken(const ApiError& error, std::string_view path, std::shared_ptr<ResponseSink> sink);

  // What the server asks before it reads a body, of which it knows the head.
  struct BodyPlan {
    enum class Kind {
      kCollect,  // into request.body
      kTake,     // by taker, as much as max_bytes; then it goes into request.upload
      kRefuse,   // not at all: the request is handled without, and answered with an error
    };
    Kind kind = Kind::kCollect;
    std::shared_ptr<BodyTaker> taker;
    size_t max_bytes = 0;
  };
  // False: kCollect, without a look at the headers. Any thread.
  bool IsUpload(std::string_view method, std::string_view path) const;
  BodyPlan PlanBody(const HttpRequest& head) const;

  // Begins to work through batches, when the storage has them. Once, before the server starts.
  void StartBatches();

  // From now on new generations are refused with 503; /health says so. Batches stop and go on after the next start.
  void BeginShutdown();

  const Limits& limits() const { return context_.options.limits; }
  const KeyCheck& keys() const { return context_.options.keys; }
  Metrics& metrics() { return *context_.metrics; }

 private:
  struct Caller {
    std::string owner;
    engine::Priority priority = engine::Priority::kInteractive;
    bool is_known = false;  // of whom no key is asked
  };
  void HandleFor(Caller caller, HttpRequest request, std::shared_ptr<ResponseSink> sink);
  void Dispatch(const std::shared_ptr<Exchange>& exchange, RouteMatch match, bool is_known);

  ServiceContext context_;
  std::unique_ptr<BatchWorker> batches_;
};

}  // namespace quern::api
