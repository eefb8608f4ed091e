#include "cli/upstream_model.h"

#include <fmt/core.h>

#include <cstdlib>

#include "base/os/mapped_file.h"
#include "cli/load_model.h"
#include "upstream/upstream_backend.h"

namespace quern::cli {
namespace {

constexpr size_t kMaxKeyBytes = 16 * 1024;

Result<std::string> ReadKey(const UpstreamEntry& entry) {
  std::string key;
  if (!entry.api_key_env.empty()) {
    const char* value = std::getenv(entry.api_key_env.c_str());
    if (value == nullptr) {
      return Error(Code::kInvalidArgument,
                   fmt::format("the environment has no variable {} with the key of {}", entry.api_key_env, entry.url));
    }
    key = value;
  } else if (!entry.api_key_file.empty()) {
    QUERN_ASSIGN(key, os::ReadTextFile(entry.api_key_file, kMaxKeyBytes));
  } else {
    return key;
  }
  const size_t begin = key.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos) {
    return Error(Code::kInvalidArgument, fmt::format("{}{} holds no key", entry.api_key_env, entry.api_key_file));
  }
  return key.substr(begin, key.find_last_not_of(" \t\r\n") + 1 - begin);
}

Result<upstream::EndpointOptions> EndpointOf(const UpstreamEntry& entry, const std::string& name) {
  upstream::EndpointOptions endpoint;
  auto url = upstream::ParseUrl(entry.url);
  if (!url) return std::unexpected(url.error().WithContext("url of an upstream"));
  endpoint.url = std::move(*url);
  endpoint.model = entry.model.empty() ? name : entry.model;
  QUERN_ASSIGN(endpoint.api_key, ReadKey(entry));
  endpoint.weight = entry.weight;
  endpoint.ca_file = entry.ca_file;
  endpoint.verify_certificate = entry.verify_certificate;
  return endpoint;
}

void SetTimes(const ModelEntry& entry, upstream::UpstreamOptions& options) {
  const auto set = [](std::chrono::milliseconds& time, const std::optional<int>& seconds) {
    if (seconds) time = std::chrono::seconds(*seconds);
  };
  set(options.times.connect, entry.connect_timeout);
  set(options.times.first_byte, entry.first_byte_timeout);
  set(options.times.idle, entry.idle_timeout);
  set(options.times.probe_interval, entry.probe_interval);
  if (entry.max_attempts) options.max_attempts = *entry.max_attempts;
  if (entry.background_below) options.background_below = *entry.background_below;
  if (entry.max_in_flight) options.limits.max_running = *entry.max_in_flight;
}

}  // namespace

Result<api::ServedModel> MakeUpstreamModel(const ModelEntry& entry, const Settings& settings) {
  QUERN_ASSIGN(const TextFiles text, LoadTextFiles(entry.tokenizer));
  upstream::UpstreamOptions options;
  options.name = entry.name;
  for (const UpstreamEntry& one : entry.upstreams) {
    QUERN_ASSIGN(options.endpoints.emplace_back(), EndpointOf(one, entry.name));
  }
  options.exchange = entry.exchange == "text" ? upstream::TokenExchange::kText : upstream::TokenExchange::kTokens;
  options.formats = entry.formats == "guided" ? upstream::FormatFields::kGuided
                    : entry.formats == "none" ? upstream::FormatFields::kNone
                                              : upstream::FormatFields::kStructuredOutputs;
  options.context_length = settings.context > 0 ? settings.context : text.context_length;
  if (options.context_length == 0) {
    return Error(Code::kInvalidArgument,
                 fmt::format("needs a context: {} does not say how many tokens the model takes", entry.tokenizer));
  }
  options.eos_tokens = text.eos_tokens;
  options.defaults = text.defaults;
  options.limits.max_time = std::chrono::seconds(settings.time_limit);
  SetTimes(entry, options);
  api::ServedModel served;
  served.id = entry.name;
  served.tokenizer = text.tokenizer;
  served.chat_format = text.chat_format;
  QUERN_ASSIGN(served.backend, upstream::UpstreamBackend::Create(std::move(options), text.tokenizer));
  return served;
}

}  // namespace quern::cli
