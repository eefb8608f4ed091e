#include "grammar/json_schema.h"

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "base/check.h"

namespace quern::grammar {

namespace json = boost::json;

namespace {

// One blank, or a line break and an indentation of up to 32 blanks or tabs: without a bound a model may indent for
// ever.
constexpr const char* kWhitespace = R"( |\n[ \t]{0,32})";

}  // namespace

Result<json::value> EnforcedSchema(const json::value& schema, OneOf one_of, const SchemaLimits& limits) {
  QUERN_TRY(CheckSchema(schema, limits));
  json::object enforced;
  if (schema.is_object()) {
    for (const auto& [key, value] : schema.get_object()) {
      // The dialect named by $schema decides which keywords count; all of those that we let through do.
      if (key != "$schema" && key != "x-guidance" && key != "uniqueItems") enforced.emplace(key, value);
    }
  } else if (!schema.get_bool()) {
    return Error(Code::kInvalidArgument, "the schema is false: it accepts nothing");
  }
  enforced["x-guidance"] = {{"whitespace_pattern", kWhitespace}, {"coerce_one_of", one_of == OneOf::kAsAnyOf}};
  return enforced;
}

Result<GrammarSource> SchemaGrammar(const json::value& schema, OneOf one_of, const SchemaLimits& limits) {
  QUERN_ASSIGN(const json::value enforced, EnforcedSchema(schema, one_of, limits));
  return GrammarSource{GrammarKind::kJsonSchema, json::serialize(enforced)};
}

GrammarSource JsonObjectGrammar() {
  const auto grammar = SchemaGrammar({{"type", "object"}});
  QUERN_CHECK(grammar.has_value());
  return *grammar;
}

}  // namespace quern::grammar
