#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "cli/commands.h"
#include "cli/conversation.h"
#include "cli/interrupt.h"
#include "cli/line_reader.h"
#include "cli/load_model.h"

namespace quern::cli {
namespace {

constexpr size_t kMaxInputBytes = 16U << 20;

constexpr const char* kHelp =
    "/help            this list\n"
    "/reset           forget the conversation\n"
    "/system TEXT     set the system message (and forget the conversation); without TEXT remove it\n"
    "/retry           answer the last message again\n"
    "/tokens          how much of the context is used\n"
    "/exit            leave (as Ctrl-D)\n"
    "A line that ends in \\ goes on in the next one. Ctrl-C stops an answer.\n";

// One answer, streamed to standard output. True unless it failed in a way that ends the program.
Result<engine::FinishReason> Answer(Conversation& conversation) {
  bool ended_line = true;
  const auto print = [&](std::string_view piece) {
    std::fwrite(piece.data(), 1, piece.size(), stdout);
    std::fflush(stdout);
    ended_line = piece.ends_with('\n');
  };
  const auto outcome = conversation.Answer(print);
  if (!ended_line) fmt::print("\n");
  if (!outcome) return std::unexpected(outcome.error());
  return outcome->finished.reason;
}

// A failed answer is reported and the conversation goes on.
void AnswerAndReport(Conversation& conversation) {
  const auto reason = Answer(conversation);
  if (!reason) {
    fmt::print(stderr, "quern: {}\n", reason.error().message());
  } else if (*reason == engine::FinishReason::kCancelled) {
    fmt::print(stderr, "(stopped)\n");
  } else if (*reason == engine::FinishReason::kLength) {
    fmt::print(stderr, "(cut off: the limit of tokens is reached)\n");
  }
}

// False: leave.
bool RunCommand(const std::string& line, Conversation& conversation) {
  const std::string word = line.substr(0, line.find(' '));
  const std::string rest = word.size() < line.size() ? line.substr(word.size() + 1) : "";
  if (word == "/exit" || word == "/quit") return false;
  if (word == "/help") {
    fmt::print("{}", kHelp);
  } else if (word == "/reset") {
    conversation.Reset();
  } else if (word == "/system") {
    conversation.SetSystem(rest);
  } else if (word == "/tokens") {
    const auto n = conversation.CountTokens();
    fmt::print("{}\n", n ? fmt::format("{} of {} tokens", *n, conversation.context_length()) : n.error().message());
  } else if (word == "/retry") {
    if (conversation.DropAnswer()) {
      AnswerAndReport(conversation);
    } else {
      fmt::print("there is no message yet\n");
    }
  } else {
    const std::vector<std::string> known = {"/help", "/reset", "/system", "/retry", "/tokens", "/exit"};
    const std::string nearest = Suggest(word, known);
    fmt::print("there is no command {}{}\n", word, nearest.empty() ? "; see /help" : "; did you mean " + nearest + "?");
  }
  return true;
}

int Talk(Conversation& conversation, const std::string& name) {
  fmt::print("{}: /help for help, Ctrl-C stops an answer, Ctrl-D leaves\n", name);
  LineReader reader(STDIN_FILENO, kMaxInputBytes);
  bool warned = false;
  for (;;) {
    fmt::print("> ");
    std::fflush(stdout);
    const LineReader::Line line = reader.ReadMessage();
    if (line.end == LineReader::End::kInterrupt) {
      if (warned) return kExitInterrupted;
      warned = true;
      fmt::print("\n(Ctrl-C again or Ctrl-D leaves)\n");
      continue;
    }
    warned = false;
    if (line.end == LineReader::End::kTooLong) {
      fmt::print(stderr, "quern: a message may have {} bytes at most\n", kMaxInputBytes);
      continue;
    }
    if (line.end == LineReader::End::kEnd && line.text.empty()) {
      fmt::print("\n");
      return kExitDone;
    }
    if (line.text.find_first_not_of(" \t\r\n") == std::string::npos) continue;
    if (line.text.starts_with("/")) {
      if (!RunCommand(line.text, conversation)) return kExitDone;
      continue;
    }
    conversation.AddUser(line.text);
    AnswerAndReport(conversation);
  }
}

}  // namespace

Result<int> RunChat(const Invocation& invocation) {
  Settings settings = invocation.settings;
  settings.max_running = 1;
  std::string message = invocation.positional;
  const bool on_terminal = isatty(STDIN_FILENO) == 1;
  if (!on_terminal) {
    QUERN_ASSIGN(const std::string piped, ReadStandardInput(kMaxInputBytes));
    if (!piped.empty()) message += (message.empty() ? "" : "\n\n") + piped;
    if (message.empty())
      return Error(Code::kInvalidArgument, "there is no message: standard input is empty and none is given");
  }
  QUERN_ASSIGN(LoadedFiles files, LoadFiles(settings));
  CatchInterrupts();  // until here Ctrl-C ends the program
  QUERN_ASSIGN(const auto backend, StartBackend(files, settings));
  Conversation conversation(backend, files.tokenizer, files.chat_format, settings);
  if (message.empty()) return Talk(conversation, ModelName(settings, files.path));
  conversation.AddUser(message);
  QUERN_ASSIGN(const engine::FinishReason reason, Answer(conversation));
  if (reason == engine::FinishReason::kLength) fmt::print(stderr, "(cut off: the limit of tokens is reached)\n");
  return reason == engine::FinishReason::kCancelled ? kExitInterrupted : kExitDone;
}

}  // namespace quern::cli
