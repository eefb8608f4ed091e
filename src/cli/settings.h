// Everything a person can set, from flags and from quern.toml. Both come from one table, so a flag without a config key
// (or the other way round) cannot exist: key "kv_memory" is flag "--kv-memory".
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "cli/model_entries.h"
#include "kernels/kv_layout.h"

namespace quern::cli {

struct Settings {
  // ---- model ----
  std::string model;       // directory or .gguf; empty = the model in the box
  std::string name;        // as listed by /v1/models; empty = after the path
  std::string script;      // answers come from this script instead of the model's weights
  int threads = 0;         // 0 = what the machine gives
  int context = 0;         // tokens; 0 = the model's, as far as memory for it is there
  uint64_t kv_memory = 0;  // bytes; 0 = a quarter of the memory
  uint64_t memory = 0;     // bytes to stay within; 0 = what this process may use
  bool allow_swap_from_disk = false;
  std::optional<kernels::KvTypes> kv_types;  // unset = the model's
  std::optional<double> yarn;                // factor on the native context; unset = as the checkpoint says
  int max_running = 16;
  int max_waiting = 256;
  int time_limit = 3600;           // seconds per request
  int keep_alive = 300;            // seconds that a model of [[models]] stays in memory unused; -1 = for good
  int load_timeout = 600;          // seconds that a request waits for its model to be loaded
  int fair_wait = 30;              // seconds that it waits before a busy model yields its memory to it
  std::vector<ModelEntry> models;  // [[models]]; only a file has them

  // ---- serve ----
  std::string listen = "127.0.0.1:8080";
  std::string data_dir;  // empty = nothing outlives the process
  std::vector<std::string> api_keys;
  std::string api_key_file;
  std::string tls_cert, tls_key;  // PEM files; both or none
  bool insecure = false;
  bool plain_http = false;
  int http_threads = 0;
  std::string cors_origin = "*";
  std::vector<std::string> workspaces;
  std::vector<std::string> aliases;
  bool own_name_only = false;
  bool catch_all = false;
  int grace = 30;  // seconds
  // Unset = the defaults of api::Limits. Times in seconds.
  std::optional<int> max_connections, header_timeout, body_idle_timeout, body_timeout, keep_alive_timeout,
      write_timeout, response_retention;
  std::optional<int> max_files, max_uploads, file_retention, max_batch_lines, max_open_batches, batch_parallel;
  std::optional<uint64_t> max_stored, max_file_bytes, max_files_bytes, max_batch_line_bytes;  // bytes

  // ---- chat and complete; unset = the model's own defaults ----
  std::optional<double> temperature, top_p, min_p, repetition_penalty;
  std::optional<int> top_k;
  std::optional<uint64_t> seed;
  std::optional<int> max_tokens;
  std::string system;
};

// Published recommendations go to 4; the kernels would bear more, the models do not.
inline constexpr double kMaxYarnFactor = 32;

enum class ValueKind { kText, kPath, kInteger, kNumber, kSize, kFlag, kList };

// Which programs have the flag; a config file may hold the keys of all of them.
enum CommandBits : unsigned {
  kServe = 1,
  kChat = 2,
  kComplete = 4,
  kInspect = 8,
  kTokenize = 16,
  kQuantize = 32,  // and the commands beside it: imatrix, kl
  kBench = 64,
  kPlan = 128,
  kPack = 256,
};

struct Option {
  std::string_view key;  // lower_snake
  ValueKind kind;
  unsigned commands;            // of CommandBits
  std::string_view value_name;  // in the help: "N", "FILE"
  std::string_view help;
  // Errors: kInvalidArgument; the text says what was expected, the caller adds the option's name.
  std::function<Result<void>(Settings&, const std::string&)> set;
};

std::span<const Option> Options();
const Option* FindOption(std::string_view key);
std::string FlagOf(const Option& option);  // "--kv-memory"

// The entry of known that is nearest to word by edit distance, when near enough to be a typing mistake; else empty.
std::string Suggest(std::string_view word, std::span<const std::string> known);

// Reads a TOML file into settings. Paths in it are relative to the file. Errors: kNotFound, kInvalidArgument: file,
// line, key, expected and seen; unknown keys come with a suggestion.
Result<void> ApplyConfigFile(const std::filesystem::path& path, Settings& settings);
// The same from text; file_name is for messages, folder for paths.
Result<void> ApplyConfigText(std::string_view text, const std::string& file_name, const std::filesystem::path& folder,
                             Settings& settings);

// "512MiB", "2GB", "1048576" -> bytes. Errors: kInvalidArgument.
Result<uint64_t> ParseSize(std::string_view text);

struct Address {
  std::string host;
  uint16_t port;
};
// "127.0.0.1:8080", "[::1]:8080", ":8080", "8080". Errors: kInvalidArgument.
Result<Address> ParseAddress(std::string_view text);

}  // namespace quern::cli
