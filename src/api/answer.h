// What the answers of all dialects share: the generations of one request, a gone peer, keep-alives, slow readers. A
// dialect's answer derives from it and turns events into bytes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "api/exchange.h"
#include "api/generation_fields.h"
#include "api/generation_set.h"
#include "api/served_model.h"

namespace quern::api {

struct Usage {
  int n_prompt = 0;
  int n_cached = 0;
  int n_generated = 0;
};

class JsonWriter;
// "usage" object of the OpenAI family; details: with the two *_details members.
void WriteUsage(JsonWriter& json, const Usage& usage, bool details);

// A member "warnings" of the object being written: what could not be read as a tool call. Nothing when there are none.
void WriteWarnings(JsonWriter& json, const std::vector<std::string>& warnings);

// Kept alive by the sink's callbacks until it has answered. Strand only.
class Answer : public std::enable_shared_from_this<Answer> {
 public:
  virtual ~Answer();

 protected:
  Answer(std::shared_ptr<Exchange> exchange, std::shared_ptr<const ServedModel> model, bool stream);

  // Submits all, in order. On failure everything is dropped and the error was sent. On success, and if a stream was
  // asked for, OnAdmitted was called.
  void Start(std::vector<engine::GenerateRequest> requests);

  virtual void OnAdmitted() = 0;  // streams: opens the stream and writes the first frames
  virtual void OnToken(size_t index, const engine::TokenEvent& event) = 0;
  virtual void OnPromptLogprobs(size_t index, const engine::PromptLogprobsEvent& event) = 0;
  // The generation is over: reason is kStopToken, kLength, or kCancelled when CancelGeneration asked for it.
  virtual void OnFinished(size_t index, const engine::FinishedEvent& event) = 0;
  virtual void WritePending() = 0;    // streams: frames for what came since the last call
  virtual void WriteKeepAlive() = 0;  // streams
  virtual void WriteFailure(const ApiError& error) { exchange_->FailSse(error); }  // streams: ends the stream

  // Its output is complete already; OnFinished still comes, with the engine's counts.
  void CancelGeneration(size_t index);
  // Ends with an error: a real status, or in the stream.
  void FailRequest(const ApiError& error);
  // Call once, when everything was answered.
  void Done(const Usage& usage);

  Exchange& exchange() { return *exchange_; }
  const ServedModel& model() const { return *model_; }
  const std::shared_ptr<const ServedModel>& shared_model() const { return model_; }
  bool stream() const { return stream_; }
  bool over() const { return over_; }

 private:
  void OnEvent(size_t index, const engine::Event& event);
  void OnBatchEnd();
  void OnGone();
  void ArmKeepAlive();
  void Release();

  std::shared_ptr<Exchange> exchange_;
  std::shared_ptr<const ServedModel> model_;
  bool stream_;
  std::shared_ptr<GenerationSet> generations_;
  std::vector<char> cancelled_;
  std::chrono::steady_clock::time_point started_;
  bool saw_token_ = false;
  bool wrote_since_timer_ = false;
  bool over_ = false;
};

}  // namespace quern::api
