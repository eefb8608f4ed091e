// A conversation as every dialect hands it over: plain values, already checked by the dialect. chat/ turns it into
// prompt text and turns the model's text back into content and tool calls.
#pragma once

#include <boost/json/value.hpp>
#include <string>
#include <vector>

namespace quern::chat {

enum class Role { kSystem, kUser, kAssistant, kTool };

struct ToolCall {
  std::string id;
  std::string name;
  boost::json::value arguments;  // an object; a string when the client sent text that is no JSON object
};

struct Message {
  Role role = Role::kUser;
  std::string content;               // parts already joined, null already ""
  std::vector<ToolCall> tool_calls;  // assistant only
  std::string tool_call_id;          // tool only
  std::string name;
};

// A tool as the client declared it: {"type":"function","function":{...}} with key order kept.
struct Tool {
  std::string name;
  boost::json::object declaration;
  bool strict = false;  // calls of it must fit its parameters' schema
  // Lark (llguidance's) that the text of its one parameter, a string, fits; empty = any text.
  std::string text_grammar;
  // The JSON schema of its parameters, or an empty object.
  const boost::json::object& parameters() const;
};

}  // namespace quern::chat
