#include <fmt/core.h>

#include "base/os/mapped_file.h"
#include "cli/model_tables.h"
#include "cli/settings.h"

namespace quern::cli {
namespace {

constexpr size_t kMaxConfigBytes = 1U << 20;

std::string KindName(toml::node_type type) {
  switch (type) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "a whole number";
    case toml::node_type::floating_point:
      return "a number";
    case toml::node_type::boolean:
      return "true or false";
    default:
      return "a date or time";
  }
}

// A scalar as the text that the same flag would take; empty optional when this kind of option takes no such value.
std::optional<std::string> ScalarText(const toml::node& node, ValueKind kind) {
  if (const auto* text = node.as_string()) {
    const bool takes =
        kind == ValueKind::kText || kind == ValueKind::kPath || kind == ValueKind::kSize || kind == ValueKind::kList;
    return takes ? std::optional(text->get()) : std::nullopt;
  }
  if (const auto* number = node.as_integer()) {
    const bool takes = kind == ValueKind::kInteger || kind == ValueKind::kNumber || kind == ValueKind::kSize;
    return takes ? std::optional(std::to_string(number->get())) : std::nullopt;
  }
  if (const auto* number = node.as_floating_point())
    return kind == ValueKind::kNumber ? std::optional(fmt::format("{}", number->get())) : std::nullopt;
  if (const auto* flag = node.as_boolean())
    return kind == ValueKind::kFlag ? std::optional<std::string>(flag->get() ? "true" : "false") : std::nullopt;
  return std::nullopt;
}

std::string_view Expected(ValueKind kind) {
  switch (kind) {
    case ValueKind::kText:
    case ValueKind::kPath:
      return "a string";
    case ValueKind::kInteger:
      return "a whole number";
    case ValueKind::kNumber:
      return "a number";
    case ValueKind::kSize:
      return "a size, e.g. \"2GiB\"";
    case ValueKind::kFlag:
      return "true or false";
    case ValueKind::kList:
      return "a string or a list of strings";
  }
  return "";
}

Result<void> ApplyValue(const Option& option, const toml::node& node, const std::filesystem::path& folder,
                        Settings& settings) {
  QUERN_ASSIGN(const std::string text, OptionText(option, node, folder));
  return option.set(settings, text);
}

Result<void> ApplyNode(const Option& option, const toml::node& node, const std::filesystem::path& folder,
                       Settings& settings) {
  const toml::array* list = node.as_array();
  if (list == nullptr || option.kind != ValueKind::kList) return ApplyValue(option, node, folder, settings);
  for (const toml::node& entry : *list) QUERN_TRY(ApplyValue(option, entry, folder, settings));
  return {};
}

Status UnknownKey(std::string_view key) {
  std::vector<std::string> known;
  for (const Option& option : Options()) known.emplace_back(option.key);
  known.emplace_back("models");
  const std::string nearest = Suggest(key, known);
  return Status(Code::kInvalidArgument,
                nearest.empty() ? fmt::format("there is no setting \"{}\"", key)
                                : fmt::format("there is no setting \"{}\"; did you mean \"{}\"?", key, nearest));
}

}  // namespace

Result<std::string> OptionText(const Option& option, const toml::node& node, const std::filesystem::path& folder) {
  auto text = ScalarText(node, option.kind);
  if (!text)
    return Error(Code::kInvalidArgument,
                 fmt::format("must be {}, not {}", Expected(option.kind), KindName(node.type())));
  if (option.kind == ValueKind::kPath && !text->empty()) text = (folder / *text).string();
  Settings scratch;
  QUERN_TRY(option.set(scratch, *text));
  return *text;
}

Result<void> ApplyConfigText(std::string_view text, const std::string& file_name, const std::filesystem::path& folder,
                             Settings& settings) {
  const toml::parse_result parsed = toml::parse(text, file_name);
  if (!parsed) {
    const auto& error = parsed.error();
    return Error(Code::kInvalidArgument, fmt::format("{}:{}:{}: {}", file_name, error.source().begin.line,
                                                     error.source().begin.column, error.description()));
  }
  for (const auto& [key, node] : parsed.table()) {
    const std::string where = fmt::format("{}:{}", file_name, key.source().begin.line);
    if (key.str() == "models") {
      QUERN_ASSIGN(settings.models, ReadModelTables(node, {file_name, folder}));
      continue;
    }
    const Option* option = FindOption(key.str());
    if (option == nullptr) return std::unexpected(UnknownKey(key.str()).WithContext(where));
    const auto applied = ApplyNode(*option, node, folder, settings);
    if (!applied)
      return Error(applied.error().code(), fmt::format("{}: {} {}", where, key.str(), applied.error().message()));
  }
  return {};
}

Result<void> ApplyConfigFile(const std::filesystem::path& path, Settings& settings) {
  QUERN_ASSIGN(const std::string text, os::ReadTextFile(path, kMaxConfigBytes));
  return ApplyConfigText(text, path.string(), path.parent_path(), settings);
}

}  // namespace quern::cli
