// Counters behind GET /metrics. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

namespace quern::api {

class ModelRegistry;

class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  void RequestBegan();
  void RequestEnded();
  // Requests being answered now.
  int n_active() const;

  // route is one of a fixed set of labels, never text from outside.
  void CountRequest(std::string_view route, int status, double seconds);
  void CountTokens(std::string_view route, int n_prompt, int n_cached, int n_generated);
  void ObserveFirstToken(std::string_view route, double seconds);
  void SetConnections(size_t n_open);
  // An answer was given but could not be kept as its caller had asked; also said on standard error.
  void CountKeepFailure(const Status& error);

  // Prometheus text format 0.0.4; the figures of the models' backends are read now.
  std::string Render(const ModelRegistry& models) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace quern::api
