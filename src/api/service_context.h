// What all requests of one service share, as handlers see it.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "api/exchange.h"
#include "api/key_check.h"
#include "api/limits.h"
#include "api/metrics.h"
#include "api/route.h"
#include "api/served_model.h"
#include "api/storage.h"

namespace quern::api {

struct ServiceOptions {
  Limits limits;
  KeyCheck keys;
  std::vector<std::string> workspaces;  // X-DashScope-WorkSpace must name one of these; empty = any name goes
  std::string cors_origin = "*";        // access-control-allow-origin; empty = no CORS headers. Never with credentials
  Storage storage;                      // as OpenStorage gives it; empty = in memory
};

// Thread-safe. Owned by the service; outlives every exchange.
struct ServiceContext {
  ServiceOptions options;
  std::shared_ptr<const ModelRegistry> models;
  std::shared_ptr<Metrics> metrics = std::make_shared<Metrics>();
  const RouteTable* routes = nullptr;             // all that the service answers
  std::shared_ptr<KeptItems> kept;                // answers that callers had kept; never null
  std::function<void()> batches_changed = [] {};  // a batch was added or cancelled
  std::atomic<bool> stopping{false};

  // False when no further generation is taken on: the error was sent.
  bool Admit(Exchange& exchange) const;
};

}  // namespace quern::api
