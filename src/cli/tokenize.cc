#include <fmt/core.h>

#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>
#include <charconv>

#include "base/os/mapped_file.h"
#include "base/utf8.h"
#include "cli/commands.h"
#include "cli/load_model.h"

namespace quern::cli {
namespace {

constexpr size_t kMaxTextBytes = 1U << 30;

// A token's text for people: quoted and escaped; bytes that are no whole character as \xNN.
std::string Piece(std::string_view bytes) {
  if (IsValidUtf8(bytes))
    return boost::json::serialize(boost::json::string(boost::json::string_view(bytes.data(), bytes.size())));
  std::string text = "\"";
  for (const char c : bytes) text += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  return text + "\"";
}

// Numbers in any list form: "1 2 3", "1,2,3", "[1, 2, 3]".
Result<std::vector<tokenizer::TokenId>> ParseIds(std::string_view text, int vocab_size) {
  std::vector<tokenizer::TokenId> ids;
  for (size_t at = 0; at < text.size();) {
    if (std::string_view(" ,[]\t\r\n").find(text[at]) != std::string_view::npos) {
      ++at;
      continue;
    }
    tokenizer::TokenId id = -1;
    const auto [end, ec] = std::from_chars(text.data() + at, text.data() + text.size(), id);
    if (ec != std::errc() || id < 0 || id >= vocab_size)
      return Error(Code::kInvalidArgument,
                   fmt::format("at byte {} of the list there is no token id from 0 to {}", at, vocab_size - 1));
    ids.push_back(id);
    at = static_cast<size_t>(end - text.data());
  }
  return ids;
}

void PrintIds(const std::vector<tokenizer::TokenId>& ids) {
  std::string line = "[";
  for (const auto id : ids) line += fmt::format("{}{}", line.size() > 1 ? ", " : "", id);
  fmt::print("{}]\n", line);
}

}  // namespace

Result<int> RunTokenize(const Invocation& invocation) {
  if (invocation.has_positional && !invocation.file.empty())
    return Error(Code::kInvalidArgument, "both a text and --file are given");
  std::string text = invocation.positional;
  if (!invocation.file.empty()) {
    QUERN_ASSIGN(text, os::ReadTextFile(invocation.file, kMaxTextBytes));
  } else if (!invocation.has_positional) {
    QUERN_ASSIGN(text, ReadStandardInput(kMaxTextBytes));
  }
  QUERN_ASSIGN(const auto path, ModelPath(invocation.settings));
  QUERN_ASSIGN(const std::shared_ptr<const model::Checkpoint> checkpoint, model::Checkpoint::Open(path));
  QUERN_ASSIGN(const auto tokenizer, LoadTokenizer(*checkpoint));
  if (invocation.decode) {
    QUERN_ASSIGN(const auto ids, ParseIds(text, tokenizer->vocab_size()));
    fmt::print("{}", ReplaceInvalidUtf8(tokenizer->DecodeBytes(ids, false)));
    return kExitDone;
  }
  const auto ids = tokenizer->Encode(text);
  if (invocation.count_only) {
    fmt::print("{}\n", ids.size());
  } else if (invocation.ids_only) {
    PrintIds(ids);
  } else {
    for (const auto id : ids) fmt::print("{}\t{}\n", id, Piece(tokenizer->TokenBytes(id)));
  }
  return kExitDone;
}

}  // namespace quern::cli
