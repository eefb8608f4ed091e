#include "chat/tool_call_parser.h"

#include <fmt/core.h>

#include <algorithm>
#include <optional>
#include <random>
#include <set>

#include "base/json_text.h"
#include "base/utf8.h"
#include "chat/hermes_call.h"
#include "chat/tag_match.h"
#include "chat/value_end.h"
#include "chat/value_reader.h"
#include "chat/value_types.h"

namespace quern::chat {
namespace {

constexpr std::string_view kCallOpen = "<tool_call>";
constexpr std::string_view kCallClose = "</tool_call>";
constexpr std::string_view kFunctionOpen = "<function=";
constexpr std::string_view kFunctionClose = "</function>";
constexpr std::string_view kParameterOpen = "<parameter=";
constexpr std::string_view kParameterClose = "</parameter>";

constexpr size_t kMaxBuffered = size_t{8} << 20;  // of a value that is no string, and of a JSON call
constexpr size_t kMaxShown = 200;                 // of text quoted in a warning

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

bool AllBlank(std::string_view text) { return std::all_of(text.begin(), text.end(), IsBlank); }

// "call_" + 24 hex digits.
class IdSource {
 public:
  explicit IdSource(uint64_t seed) : rng_(seed != 0 ? seed : RandomSeed()) {}
  std::string Next() { return fmt::format("call_{:016x}{:08x}", rng_(), static_cast<uint32_t>(rng_())); }

 private:
  static uint64_t RandomSeed() {
    // One device per thread: opening it takes as long as writing a short answer.
    thread_local std::mt19937_64 seeds = [] {
      std::random_device device;
      return std::mt19937_64((uint64_t{device()} << 32) | device());
    }();
    return seeds();
  }
  std::mt19937_64 rng_;
};

// Whether a place in a JSON text lies inside a string; there a tag is part of the text, unless a raw line break in
// front of it shows that the string lost its closing quote.
class OpenString {
 public:
  void Push(char c) {
    if (!begun_ && !IsBlank(c)) {
      begun_ = true;
      is_json_ = c == '{' || c == '[';
    }
    after_break_ = c == '\n';
    if (!in_string_) {
      in_string_ = c == '"';
    } else if (escaped_) {
      escaped_ = false;
    } else {
      escaped_ = c == '\\';
      in_string_ = c != '"';
    }
  }
  bool HidesTag() const { return is_json_ && in_string_ && !after_break_; }

 private:
  bool begun_ = false;
  bool is_json_ = false;
  bool in_string_ = false;
  bool escaped_ = false;
  bool after_break_ = false;
};

class Parser final : public ToolCallParser {
 public:
  explicit Parser(const ToolParserOptions& options) : options_(options), ids_(options.id_seed) {}

  void Feed(std::string_view text, std::vector<ParseEvent>& out) override { Run(text, false, out); }
  void Finish(std::vector<ParseEvent>& out) override { Run({}, true, out); }
  int n_calls() const override { return n_calls_; }
  bool in_call() const override {
    return state_ == State::kBetween || state_ == State::kValue || state_ == State::kJson;
  }

 private:
  // kContent -> (an opening is complete) kBetween or kJson; kBetween -> (<parameter=K>) kValue -> (its end) kBetween;
  // kBetween -> (</function>) kAfterCall, and from anything that is no call back to kContent.
  enum class State { kContent, kBetween, kValue, kJson, kAfterCall };

  enum class Sink { kStream, kBuffer, kDrop };

  // What a '<' (or a bare JSON object) in content begins.
  struct Opening {
    Match match = Match::kNo;
    size_t end = 0;         // behind it; with a warning, behind what it is about
    std::string_view name;  // empty: a JSON call, whose text begins at end
    bool in_block = false;  // inside <tool_call>
    std::string_view warning;
  };

  void Run(std::string_view text, bool final, std::vector<ParseEvent>& out);
  bool Step();

  // Content.
  bool StepContent();
  Opening MatchOpening(size_t at) const;
  Opening MatchFunctionOpen(size_t at, bool in_block) const;
  Opening MatchBareJson(size_t at) const;
  size_t EndOfUnusableName(size_t at) const;
  bool OnlyBlanksOnLineBefore(size_t at) const;
  bool Enter(const Opening& opening);
  void EmitContent(std::string_view text);

