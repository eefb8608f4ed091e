// Fuzz target: template source, a zero byte, then text that becomes a message, a tool result and a tool's schema.
// Rendering is an error or valid UTF-8 within the limits; with the built-in rules, the guarded text is the plain text
// and every control token that people wrote is covered.
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/utf8.h"
#include "chat/chat_format.h"
#include "chat/jinja_template.h"

namespace {

using namespace quern::chat;

constexpr JinjaLimits kLimits{.source_bytes = 1 << 16, .steps = 5000, .recursion = 50, .output_bytes = 1 << 16};

void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "chat_template: %s\n", what);
  std::abort();
}

void RenderTemplate(std::string_view source, const std::string& variables) {
  const auto compiled = JinjaTemplate::Create(source, kLimits);
  if (!compiled) {
    Require(compiled.error().code() != quern::Code::kInternal, compiled.error().message().c_str());
    return;
  }
  const auto text = (*compiled)->Render(variables);
  if (!text) {
    Require(!text.error().message().empty(), "an error without a sentence");
    return;
  }
  Require(text->size() <= kLimits.output_bytes && quern::IsValidUtf8(*text), "output");
}

// The text without the bytes of literal ranges holds exactly as many control tokens as the template wrote.
size_t ActiveTokens(const RenderedPrompt& prompt) {
  std::string text = prompt.text;
  for (const auto& range : prompt.literal) {
    Require(range.begin < range.end && range.end <= text.size(), "a range outside the text");
    for (size_t i = range.begin; i < range.end; ++i) {
      Require(text[i] == '|', "a range that is no bar");
      text[i] = '!';
    }
  }
  size_t n = 0;
  for (const std::string_view token : {"<|im_start|>", "<|im_end|>", "<|endoftext|>"}) {
    for (size_t at = text.find(token); at != std::string::npos; at = text.find(token, at + 1)) ++n;
  }
  return n;
}

void RenderBuiltIn(const std::string& content, const std::vector<Tool>& tools) {
  static const auto format = ChatFormat::Create("").value();
  const std::vector<Message> messages = {{.role = Role::kUser, .content = content},
                                         {.role = Role::kTool, .content = content}};
  const auto prompt = format->Render(messages, tools, {});
  if (!prompt) return;
  Require(quern::IsValidUtf8(prompt->text), "prompt");
  const bool has_system = !tools.empty();
  Require(ActiveTokens(*prompt) == (has_system ? 7U : 5U), "control tokens of people act");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const size_t zero = all.find('\0');
  const std::string_view source = all.substr(0, zero);
  const std::string content =
      quern::ReplaceInvalidUtf8(zero == std::string_view::npos ? std::string_view() : all.substr(zero + 1));
  std::vector<Tool> tools;
  if (const auto schema = quern::ParseJson(content); schema && schema->is_object()) {
    tools.push_back({"f", schema->get_object()});
  }
  boost::json::object message = {{"role", "user"}, {"content", content}};
  boost::json::object variables = {{"messages", boost::json::array{message}}, {"add_generation_prompt", true}};
  if (!tools.empty()) variables["tools"] = boost::json::array{tools[0].declaration};
  RenderTemplate(source, boost::json::serialize(variables));
  RenderBuiltIn(content, tools);
  return 0;
}
