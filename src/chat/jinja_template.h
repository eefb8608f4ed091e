// One compiled Jinja template: JSON variables in, text out, with limits on everything a template can use up.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

namespace quern::chat {

struct JinjaLimits {
  size_t source_bytes = size_t{1} << 20;
  // Instructions of one rendering, about 50 ns each. A message takes about 60, a declared parameter as many. More steps
  // would need a deeper stack, see deps/rust/src/template.rs.
  uint64_t steps = 2'000'000;
  uint32_t recursion = 100;  // macros inside each other; each level takes some kB of stack
  size_t output_bytes = size_t{64} << 20;
};

// Immutable and thread-safe.
class JinjaTemplate {
 public:
  // Errors: kCorrupt (does not parse; message has the line), kExhausted (source too long).
  static Result<std::unique_ptr<const JinjaTemplate>> Create(std::string_view source, const JinjaLimits& limits = {});
  ~JinjaTemplate();
  JinjaTemplate(const JinjaTemplate&) = delete;
  JinjaTemplate& operator=(const JinjaTemplate&) = delete;

  // variables: the text of one JSON object, at most 128 levels deep. Errors: kInvalidArgument (the template refused or
  // failed; message has the line), kExhausted (a limit, named), kInternal.
  Result<std::string> Render(std::string_view variables) const;

 private:
  explicit JinjaTemplate(void* compiled) : compiled_(compiled) {}
  void* compiled_;  // quern_template, owned
};

}  // namespace quern::chat
