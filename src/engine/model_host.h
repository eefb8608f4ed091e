// Several models in one memory: each is loaded when a request asks for it and leaves when nobody asked for a while, or
// when another one needs its place. Everything above sees ordinary backends.
//
//   unloaded --request--> loading --done--> loaded --idle for keep_alive, or evicted--> unloading --> unloaded
//                            \--failed--> unloaded (the requests that waited get the error)
//
// A model with requests under way is never evicted; of the others the least recently used goes first. A request whose
// model is not there waits for it, up to load_timeout. Models are loaded one after the other, in the order in which
// they were asked for.
//
// A model that is never idle cannot keep the others out: when a request has waited for fair_wait and no model is idle,
// the one that was loaded first takes no new requests; they wait behind the load that its place is needed for. What
// only background requests use yields at once. Background requests wait behind all others, and nobody yields to them.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/status.h"
#include "engine/engine.h"

namespace quern::engine {

struct OnDemandModel {
  std::string name;     // for messages
  BackendInfo info;     // what the loaded backend will say; a shorter context there is its own error
  EngineLimits limits;  // max_waiting also bounds the requests that wait for the model
  uint64_t bytes = 0;   // memory it takes while it is loaded
  // Called on the host's loading thread.
  std::function<Result<std::shared_ptr<Backend>>()> load;
  std::chrono::milliseconds keep_alive{300'000};  // negative = for good; a request may say otherwise
};

// Thread-safe. Two threads of its own: one loads and unloads, one watches the time and hands requests over.
class ModelHost {
 public:
  struct Options {
    uint64_t memory = 0;                              // bytes of all models together
    std::chrono::milliseconds load_timeout{600'000};  // longest wait of a request for its model
    std::chrono::milliseconds fair_wait{30'000};      // of a request before a busy model yields to its model
  };
  explicit ModelHost(const Options& options);
  // After all its backends.
  ~ModelHost();
  ModelHost(const ModelHost&) = delete;
  ModelHost& operator=(const ModelHost&) = delete;

  // A backend that stands for the model. It keeps host alive. Errors: kExhausted (it could never fit: the numbers).
  // Its Submit has one error more than others: kExhausted when too many requests wait for the model; that it could not
  // be loaded, or not in time, comes as the generation's error.
  static Result<std::shared_ptr<Backend>> Add(const std::shared_ptr<ModelHost>& host, OnDemandModel model);

  class Impl;

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace quern::engine
