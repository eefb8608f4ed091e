#include "api/output_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "base/json.h"
#include "grammar/gbnf.h"
#include "grammar/json_schema.h"
#include "grammar/lark_text.h"

namespace quern::api {

namespace json = boost::json;

namespace {

constexpr size_t kMaxChoices = 4096;

using FormatPtr = std::shared_ptr<const OutputFormat>;
using Format = ApiResult<FormatPtr>;

bool IsFormatName(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

std::shared_ptr<OutputFormat> MakeFormat(grammar::GrammarSource source, const std::string& field) {
  auto format = std::make_shared<OutputFormat>();
  format->source = std::move(source);
  format->field = field;
  return format;
}

std::shared_ptr<OutputFormat> JsonFormat(json::value enforced, const std::string& field) {
  auto format = MakeFormat({grammar::GrammarKind::kJsonSchema, json::serialize(enforced)}, field);
  format->schema = std::move(enforced);
  return format;
}

std::shared_ptr<OutputFormat> AnyObject(const std::string& field) {
  return JsonFormat(*grammar::EnforcedSchema({{"type", "object"}}), field);
}

Format SchemaFormat(const json::value& schema, const std::string& field, bool strict) {
  auto enforced = grammar::EnforcedSchema(schema, strict ? grammar::OneOf::kExact : grammar::OneOf::kAsAnyOf);
  if (!enforced) {
    if (!strict && enforced.error().code() == Code::kUnsupported) return AnyObject(field);
    return Fail(FormatError(field, enforced.error()));
  }
  auto format = JsonFormat(*std::move(enforced), field);
  format->may_relax = !strict;
  return format;
}

// A schema, or JSON text of one.
Format SchemaOrText(const json::value& value, const std::string& field) {
  if (!value.is_string()) return SchemaFormat(value, field, true);
  const auto parsed = ParseJson(value.get_string(), {.max_depth = 128});
  if (!parsed) return Fail(FormatError(field, parsed.error()));
  return SchemaFormat(*parsed, field, true);
}

ApiResult<std::string> Text(const json::value& value, const std::string& field) {
  if (!value.is_string()) return Fail(WrongKind(field, "a string", value));
  if (value.get_string().empty()) {
    return Fail(BadField(field, fmt::format("Invalid value for '{}': it is empty.", field), "invalid_value"));
  }
  return std::string(value.get_string());
}

Format RegexFormat(const json::value& value, const std::string& field) {
  QUERN_API_ASSIGN(std::string text, Text(value, field));
  return MakeFormat({grammar::GrammarKind::kRegex, std::move(text)}, field);
}

// GBNF writes "name ::= ...", Lark never does.
Format GrammarFormat(const json::value& value, const std::string& field) {
  QUERN_API_ASSIGN(std::string text, Text(value, field));
  if (text.find("::=") != std::string::npos) {
    auto lark = grammar::LarkOfGbnf(text);
    if (!lark) return Fail(FormatError(field, lark.error()));
    text = *std::move(lark);
  }
  return MakeFormat({grammar::GrammarKind::kLark, std::move(text)}, field);
}

Format ChoiceFormat(const json::value& value, const std::string& field) {
  if (!value.is_array()) return Fail(WrongKind(field, "an array of strings", value));
  std::vector<std::string> choices;
  for (const json::value& choice : value.get_array()) {
    if (!choice.is_string()) return Fail(WrongKind(fmt::format("{}[{}]", field, choices.size()), "a string", choice));
    choices.emplace_back(choice.get_string());
  }
  if (choices.empty() || choices.size() > kMaxChoices) {
    return Fail(BadField(field,
                         fmt::format("Invalid value for '{}': it has {} entries, 1 to {} are allowed.", field,
                                     choices.size(), kMaxChoices),
                         "invalid_value"));
  }
  return MakeFormat(grammar::ChoiceGrammar(choices), field);
}

Format JsonSchemaFormat(const ObjectReader& reader) {
  QUERN_API_ASSIGN(const json::object* inner, reader.Object("json_schema"));
  const std::string path = reader.PathOf("json_schema");
  if (inner == nullptr) {
    return Fail(BadField(path, fmt::format("Missing required parameter: '{}'.", path), "missing_required_parameter"));
  }
  const ObjectReader described(*inner, path);
  QUERN_API_ASSIGN(const std::string_view name, described.NeedString("name"));
  if (!IsFormatName(name)) {
    const std::string at = described.PathOf("name");
    return Fail(BadField(at, fmt::format("Invalid value for '{}': expected 1 to 64 letters, digits, '_' or '-'.", at),
                         "invalid_value"));
  }
  QUERN_API_TRY(described.String("description"));
  QUERN_API_ASSIGN(const auto strict, described.Bool("strict"));
  const json::value* schema = described.Find("schema");
  if (schema == nullptr) {
    const std::string at = described.PathOf("schema");
    return Fail(BadField(at, fmt::format("Missing required parameter: '{}'.", at), "missing_required_parameter"));
  }
  return SchemaFormat(*schema, reader.path(), strict.value_or(false));
}

Format ResponseFormat(const json::value& value, const std::string& field) {
  if (!value.is_object()) return Fail(WrongKind(field, "an object", value));
  const ObjectReader reader(value.get_object(), field);
  QUERN_API_ASSIGN(const std::string_view type, reader.NeedString("type"));
  if (type == "text") return FormatPtr();
  if (type == "json_schema") return JsonSchemaFormat(reader);
  if (type == "json_object") {
    // llama.cpp lets a schema stand beside it.
    if (const json::value* schema = reader.Find("schema")) return SchemaFormat(*schema, field, true);
    auto format = AnyObject(field);
    format->is_json_object = true;
    return format;
  }
  return Fail(BadField(reader.PathOf("type"),
                       fmt::format("Unknown format of response_format: '{}'. It should be one of 'text', "
                                   "'json_object' or 'json_schema'.",
                                   type.substr(0, 60)),
                       "invalid_value"));
}

Format StructuredOutputs(const json::value& value, const std::string& field);

struct Reader {
  const char* name;
  Format (*read)(const json::value& value, const std::string& field);
};

constexpr Reader kFields[] = {{"response_format", ResponseFormat}, {"guided_json", SchemaOrText},
                              {"guided_regex", RegexFormat},       {"guided_choice", ChoiceFormat},
                              {"guided_grammar", GrammarFormat},   {"structured_outputs", StructuredOutputs},
                              {"json_schema", SchemaOrText},       {"grammar", GrammarFormat}};

// One format out of an object's fields.
Format OneOfFields(const ObjectReader& object, std::span<const Reader> readers) {
  FormatPtr format;
  for (const Reader& reader : readers) {
    const json::value* value = object.Find(reader.name);
    if (value == nullptr) continue;
    const std::string path = object.PathOf(reader.name);
    QUERN_API_ASSIGN(auto read, reader.read(*value, path));
    if (read && format) {
      return Fail(BadField(
          path, fmt::format("'{}' cannot be combined with '{}': an answer has one format.", path, format->field),
          "invalid_value"));
    }
    if (read) format = std::move(read);
  }
  return format;
}

Format ObjectFlag(const json::value& value, const std::string& field) {
  if (!value.is_bool()) return Fail(WrongKind(field, "a boolean", value));
  if (!value.get_bool()) return FormatPtr();
  return AnyObject(field);
}

Format StructuredOutputs(const json::value& value, const std::string& field) {
  if (!value.is_object()) return Fail(WrongKind(field, "an object", value));
  const ObjectReader reader(value.get_object(), field);
  for (const char* name : {"structural_tag", "whitespace_pattern"}) {
    if (!reader.Has(name)) continue;
    return Fail(BadField(
        reader.PathOf(name),
        fmt::format("'{}' cannot be enforced by this server; send the format without it.", reader.PathOf(name)),
        "unsupported"));
  }
  constexpr Reader kKinds[] = {{"json", SchemaOrText},
                               {"regex", RegexFormat},
                               {"choice", ChoiceFormat},
                               {"grammar", GrammarFormat},
                               {"json_object", ObjectFlag}};
  QUERN_API_ASSIGN(auto format, OneOfFields(reader, kKinds));
  if (format) return format;
  return Fail(BadField(field,
                       fmt::format("Invalid value for '{}': expected one of 'json', 'regex', 'choice', 'grammar' and "
                                   "'json_object'.",
                                   field),
                       "invalid_value"));
}

}  // namespace

ApiError FormatError(const std::string& field, const Status& status) {
  if (status.code() == Code::kInternal) return FromStatus(status);
  return BadField(field, fmt::format("Invalid '{}': {}.", field, status.message().substr(0, 500)),
                  "invalid_json_schema");
}

ApiResult<std::shared_ptr<const OutputFormat>> ReadOutputFormat(const ObjectReader& body) {
  return OneOfFields(body, kFields);
}

ApiResult<std::shared_ptr<const OutputFormat>> ReadOutputFormat(json::object response_format) {
  json::object body;
  body["response_format"] = std::move(response_format);
  return ReadOutputFormat(ObjectReader(body, ""));
}

ApiResult<std::shared_ptr<const grammar::Grammar>> CompileFormat(const OutputFormat& format, const ServedModel& model) {
  auto compiled = model.grammars->Compile(format.source);
  if (!compiled && format.may_relax) compiled = model.grammars->Compile(grammar::JsonObjectGrammar());
  if (!compiled) return Fail(FormatError(format.field, compiled.error()));
  return *std::move(compiled);
}

}  // namespace quern::api
