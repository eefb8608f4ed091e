#include "cli/settings.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <numeric>

#include "model/kv_types.h"

namespace quern::cli {
namespace {

std::unexpected<Status> Bad(std::string message) { return Error(Code::kInvalidArgument, std::move(message)); }

template <typename Int>
Result<Int> ParseInteger(const std::string& text, Int lo, Int hi) {
  Int value{};
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc() || end != text.data() + text.size() || value < lo || value > hi)
    return Bad(fmt::format("must be a whole number from {} to {}, not \"{}\"", lo, hi, text));
  return value;
}

Result<double> ParseNumber(const std::string& text, double lo, double hi) {
  double value = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc() || end != text.data() + text.size() || !(value >= lo && value <= hi))
    return Bad(fmt::format("must be a number from {} to {}, not \"{}\"", lo, hi, text));
  return value;
}

using Setter = std::function<Result<void>(Settings&, const std::string&)>;

Setter Text(std::string Settings::*field) {
  return [field](Settings& s, const std::string& text) -> Result<void> {
    s.*field = text;
    return {};
  };
}

template <typename Field>
Setter Whole(Field Settings::*field, int lo, int hi) {
  return [field, lo, hi](Settings& s, const std::string& text) -> Result<void> {
    QUERN_ASSIGN(s.*field, ParseInteger<int>(text, lo, hi));
    return {};
  };
}

Setter Number(std::optional<double> Settings::*field, double lo, double hi) {
  return [field, lo, hi](Settings& s, const std::string& text) -> Result<void> {
    QUERN_ASSIGN(s.*field, ParseNumber(text, lo, hi));
    return {};
  };
}

Setter Flag(bool Settings::*field) {
  return [field](Settings& s, const std::string& text) -> Result<void> {
    if (text != "true" && text != "false") return Bad(fmt::format("must be true or false, not \"{}\"", text));
    s.*field = text == "true";
    return {};
  };
}

Setter List(std::vector<std::string> Settings::*field) {
  return [field](Settings& s, const std::string& text) -> Result<void> {
    if (text.empty()) return Bad("must not be empty");
    (s.*field).push_back(text);
    return {};
  };
}

Result<void> SetKvMemory(Settings& s, const std::string& text) {
  QUERN_ASSIGN(s.kv_memory, ParseSize(text));
  return {};
}

Result<void> SetMemory(Settings& s, const std::string& text) {
  QUERN_ASSIGN(s.memory, ParseSize(text));
  return {};
}

Setter Size(std::optional<uint64_t> Settings::*field) {
  return [field](Settings& s, const std::string& text) -> Result<void> {
    QUERN_ASSIGN(s.*field, ParseSize(text));
    return {};
  };
}

Result<void> SetKvType(Settings& s, const std::string& text) {
  QUERN_ASSIGN(s.kv_types, model::ParseKvTypes(text));
  return {};
}

Result<void> SetListen(Settings& s, const std::string& text) {
  QUERN_TRY(ParseAddress(text));
  s.listen = text;
  return {};
}

Result<void> SetSeed(Settings& s, const std::string& text) {
  QUERN_ASSIGN(s.seed, ParseInteger<uint64_t>(text, 0, UINT64_MAX));
  return {};
}

constexpr int kMost = 1 << 30;
constexpr int kMostSeconds = 366 * 86400;
constexpr unsigned kEngines = kServe | kChat | kComplete;
constexpr unsigned kTalks = kChat | kComplete;
constexpr unsigned kAll = kEngines | kInspect | kTokenize | kBench | kPlan;

