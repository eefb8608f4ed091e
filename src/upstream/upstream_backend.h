// A Backend whose model runs elsewhere: at one or several servers that speak the completions protocol (vLLM, another
// Quern, a provider). Prompts go out as tokens or as text, tokens come back, so everything above engine/engine.h works
// as with a model of ours: templates, tool calls, stop strings, fill-in-the-middle, usage. docs/upstream.md is the page
// for people, docs/decisions/upstream.md says why this seam.
//
// A request is tried again, elsewhere if possible, as long as nothing of its answer came; after its first token it ends
// with an error instead.
#pragma once

#include <memory>

#include "base/status.h"
#include "engine/engine.h"
#include "tokenizer/tokenizer.h"
#include "upstream/options.h"

namespace quern::upstream {

// Thread-safe. One thread of its own does all input and output and calls all sinks.
class UpstreamBackend final : public engine::Backend {
 public:
  // tokenizer: the model's. Errors: kInvalidArgument (an option out of range, a certificate file).
  static Result<std::unique_ptr<UpstreamBackend>> Create(UpstreamOptions options,
                                                         std::shared_ptr<const tokenizer::Tokenizer> tokenizer);
  // Ends what still runs with kCancelled.
  ~UpstreamBackend() override;

  const engine::BackendInfo& info() const override;
  const engine::EngineLimits& limits() const override;
  // Besides Backend's errors: kUnsupported (what the upstream cannot be asked for, see RequestJson).
  Result<engine::Generation> Submit(engine::GenerateRequest request, engine::EventSink sink) override;
  engine::BackendStats stats() const override;
  engine::Residency residency() const override { return {.state = engine::Residency::State::kElsewhere}; }
  void Drain() override;

 private:
  class Impl;
  explicit UpstreamBackend(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;  // handles wake it, so it may live a moment longer than the backend
};

}  // namespace quern::upstream
