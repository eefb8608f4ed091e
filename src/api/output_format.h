// What the client wants the text of an answer to fit: response_format (api.md A.4), vLLM's guided_* and
// structured_outputs, llama.cpp's grammar and json_schema.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <memory>
#include <string>

#include "api/errors.h"
#include "api/json_reader.h"
#include "api/served_model.h"
#include "grammar/grammar_compiler.h"

namespace quern::api {

struct OutputFormat {
  grammar::GrammarSource source;
  boost::json::value schema;    // of JSON formats, as grammar::EnforcedSchema makes it; else null
  std::string field;            // that asked for it; errors name it
  bool is_json_object = false;  // response_format json_object
  // A schema that was not asked to be strict: when it turns out not to be enforceable, any JSON object will do.
  bool may_relax = false;
};

// Null when the text is free. Errors: 400 naming the field (unknown type, a bad name, a schema or grammar that
// cannot be enforced as far as reading it shows; two formats at once).
ApiResult<std::shared_ptr<const OutputFormat>> ReadOutputFormat(const ObjectReader& body);

// The same for dialects that say it elsewhere: response_format is an object as the OpenAI family has it.
ApiResult<std::shared_ptr<const OutputFormat>> ReadOutputFormat(boost::json::object response_format);

// Errors: 400 naming the field and what cannot be enforced.
ApiResult<std::shared_ptr<const grammar::Grammar>> CompileFormat(const OutputFormat& format, const ServedModel& model);

// 400 about a format, from what the grammar room says.
ApiError FormatError(const std::string& field, const Status& status);

}  // namespace quern::api