  // Inside a call.
  bool StepBetween();
  Match MatchParameterOpen();
  void TakeJunk();
  void FlushJunk();
  bool StepValue();
  void TakeValue(size_t n);
  void EndValue(bool closed);
  bool StepJson();
  void EndJson(std::string_view why);
  bool StepAfterCall();

  // Events of the open call.
  void BeginCall(std::string_view name);
  void EmitArguments(std::string fragment);
  void EmitKey();
  void EndCall(bool complete);
  void Warn(std::string what) { out_->emplace_back(ParseWarning{std::move(what)}); }

  const Tool* FindTool(std::string_view name) const;
  bool IsTool(std::string_view name) const { return FindTool(name) != nullptr; }

  bool may_be_json() const { return (types_ & (kObjectType | kArrayType)) != 0 && (types_ & kStringType) == 0; }

  std::string_view Rest() const { return std::string_view(buffer_).substr(at_); }
  Window Here() const { return {Rest(), final_}; }
  void Consume(size_t n) { at_ += n; }

  ToolParserOptions options_;
  IdSource ids_;
  std::vector<ParseEvent>* out_ = nullptr;
  std::string buffer_;
  size_t at_ = 0;
  bool final_ = false;
  State state_ = State::kContent;

  bool content_started_ = false;  // something that is no blank was delivered
  bool line_is_blank_ = true;     // of content: since its last line break
  bool in_block_ = false;

  int n_calls_ = 0;
  const Tool* tool_ = nullptr;  // of the open call, null when not declared
  bool has_arguments_ = false;
  std::set<std::string, std::less<>> given_;
  std::string junk_;
  size_t junk_bytes_ = 0;

  ValueRules rules_;
  std::string key_;
  ValueTypes types_ = kStringType;
  Sink sink_ = Sink::kStream;
  bool key_emitted_ = false;
  bool value_begun_ = false;  // the line break that may open a value is dealt with
  bool value_empty_ = true;   // no byte of it was taken yet
  OpenString open_string_;    // up to the bytes taken
  std::string value_;

