#include "api/batch_worker.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <boost/json/parse.hpp>
#include <map>
#include <thread>
#include <unordered_map>

#include "api/batch_sink.h"
#include "api/batch_validation.h"
#include "api/json_writer.h"

namespace quern::api {

namespace {

using Clock = std::chrono::steady_clock;

// A line that was begun this often and never ended may be what ends the program: it is not begun again.
constexpr int64_t kMaxAttempts = 5;
constexpr std::chrono::seconds kFirstPause{1};
constexpr std::chrono::seconds kLongestPause{30};
// After so many answers without a refusal one more request is under way at a time.
constexpr int kAnswersToGrow = 16;
constexpr std::chrono::seconds kLongestSleep{60};  // between looks at the windows and at what may be dropped

std::string RequestId(const Batch& batch, int64_t number) {
  return fmt::format("batch_req_{}_{}", batch.id.substr(batch.id.find('_') + 1), number);
}

void BeginOutput(JsonWriter& json, const Batch& batch, const BatchLinePlace& line) {
  json.BeginObject().Key("id").String(RequestId(batch, line.number));
  json.Key("custom_id").String(line.custom_id).Key("response");
}

// A line that was answered, well or not.
std::string AnsweredOutput(const Batch& batch, const BatchLinePlace& line, const BatchSink::Answer& answer) {
  JsonWriter json;
  BeginOutput(json, batch, line);
  json.BeginObject().Key("status_code").Int(answer.status).Key("request_id").String(answer.request_id);
  json.Key("body").Raw(answer.body).EndObject();
  json.Key("error").Null().EndObject();
  return json.Take();
}

// A line that never was.
std::string MissingOutput(const Batch& batch, const BatchLinePlace& line, std::string_view code,
                          std::string_view message) {
  JsonWriter json;
  BeginOutput(json, batch, line);
  json.Null().Key("error").BeginObject().Key("code").String(code).Key("message").String(message).EndObject();
  json.EndObject();
  return json.Take();
}

bool IsWorthAnotherTry(const BatchSink::Answer& answer) { return answer.status == 503 || answer.status == 429; }

// No line of a batch is streamed. Not possible for a body that is an object without "stream": true.
bool WantsStream(std::string_view body) {
  boost::system::error_code error;
  const boost::json::value value = boost::json::parse(body, error);
  const auto* stream = error || !value.is_object() ? nullptr : value.get_object().if_contains("stream");
  return stream != nullptr && stream->is_bool() && stream->get_bool();
}

}  // namespace

class BatchWorker::Impl {
 public:
  explicit Impl(BatchWorkerOptions options)
      : batches_(std::move(options.batches)),
        files_(std::move(options.files)),
        limits_(options.limits),
        submit_(std::move(options.submit)),
        n_parallel_(limits_.batch_parallel) {
    thread_ = std::thread([this] { Loop(); });
    pthread_setname_np(thread_.native_handle(), "quern-batch");
  }

  void Wake() { mailbox_->Ring(); }

  void Stop() {
    if (!thread_.joinable()) return;
    stopping_ = true;
    mailbox_->Ring();
    thread_.join();
    mailbox_->Close();
  }

 private:
  using LineKey = std::pair<int64_t, int64_t>;  // batch, line

  struct Running {
    std::shared_ptr<BatchSink> sink;
    BatchLinePlace line;
  };

  void Loop() {
    while (!stopping_) {
      const auto deadline = Guarded();
      for (const auto& fn : mailbox_->TakeAll(deadline)) {
        if (stopping_) break;
        try {
          fn();
        } catch (const std::exception& e) {
          fmt::print(stderr, "batches: {}\n", e.what());
        }
      }
    }
    for (auto& [key, running] : running_) {
      running.sink->Leave();
      // It did not end this program.
      Report(batches_->CountAttempt(key.first, key.second, -1));
    }
    running_.clear();
  }

  // Does what there is to do; returns when to look again, whatever happens.
  Clock::time_point Guarded() {
    try {
      const Result<void> done = Work();
      if (done) return std::max(Clock::now(), std::min(next_look_, Clock::now() + kLongestSleep));
      Report(done);
    } catch (const std::exception& e) {
      fmt::print(stderr, "batches: {}\n", e.what());
    }
    return Clock::now() + kLongestPause;
  }

