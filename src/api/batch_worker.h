// Works through batches on a thread of its own ("quern-batch"): checks their input files, sends their lines through the
// service as background requests, writes down every result, and ends them. It keeps nothing that the database has not:
// after a restart it goes on from there.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "api/batch_store.h"
#include "api/file_store.h"
#include "api/http.h"
#include "api/limits.h"

namespace quern::api {

struct BatchWorkerOptions {
  std::shared_ptr<BatchStore> batches;
  std::shared_ptr<FileStore> files;
  Limits limits;
  // Hands a request in for its owner, at background priority; answers through the sink, on this worker's thread.
  std::function<void(const std::string& owner, HttpRequest request, std::shared_ptr<ResponseSink> sink)> submit;
};

// Thread-safe.
class BatchWorker {
 public:
  explicit BatchWorker(BatchWorkerOptions options);
  ~BatchWorker();  // Stop
  BatchWorker(const BatchWorker&) = delete;
  BatchWorker& operator=(const BatchWorker&) = delete;

  // There is news: a batch was added or cancelled.
  void Wake();
  // Ends the thread; lines that are under way are given up and begun again by the next worker. Once.
  void Stop();

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace quern::api
