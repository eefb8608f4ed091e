// The model's text -> content and tool calls, as one state machine fed with bytes in any split: the events'
// concatenation is the same for every split, and streaming equals whole by construction.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "chat/chat_format.h"
#include "chat/message.h"

namespace quern::chat {

// Text for the person. Never empty.
struct ContentDelta {
  std::string text;
};

// A call begins. index counts from 0. The id is made here ("call_" + 24 hex) and is unique.
struct ToolCallBegin {
  int index;
  std::string id;
  std::string name;
};

// A piece of the call's JSON arguments; the pieces joined are exactly one JSON object.
struct ToolCallArguments {
  int index;
  std::string fragment;
};

struct ToolCallEnd {
  int index;
  bool complete;  // false when the output ended inside the call
};

// Something looked like a call but could not be read as one: its bytes were delivered as ContentDelta. Or bytes inside
// a call belong to nothing in it: what quotes them.
struct ParseWarning {
  std::string what;
};

using ParseEvent = std::variant<ContentDelta, ToolCallBegin, ToolCallArguments, ToolCallEnd, ParseWarning>;

struct ToolParserOptions {
  ToolCallSyntax syntax = ToolCallSyntax::kQwen3CoderXml;
  // Declared tools: names that count as calls and schemas that decide how values are read. Must outlive the parser.
  std::span<const Tool> tools;
  bool buffer_values = false;  // emit each parameter whole instead of streaming strings
  uint64_t id_seed = 0;        // 0 = random ids; otherwise deterministic (tests)
};

// One per generation; one caller at a time. Memory is bounded by the largest non-string parameter value.
class ToolCallParser {
 public:
  static std::unique_ptr<ToolCallParser> Create(const ToolParserOptions& options);
  virtual ~ToolCallParser() = default;

  // Appends events to out. With no tools declared, all text is content.
  virtual void Feed(std::string_view text, std::vector<ParseEvent>& out) = 0;
  // The output is over: delivers what was held back, closes an open call so that its arguments are valid JSON.
  virtual void Finish(std::vector<ParseEvent>& out) = 0;
  // Complete and incomplete calls begun so far.
  virtual int n_calls() const = 0;
  // True while the text read so far ends inside a call.
  virtual bool in_call() const = 0;
};

}  // namespace quern::chat