  static void Report(const Result<void>& result) {
    if (!result) fmt::print(stderr, "batches: {}\n", result.error().ToString());
  }

  Result<void> Work() {
    next_look_ = Clock::time_point::max();
    if (Clock::now() >= next_sweep_) {
      next_sweep_ = Clock::now() + kLongestSleep;
      QUERN_TRY(files_->DropExpired());
      QUERN_TRY(batches_->DropExpired());
    }
    QUERN_ASSIGN(const std::vector<Batch> open, batches_->Open());
    for (const Batch& batch : open) {
      if (stopping_) return {};
      // One that cannot go on does not hold the others.
      const Result<void> done = Advance(batch);
      if (done) continue;
      Report(done);
      LookAgain(kLongestPause);
    }
    return {};
  }

  // One step or several; what is left waits for an answer, for its turn or for the next look.
  Result<void> Advance(const Batch& batch) {
    if (!batch.ending.empty()) return End(batch);
    if (batch.status == "cancelling") return Close(batch, "cancelled");
    if (batches_->NowSeconds() >= batch.expires) return Close(batch, "expired");
    LookAgain(std::chrono::seconds(batch.expires - batches_->NowSeconds()));
    if (batch.status == "validating") return Validate(batch);
    return Fill(batch);
  }

  void LookAgain(std::chrono::seconds after) {
    next_look_ = std::min(next_look_, Clock::now() + std::min(after, kLongestSleep));
  }

  Result<void> Validate(const Batch& batch) {
    QUERN_ASSIGN(const auto content, files_->Open(batch.owner, batch.input_file_id));
    std::expected<BatchPlan, std::vector<BatchError>> plan =
        content ? PlanBatch(*content, batch.endpoint, limits_)
                : std::unexpected(std::vector<BatchError>{{"file_not_found", "The input file is not there any more."}});
    if (!plan) return batches_->FailValidation(batch.seq, plan.error());
    QUERN_TRY(batches_->BeginProgress(batch.seq, plan->model, plan->lines));
    Wake();
    return {};
  }

  // As many lines as may be under way.
  Result<void> Fill(const Batch& batch) {
    if (Clock::now() < paused_until_) {
      next_look_ = std::min(next_look_, paused_until_);
      return {};
    }
    const auto n_free = static_cast<size_t>(std::max(0, n_parallel_ - static_cast<int>(running_.size())));
    // Those under way are pending too: with so many more, n_free others are among them if there are any.
    QUERN_ASSIGN(const std::vector<BatchLinePlace> lines,
                 batches_->Pending(batch.seq, 0, running_.size() + n_free + 1));
    if (lines.empty()) {
      QUERN_TRY(batches_->BeginFinalizing(batch.seq, "completed", nullptr));
      Wake();
      return {};
    }
    size_t n_begun = 0;
    for (const BatchLinePlace& line : lines) {
      if (n_begun == n_free) break;
      if (running_.contains({batch.seq, line.number})) continue;
      QUERN_TRY(Begin(batch, line));
      ++n_begun;
    }
    return {};
  }

