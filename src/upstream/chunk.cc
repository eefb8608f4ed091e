#include "upstream/chunk.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cmath>

#include "base/json.h"
#include "base/utf8.h"

namespace quern::upstream {
namespace {

namespace json = boost::json;

constexpr JsonLimits kLimits = {.max_bytes = size_t{4} << 20, .max_depth = 16, .max_values = size_t{1} << 18};
constexpr size_t kMaxShownBytes = 300;
constexpr int kMaxCount = 1 << 30;
constexpr size_t kMaxTop = 64;

std::unexpected<Status> Bad(std::string_view what) {
  return Error(Code::kCorrupt, fmt::format("the upstream's answer is not of the completions protocol: {}", what));
}

// Absent, null and another kind of value are the same to us.
const json::value* Find(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

const json::object* FindObject(const json::object& object, std::string_view key) {
  const json::value* value = Find(object, key);
  return value == nullptr ? nullptr : value->if_object();
}

const json::array* FindArray(const json::object& object, std::string_view key) {
  const json::value* value = Find(object, key);
  return value == nullptr ? nullptr : value->if_array();
}

std::string_view FindText(const json::object& object, std::string_view key) {
  const json::value* value = Find(object, key);
  const json::string* text = value == nullptr ? nullptr : value->if_string();
  return text == nullptr ? std::string_view() : std::string_view(*text);
}

int FindCount(const json::object& object, std::string_view key) {
  const json::value* value = Find(object, key);
  const auto* number = value == nullptr ? nullptr : value->if_int64();
  return number == nullptr ? 0 : static_cast<int>(std::clamp<int64_t>(*number, 0, kMaxCount));
}

// Finite, as JSON and our own answers need it.
float LogprobOf(const json::value& value) {
  if (!value.is_number()) return -9999.0F;
  const auto number = value.to_number<double>();
  return std::isfinite(number) ? static_cast<float>(std::clamp(number, -9999.0, 0.0)) : -9999.0F;
}

Result<std::vector<TokenId>> ReadIds(const json::array& list, int vocab_size) {
  std::vector<TokenId> ids;
  ids.reserve(list.size());
  for (const json::value& entry : list) {
    const int64_t* id = entry.if_int64();
    if (id == nullptr || *id < 0 || *id >= vocab_size) {
      return Bad(fmt::format("token_ids[{}] is not an id from 0 to {}", ids.size(), vocab_size - 1));
    }
    ids.push_back(static_cast<TokenId>(*id));
  }
  return ids;
}

Result<std::vector<ChunkLogprob>> ReadLogprobs(const json::object& object) {
  std::vector<ChunkLogprob> logprobs;
  const json::array* chosen = FindArray(object, "token_logprobs");
  if (chosen == nullptr) return logprobs;
  const json::array* top = FindArray(object, "top_logprobs");
  for (size_t i = 0; i < chosen->size(); ++i) {
    ChunkLogprob& entry = logprobs.emplace_back();
    entry.logprob = LogprobOf((*chosen)[i]);
    const json::object* best = top == nullptr || i >= top->size() ? nullptr : (*top)[i].if_object();
    if (best == nullptr) continue;
    if (best->size() > kMaxTop) return Bad(fmt::format("top_logprobs[{}] has {} entries", i, best->size()));
    for (const auto& [token, value] : *best) entry.top.emplace_back(std::string(token), LogprobOf(value));
  }
  return logprobs;
}

Result<void> ReadChoice(const json::object& choice, int vocab_size, Chunk& chunk) {
  chunk.text = ReplaceInvalidUtf8(FindText(choice, "text"));
  chunk.finish_reason = FindText(choice, "finish_reason");
  if (const json::array* ids = FindArray(choice, "token_ids")) {
    QUERN_ASSIGN(chunk.token_ids, ReadIds(*ids, vocab_size));
  }
  if (const json::object* logprobs = FindObject(choice, "logprobs")) {
    QUERN_ASSIGN(chunk.logprobs, ReadLogprobs(*logprobs));
  }
  return {};
}

ChunkUsage ReadUsage(const json::object& object) {
  ChunkUsage usage;
  usage.n_prompt = FindCount(object, "prompt_tokens");
  usage.n_generated = FindCount(object, "completion_tokens");
  if (const json::object* details = FindObject(object, "prompt_tokens_details")) {
    usage.n_cached = std::min(FindCount(*details, "cached_tokens"), usage.n_prompt);
  }
  return usage;
}

std::string Shown(std::string_view text) {
  std::string shown = ReplaceInvalidUtf8(text.substr(0, kMaxShownBytes + 4));
  std::ranges::replace_if(
      shown, [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
  if (shown.size() <= kMaxShownBytes) return shown;
  shown.resize(kMaxShownBytes);
  shown.resize(shown.size() - IncompleteUtf8Suffix(shown));
  return shown + "...";
}

// {"error": {"message": ...}}, {"error": "..."}, {"message": ...}, {"detail": ...}
std::string_view MessageOf(const json::object& object) {
  if (const json::object* error = FindObject(object, "error")) return FindText(*error, "message");
  for (const std::string_view key : {"error", "message", "detail"}) {
    if (const std::string_view text = FindText(object, key); !text.empty()) return text;
  }
  return {};
}

}  // namespace

Result<Chunk> ReadChunk(std::string_view text, int vocab_size, size_t n_prompt) {
  JsonLimits limits = kLimits;
  limits.max_bytes += PromptEchoBytes(n_prompt);
  limits.max_values += n_prompt;
  QUERN_ASSIGN(const json::value document, ParseJson(text, limits));
  const json::object* object = document.if_object();
  if (object == nullptr) return Bad(fmt::format("an event is {}, not an object", JsonKindName(document)));
  if (Find(*object, "error") != nullptr || FindText(*object, "object") == "error") {
    const std::string_view message = MessageOf(*object);
    return Error(Code::kUnavailable, fmt::format("the upstream reports an error: {}",
                                                 message.empty() ? "it does not say which" : Shown(message)));
  }
  Chunk chunk;
  if (const json::object* usage = FindObject(*object, "usage")) chunk.usage = ReadUsage(*usage);
  const json::array* choices = FindArray(*object, "choices");
  if (choices == nullptr) {
    if (chunk.usage) return chunk;
    return Bad("an event has no choices");
  }
  if (choices->empty()) return chunk;
  const json::object* choice = choices->front().if_object();
  if (choice == nullptr || choices->size() > 1) return Bad("choices is not a list of one object");
  QUERN_TRY(ReadChoice(*choice, vocab_size, chunk));
  return chunk;
}

std::string ErrorText(std::string_view body, std::string_view fallback) {
  const auto document = ParseJson(body, kLimits);
  const json::object* object = document ? document->if_object() : nullptr;
  const std::string_view message = object == nullptr ? std::string_view() : MessageOf(*object);
  return message.empty() ? std::string(fallback) : Shown(message);
}

}  // namespace quern::upstream
