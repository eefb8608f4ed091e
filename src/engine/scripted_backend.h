// A Backend without a model: answers, delays and faults come from a script (docs/formats/script.md). It keeps every
// promise of engine/engine.h, so that everything above it is tested as if a model were there, and runs fast and the
// same each time.
#pragma once

#include <memory>
#include <string_view>

#include "base/status.h"
#include "engine/engine.h"
#include "tokenizer/tokenizer.h"

namespace quern::engine {

// Thread-safe. One thread of its own calls all sinks. A sequence takes its turn when its delay is over; those that
// are due together go in order of submission.
class ScriptedBackend final : public Backend {
 public:
  // script: the JSON text. Errors: kInvalidArgument with the place in the script.
  static Result<std::unique_ptr<ScriptedBackend>> Create(std::string_view script,
                                                         std::shared_ptr<const tokenizer::Tokenizer> tokenizer,
                                                         const EngineLimits& limits = {});
  // Ends what still runs with kCancelled.
  ~ScriptedBackend() override;

  const BackendInfo& info() const override;
  const EngineLimits& limits() const override;
  // Besides Backend's errors: kNotFound when no rule matches the prompt, and what a "refuse" fault asks for.
  Result<Generation> Submit(GenerateRequest request, EventSink sink) override;
  BackendStats stats() const override;
  void Drain() override;

 private:
  class Impl;
  explicit ScriptedBackend(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;  // handles wake it, so it may live a moment longer than the backend
};

}  // namespace quern::engine