  Result<void> Begin(const Batch& batch, const BatchLinePlace& line) {
    if (line.n_attempts >= kMaxAttempts) {
      return SetResult(batch, line, false,
                       MissingOutput(batch, line, "interrupted",
                                     fmt::format("This request was begun {} times, and each time the server ended "
                                                 "before it was answered.",
                                                 line.n_attempts)));
    }
    QUERN_ASSIGN(const auto content, files_->Open(batch.owner, batch.input_file_id));
    if (!content) {
      return SetResult(batch, line, false,
                       MissingOutput(batch, line, "file_not_found", "The input file is not there any more."));
    }
    QUERN_ASSIGN(const std::string text, content->Read(line.offset, line.n_bytes));
    const auto read = ReadBatchLine(text, batch.endpoint, line.number, limits_);
    if (!read)
      return SetResult(batch, line, false, MissingOutput(batch, line, read.error().code, read.error().message));
    if (WantsStream(read->body)) {
      return SetResult(batch, line, false,
                       MissingOutput(batch, line, "unsupported", "'stream' is not supported in a batch."));
    }
    QUERN_TRY(batches_->CountAttempt(batch.seq, line.number, 1));
    const LineKey key{batch.seq, line.number};
    auto sink = std::make_shared<BatchSink>(mailbox_, [this, batch, line](BatchSink::Answer answer) {
      // Later, when the one who answers has returned.
      mailbox_->Put([this, batch, line, answer = std::move(answer)] { Report(TakeAnswer(batch, line, answer)); });
    });
    running_[key] = {sink, line};
    submit_(batch.owner, {"POST", batch.endpoint, "", {{"content-type", "application/json"}}, read->body}, sink);
    return {};
  }

  Result<void> TakeAnswer(const Batch& batch, const BatchLinePlace& line, const BatchSink::Answer& answer) {
    if (running_.erase({batch.seq, line.number}) == 0) return {};
    if (IsWorthAnotherTry(answer)) {
      GiveRoom();
      Wake();
      return batches_->CountAttempt(batch.seq, line.number, -1);
    }
    pause_ = std::chrono::seconds(0);
    if (++n_answers_ % kAnswersToGrow == 0) n_parallel_ = std::min(n_parallel_ + 1, limits_.batch_parallel);
    return SetResult(batch, line, answer.status == 200, AnsweredOutput(batch, line, answer));
  }

  // The service has no room for one more: as many as are under way have to do; when there are none, time has to.
  void GiveRoom() {
    n_answers_ = 0;
    n_parallel_ = std::max(1, static_cast<int>(running_.size()));
    if (!running_.empty()) return;
    pause_ = std::clamp(pause_ * 2, kFirstPause, kLongestPause);
    paused_until_ = Clock::now() + pause_;
  }

  Result<void> SetResult(const Batch& batch, const BatchLinePlace& line, bool completed, const std::string& output) {
    Wake();
    return batches_->SetResult(batch.seq, line.number, completed, output);
  }

  // What is under way is given up, what has no result gets a line that says why.
  Result<void> Close(const Batch& batch, std::string_view ending) {
    for (auto it = running_.lower_bound({batch.seq, 0}); it != running_.end() && it->first.first == batch.seq;) {
      const std::shared_ptr<BatchSink> sink = it->second.sink;
      it = running_.erase(it);
      sink->Leave();
    }
    Wake();
    const bool expired = ending == "expired";
    return batches_->BeginFinalizing(batch.seq, ending, [&](const BatchLinePlace& line) {
      return MissingOutput(batch, line, expired ? "batch_expired" : "batch_cancelled",
                           expired ? "This request could not be executed before the completion window expired."
                                   : "This request was not executed because the batch was cancelled.");
    });
  }

  Result<void> End(const Batch& batch) { return batches_->Finalize(batch); }

  const std::shared_ptr<BatchStore> batches_;
  const std::shared_ptr<FileStore> files_;
  const Limits limits_;
  const decltype(BatchWorkerOptions::submit) submit_;
  const std::shared_ptr<Mailbox> mailbox_ = std::make_shared<Mailbox>();
  std::atomic<bool> stopping_{false};

  // The worker's thread only.
  std::map<LineKey, Running> running_;
  Clock::time_point next_look_ = Clock::time_point::max();
  Clock::time_point next_sweep_{};
  int n_parallel_;                    // requests under way at a time, up to limits_.batch_parallel
  int n_answers_ = 0;                 // since the service last had no room
  Clock::time_point paused_until_{};  // it had none for any
  std::chrono::seconds pause_{0};

  std::thread thread_;
};

BatchWorker::BatchWorker(BatchWorkerOptions options) : impl_(std::make_shared<Impl>(std::move(options))) {}
BatchWorker::~BatchWorker() { Stop(); }
void BatchWorker::Wake() { impl_->Wake(); }
void BatchWorker::Stop() { impl_->Stop(); }

}  // namespace quern::api