  std::string json_opening_;
  HermesCall json_;
};

const Tool* Parser::FindTool(std::string_view name) const {
  const auto found =
      std::find_if(options_.tools.begin(), options_.tools.end(), [&](const Tool& tool) { return tool.name == name; });
  return found == options_.tools.end() ? nullptr : &*found;
}

void Parser::Run(std::string_view text, bool final, std::vector<ParseEvent>& out) {
  out_ = &out;
  final_ = final;
  buffer_.append(text);
  while (Step()) {
  }
  buffer_.erase(0, at_);
  at_ = 0;
  out_ = nullptr;
}

bool Parser::Step() {
  switch (state_) {
    case State::kContent:
      return StepContent();
    case State::kBetween:
      return StepBetween();
    case State::kValue:
      return StepValue();
    case State::kJson:
      return StepJson();
    case State::kAfterCall:
      return StepAfterCall();
  }
  return false;
}

// ---- content ----

void Parser::EmitContent(std::string_view text) {
  if (text.empty()) return;
  content_started_ = content_started_ || !AllBlank(text);
  if (const size_t line = text.rfind('\n'); line != std::string_view::npos) {
    line_is_blank_ = AllBlank(text.substr(line));
  } else {
    line_is_blank_ = line_is_blank_ && AllBlank(text);
  }
  out_->emplace_back(ContentDelta{ReplaceInvalidUtf8(text)});
}

bool Parser::OnlyBlanksOnLineBefore(size_t at) const {
  const std::string_view rest = Rest();
  while (at > 0 && rest[at - 1] != '\n' && IsBlank(rest[at - 1])) --at;
  return at == 0 ? line_is_blank_ : rest[at - 1] == '\n';
}

Parser::Opening Parser::MatchFunctionOpen(size_t at, bool in_block) const {
  Name name;
  const Match match = MatchName(Here(), at, name);
  if (match != Match::kYes) return {.match = match};
  if (!IsTool(name.text) || !(in_block || name.terminator == '>')) return {};
  return {.match = Match::kYes, .end = name.end, .name = name.text, .in_block = in_block};
}

size_t Parser::EndOfUnusableName(size_t at) const {
  const std::string_view rest = Rest();
  const size_t end = std::min({rest.find_first_of(">\n<", at), at + kMaxName, rest.size()});
  return end - IncompleteUtf8Suffix(rest.substr(0, end));
}

Parser::Opening Parser::MatchOpening(size_t at) const {
  const Window here = Here();
  const Match call = MatchLiteral(here, at, kCallOpen);
  if (call == Match::kYes) {
    size_t next = 0;
    const Match blanks = MatchBlanks(here, at + kCallOpen.size(), next);
    if (blanks != Match::kYes) return {.match = blanks};
    if (next < here.text.size() && here.text[next] == '{') {
      return {.match = Match::kYes, .end = next, .name = {}, .in_block = true};
    }
    const Match function = MatchLiteral(here, next, kFunctionOpen);
    if (function != Match::kYes) return {.match = function};
    Opening opening = MatchFunctionOpen(next + kFunctionOpen.size(), true);
    if (opening.match == Match::kNo) {
      opening.warning = "a tool call without the name of a function that was offered";
      opening.end = EndOfUnusableName(next + kFunctionOpen.size());
    }
    return opening;
  }
  Match function = MatchLiteral(here, at, kFunctionOpen);
  if (function != Match::kNo && !OnlyBlanksOnLineBefore(at)) function = Match::kNo;
  if (function == Match::kYes) return MatchFunctionOpen(at + kFunctionOpen.size(), false);
  return {.match = Either(call, function)};
}

// Qwen2.5 often writes its call bare or in a code fence; only as the whole answer, and only when it begins with a name.
Parser::Opening Parser::MatchBareJson(size_t at) const {
  const Window here = Here();
  size_t brace = at;
  for (const std::string_view fence : {"```json", "```"}) {
    const Match fenced = MatchLiteral(here, at, fence);
    if (fenced == Match::kMore) return {.match = Match::kMore};
    if (fenced == Match::kNo) continue;
    if (const Match blanks = MatchBlanks(here, at + fence.size(), brace); blanks != Match::kYes)
      return {.match = blanks};
    break;
  }
  size_t next = 0;
  const Match open = MatchLiteral(here, brace, "{");
  if (open != Match::kYes) return {.match = open};
  if (const Match blanks = MatchBlanks(here, brace + 1, next); blanks != Match::kYes) return {.match = blanks};
  const Match name = MatchLiteral(here, next, "\"name\"");
  return {.match = name, .end = brace};
}

bool Parser::Enter(const Opening& opening) {
  in_block_ = opening.in_block;
  line_is_blank_ = true;
  if (opening.name.empty()) {
    json_opening_ = Rest().substr(0, opening.end);
    json_ = HermesCall();
    state_ = State::kJson;
  } else {
    BeginCall(opening.name);
    state_ = State::kBetween;
  }
  Consume(opening.end);
  return true;
}

bool Parser::StepContent() {
  const std::string_view rest = Rest();
  if (options_.tools.empty()) {
    const size_t n = rest.size() - (final_ ? 0 : IncompleteUtf8Suffix(rest));
    EmitContent(rest.substr(0, n));
    Consume(n);
    return false;
  }
  const size_t lead = std::min(rest.find_first_not_of(" \t\r\n"), rest.size());
  const bool bare = options_.syntax == ToolCallSyntax::kHermesJson && !content_started_ && n_calls_ == 0;
  for (size_t at = bare ? lead : rest.find('<'); at < rest.size();) {
    Opening opening = MatchOpening(at);
    if (opening.match == Match::kNo && bare && at == lead) opening = MatchBareJson(at);
    // Blanks in front of a first call are no answer; wait to see whether one comes.
    const bool only_blanks = !content_started_ && at == lead && at <= kMaxBlanks;
    if (opening.match == Match::kMore) {
      if (only_blanks) return false;
      EmitContent(rest.substr(0, at));
      Consume(at);
      return false;
    }
    if (opening.match == Match::kYes) {
      const std::string name(opening.name);
      if (!only_blanks) EmitContent(rest.substr(0, at));
      Consume(at);
      opening.end -= at;
      opening.name = name;
      return Enter(opening);
    }
    if (!opening.warning.empty()) {
      EmitContent(rest.substr(0, opening.end));
      Consume(opening.end);
      Warn(std::string(opening.warning));
      return true;
    }
    at = rest.find('<', at + 1);
  }
  if (!final_ && !content_started_ && lead == rest.size() && lead <= kMaxBlanks) return false;
  const size_t n = rest.size() - (final_ ? 0 : IncompleteUtf8Suffix(rest));
  EmitContent(rest.substr(0, n));
  Consume(n);
  return false;
}

// ---- events of the open call ----

void Parser::BeginCall(std::string_view name) {
  tool_ = FindTool(name);
  has_arguments_ = false;
  given_.clear();
  out_->emplace_back(ToolCallBegin{n_calls_++, ids_.Next(), ReplaceInvalidUtf8(name)});
}

void Parser::EmitArguments(std::string fragment) {
  out_->emplace_back(ToolCallArguments{n_calls_ - 1, std::move(fragment)});
}

void Parser::EmitKey() {
  EmitArguments((has_arguments_ ? ", " : "{") + JsonString(key_) + ": ");
  has_arguments_ = true;
  key_emitted_ = true;
}

void Parser::EndCall(bool complete) {
  FlushJunk();
  EmitArguments(has_arguments_ ? "}" : "{}");
  out_->emplace_back(ToolCallEnd{n_calls_ - 1, complete});
  state_ = State::kAfterCall;
}

// ---- between parameters ----

void Parser::TakeJunk() {
  const std::string_view rest = Rest();
  const size_t n = std::min(rest.find('<', 1), rest.size());
  junk_.append(rest.substr(0, std::min(n, kMaxShown - std::min(kMaxShown, junk_.size()))));
  junk_bytes_ += n;
  Consume(n);
}

void Parser::FlushJunk() {
  if (junk_bytes_ > 0) {
    junk_.resize(junk_.size() - IncompleteUtf8Suffix(junk_));
    while (!junk_.empty() && IsBlank(junk_.back())) junk_.pop_back();
    Warn(fmt::format("{} bytes between the parameters of a call were left out: {}", junk_bytes_,
                     ReplaceInvalidUtf8(junk_)));
  }
  junk_.clear();
  junk_bytes_ = 0;
}

Match Parser::MatchParameterOpen() {
  const Match opens = MatchLiteral(Here(), 0, kParameterOpen);
  if (opens != Match::kYes) return opens;
  Name name;
  const Match named = MatchName(Here(), kParameterOpen.size(), name);
  if (named != Match::kYes) return named;
  FlushJunk();
  key_ = ReplaceInvalidUtf8(name.text);
  const bool repeated = !given_.insert(key_).second;
  types_ = tool_ != nullptr ? TypesOfProperty(tool_->parameters(), key_) : kStringType;
  sink_ = types_ == kStringType && !options_.buffer_values ? Sink::kStream : Sink::kBuffer;
  if (repeated) {
    Warn(fmt::format("parameter \"{}\" was given twice; the first value counts", key_));
    sink_ = Sink::kDrop;
  }
  key_emitted_ = false;
  value_empty_ = true;
  open_string_ = {};
  value_.clear();
  value_begun_ = name.terminator == '\n';  // that line break opened the value
  rules_.is_inline = false;
  rules_.is_next_parameter = [this](std::string_view next) {
    return tool_ != nullptr && given_.find(next) == given_.end() && HasProperty(tool_->parameters(), next);
  };
  rules_.is_tool = [this](std::string_view tool) { return IsTool(tool); };
  state_ = State::kValue;
  Consume(name.end);
  return Match::kYes;
}

bool Parser::StepBetween() {
  if (junk_bytes_ == 0) Consume(std::min(Rest().find_first_not_of(" \t\r\n"), Rest().size()));
  if (Rest().empty()) {
    if (final_) EndCall(false);
    return false;
  }
  const Match parameter = MatchParameterOpen();
  if (parameter == Match::kYes) return true;
  const Window here = Here();
  const Match function_close = MatchLiteral(here, 0, kFunctionClose);
  const Match call_close = MatchLiteral(here, 0, kCallClose);
  const Match doubled = MatchLiteral(here, 0, kParameterClose);
  const Match call_open = MatchLiteral(here, 0, kCallOpen);
  const Match function_open = MatchLiteral(here, 0, kFunctionOpen);
  if (function_close == Match::kYes || call_close == Match::kYes || call_open == Match::kYes ||
      function_open == Match::kYes) {
    // A call that only the next one ends is as good as closed.
    if (function_close == Match::kYes) Consume(kFunctionClose.size());
    EndCall(true);
    return true;
  }
  if (doubled == Match::kYes) {
    Consume(kParameterClose.size());
    return true;
  }
  const Match any =
      Either(Either(parameter, function_close), Either(Either(call_close, doubled), Either(call_open, function_open)));
  if (any == Match::kMore) return false;
  // The beginning of a closing tag at the very end is no text that was lost.
  if (final_ && (kFunctionClose.starts_with(Rest()) || kParameterClose.starts_with(Rest()))) {
    Consume(Rest().size());
    return true;
  }
  TakeJunk();
  return true;
}

// ---- values ----

void Parser::TakeValue(size_t n) {
  if (n == 0) return;
  value_empty_ = false;
  const std::string_view bytes = Rest().substr(0, n);
  if (may_be_json()) {
    for (const char c : bytes) open_string_.Push(c);
  }
  if (sink_ == Sink::kBuffer && value_.size() + n > kMaxBuffered) {
    // Longer than we keep: it goes on as a string, whatever the schema says.
    sink_ = Sink::kStream;
    EmitKey();
    std::string fragment = "\"";
    AppendJsonEscaped(fragment, ReplaceInvalidUtf8(value_));
    EmitArguments(std::move(fragment));
    value_.clear();
  }
  if (sink_ == Sink::kBuffer) {
    value_.append(bytes);
  } else if (sink_ == Sink::kStream) {
    std::string fragment;
    if (!key_emitted_) {
      EmitKey();
      fragment = "\"";
    }
    AppendJsonEscaped(fragment, ReplaceInvalidUtf8(bytes));
    EmitArguments(std::move(fragment));
  }
  Consume(n);
}

// closed: false when the output ended inside the value.
void Parser::EndValue(bool closed) {
  state_ = State::kBetween;
  const bool nothing = value_empty_ && !closed;  // cut before its first byte: there is no value to pass on
  if (sink_ == Sink::kDrop || nothing) return;
  if (sink_ == Sink::kStream) {
    if (!key_emitted_) {
      EmitKey();
      EmitArguments("\"");
    }
    EmitArguments("\"");
    return;
  }
  EmitKey();
  EmitArguments(ReadValue(ReplaceInvalidUtf8(value_), types_));
  value_.clear();
}

bool Parser::StepValue() {
  if (!value_begun_) {
    if (Rest().empty()) {
      if (final_) EndValue(false);
      return final_;
    }
    rules_.is_inline = Rest().front() != '\n';
    if (!rules_.is_inline) Consume(1);
    value_begun_ = true;
  }
  const std::string_view rest = Rest();
  OpenString string = open_string_;
  size_t n_seen = 0;
  for (size_t at = rest.find('<'); at < rest.size(); at = rest.find('<', at + 1)) {
    if (may_be_json()) {
      while (n_seen < at) string.Push(rest[n_seen++]);
      if (string.HidesTag()) continue;
    }
    const bool after_break = at > 0 ? rest[at - 1] == '\n' : value_empty_ && !rules_.is_inline;
    const size_t end = at > 0 && after_break ? at - 1 : at;
    size_t resume = 0;
    const Match match = MatchValueEnd(Here(), at, after_break, rules_, resume);
    if (match == Match::kNo) continue;
    TakeValue(end);
    if (match == Match::kMore) return false;
    Consume(resume - end);
    EndValue(true);
    return true;
  }
  // Nothing in sight: everything but a line break at the end, which the closing tag may own, is the value's.
  size_t n = rest.size();
  if (final_) {
    const size_t tag = rest.rfind("</");
    if (tag != std::string_view::npos && kParameterClose.starts_with(rest.substr(tag))) n = tag;
    if (n > 0 && rest[n - 1] == '\n') --n;
    TakeValue(n);
    Consume(Rest().size());
    EndValue(false);
    return true;
  }
  n -= IncompleteUtf8Suffix(rest);
  if (n == rest.size() && n > 0 && rest[n - 1] == '\n') --n;
  TakeValue(n);
  return false;
}

// ---- JSON calls ----

bool Parser::StepJson() {
  const std::string_view rest = Rest();
  size_t n = 0;
  while (n < rest.size()) {
    if (rest[n] == '<' && json_.MayEndHere()) {
      const Match cut = Either(MatchLiteral({rest, final_}, n, kCallClose), MatchLiteral({rest, final_}, n, kCallOpen));
      if (cut == Match::kYes) {
        Consume(n);
        EndJson("is not closed");
        return true;
      }
      if (cut == Match::kMore) break;
    }
    const bool done = json_.Push(rest[n++]);
    if (done || json_.text().size() > kMaxBuffered) {
      Consume(n);
      EndJson(done ? "" : "is too long");
      return true;
    }
  }
  Consume(n);
  if (final_) EndJson("is not closed");
  return final_;
}

// The object is whole (why is empty), or never will be. What cannot be read as a call is delivered as text.
void Parser::EndJson(std::string_view why) {
  std::string reason(why);
  std::optional<HermesCall::Call> call;
  if (why.empty()) call = json_.Read(reason);
  // Outside of tags only a declared tool counts; anything else is an answer that happens to be JSON.
  if (call && !in_block_ && !IsTool(call->name)) call.reset();
  if (!in_block_) reason.clear();
  if (call && !IsTool(call->name)) {
    reason = "names no function that was offered";
    call.reset();
  }
  if (!call) {
    state_ = State::kContent;
    EmitContent(json_opening_ + json_.text());
    if (!reason.empty()) Warn(fmt::format("the JSON of a tool call {}", reason));
    return;
  }
  out_->emplace_back(ToolCallBegin{n_calls_++, ids_.Next(), call->name});
  EmitArguments(std::move(call->arguments));
  out_->emplace_back(ToolCallEnd{n_calls_ - 1, true});
  state_ = State::kAfterCall;
}

// ---- after a call ----

bool Parser::StepAfterCall() {
  const Window here = Here();
  size_t next = 0;
  const Match blanks = MatchBlanks(here, 0, next);
  if (blanks == Match::kMore) return false;
  if (blanks == Match::kYes && next == here.text.size()) {
    Consume(next);  // blanks behind the last call
    return false;
  }
  Match undecided = Match::kNo;
  if (blanks == Match::kYes) {
    for (const std::string_view closer : {kCallClose, kFunctionClose, kParameterClose, std::string_view("```")}) {
      const Match match = MatchLiteral(here, next, closer);
      if (match == Match::kYes) {
        if (closer == kCallClose) in_block_ = false;
        Consume(next + closer.size());
        return true;
      }
      undecided = Either(undecided, match);
    }
    Opening opening = MatchOpening(next);
    if (in_block_ && opening.match != Match::kYes) {
      const Match function = MatchLiteral(here, next, kFunctionOpen);
      if (function == Match::kYes) opening = MatchFunctionOpen(next + kFunctionOpen.size(), true);
      if (here.text[next] == '{') opening = {.match = Match::kYes, .end = next, .name = {}, .in_block = true};
    }
    undecided = Either(undecided, opening.match);
    if (opening.match == Match::kYes) {
      const std::string name(opening.name);
      Consume(next);
      opening.end -= next;
      opening.name = name;
      return Enter(opening);
    }
  }
  if (undecided == Match::kMore) return false;
  in_block_ = false;
  line_is_blank_ = true;
  content_started_ = true;
  state_ = State::kContent;
  return true;
}

}  // namespace

std::unique_ptr<ToolCallParser> ToolCallParser::Create(const ToolParserOptions& options) {
  return std::make_unique<Parser>(options);
}

}  // namespace quern::chat
