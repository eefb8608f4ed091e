// The [[models]] tables of a configuration file. A heavy header (toml++): include it in .cc files of the configuration
// only.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

// The parser is compiled in here, without exceptions, rather than taken from a shared library.
#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include "base/status.h"
#include "cli/settings.h"

namespace quern::cli {

// Where a table is, for messages and for paths in it.
struct TablePlace {
  std::string file;
  std::filesystem::path folder;
};

// The text that the option's flag would take, checked; paths are made relative to folder. Errors: kInvalidArgument:
// what was expected and seen.
Result<std::string> OptionText(const Option& option, const toml::node& node, const std::filesystem::path& folder);

// node: the value of "models". Errors: kInvalidArgument: file, line, key, expected and seen.
Result<std::vector<ModelEntry>> ReadModelTables(const toml::node& node, const TablePlace& place);

}  // namespace quern::cli
