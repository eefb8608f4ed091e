// argv -> what is to be done. Built on CLI11, which is not visible here.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "cli/bench_options.h"
#include "cli/settings.h"
#include "model/quantize_recipe.h"

namespace quern::cli {

enum class Command {
  kNone,
  kServe,
  kChat,
  kComplete,
  kInspect,
  kTokenize,
  kQuantize,
  kImatrix,
  kKl,
  kBench,
  kPlan,
  kPack,
  kVersion
};

struct Invocation {
  Command command = Command::kNone;
  Settings settings;
  std::string help;        // not empty: print this and do nothing else
  std::string positional;  // chat: a first message; complete: FILE:LINE[:COL]; inspect: path; tokenize: text;
                           // quantize, imatrix, kl: source; bench: path, or "kernels"
  bool has_positional = false;
  std::string second;  // the second one, of commands that take two; empty = not given

  // tokenize, imatrix, kl
  std::string file;  // read the text from here
  bool ids_only = false;
  bool count_only = false;
  bool decode = false;  // the text is ids, print what they stand for

  // quantize
  model::Recipe recipe = model::Recipe::kQ4KM;
  std::string imatrix;  // file; empty = every column matters alike

  BenchOptions bench;

  // pack
  bool check_only = false;

  // plan
  int parallel = 1;
  bool predict = false;

  // imatrix, kl
  int window = 512;  // tokens read together
  int n_tokens = 0;  // of the text, at most; 0 = all
};

// args without the program's name. Errors: kInvalidArgument, one sentence, with a suggestion for what looks mistyped.
Result<Invocation> ParseCommandLine(const std::vector<std::string>& args);

}  // namespace quern::cli