const std::vector<Option>& Table() {
  static const std::vector<Option> table = {
      {"model", ValueKind::kPath, kAll, "PATH", "checkpoint: a safetensors directory or a .gguf file",
       Text(&Settings::model)},
      {"script", ValueKind::kPath, kEngines, "FILE", "answer from this script instead of the model's weights",
       Text(&Settings::script)},
      {"threads", ValueKind::kInteger, kEngines | kQuantize, "N", "compute threads (default: what the machine gives)",
       Whole(&Settings::threads, 0, 4096)},
      {"context", ValueKind::kInteger, kEngines | kInspect | kPlan, "N",
       "tokens of prompt and answer (default: the model's)", Whole(&Settings::context, 0, kMost)},
      {"kv_memory", ValueKind::kSize, kEngines, "SIZE", "memory for keys and values, e.g. 2GiB (default: a quarter)",
       SetKvMemory},
      {"memory", ValueKind::kSize, kEngines | kPlan, "SIZE", "stay within so much memory (default: the machine's)",
       SetMemory},
      {"allow_swap_from_disk", ValueKind::kFlag, kEngines, "",
       "compute weights larger than memory from a packed file, reading the disk again and again",
       Flag(&Settings::allow_swap_from_disk)},
      {"kv_type", ValueKind::kText, kEngines | kInspect | kBench | kPlan, "TYPE",
       "keys and values kept as i16, f16, bf16, q8 or q4; K,V for two (default i16)", SetKvType},
      {"yarn", ValueKind::kNumber, kEngines | kPlan, "FACTOR",
       "stretch the model's positions by YaRN, for contexts beyond its own",
       Number(&Settings::yarn, 1, kMaxYarnFactor)},
      {"max_running", ValueKind::kInteger, kServe, "N", "requests computed at once (default 16)",
       Whole(&Settings::max_running, 1, 4096)},
      {"max_waiting", ValueKind::kInteger, kServe, "N", "requests queued beyond these (default 256)",
       Whole(&Settings::max_waiting, 0, 1 << 20)},
      {"time_limit", ValueKind::kInteger, kServe, "SECONDS", "longest time of one request (default 3600)",
       Whole(&Settings::time_limit, 1, kMost)},
      {"keep_alive", ValueKind::kInteger, kServe, "SECONDS",
       "how long a model of [[models]] stays in memory unused; -1 = for good (default 300)",
       Whole(&Settings::keep_alive, -1, kMostSeconds)},
      {"load_timeout", ValueKind::kInteger, kServe, "SECONDS",
       "how long a request waits for its model to be loaded (default 600)",
       Whole(&Settings::load_timeout, 1, kMostSeconds)},
      {"fair_wait", ValueKind::kInteger, kServe, "SECONDS",
       "how long a request waits before a busy model yields to its model (default 30)",
       Whole(&Settings::fair_wait, 0, kMostSeconds)},
      {"listen", ValueKind::kText, kServe, "HOST:PORT", "address (default 127.0.0.1:8080; port 0 = any free one)",
       SetListen},
      {"name", ValueKind::kText, kServe, "NAME", "the model's name in the API (default: after the path)",
       Text(&Settings::name)},
      {"alias", ValueKind::kList, kServe, "NAME", "a further name for it; may be given more than once",
       List(&Settings::aliases)},
      {"own_name_only", ValueKind::kFlag, kServe, "", "do not answer to the names under which such models are sold",
       Flag(&Settings::own_name_only)},
      {"catch_all", ValueKind::kFlag, kServe, "", "answer to names like claude-* and gpt-* too",
       Flag(&Settings::catch_all)},
      {"api_key", ValueKind::kList, kServe, "KEY", "a key that clients must send; may be given more than once",
       List(&Settings::api_keys)},
      {"api_key_file", ValueKind::kPath, kServe, "FILE", "file with such keys, one per line",
       Text(&Settings::api_key_file)},
      {"data_dir", ValueKind::kPath, kServe, "DIR",
       "keep answers, files and batches here, over restarts (default: in memory, and no files and batches)",
       Text(&Settings::data_dir)},
      {"tls_cert", ValueKind::kPath, kServe, "FILE", "speak HTTPS with this certificate (PEM, with its chain)",
       Text(&Settings::tls_cert)},
      {"tls_key", ValueKind::kPath, kServe, "FILE", "the certificate's private key (PEM, no password)",
       Text(&Settings::tls_key)},
      {"plain_http", ValueKind::kFlag, kServe, "", "allow an address beyond loopback without TLS",
       Flag(&Settings::plain_http)},
      {"insecure", ValueKind::kFlag, kServe, "", "allow an address beyond loopback without keys and TLS",
       Flag(&Settings::insecure)},
      {"http_threads", ValueKind::kInteger, kServe, "N", "connection threads (default: 2 to 8 by the machine)",
       Whole(&Settings::http_threads, 0, 256)},
      {"cors_origin", ValueKind::kText, kServe, "ORIGIN", "access-control-allow-origin (default *; empty = none)",
       Text(&Settings::cors_origin)},
      {"workspace", ValueKind::kList, kServe, "NAME",
       "a name that X-DashScope-WorkSpace may have; may be given more than once (default: any)",
       List(&Settings::workspaces)},
      {"grace", ValueKind::kInteger, kServe, "SECONDS", "time for running answers when stopped (default 30)",
       Whole(&Settings::grace, 0, 86400)},
      {"max_connections", ValueKind::kInteger, kServe, "N", "open connections; further ones get 503 (default 12000)",
       Whole(&Settings::max_connections, 1, 1 << 24)},
      {"header_timeout", ValueKind::kInteger, kServe, "SECONDS", "first byte of a request to its headers' end (20)",
       Whole(&Settings::header_timeout, 1, kMostSeconds)},
      {"body_idle_timeout", ValueKind::kInteger, kServe, "SECONDS", "between two pieces of a body (default 30)",
       Whole(&Settings::body_idle_timeout, 1, kMostSeconds)},
      {"body_timeout", ValueKind::kInteger, kServe, "SECONDS", "for a whole body (default 600)",
       Whole(&Settings::body_timeout, 1, kMostSeconds)},
      {"keep_alive_timeout", ValueKind::kInteger, kServe, "SECONDS", "idle time between two requests (default 90)",
       Whole(&Settings::keep_alive_timeout, 1, kMostSeconds)},
      {"write_timeout", ValueKind::kInteger, kServe, "SECONDS", "for a peer that takes nothing (default 60)",
       Whole(&Settings::write_timeout, 1, kMostSeconds)},
      {"response_retention", ValueKind::kInteger, kServe, "SECONDS", "stored answers are kept (default 7 days)",
       Whole(&Settings::response_retention, 1, kMostSeconds)},
      {"max_stored", ValueKind::kSize, kServe, "SIZE", "room for these; the oldest make room (default 256MiB)",
       Size(&Settings::max_stored)},
      {"max_file_bytes", ValueKind::kSize, kServe, "SIZE", "largest file that can be uploaded (default 500MiB)",
       Size(&Settings::max_file_bytes)},
      {"max_files", ValueKind::kInteger, kServe, "N", "files of one key (default 10000)",
       Whole(&Settings::max_files, 0, kMost)},
      {"max_files_bytes", ValueKind::kSize, kServe, "SIZE", "files of one key together (default 100GiB)",
       Size(&Settings::max_files_bytes)},
      {"max_uploads", ValueKind::kInteger, kServe, "N", "files being uploaded at once (default 8)",
       Whole(&Settings::max_uploads, 1, 4096)},
      {"file_retention", ValueKind::kInteger, kServe, "SECONDS", "files and ended batches are kept (default 30 days)",
       Whole(&Settings::file_retention, 1, kMostSeconds)},
      {"max_batch_lines", ValueKind::kInteger, kServe, "N", "requests of one batch (default 50000)",
       Whole(&Settings::max_batch_lines, 1, 1 << 24)},
      {"max_batch_line_bytes", ValueKind::kSize, kServe, "SIZE", "one request of a batch (default 6MiB)",
       Size(&Settings::max_batch_line_bytes)},
      {"max_open_batches", ValueKind::kInteger, kServe, "N", "batches of one key that are not over (default 100)",
       Whole(&Settings::max_open_batches, 0, kMost)},
      {"batch_parallel", ValueKind::kInteger, kServe, "N", "requests of batches computed at once (default 4)",
       Whole(&Settings::batch_parallel, 1, 4096)},
      {"system", ValueKind::kText, kChat, "TEXT", "system message", Text(&Settings::system)},
      {"max_tokens", ValueKind::kInteger, kTalks, "N", "longest answer in tokens",
       Whole(&Settings::max_tokens, 1, kMost)},
      {"temperature", ValueKind::kNumber, kTalks, "X", "0 = always the most likely token",
       Number(&Settings::temperature, 0, 100)},
      {"top_p", ValueKind::kNumber, kTalks, "X", "keep the likeliest tokens up to this sum, above 0 to 1",
       Number(&Settings::top_p, 1e-9, 1)},
      {"top_k", ValueKind::kInteger, kTalks, "N", "keep this many tokens; 0 = all", Whole(&Settings::top_k, 0, kMost)},
      {"min_p", ValueKind::kNumber, kTalks, "X", "drop tokens less likely than this share of the likeliest",
       Number(&Settings::min_p, 0, 1)},
      {"repetition_penalty", ValueKind::kNumber, kTalks, "X", "above 1 = avoid what was said",
       Number(&Settings::repetition_penalty, 0.01, 100)},
      {"seed", ValueKind::kInteger, kTalks, "N", "same seed, same answer", SetSeed},
  };
  return table;
}

