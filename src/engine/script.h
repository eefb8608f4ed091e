// The script of a ScriptedBackend: which answer goes to which prompt, how fast, and what goes wrong. The format is
// described in docs/formats/script.md.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "tokenizer/tokenizer.h"

namespace quern::engine {

enum class FaultKind {
  kError,   // the generation ends with an error
  kHang,    // nothing more comes until it is cancelled or its time is over
  kDrop,    // it ends with kUnavailable, as when a peer goes away
  kRefuse,  // Submit itself fails
};

struct ScriptFault {
  FaultKind kind;
  int at = 0;  // tokens that are still sent before it happens
  Code code;
  std::string message;
};

struct ScriptRule {
  std::vector<std::string> match;  // all of them must occur in the prompt's text; empty = every prompt
  int times = -1;                  // uses before the rule is spent; -1 = no limit
  std::vector<TokenId> tokens;
  bool endless = false;                      // the tokens start over until max_tokens, no stop token is added
  std::chrono::milliseconds first_delay{0};  // before the first token
  std::chrono::milliseconds delay{0};        // before each further token
  int prompt_chunks = 1;                     // progress events during first_delay
  int n_cached = 0;
  std::optional<ScriptFault> fault;
};

struct Script {
  std::string architecture = "scripted";
  int context_length = 32768;
  bool round_robin = false;  // among the matching rules, by order of submission; otherwise the first
  std::vector<TokenId> eos_tokens;
  SamplingDefaults defaults;
  std::vector<ScriptRule> rules;
};

// Errors: kInvalidArgument (not JSON, unknown key, value out of range: the message has the place, e.g.
// "rules[2].fault.kind"). Texts are encoded with tokenizer, added tokens included.
Result<Script> ParseScript(std::string_view json, const tokenizer::Tokenizer& tokenizer);

}  // namespace quern::engine
