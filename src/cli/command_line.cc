#include "cli/command_line.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>

namespace quern::cli {
namespace {

struct CommandInfo {
  Command command;
  unsigned bit;
  const char* name;
  const char* summary;
  const char* positional;  // empty = none; "<X>" = required
  const char* positional_help;
  const char* examples;
  const char* second = "";  // as the first
  const char* second_help = "";
};

constexpr CommandInfo kCommands[] = {
    {Command::kServe, kServe, "serve", "serve the model over HTTP (OpenAI API)", "", "",
     "Examples:\n"
     "  quern serve                                   the model in the box on http://127.0.0.1:8080\n"
     "  quern serve --model ~/models/Qwen3-Coder-30B-A3B-Instruct --threads 16\n"
     "  quern serve --model coder.gguf --listen 0.0.0.0:8080 --api-key-file keys.txt\n"
     "  quern serve --config quern.toml"},
    {Command::kChat, kChat, "chat", "talk to the model in the terminal", "message",
     "a message to answer, then end; with no terminal, standard input is added to it",
     "Examples:\n"
     "  quern chat\n"
     "  quern chat \"write a Python function that returns all primes below n\"\n"
     "  git diff | quern chat \"review this change\"\n"
     "  quern chat --system \"Answer in one sentence.\" --temperature 0\n"
     "Inside: /help lists the commands; Ctrl-C stops an answer, Ctrl-D leaves."},
    {Command::kComplete, kComplete, "complete", "fill in code at a place in a file", "<FILE:LINE[:COL]>",
     "the place, counted from 1; without COL the end of the line",
     "Examples:\n"
     "  quern complete sort.py:12\n"
     "  quern complete src/main.cc:40:17 --max-tokens 64"},
    {Command::kInspect, kInspect, "inspect", "say what a checkpoint holds and what it needs", "path",
     "safetensors directory or .gguf file (default: --model, or the model in the box)",
     "Examples:\n"
     "  quern inspect ~/models/Qwen3-Coder-30B-A3B-Instruct\n"
     "  quern inspect coder.gguf --context 32768"},
    {Command::kTokenize, kTokenize, "tokenize", "text to token ids and back", "text",
     "the text (default: --file, or standard input)",
     "Examples:\n"
     "  quern tokenize \"def f(x):\"\n"
     "  quern tokenize --file main.py --count\n"
     "  quern tokenize --decode \"[1, 2, 3]\""},
    {Command::kQuantize, kQuantize, "quantize", "write a checkpoint as a GGUF file of smaller weights", "<IN>",
     "safetensors directory or .gguf file",
     "Types, best first: f32, bf16, f16, q8_0, q6_k, q5_k_m, q5_k_s, q4_k_m, q4_k_s, iq4_nl, q4_0,\n"
     "q3_k_l, q3_k_m, q3_k_s, q2_k.\n"
     "q4_k_m is the usual choice for large models; see docs/quantization.md for what each costs.\n\n"
     "Examples:\n"
     "  quern quantize ~/models/Qwen3-Coder-30B-A3B-Instruct coder-q4_k_m.gguf --type q4_k_m\n"
     "  quern quantize coder-bf16.gguf coder-q5_k_m.gguf --type q5_k_m --imatrix coder.imatrix",
     "<OUT>", "the .gguf file to write; it appears when it is whole"},
    {Command::kBench, kBench, "bench", "measure speed beside what the machine allows", "path",
     "safetensors directory or .gguf file; or the word kernels: matrix products alone; or kv: what KV types cost",
     "Lists are separated by commas; every value is measured with every other one.\n"
     "Examples:\n"
     "  quern bench coder.gguf                                  reading 512 tokens, generating 128\n"
     "  quern bench coder.gguf --prompt 512,2048 --generate 0 --threads 1,2,4\n"
     "  quern bench coder.gguf --depth 0,8192,32768 --plot depth.svg\n"
     "  quern bench coder.gguf --prompt 0 --generate 32 --batch 1,8 --format csv\n"
     "  quern bench coder.gguf --depth 32768 --kv-type q8\n"
     "  quern bench kernels --isa avx2\n"
     "  quern bench kv --model coder.gguf                       accuracy of each type of keys and values"},
    {Command::kPlan, kPlan, "plan", "say what a checkpoint takes, before it is loaded", "path",
     "safetensors directory or .gguf file (default: --model, or the model in the box)",
     "Exit code 1 when it does not fit.\n"
     "Examples:\n"
     "  quern plan coder.gguf --context 32768 --parallel 4\n"
     "  quern plan coder.gguf --context 262144 --memory 24G\n"
     "  quern plan coder.gguf --predict       and how fast it should be, here and on other machines"},
    {Command::kPack, kPack, "pack", "keep weights as the kernels read them, for a start without loading", "<IN>",
     "safetensors directory or .gguf file",
     "The file lies beside the checkpoint and is used from then on; it is as large as the checkpoint.\n"
     "Examples:\n"
     "  quern pack coder.gguf                      writes coder.gguf.packed\n"
     "  quern pack coder.gguf /fast/coder.packed   writes elsewhere, to be moved beside the checkpoint later\n"
     "  quern pack coder.gguf --check              reads it all and compares checksums",
     "OUT", "the file to write or check (default: beside the checkpoint)"},
    {Command::kImatrix, kQuantize, "imatrix", "find out which columns of the weights matter", "<MODEL>",
     "the checkpoint to be quantised, unquantised or nearly so",
     "Reads a text and notes how strongly each input of each matrix is used. A hundred thousand tokens of the kind\n"
     "that the model is for are plenty.\n\n"
     "Examples:\n"
     "  quern imatrix ~/models/Qwen3-Coder-30B-A3B-Instruct coder.imatrix --text code.txt\n"
     "  quern imatrix coder-q8_0.gguf coder.imatrix --text code.txt --tokens 100000",
     "<OUT>", "the file to write, for quern quantize --imatrix"},
    {Command::kKl, kQuantize, "kl", "measure how far a quantised model is from its source", "<SOURCE>",
     "the checkpoint that is right by definition",
     "Prints the mean KL divergence of the next token's distribution, how often the likeliest token is the same, and\n"
     "both perplexities.\n\n"
     "Examples:\n"
     "  quern kl ~/models/Qwen3-Coder-30B-A3B-Instruct coder-q4_k_m.gguf --text code.txt\n"
     "  quern kl coder-bf16.gguf coder-q4_k_m.gguf --text code.txt --tokens 10000 --window 2048",
     "<OTHER>", "what is compared with it"},
    {Command::kVersion, 0, "version", "print version and processor features", "", "", "Example:\n  quern version"},
};

constexpr int kMostTokens = 1 << 30;

bool ReadsText(const CommandInfo& info) { return info.command == Command::kImatrix || info.command == Command::kKl; }

struct Parsed {
  std::map<std::string, std::vector<std::string>> values;  // by key
  std::map<std::string, bool> flags;
  std::string config;
  std::string type;  // quantize
};

constexpr const char* kBenchFlags[] = {"--prompt", "--generate",    "--depth",  "--batch", "--threads",
                                       "--repeat", "--step-tokens", "--format", "--plot",  "--isa"};

void AddBenchOptions(CLI::App& app, BenchOptions& bench) {
  const auto list = [&](const char* flag, std::vector<int>& values, const char* help) {
    app.add_option(flag, values, help)->delimiter(',')->allow_extra_args(false)->type_name("N,N,...");
  };
  list("--prompt", bench.prompt, "tokens to read (default 512; 0 = none)");
  list("--generate", bench.generate, "tokens to generate (default 128; 0 = none)");
  list("--depth", bench.depth, "tokens that are there before (default 0)");
  list("--batch", bench.batch, "sequences that generate together (default 1)");
  list("--threads", bench.threads, "compute threads (default: what the machine gives)");
  app.add_option("--repeat", bench.repeat, "runs of every test; the median counts (default 5)")->type_name("N");
  app.add_option("--step-tokens", bench.step_tokens, "prompt tokens per step (default 512)")->type_name("N");
  app.add_option("--format", bench.format, "table, json or csv (default table)")->type_name("FORMAT");
  app.add_option("--plot", bench.plot, "draw speed over depth into this SVG file")->type_name("FILE");
  app.add_option("--isa", bench.isa, "ref, avx2, avx512 or amx (default: the best there is)")->type_name("LEVEL");
}

void AddOptions(CLI::App& app, const CommandInfo& info, Parsed& parsed, Invocation& invocation) {
  for (const Option& option : Options()) {
    if ((option.commands & info.bit) == 0) continue;
    const std::string key(option.key), flag = FlagOf(option), help(option.help);
    if (option.kind == ValueKind::kFlag) {
      app.add_flag(flag, parsed.flags[key], help);
    } else {
      app.add_option(flag, parsed.values[key], help)
          ->expected(1)
          ->allow_extra_args(false)
          ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
          ->type_name(std::string(option.value_name));
    }
  }
  if (info.bit != 0) {
    app.add_option("--config", parsed.config, "settings from a TOML file; flags win")->type_name("FILE");
  }
  if (info.command == Command::kTokenize) {
    app.add_option("--file", invocation.file, "read the text from a file")->type_name("FILE");
    app.add_flag("--ids", invocation.ids_only, "print only the ids, as a JSON list");
    app.add_flag("--count", invocation.count_only, "print only how many tokens there are");
    app.add_flag("--decode", invocation.decode, "the text is a list of ids; print what they stand for");
  }
  if (info.command == Command::kQuantize) {
    app.add_option("--type", parsed.type, "the types of the weights, e.g. q4_k_m")->type_name("TYPE");
    app.add_option("--imatrix", invocation.imatrix, "which columns matter, from quern imatrix")->type_name("FILE");
  }
  if (info.command == Command::kBench) AddBenchOptions(app, invocation.bench);
  if (info.command == Command::kPack) {
    app.add_flag("--check", invocation.check_only, "write nothing; read the packed file and compare checksums");
  }
  if (info.command == Command::kPlan) {
    app.add_option("--parallel", invocation.parallel, "sequences with a whole context each (default 1)")
        ->type_name("P");
    app.add_flag("--predict", invocation.predict, "measure this machine and predict speeds; takes some ten seconds");
  }
  if (ReadsText(info)) {
    app.add_option("--text", invocation.file, "UTF-8 text to read")->type_name("FILE");
    app.add_option("--tokens", invocation.n_tokens, "stop after this many tokens (default: all)")
        ->type_name("N")
        ->check(CLI::Range(0, kMostTokens));
    app.add_option("--window", invocation.window, "tokens read together (default 512)")
        ->type_name("N")
        ->check(CLI::Range(2, kMostTokens));
  }
  if (*info.positional != 0) app.add_option(info.positional, invocation.positional, info.positional_help);
  if (*info.second != 0) app.add_option(info.second, invocation.second, info.second_help);
  app.footer(info.examples);
  app.allow_extras();
}

std::vector<std::string> KnownFlags(const CommandInfo& info) {
  std::vector<std::string> flags = {"--help"};
  if (info.bit != 0) flags.emplace_back("--config");
  for (const Option& option : Options()) {
    if ((option.commands & info.bit) != 0) flags.push_back(FlagOf(option));
  }
  if (info.command == Command::kTokenize) flags.insert(flags.end(), {"--file", "--ids", "--count", "--decode"});
  if (info.command == Command::kQuantize) flags.insert(flags.end(), {"--type", "--imatrix"});
  if (info.command == Command::kPack) flags.emplace_back("--check");
  if (info.command == Command::kPlan) flags.insert(flags.end(), {"--parallel", "--predict"});
  if (info.command == Command::kBench) flags.insert(flags.end(), std::begin(kBenchFlags), std::end(kBenchFlags));
  if (ReadsText(info)) flags.insert(flags.end(), {"--text", "--tokens", "--window"});
  return flags;
}

Status Unexpected(const CommandInfo& info, std::string word) {
  if (!word.starts_with("-")) {
    return Status(Code::kInvalidArgument,
                  fmt::format("quern {} does not know what to do with \"{}\"", info.name, word));
  }
  word = word.substr(0, word.find('='));
  const std::string nearest = Suggest(word, KnownFlags(info));
  return Status(Code::kInvalidArgument, fmt::format("quern {} has no flag {}{}", info.name, word,
                                                    nearest.empty() ? fmt::format("; see quern {} --help", info.name)
                                                                    : fmt::format("; did you mean {}?", nearest)));
}

Result<model::Recipe> RecipeOf(const std::string& type) {
  std::string list;
  for (const std::string& name : model::RecipeNames()) list += (list.empty() ? "" : ", ") + name;
  if (type.empty()) return Error(Code::kInvalidArgument, "quern quantize needs --type, one of " + list);
  if (const auto recipe = model::ParseRecipe(type)) return *recipe;
  return Error(Code::kInvalidArgument, fmt::format("--type must be one of {}, not \"{}\"", list, type));
}

Result<void> Apply(const Parsed& parsed, Settings& settings) {
  if (!parsed.config.empty()) QUERN_TRY(ApplyConfigFile(parsed.config, settings));
  for (const Option& option : Options()) {
    std::vector<std::string> texts;
    if (const auto it = parsed.values.find(std::string(option.key)); it != parsed.values.end()) texts = it->second;
    if (const auto it = parsed.flags.find(std::string(option.key)); it != parsed.flags.end() && it->second)
      texts.emplace_back("true");
    if (texts.size() > 1 && option.kind != ValueKind::kList)
      return Error(Code::kInvalidArgument, fmt::format("{} is given {} times", FlagOf(option), texts.size()));
    for (const std::string& text : texts) {
      const auto set = option.set(settings, text);
      if (!set) return Error(set.error().code(), FlagOf(option) + " " + set.error().message());
    }
  }
  return {};
}

std::string OverallHelp() {
  std::string help =
      "quern: runs Qwen coding models on this machine and serves them.\n\n"
      "Usage: quern COMMAND [FLAGS]\n\n";
  for (const CommandInfo& info : kCommands) help += fmt::format("  quern {:<10} {}\n", info.name, info.summary);
  help +=
      "\nEvery command has --help with examples. Without --model all of them use the model in the box.\n"
      "Every flag is also a key of the file given with --config: --kv-memory 2GiB is kv_memory = \"2GiB\".\n"
      "Exit codes: 0 done, 1 failed, 2 wrong command line or config, 130 interrupted.\n\n"
      "Examples:\n"
      "  quern serve\n"
      "  quern chat \"write a quick sort in Python\"\n"
      "  quern complete sort.py:12\n";
  return help;
}

bool IsRequired(std::string_view positional) { return positional.starts_with('<'); }

// "<FILE>" -> "FILE"; others as they are.
std::string Unbracketed(std::string_view name) {
  return std::string(IsRequired(name) ? name.substr(1, name.size() - 2) : name);
}

Result<Invocation> ParseFor(const CommandInfo& info, std::vector<std::string> args) {
  Invocation invocation;
  invocation.command = info.command;
  Parsed parsed;
  CLI::App app(fmt::format("quern {}: {}", info.name, info.summary), fmt::format("quern {}", info.name));
  try {
    CommandInfo plain = info;
    const bool required = IsRequired(info.positional), second_required = IsRequired(info.second);
    const std::string shown = Unbracketed(info.positional);
    const std::string first = shown.find(':') == std::string::npos ? shown : "place";  // CLI11 takes no such name
    const std::string second = Unbracketed(info.second);
    plain.positional = first.c_str();
    plain.second = second.c_str();
    AddOptions(app, plain, parsed, invocation);
    std::reverse(args.begin(), args.end());  // CLI11 takes them from the back
    app.parse(args);
    if (const auto extra = app.remaining(); !extra.empty()) return std::unexpected(Unexpected(info, extra.front()));
    invocation.has_positional = !first.empty() && app.count(first) > 0;
    if ((required && !invocation.has_positional) || (second_required && app.count(second) == 0))
      return Error(Code::kInvalidArgument,
                   fmt::format("quern {} needs {}{}", info.name, shown, second_required ? " and " + second : ""));
  } catch (const CLI::CallForHelp&) {
    invocation.help = app.help();
    return invocation;
  } catch (const CLI::ArgumentMismatch& e) {
    const std::string text = e.what();  // "--flag: 1 required ..."
    return Error(Code::kInvalidArgument, fmt::format("{} needs a value", text.substr(0, text.find(':'))));
  } catch (const CLI::ParseError& e) {
    return Error(Code::kInvalidArgument, fmt::format("{}, in the arguments of quern {}", e.what(), info.name));
  }
  if (info.command == Command::kQuantize) {
    QUERN_ASSIGN(invocation.recipe, RecipeOf(parsed.type));
  }
  if (ReadsText(info) && invocation.file.empty()) {
    return Error(Code::kInvalidArgument, fmt::format("quern {} needs --text, a file to read", info.name));
  }
  QUERN_TRY(Apply(parsed, invocation.settings));
  return invocation;
}

}  // namespace

Result<Invocation> ParseCommandLine(const std::vector<std::string>& args) {
  Invocation help;
  help.help = OverallHelp();
  if (args.empty())
    return Error(
        Code::kInvalidArgument,
        "say what to do: serve, chat, complete, inspect, tokenize, quantize, imatrix, kl, bench, plan, pack or "
        "version");
  std::string word = args[0];
  if (word == "--help" || word == "-h" || word == "help") return help;
  if (word == "--version") word = "version";
  std::vector<std::string> names;
  for (const CommandInfo& info : kCommands) {
    if (word == info.name) return ParseFor(info, {args.begin() + 1, args.end()});
    names.emplace_back(info.name);
  }
  const std::string nearest = Suggest(word, names);
  return Error(Code::kInvalidArgument,
               fmt::format("there is no command \"{}\"{}", word,
                           nearest.empty() ? "; see quern --help" : fmt::format("; did you mean {}?", nearest)));
}

}  // namespace quern::cli
