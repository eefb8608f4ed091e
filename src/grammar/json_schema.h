// A JSON schema -> the grammar of exactly the JSON texts that it accepts, written without needless blanks.
//
// Narrower than the schema in three ways: declared properties come in the order of the schema, the others behind them;
// between two parts of the text there is at most one blank, or a line break and the next line's indentation; strings
// are written without needless escapes. format is enforced for those that llguidance knows.
#pragma once

#include <boost/json/value.hpp>

#include "base/status.h"
#include "grammar/grammar_compiler.h"
#include "grammar/schema_check.h"

namespace quern::grammar {

// How oneOf is read: kExact refuses branches that may both hold, kAsAnyOf does not ask.
enum class OneOf { kExact, kAsAnyOf };

// The schema with the rules above, as llguidance takes it; also what stands behind %json in Lark. Errors as
// CheckSchema. Some of what cannot be enforced shows only when the result is compiled.
Result<boost::json::value> EnforcedSchema(const boost::json::value& schema, OneOf one_of = OneOf::kExact,
                                          const SchemaLimits& limits = {});

Result<GrammarSource> SchemaGrammar(const boost::json::value& schema, OneOf one_of = OneOf::kExact,
                                    const SchemaLimits& limits = {});

// Any JSON object.
GrammarSource JsonObjectGrammar();

}  // namespace quern::grammar
