#include "cli/settings.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "cli/command_line.h"

namespace quern::cli {
namespace {

Result<Settings> FromToml(std::string_view text) {
  Settings settings;
  QUERN_TRY(ApplyConfigText(text, "quern.toml", "/etc/quern", settings));
  return settings;
}

std::string TomlError(std::string_view text) {
  const auto settings = FromToml(text);
  return settings ? "accepted" : settings.error().message();
}

TEST(Settings, ConfigFileSetsEveryKind) {
  const auto settings = FromToml(
      "model = 'models/a'\nthreads = 8\nkv_memory = '2GiB'\nlisten = '[::1]:9000'\nalias = ['x', 'y']\n"
      "catch_all = true\ntemperature = 0.5\ntop_p = 1\nseed = 18446744073709551\n# a comment\nsystem = "
      "\"\"\"two\nlines\"\"\"\n");
  ASSERT_TRUE(settings) << settings.error().message();
  EXPECT_EQ(settings->model, "/etc/quern/models/a") << "paths are relative to the file";
  EXPECT_EQ(settings->threads, 8);
  EXPECT_EQ(settings->kv_memory, uint64_t{2} << 30);
  EXPECT_EQ(settings->listen, "[::1]:9000");
  EXPECT_EQ(settings->aliases, (std::vector<std::string>{"x", "y"}));
  EXPECT_TRUE(settings->catch_all);
  EXPECT_EQ(settings->temperature, 0.5);
  EXPECT_EQ(settings->top_p, 1.0);
  EXPECT_EQ(settings->system, "two\nlines");
  EXPECT_EQ(FromToml("model = '/abs/b'")->model, "/abs/b");
  EXPECT_EQ(FromToml("alias = 'one'")->aliases.size(), 1U);
  EXPECT_EQ(FromToml("kv_memory = 1048576")->kv_memory, 1048576U);
  using enum kernels::KvType;
  EXPECT_EQ(FromToml("")->kv_types, std::nullopt);
  EXPECT_EQ(FromToml("kv_type = 'q8'")->kv_types, (kernels::KvTypes{kQ8, kQ8}));
  EXPECT_EQ(FromToml("kv_type = 'bf16,q4'")->kv_types, (kernels::KvTypes{kBF16, kQ4}));
}

TEST(Settings, ConfigMistakesNameTheLineAndTheKey) {
  const std::pair<const char*, const char*> kCases[] = {
      {"\nthread = 4", "quern.toml:2: there is no setting \"thread\"; did you mean \"threads\"?"},
      {"listn = 'x'", "did you mean \"listen\"?"},
      {"zzzzzzzz = 1", "quern.toml:1: there is no setting \"zzzzzzzz\""},
      {"[server]\nlisten = 'x'", "there is no setting \"server\""},
      {"threads = '4'", "quern.toml:1: threads must be a whole number, not a string"},
      {"threads = 4.5", "threads must be a whole number, not a number"},
      {"threads = -1", "threads must be a whole number from 0 to 4096, not \"-1\""},
      {"threads = [1]", "threads must be a whole number, not a list"},
      {"model = 4", "model must be a string, not a whole number"},
      {"catch_all = 'yes'", "catch_all must be true or false, not a string"},
      {"alias = [1]", "alias must be a string or a list of strings"},
      {"temperature = nan", "temperature must be a number from 0 to 100"},
      {"top_p = 0", "top_p must be a number"},
      {"kv_memory = 'lots'", "kv_memory must be a size like 512MiB"},
      {"kv_type = 'q7'", "kv_type must be f32, i16, f16, bf16, q8 or q4"},
      {"kv_type = 'q8,'", "kv_type must be f32, i16, f16, bf16, q8 or q4"},
      {"kv_type = 'q8,q4,q4'", "not \"q8,q4,q4\""},
      {"listen = 'localhost'", "listen must be HOST:PORT"},
      {"threads = ", "quern.toml:1:"},
      {"threads = 1\nthreads = 2", "quern.toml:2"},
      {"grace = 1979-05-27", "grace must be a whole number, not a date or time"},
  };
  for (const auto& [text, expected] : kCases) {
    const std::string seen = TomlError(text);
    EXPECT_NE(seen.find(expected), std::string::npos) << text << "\n  gives: " << seen;
  }
  Settings settings;
  EXPECT_FALSE(ApplyConfigFile("/nonexistent/quern.toml", settings));
}

TEST(Settings, EveryOptionWorksAsFlagAndAsKey) {
  std::set<std::string_view> keys;
  for (const Option& option : Options()) {
    EXPECT_TRUE(keys.insert(option.key).second) << option.key << " is there twice";
    ASSERT_NE(option.commands, 0U) << option.key;
    std::string flag_value, toml_value;
    switch (option.kind) {
      case ValueKind::kText:
      case ValueKind::kPath:
      case ValueKind::kList:
        flag_value = option.key == "listen" ? "127.0.0.1:1" : option.key == "kv_type" ? "q8,q4" : "/x";
        toml_value = "'" + flag_value + "'";
        break;
      case ValueKind::kInteger:
      case ValueKind::kNumber:
        flag_value = toml_value = "1";
        break;
      case ValueKind::kSize:
        flag_value = "1MiB", toml_value = "'1MiB'";
        break;
      case ValueKind::kFlag:
        toml_value = "true";
        break;
    }
    const std::string key(option.key);
    EXPECT_TRUE(FromToml(key + " = " + toml_value)) << TomlError(key + " = " + toml_value);
    const std::pair<unsigned, const char*> kCommands[] = {
        {kServe, "serve"}, {kChat, "chat"}, {kInspect, "inspect"}, {kTokenize, "tokenize"}};
    for (const auto& [bit, name] : kCommands) {
      std::vector<std::string> args = {name, FlagOf(option)};
      if (!flag_value.empty()) args.push_back(flag_value);
      const auto parsed = ParseCommandLine(args);
      EXPECT_EQ(parsed.has_value(), (option.commands & bit) != 0)
          << name << " " << FlagOf(option) << ": " << (parsed ? "" : parsed.error().message());
    }
  }
}

TEST(Settings, TheExampleFileNamesEveryKeyAndIsRight) {
  std::ifstream file("docs/quern.example.toml");
  ASSERT_TRUE(file) << "run from the source root";
  std::string uncommented;
  size_t n_keys = 0;
  for (std::string line; std::getline(file, line);) {
    const size_t equals = line.find(" = ");
    if (!line.starts_with("# ") || equals == std::string::npos) continue;
    const Option* option = FindOption(line.substr(2, equals - 2));
    if (option == nullptr) continue;  // a sentence that happens to hold an equals sign
    ++n_keys;
    uncommented += line.substr(2) + "\n";
  }
  EXPECT_EQ(n_keys, Options().size());
  EXPECT_EQ(TomlError(uncommented), "accepted");
}

TEST(Settings, TheTablesOfTheExampleFileAreRight) {
  std::ifstream file("docs/quern.example.toml");
  ASSERT_TRUE(file) << "run from the source root";
  std::string tables;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("# [[") || line.starts_with("#   ")) tables += line.substr(2) + "\n";
  }
  Settings settings;
  const auto applied = ApplyConfigText(tables, "quern.toml", "/etc/quern", settings);
  ASSERT_TRUE(applied.has_value()) << applied.error().message();
  ASSERT_EQ(settings.models.size(), 2U);
  const ModelEntry& ours = settings.models[0];
  EXPECT_EQ(ours.name, "coder");
  EXPECT_EQ(ours.path, "/etc/quern/models/Qwen3-Coder-30B-A3B-Instruct");
  EXPECT_EQ(ours.aliases, std::vector<std::string>{"default"});
  EXPECT_EQ(ours.overrides.size(), 1U);
  const ModelEntry& elsewhere = settings.models[1];
  ASSERT_EQ(elsewhere.upstreams.size(), 1U);
  EXPECT_EQ(elsewhere.upstreams[0].url, "https://gpu-1.example:8000/v1");
  EXPECT_EQ(elsewhere.upstreams[0].api_key_env, "GPU_KEY");
}

