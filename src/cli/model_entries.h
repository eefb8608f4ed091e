// The [[models]] tables of quern.toml: which models a server offers besides, or instead of, the one of --model.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace quern::cli {

// One server of a model that runs elsewhere: [[models.upstream]].
struct UpstreamEntry {
  std::string url;
  std::string model;         // its name there; empty = as here
  std::string api_key_env;   // the key is in this environment variable
  std::string api_key_file;  // or in this file
  int weight = 1;
  std::string ca_file;
  bool verify_certificate = true;
};

// [[models]]. Exactly one of path, script and upstreams says who answers.
struct ModelEntry {
  std::string name;
  std::vector<std::string> aliases;
  // Options of the program (Options()) that this model has otherwise: key and the text that the flag would take.
  // Applied to a copy of the settings, so that flags count for all models that do not say otherwise.
  std::vector<std::pair<std::string, std::string>> overrides;
  std::string path;    // a checkpoint of ours
  std::string script;  // or a script, for tests; path then gives tokenizer and template

  // ---- a model that runs elsewhere ----
  std::vector<UpstreamEntry> upstreams;
  std::string tokenizer;  // a checkpoint, or a directory with its tokenizer.json and chat template and no weights
  std::string exchange = "tokens";
  std::string formats = "structured_outputs";
  std::optional<int> connect_timeout, first_byte_timeout, idle_timeout, probe_interval, max_attempts, max_in_flight,
      background_below;
};

}  // namespace quern::cli