size_t EditDistance(std::string_view a, std::string_view b) {
  // Two rows of the usual table, and the one before for neighbouring letters that changed places.
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  std::iota(last.begin(), last.end(), 0U);
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before.swap(last);
    last.swap(row);
  }
  return last[b.size()];
}

}  // namespace

std::span<const Option> Options() { return Table(); }

const Option* FindOption(std::string_view key) {
  const auto& table = Table();
  const auto it = std::find_if(table.begin(), table.end(), [&](const Option& option) { return option.key == key; });
  return it == table.end() ? nullptr : &*it;
}

std::string FlagOf(const Option& option) {
  std::string flag = "--" + std::string(option.key);
  std::replace(flag.begin(), flag.end(), '_', '-');
  return flag;
}

std::string Suggest(std::string_view word, std::span<const std::string> known) {
  constexpr size_t kLongest = 64;  // nobody mistypes a name of this length
  std::string best;
  // A third of the letters may be wrong, two at least.
  size_t best_distance = std::max<size_t>(2, word.size() / 3) + 1;
  if (word.size() > kLongest) return best;
  for (const std::string& candidate : known) {
    const size_t distance = EditDistance(word, candidate);
    if (distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

Result<uint64_t> ParseSize(std::string_view text) {
  uint64_t value = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  std::string unit(end, text.data() + text.size());
  unit.erase(0, unit.find_first_not_of(' ') == std::string::npos ? unit.size() : unit.find_first_not_of(' '));
  constexpr std::array<std::pair<std::string_view, uint64_t>, 12> kUnits = {{{"", 1},
                                                                             {"B", 1},
                                                                             {"KiB", uint64_t{1} << 10},
                                                                             {"MiB", uint64_t{1} << 20},
                                                                             {"GiB", uint64_t{1} << 30},
                                                                             {"TiB", uint64_t{1} << 40},
                                                                             {"KB", 1000},
                                                                             {"MB", 1000000},
                                                                             {"GB", 1000000000},
                                                                             {"TB", 1000000000000},
                                                                             {"M", uint64_t{1} << 20},
                                                                             {"G", uint64_t{1} << 30}}};
  const auto it = std::find_if(kUnits.begin(), kUnits.end(), [&](const auto& entry) { return entry.first == unit; });
  if (ec != std::errc() || it == kUnits.end() || value > (uint64_t{1} << 60) / it->second)
    return Bad(fmt::format("must be a size like 512MiB, 2GB or 1048576, not \"{}\"", text));
  return value * it->second;
}

Result<Address> ParseAddress(std::string_view text) {
  const auto bad = [&] { return Bad(fmt::format("must be HOST:PORT, e.g. 127.0.0.1:8080, not \"{}\"", text)); };
  std::string_view host = "127.0.0.1", port = text;
  if (const size_t colon = text.rfind(':'); colon != std::string_view::npos) {
    port = text.substr(colon + 1);
    if (colon > 0) host = text.substr(0, colon);
    const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
    if (bracketed) host = host.substr(1, host.size() - 2);
    if (!bracketed && host.find(':') != std::string_view::npos) return bad();  // which colon begins the port?
  }
  const auto number = ParseInteger<int>(std::string(port), 0, 65535);
  if (!number) return bad();
  return Address{std::string(host), static_cast<uint16_t>(*number)};
}

}  // namespace quern::cli