TEST(Settings, ModelTablesAreChecked) {
  const std::pair<std::string, std::string> kCases[] = {
      {"models = 1", "[[models]]"},
      {"[models]\nname = 'x'", "[[models]]"},
      {"[[models]]\npath = 'x'", "needs a name"},
      {"[[models]]\nname = 'x'", "needs either a path or [[models.upstream]]"},
      {"[[models]]\nname = 'x'\npath = 'y'\nkv_type = 'q7'", "quern.toml:1: kv_type of [[models]] must be"},
      {"[[models]]\nname = 'x'\npaht = 'y'", "did you mean \"path\"?"},
      {"[[models]]\nname = 'x'\npath = 'y'\ntokenizer = 'z'", "tokenizer of its own"},
      {"[[models]]\nname = 'x'\n[[models.upstream]]\nurl = 'http://h'", "needs the tokenizer"},
      {"[[models]]\nname = 'x'\ntokenizer = 't'\n[[models.upstream]]\nweight = 1", "needs a url"},
      {"[[models]]\nname = 'x'\ntokenizer = 't'\n[[models.upstream]]\nurl = 'http://h'\nweight = 0",
       "weight of [[models.upstream]] must be a whole number from 1 to 1000"},
      {"[[models]]\nname = ''", "name of [[models]] must be a string that is not empty"},
  };
  for (const auto& [text, expected] : kCases) {
    const std::string seen = TomlError(text);
    EXPECT_NE(seen.find(expected), std::string::npos) << text << "\n  gives: " << seen;
  }
}

TEST(Settings, SuggestsWhatIsNear) {
  const std::vector<std::string> known = {"threads", "context", "listen", "temperature"};
  EXPECT_EQ(Suggest("thraeds", known), "threads");
  EXPECT_EQ(Suggest("tempertaure", known), "temperature");
  EXPECT_EQ(Suggest("lisen", known), "listen");
  EXPECT_EQ(Suggest("zebra", known), "");
  EXPECT_EQ(Suggest("", known), "");
  EXPECT_EQ(Suggest(std::string(100000, 'a'), known), "");
}

TEST(Settings, SizesAndAddresses) {
  EXPECT_EQ(ParseSize("1KiB").value(), 1024U);
  EXPECT_EQ(ParseSize("3 GB").value(), 3000000000U);
  EXPECT_EQ(ParseSize("7").value(), 7U);
  for (const char* bad : {"", "GiB", "-1", "1.5GiB", "1XB", "99999999999999999999", "18446744073709551615TiB"})
    EXPECT_FALSE(ParseSize(bad)) << bad;
  EXPECT_EQ(ParseAddress("0.0.0.0:80")->host, "0.0.0.0");
  EXPECT_EQ(ParseAddress("[::1]:80")->host, "::1");
  EXPECT_EQ(ParseAddress(":81")->port, 81);
  EXPECT_EQ(ParseAddress("82")->host, "127.0.0.1");
  EXPECT_EQ(ParseAddress("host:0")->port, 0);
  for (const char* bad : {"", "host", "host:", "host:65536", "host:-1", "::1:80", "a:b:80", "host:8x"})
    EXPECT_FALSE(ParseAddress(bad)) << bad;
}

}  // namespace
}  // namespace quern::cli
