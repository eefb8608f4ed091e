#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/os/mapped_file.h"
#include "base/utf8.h"
#include "cli/commands.h"
#include "cli/file_position.h"
#include "cli/fim_prompt.h"
#include "cli/generate.h"
#include "cli/interrupt.h"
#include "cli/load_model.h"

namespace quern::cli {
namespace {

constexpr size_t kMaxFileBytes = 64U << 20;
constexpr int kDefaultTokens = 256;

}  // namespace

Result<int> RunComplete(const Invocation& invocation) {
  Settings settings = invocation.settings;
  // The most likely code, and no fear of repeating names, unless told otherwise.
  settings.temperature = settings.temperature.value_or(0);
  settings.repetition_penalty = settings.repetition_penalty.value_or(1);
  settings.max_running = 1;
  QUERN_ASSIGN(const FilePosition position, ParseFilePosition(invocation.positional));
  QUERN_ASSIGN(const std::string text, os::ReadTextFile(position.file, kMaxFileBytes));
  if (!IsValidUtf8(text)) return Error(Code::kInvalidArgument, fmt::format("{} is not UTF-8 text", position.file));
  QUERN_ASSIGN(const size_t offset, OffsetOf(text, position));

  QUERN_ASSIGN(LoadedFiles files, LoadFiles(settings));
  CatchInterrupts();  // until here Ctrl-C ends the program
  QUERN_ASSIGN(const auto backend, StartBackend(files, settings));
  engine::GenerateRequest request;
  const int n_wanted = std::min(settings.max_tokens.value_or(kDefaultTokens), backend->info().context_length / 2);
  QUERN_ASSIGN(FimPrompt prompt,
               BuildFimPrompt(*files.tokenizer, std::string_view(text).substr(0, offset),
                              std::string_view(text).substr(offset), backend->info().context_length - n_wanted));
  if (prompt.n_left_out > 0)
    fmt::print(stderr, "quern: {} is longer than the context; {} tokens far from the place are left out\n",
               position.file, prompt.n_left_out);
  request.prompt = std::move(prompt.tokens);
  request.max_tokens = n_wanted;
  request.sampling = SamplingOf(settings, backend->info().defaults);
  request.stop_tokens = StopTokens(backend->info(), *files.tokenizer);
  request.stop_tokens.insert(request.stop_tokens.end(), prompt.stops.begin(), prompt.stops.end());
  const auto print = [](std::string_view piece) {
    std::fwrite(piece.data(), 1, piece.size(), stdout);
    std::fflush(stdout);
  };
  QUERN_ASSIGN(const GenerateOutcome outcome, Generate(*backend, files.tokenizer, request, print));
  if (isatty(STDOUT_FILENO) == 1) fmt::print("\n");
  return outcome.finished.reason == engine::FinishReason::kCancelled ? kExitInterrupted : kExitDone;
}

}  // namespace quern::cli
