// Which path leads to which handler. Every family lists its operations in one table (openai_routes.cc and its like);
// requests are routed by these tables and /openapi.json is written from them.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "api/dialect.h"
#include "api/exchange.h"

namespace quern::api {

struct ServiceContext;
struct Shape;  // api/shape.h

// One request for a handler. Values in braces of the pattern, percent-decoded, in order; they are bytes from outside.
struct Call {
  const ServiceContext& service;
  std::shared_ptr<Exchange> exchange;
  std::vector<std::string> params;
};

// A prefix under which operations are offered.
struct Mount {
  std::string_view path;  // "" or "/v1"
  RoutePrefix prefix = RoutePrefix::kV1;
};
inline constexpr Mount kRootMount[] = {{"", RoutePrefix::kBare}};

// Constant; everything it views is static.
struct Route {
  std::string_view name;     // label for metrics and operationId: "chat.completions"
  std::string_view method;   // GET (HEAD is answered too), POST or DELETE
  std::string_view pattern;  // behind the mount: "/models/{id...}"; {x} is one segment, {x...} the rest of the path
  std::span<const Mount> mounts;
  const Dialect* dialect;
  // Answers now or later, through call.exchange only. Runs on the connection's strand; exceptions become a 500.
  void (*handle)(const Call& call);
  std::string_view summary;     // one line for /openapi.json
  bool is_public = false;       // asks for no key
  const Shape* body = nullptr;  // of the JSON body, for /openapi.json
  // Not null for uploads: takes a body whose head it is given. Without limits of its own on the sum of all bodies.
  std::shared_ptr<BodyTaker> (*begin_upload)(const ServiceContext& service, const HttpRequest& head) = nullptr;
};

struct RouteMatch {
  const Route* route = nullptr;      // null: nothing is there, or not for this method
  const Dialect* dialect = nullptr;  // never null: of the path, or of the longest mount that begins it
  RoutePrefix prefix = RoutePrefix::kV1;
  std::vector<std::string> params;
  std::string allow;        // methods of the path, when the path is known: "POST, OPTIONS"
  bool doubled_v1 = false;  // /v1/v1/...: a base URL with a surplus /v1
};

// Immutable and thread-safe.
class RouteTable {
 public:
  // tables outlive it. A path that two routes claim for one method is a QUERN_CHECK failure.
  explicit RouteTable(std::span<const std::span<const Route>> tables);

  // One trailing slash is ignored.
  RouteMatch Find(std::string_view method, std::string_view path) const;

  const std::vector<const Route*>& routes() const { return routes_; }

 private:
  struct Entry {
    const Route* route;
    RoutePrefix prefix;
  };
  struct Pattern {
    std::vector<std::string> segments;  // of mount and pattern
    std::vector<Entry> entries;         // one per method
  };

  void Add(const Route& route, const Mount& mount);
  const Dialect* DialectOf(std::string_view path) const;

  std::vector<const Route*> routes_;
  std::unordered_map<std::string, std::vector<Entry>> exact_;
  std::vector<Pattern> patterns_;
  std::vector<std::pair<std::string_view, const Dialect*>> mounts_;  // longest first
};

// %XX decoded; what is no valid escape stays as it is.
std::string PercentDecode(std::string_view text);

}  // namespace quern::api
