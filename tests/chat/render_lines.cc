// Renders conversations for tests/chat/test_templates.py.
// usage: quern_render_lines TEMPLATE_FILE
// stdin: one JSON object per line {"messages":[...],"tools":[...],"add_generation_prompt":bool,
//        "continue_final_message":bool}, in the shape of chat completions with content already flattened.
// stdout: one JSON object per line {"text":...,"literal":[[begin,end],...]} or {"error":...}.
#include <boost/json.hpp>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#include "base/json.h"
#include "chat/chat_format.h"

namespace {

namespace json = boost::json;
using quern::chat::Message;
using quern::chat::Role;
using quern::chat::Tool;

std::string TextAt(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(std::string_view(value->get_string())) : "";
}

bool FlagAt(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_bool() && value->get_bool();
}

Message ReadMessage(const json::object& object) {
  Message message;
  const std::string role = TextAt(object, "role");
  message.role = role == "system"      ? Role::kSystem
                 : role == "assistant" ? Role::kAssistant
                 : role == "tool"      ? Role::kTool
                                       : Role::kUser;
  message.content = TextAt(object, "content");
  message.tool_call_id = TextAt(object, "tool_call_id");
  message.name = TextAt(object, "name");
  if (const json::value* calls = object.if_contains("tool_calls"); calls != nullptr && calls->is_array()) {
    for (const json::value& call : calls->get_array()) {
      const json::object& function = call.at("function").as_object();
      message.tool_calls.push_back(
          {TextAt(call.as_object(), "id"), TextAt(function, "name"), function.at("arguments")});
    }
  }
  return message;
}

json::object RenderLine(const quern::chat::ChatFormat& format, const std::string& line) {
  const auto parsed = quern::ParseJson(line, {.max_depth = 200});
  if (!parsed) return {{"error", parsed.error().ToString()}};
  const json::object& request = parsed->as_object();
  std::vector<Message> messages;
  for (const json::value& message : request.at("messages").as_array()) {
    messages.push_back(ReadMessage(message.as_object()));
  }
  std::vector<Tool> tools;
  if (const json::value* list = request.if_contains("tools"); list != nullptr && list->is_array()) {
    for (const json::value& tool : list->get_array()) tools.push_back({"", tool.as_object()});
  }
  const auto prompt = format.Render(messages, tools,
                                    {.add_generation_prompt = FlagAt(request, "add_generation_prompt"),
                                     .continue_final_message = FlagAt(request, "continue_final_message")});
  if (!prompt) return {{"error", prompt.error().ToString()}};
  json::array literal;
  for (const auto& range : prompt->literal) literal.push_back(json::array{range.begin, range.end});
  return {{"text", prompt->text}, {"literal", std::move(literal)}};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s TEMPLATE_FILE\n", argv[0]);
    return 2;
  }
  std::ifstream file(argv[1], std::ios::binary);
  const std::string source((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const auto format = quern::chat::ChatFormat::Create(source);
  if (!file || !format) {
    std::fprintf(stderr, "%s: %s\n", argv[1], format ? "cannot be read" : format.error().ToString().c_str());
    return 1;
  }
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << json::serialize(RenderLine(**format, line)) << '\n';
  }
  return 0;
}
