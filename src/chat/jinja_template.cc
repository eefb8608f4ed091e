#include "chat/jinja_template.h"

#include <fmt/core.h>

#include <quern_deps.h>

namespace quern::chat {
namespace {

const uint8_t* Bytes(std::string_view text) { return reinterpret_cast<const uint8_t*>(text.data()); }

quern_template* Compiled(void* p) { return static_cast<quern_template*>(p); }

// Frees the outcome's text. invalid: what a refusal means at this point.
Result<std::string> Take(const quern_outcome& outcome, Code invalid) {
  std::string text(reinterpret_cast<const char*>(outcome.text.data), outcome.text.size);
  quern_text_free(outcome.text);
  if (outcome.code == QUERN_OK) return text;
  const std::string where = outcome.line > 0 ? fmt::format("chat template, line {}", outcome.line) : "chat template";
  Code code = Code::kInternal;
  if (outcome.code == QUERN_INVALID) code = invalid;
  if (outcome.code == QUERN_LIMIT) code = Code::kExhausted;
  return Error(code, fmt::format("{}: {}", where, text));
}

}  // namespace

Result<std::unique_ptr<const JinjaTemplate>> JinjaTemplate::Create(std::string_view source, const JinjaLimits& limits) {
  if (source.size() > limits.source_bytes) {
    return Error(Code::kExhausted, fmt::format("chat template: {} bytes are more than the allowed {}", source.size(),
                                               limits.source_bytes));
  }
  const quern_template_limits raw{
      .steps = limits.steps, .recursion = limits.recursion, .output_bytes = limits.output_bytes};
  quern_template* compiled = nullptr;
  QUERN_TRY(Take(quern_template_new(Bytes(source), source.size(), &raw, &compiled), Code::kCorrupt));
  return std::unique_ptr<const JinjaTemplate>(new JinjaTemplate(compiled));
}

JinjaTemplate::~JinjaTemplate() { quern_template_free(Compiled(compiled_)); }

Result<std::string> JinjaTemplate::Render(std::string_view variables) const {
  return Take(quern_template_render(Compiled(compiled_), Bytes(variables), variables.size()), Code::kInvalidArgument);
}

}  // namespace quern::chat
