// What is known of a model that is served elsewhere, and how patiently it is asked. Plain values.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "upstream/url.h"

namespace quern::upstream {

// How tokens travel.
enum class TokenExchange {
  kTokens,  // ids in both directions (vLLM from 0.10.2, Quern): exactly the tokens that the model reads and writes
  kText,    // text in both directions: any completions endpoint. No token can be checked
};

// How a format that an answer must have is asked for. Whatever comes back is held to it here (upstream/format_check.h).
enum class FormatFields {
  kStructuredOutputs,  // "structured_outputs": vLLM from 0.11, Quern
  kGuided,             // "guided_json", "guided_regex", "guided_grammar": vLLM before
  kNone,               // not at all: such requests are refused
};

// One server that has the model.
struct EndpointOptions {
  Url url;              // with the /v1; "/completions" and "/models" are put behind it
  std::string model;    // its name there
  std::string api_key;  // empty = none is sent. Never in a log or a message
  int weight = 1;       // share of the load, >= 1
  std::string ca_file;  // certificates to trust instead of the system's; empty = the system's
  bool verify_certificate = true;
};

struct UpstreamTimes {
  std::chrono::milliseconds connect{5'000};          // name, TCP and TLS together
  std::chrono::milliseconds first_byte{300'000};     // from the request sent to the first token: queueing and prompt
  std::chrono::milliseconds idle{60'000};            // between two pieces of an answer
  std::chrono::milliseconds probe_interval{10'000};  // between two questions for health; 0 = never asked
  std::chrono::milliseconds probe{5'000};            // for the answer to one
  std::chrono::milliseconds backoff{250};            // before the second attempt at one endpoint; doubles
  std::chrono::milliseconds max_backoff{20'000};     // longest wait for one more attempt, Retry-After included
  std::chrono::milliseconds cooldown{2'000};         // of an endpoint that failed too often; doubles up to max_cooldown
  std::chrono::milliseconds max_cooldown{60'000};
  std::chrono::milliseconds keep_idle{30'000};  // connections are kept for further requests
};

struct UpstreamOptions {
  std::string name;                        // of the model here; for messages
  std::vector<EndpointOptions> endpoints;  // 1..64
  TokenExchange exchange = TokenExchange::kTokens;
  FormatFields formats = FormatFields::kStructuredOutputs;
  int context_length = 0;  // of the model there
  std::vector<engine::TokenId> eos_tokens;
  engine::SamplingDefaults defaults;
  // max_running counts the requests that may be under way, at all endpoints together; there is no queue here, the
  // upstream has one.
  engine::EngineLimits limits{.max_waiting = 0, .max_running = 512};
  // A background request is sent while fewer interactive ones than this are under way; what has been sent goes on.
  int background_below = 1;
  UpstreamTimes times;
  int max_attempts = 3;                       // of one request, all endpoints together; none after its first token
  int max_failures = 3;                       // one after the other, then the endpoint rests
  size_t max_idle_connections = 64;           // of one endpoint
  size_t max_header_bytes = 16 * 1024;        // of an answer
  size_t max_event_bytes = size_t{4} << 20;   // of one event of an answer
  size_t max_answer_bytes = size_t{1} << 30;  // of a whole answer
  size_t max_error_bytes = 64 * 1024;         // read of an error's body
};

}  // namespace quern::upstream
