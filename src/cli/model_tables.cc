#include "cli/model_tables.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "cli/settings.h"

namespace quern::cli {
namespace {

constexpr size_t kMaxModels = 64;
constexpr size_t kMaxUpstreams = 64;

// Options that each model may have for itself.
constexpr std::array<std::string_view, 10> kOverrides = {
    "threads",     "context",     "kv_memory",  "kv_type",   "yarn", "allow_swap_from_disk",
    "max_running", "max_waiting", "time_limit", "keep_alive"};

std::unexpected<Status> Bad(std::string message) { return Error(Code::kInvalidArgument, std::move(message)); }

// One key of a table: how its value is taken.
template <typename Entry>
struct Key {
  std::string_view name;
  Result<void> (*set)(Entry&, const toml::node&, const TablePlace& place);
};

Result<std::string> TextOf(const toml::node& node) {
  if (const auto* text = node.as_string(); text != nullptr && !text->get().empty()) return text->get();
  return Bad("must be a string that is not empty");
}

Result<int> CountOf(const toml::node& node, int64_t least, int64_t most) {
  const auto* number = node.as_integer();
  if (number != nullptr && number->get() >= least && number->get() <= most) return static_cast<int>(number->get());
  return Bad(fmt::format("must be a whole number from {} to {}", least, most));
}

template <typename Entry, std::string Entry::*field>
Result<void> SetText(Entry& entry, const toml::node& node, const TablePlace&) {
  QUERN_ASSIGN(entry.*field, TextOf(node));
  return {};
}

template <typename Entry, std::string Entry::*field>
Result<void> SetPath(Entry& entry, const toml::node& node, const TablePlace& place) {
  QUERN_ASSIGN(const std::string text, TextOf(node));
  entry.*field = (place.folder / text).string();
  return {};
}

template <typename Entry, auto field, int64_t least, int64_t most>
Result<void> SetCount(Entry& entry, const toml::node& node, const TablePlace&) {
  QUERN_ASSIGN(entry.*field, CountOf(node, least, most));
  return {};
}

Result<void> SetVerify(UpstreamEntry& entry, const toml::node& node, const TablePlace&) {
  const auto* flag = node.as_boolean();
  if (flag == nullptr) return Bad("must be true or false");
  entry.verify_certificate = flag->get();
  return {};
}

Result<void> SetAliases(ModelEntry& entry, const toml::node& node, const TablePlace&) {
  const toml::array* list = node.as_array();
  if (list == nullptr) {
    QUERN_ASSIGN(entry.aliases.emplace_back(), TextOf(node));
    return {};
  }
  for (const toml::node& one : *list) {
    QUERN_ASSIGN(entry.aliases.emplace_back(), TextOf(one));
  }
  return {};
}

template <typename Entry>
Result<void> ReadTable(const toml::table& table, std::span<const Key<Entry>> keys, const TablePlace& place,
                       std::string_view what, Entry& entry) {
  for (const auto& [name, node] : table) {
    const auto it = std::ranges::find(keys, name.str(), &Key<Entry>::name);
    const std::string where = fmt::format("{}:{}", place.file, name.source().begin.line);
    if (it == keys.end()) {
      std::vector<std::string> known;
      for (const Key<Entry>& key : keys) known.emplace_back(key.name);
      const std::string nearest = Suggest(name.str(), known);
      return Bad(fmt::format("{}: {} has no setting \"{}\"{}", where, what, name.str(),
                             nearest.empty() ? "" : fmt::format("; did you mean \"{}\"?", nearest)));
    }
    const auto set = it->set(entry, node, place);
    if (!set) return Bad(fmt::format("{}: {} of {} {}", where, name.str(), what, set.error().message()));
  }
  return {};
}

using U = UpstreamEntry;
constexpr std::array<Key<U>, 7> kUpstreamKeys = {{{"url", SetText<U, &U::url>},
                                                  {"model", SetText<U, &U::model>},
                                                  {"api_key_env", SetText<U, &U::api_key_env>},
                                                  {"api_key_file", SetPath<U, &U::api_key_file>},
                                                  {"weight", SetCount<U, &U::weight, 1, 1000>},
                                                  {"ca_file", SetPath<U, &U::ca_file>},
                                                  {"verify_certificate", SetVerify}}};

// The entries of [[name]].
Result<std::vector<const toml::table*>> TablesOf(const toml::node& node, std::string_view name, size_t most) {
  const toml::array* list = node.as_array();
  std::vector<const toml::table*> tables;
  if (list != nullptr) {
    for (const toml::node& one : *list) tables.push_back(one.as_table());
  }
  const bool all_tables = list != nullptr && std::ranges::find(tables, nullptr) == tables.end();
  if (!all_tables || tables.empty()) return Bad(fmt::format("must be given as [[{}]] tables", name));
  if (tables.size() > most) return Bad(fmt::format("has {} entries, at most {} are allowed", tables.size(), most));
  return tables;
}

Result<void> SetUpstreams(ModelEntry& entry, const toml::node& node, const TablePlace& place) {
  QUERN_ASSIGN(const auto tables, TablesOf(node, "models.upstream", kMaxUpstreams));
  for (const toml::table* table : tables) {
    QUERN_TRY(ReadTable<U>(*table, kUpstreamKeys, place, "[[models.upstream]]", entry.upstreams.emplace_back()));
    const UpstreamEntry& read = entry.upstreams.back();
    if (read.url.empty()) return Bad("needs a url");
    if (!read.api_key_env.empty() && !read.api_key_file.empty()) {
      return Bad("takes api_key_env or api_key_file, not both");
    }
  }
  return {};
}

using M = ModelEntry;
constexpr std::array<Key<M>, 15> kModelKeys = {{{"name", SetText<M, &M::name>},
                                                {"alias", SetAliases},
                                                {"path", SetPath<M, &M::path>},
                                                {"script", SetPath<M, &M::script>},
                                                {"upstream", SetUpstreams},
                                                {"tokenizer", SetPath<M, &M::tokenizer>},
                                                {"exchange", SetText<M, &M::exchange>},
                                                {"formats", SetText<M, &M::formats>},
                                                {"connect_timeout", SetCount<M, &M::connect_timeout, 1, 3600>},
                                                {"first_byte_timeout", SetCount<M, &M::first_byte_timeout, 1, 86400>},
                                                {"idle_timeout", SetCount<M, &M::idle_timeout, 1, 86400>},
                                                {"probe_interval", SetCount<M, &M::probe_interval, 0, 86400>},
                                                {"max_attempts", SetCount<M, &M::max_attempts, 1, 100>},
                                                {"max_in_flight", SetCount<M, &M::max_in_flight, 1, 1 << 20>},
                                                {"background_below", SetCount<M, &M::background_below, 1, 1 << 20>}}};

// What belongs to models of ours and what to those elsewhere.
Result<void> CheckEntry(const ModelEntry& entry) {
  const bool remote = !entry.upstreams.empty();
  if (entry.name.empty()) return Bad("needs a name");
  if (remote == !entry.path.empty()) return Bad("needs either a path or [[models.upstream]] tables");
  if (remote && entry.tokenizer.empty()) return Bad("needs the tokenizer of the upstream's model");
  if (remote && !entry.script.empty()) return Bad("has a script and upstreams");
  if (!remote && !entry.tokenizer.empty()) return Bad("has a tokenizer of its own beside its path");
  if (entry.exchange != "tokens" && entry.exchange != "text") return Bad("exchange must be \"tokens\" or \"text\"");
  if (entry.formats != "structured_outputs" && entry.formats != "guided" && entry.formats != "none")
    return Bad("formats must be \"structured_outputs\", \"guided\" or \"none\"");
  return {};
}

}  // namespace

Result<std::vector<ModelEntry>> ReadModelTables(const toml::node& node, const TablePlace& place) {
  const auto tables = TablesOf(node, "models", kMaxModels);
  if (!tables) return Bad(fmt::format("{}: models {}", place.file, tables.error().message()));
  std::vector<ModelEntry> entries;
  for (const toml::table* table : *tables) {
    const std::string where = fmt::format("{}:{}", place.file, table->source().begin.line);
    ModelEntry& entry = entries.emplace_back();
    toml::table own = *table;
    for (const std::string_view key : kOverrides) {
      const toml::node* value = own.get(key);
      if (value == nullptr) continue;
      auto text = OptionText(*FindOption(key), *value, place.folder);
      if (!text) return Bad(fmt::format("{}: {} of [[models]] {}", where, key, text.error().message()));
      entry.overrides.emplace_back(key, std::move(*text));
      own.erase(key);
    }
    QUERN_TRY(ReadTable<M>(own, kModelKeys, place, "[[models]]", entry));
    const auto sound = CheckEntry(entry);
    if (!sound) return Bad(fmt::format("{}: the model \"{}\" {}", where, entry.name, sound.error().message()));
  }
  return entries;
}

}  // namespace quern::cli
