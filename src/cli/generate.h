// One generation from start to end for a terminal program: text comes out as it is made, Ctrl-C stops it.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "base/status.h"
#include "cli/settings.h"
#include "engine/engine.h"
#include "tokenizer/tokenizer.h"

namespace quern::cli {

struct GenerateOutcome {
  engine::FinishedEvent finished;
  double seconds_to_first = 0;  // from submission
  double seconds = 0;           // from the first token on
};

// Takes whole characters; control tokens are left out.
using TextSink = std::function<void(std::string_view)>;

// Blocks until the generation is over; on_text runs on the calling thread. While a long prompt is read, a terminal sees
// how far. Errors: those of Submit and of the generation; an interrupt is no error but a finished.reason of kCancelled.
Result<GenerateOutcome> Generate(engine::Backend& backend, std::shared_ptr<const tokenizer::Tokenizer> tokenizer,
                                 const engine::GenerateRequest& request, const TextSink& on_text);

// The model's defaults with the settings over them. seed: a random one when none is set.
engine::SamplingParams SamplingOf(const Settings& settings, const engine::SamplingDefaults& defaults);

}  // namespace quern::cli
