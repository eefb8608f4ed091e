#include "chat/argument_grammar.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <optional>
#include <vector>

#include "base/json.h"
#include "chat/text_pattern.h"
#include "chat/value_reader.h"
#include "chat/value_types.h"
#include "grammar/json_schema.h"
#include "grammar/lark_text.h"

namespace quern::chat {

namespace json = boost::json;

const char* const kArgumentRules =
    R"(BODY: /(?s:.*)/ & ~/(?s:.*)<\/(parameter|function|tool_call)>(?s:.*)/ & ~/((?s:.*)\n)?[ \t\r]*<(parameter=|tool_call>)(?s:.*)/
text[lazy]: BODY "\n</parameter>"
PLAIN: /[^<]*/
any_parameter: "<parameter=" /[A-Za-z0-9_.-]{1,64}/ ">\n" text "\n"
)";

namespace {

constexpr std::string_view kAnnotations[] = {"title", "description", "default", "examples", "$comment", "deprecated"};

bool IsAnnotation(std::string_view key) {
  return std::find(std::begin(kAnnotations), std::end(kAnnotations), key) != std::end(kAnnotations);
}

const json::object* AsObject(const json::value* value) {
  return value != nullptr && value->is_object() ? &value->get_object() : nullptr;
}

// What the grammar's text may not hold, see kArgumentRules; for names between '<parameter=' and '>'.
bool CanBeName(std::string_view name) {
  constexpr std::string_view kBlanks = " \t\r";
  return !name.empty() && name.size() <= 256 && name.find_first_of("<>\n\"'") == std::string_view::npos &&
         kBlanks.find(name.front()) == std::string_view::npos && kBlanks.find(name.back()) == std::string_view::npos;
}

bool HasType(const json::value& value, const json::value& type) {
  if (type.is_array()) {
    return std::any_of(type.get_array().begin(), type.get_array().end(),
                       [&](const json::value& one) { return HasType(value, one); });
  }
  const std::string_view name = type.is_string() ? std::string_view(type.get_string()) : std::string_view();
  if (name == "null") return value.is_null();
  if (name == "boolean") return value.is_bool();
  if (name == "integer") return value.is_int64() || value.is_uint64();
  if (name == "number") return value.is_number();
  if (name == "string") return value.is_string();
  return name == "array" ? value.is_array() : name == "object" && value.is_object();
}

// A $ref of schema, at any depth, that leads somewhere else than into the definitions; or "".
std::string RefElsewhere(const json::value& schema) {
  if (schema.is_array()) {
    for (const json::value& item : schema.get_array()) {
      if (std::string found = RefElsewhere(item); !found.empty()) return found;
    }
  } else if (schema.is_object()) {
    for (const auto& [key, value] : schema.get_object()) {
      if (key == "$ref" && value.is_string()) {
        const std::string_view target = value.get_string();
        if (!target.starts_with("#/$defs/") && !target.starts_with("#/definitions/")) return std::string(target);
      } else if (std::string found = RefElsewhere(value); !found.empty()) {
        return found;
      }
    }
  }
  return "";
}

// A schema without $ref and unions: one of the forms that a parameter may have.
struct Branch {
  json::object schema;
  bool is_string = false;   // only strings
  bool is_literal = false;  // enum or const
  bool is_bare = true;      // a type and nothing that narrows it
};

class Parameter {
 public:
  Parameter(const json::object& parameters, std::string_view name, bool strict)
      : parameters_(parameters), name_(name), types_(TypesOfProperty(parameters, name)), strict_(strict) {}

  // Lark of the value and its closing tag, as rule `rule`.
  Result<std::string> Rules(const std::string& rule, const json::value& schema) {
    QUERN_TRY(Split(schema, 0));
    const bool has_text = std::any_of(branches_.begin(), branches_.end(), [](const Branch& b) { return IsText(b); });
    if (has_text) return TextRules(rule);
    std::string alternatives;
    std::string more;
    json::array documents;
    for (const Branch& branch : branches_) {
      if (branch.is_literal) {
        QUERN_TRY(AddLiterals(branch, alternatives));
      } else {
        documents.push_back(branch.schema);
      }
    }
    if (!documents.empty()) {
      QUERN_ASSIGN(const std::string document, Document(std::move(documents)));
      more = fmt::format("{}_j: %json {}\n", rule, document);
      Or(alternatives, fmt::format("{}_j \"\\n</parameter>\"", rule));
    }
    return fmt::format("{}: {}\n{}", rule, alternatives, more);
  }

 private:
  static bool IsText(const Branch& branch) { return branch.is_string && !branch.is_literal; }
  static void Or(std::string& alternatives, const std::string& one) {
    if (!alternatives.empty()) alternatives += " | ";
    alternatives += one;
  }
  std::unexpected<Status> Unsupported(std::string_view keyword, std::string_view why) const {
    return Error(Code::kUnsupported, fmt::format("'{}' of parameter '{}' cannot be enforced{}", keyword, name_, why));
  }

  // schema -> branches_.
  Result<void> Split(const json::value& schema, int depth) {
    if (depth > 16) return Unsupported("$ref", ": too many of them inside each other");
    const json::object* object = AsObject(&schema);
    if (object == nullptr) return AddBranch({});
    if (const auto* ref = object->if_contains("$ref")) return SplitRef(*object, *ref, depth);
    for (const char* key : {"anyOf", "oneOf"}) {
      const auto* list = object->if_contains(key);
      if (list == nullptr || !list->is_array()) continue;
      QUERN_TRY(OnlyBesides(*object, key));
      for (const json::value& branch : list->get_array()) QUERN_TRY(Split(branch, depth + 1));
      return {};
    }
    if (object->contains("allOf") && (types_ & kStringType) != 0) return Unsupported("allOf", " for a string");
    const auto* type = object->if_contains("type");
    if (type == nullptr || !type->is_array() || object->contains("enum") || object->contains("const"))
      return AddBranch(*object);
    for (const json::value& one : type->get_array()) {
      json::object branch = *object;
      branch["type"] = one;
      QUERN_TRY(AddBranch(std::move(branch)));
    }
    return {};
  }

  Result<void> SplitRef(const json::object& object, const json::value& ref, int depth) {
    QUERN_TRY(OnlyBesides(object, "$ref"));
    std::string_view target = ref.is_string() ? std::string_view(ref.get_string()) : std::string_view();
    for (const std::string_view place : {"$defs", "definitions"}) {
      const std::string prefix = fmt::format("#/{}/", place);
      const json::object* all = AsObject(parameters_.if_contains(place));
      if (all == nullptr || !target.starts_with(prefix)) continue;
      if (const auto* found = all->if_contains(target.substr(prefix.size()))) return Split(*found, depth + 1);
    }
    return Unsupported("$ref", fmt::format(": '{}' is not in '$defs'", target.substr(0, 100)));
  }

  Result<void> OnlyBesides(const json::object& object, std::string_view keyword) const {
    for (const auto& [key, value] : object) {
      if (key != keyword && !IsAnnotation(key))
        return Unsupported(keyword, fmt::format(" beside '{}'", std::string_view(key)));
    }
    return {};
  }

  Result<void> AddBranch(json::object schema) {
    Branch branch;
    branch.is_literal = schema.contains("enum") || schema.contains("const");
    const auto* type = schema.if_contains("type");
    // Nothing said is a string, as the parser reads it.
    branch.is_string = type == nullptr ? !branch.is_literal : *type == "string";
    for (const auto& [key, value] : schema) branch.is_bare = branch.is_bare && (key == "type" || IsAnnotation(key));
    branch.schema = std::move(schema);
    branches_.push_back(std::move(branch));
    return {};
  }

  // A value that may be free text is text, whatever else it may be: the parser decides by looking at it.
  Result<std::string> TextRules(const std::string& rule) {
    std::string alternatives;
    std::string more;
    for (const Branch& branch : branches_) {
      if (IsText(branch)) {
        QUERN_ASSIGN(const std::string pattern, TextPattern(branch.schema, strict_, name_));
        if (pattern.empty()) {
          Or(alternatives, "text");
        } else {
          const std::string own = fmt::format("{}_t{}", rule, n_rules_++);
          more += NarrowText(own, pattern);
          Or(alternatives, own);
        }
      } else if (branch.is_literal) {
        QUERN_TRY(AddLiterals(branch, alternatives));
      } else if (strict_ && !branch.is_bare) {
        return Unsupported("anyOf", ": text and a schema that narrows another type");
      } else {
        QUERN_ASSIGN(const std::string document, Document({branch.schema}));
        const std::string own = fmt::format("{}_j{}", rule, n_rules_++);
        more += fmt::format("{}: %json {}\n", own, document);
        Or(alternatives, own + " \"\\n</parameter>\"");
      }
    }
    return fmt::format("{}: {}\n{}", rule, alternatives, more);
  }

  // Conjunctions belong into terminals of their own. With what BODY excludes they would cost too much for each token,
  // so narrowed text has no '<' at all.
  static std::string NarrowText(const std::string& own, const std::string& pattern) {
    std::string terminal = own;
    std::transform(terminal.begin(), terminal.end(), terminal.begin(),
                   [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
    return fmt::format("{}: PLAIN & {}\n{}[lazy]: {} \"\\n</parameter>\"\n", terminal, pattern, own, terminal);
  }

  Result<void> AddLiterals(const Branch& branch, std::string& alternatives) const {
    if (strict_) {
      for (const auto& [key, value] : branch.schema) {
        if (key != "enum" && key != "const" && key != "type" && !IsAnnotation(key))
          return Unsupported(key, " beside 'enum' or 'const'");
      }
    }
    json::array values;
    if (const auto* constant = branch.schema.if_contains("const")) {
      values.push_back(*constant);
    } else if (const auto* list = branch.schema.if_contains("enum"); list != nullptr && list->is_array()) {
      values = list->get_array();
    }
    if (values.empty()) return Unsupported("enum", ": it is empty or no list");
    for (const json::value& value : values) {
      const std::string text = value.is_string() ? std::string(value.get_string()) : json::serialize(value);
      if (const auto* type = branch.schema.if_contains("type"); type != nullptr && !HasType(value, *type)) continue;
      const auto read = ParseJson(ReadValue(text, types_));
      if (!IsPlainText(text) || !read || *read != value) {
        if (!strict_) continue;
        return Unsupported("enum", fmt::format(": '{}' does not read back as itself", text.substr(0, 60)));
      }
      Or(alternatives, grammar::LarkString(text + "\n</parameter>"));
    }
    return alternatives.empty() ? Unsupported("enum", ": no value reads back as itself") : Result<void>();
  }

  // The schema's text for %json, with the definitions that it may refer to.
  Result<std::string> Document(json::array branches) const {
    json::object schema;
    if (branches.size() == 1) {
      schema = branches[0].get_object();
    } else {
      schema["anyOf"] = std::move(branches);
    }
    for (const char* place : {"$defs", "definitions"}) {
      if (const auto* all = parameters_.if_contains(place)) schema[place] = *all;
    }
    // Places are those of the parameters' schema, of which this is a part.
    if (const std::string ref = RefElsewhere(schema); !ref.empty())
      return Unsupported("$ref", fmt::format(": '{}' is not in '$defs'", ref.substr(0, 100)));
    QUERN_ASSIGN(const json::value enforced, grammar::EnforcedSchema(schema));
    return json::serialize(enforced);
  }

  const json::object& parameters_;
  const std::string_view name_;
  const ValueTypes types_;
  const bool strict_;
  std::vector<Branch> branches_;
  int n_rules_ = 0;
};

// The types alone, for a parameter whose schema cannot be enforced and need not be.
std::string LooseRules(const std::string& rule, ValueTypes types) {
  if ((types & (kStringType | kOtherType)) != 0) return fmt::format("{}: text\n", rule);
  json::array names;
  for (const auto& [type, name] :
       {std::pair(kNullType, "null"), std::pair(kIntegerType, "integer"), std::pair(kNumberType, "number"),
        std::pair(kBooleanType, "boolean"), std::pair(kObjectType, "object"), std::pair(kArrayType, "array")}) {
    if ((types & type) != 0) names.emplace_back(name);
  }
  const auto schema = grammar::EnforcedSchema({{"type", names}});
  return fmt::format("{0}: {0}_j \"\\n</parameter>\"\n{0}_j: %json {1}\n", rule, json::serialize(*schema));
}

bool IsRequired(const json::object& parameters, std::string_view name) {
  const auto* required = parameters.if_contains("required");
  if (required == nullptr || !required->is_array()) return false;
  const auto& list = required->get_array();
  return std::any_of(list.begin(), list.end(), [&](const auto& v) { return v.is_string() && v.get_string() == name; });
}

Result<void> CheckStrict(const json::object& parameters) {
  for (const auto& [key, value] : parameters) {
    const std::string_view known[] = {"type",  "properties",  "required", "additionalProperties",
                                      "$defs", "definitions", "$schema",  "$id"};
    if (std::find(std::begin(known), std::end(known), key) == std::end(known) && !IsAnnotation(key))
      return Error(Code::kUnsupported, fmt::format("'{}' of the parameters cannot be enforced", std::string_view(key)));
  }
  const json::object* properties = AsObject(parameters.if_contains("properties"));
  const auto* required = parameters.if_contains("required");
  if (required == nullptr || !required->is_array()) return {};
  for (const json::value& name : required->get_array()) {
    if (name.is_string() && (properties == nullptr || !properties->contains(name.get_string())))
      return Error(Code::kUnsupported, fmt::format("'required' names '{}', which is not in 'properties'",
                                                   std::string_view(name.get_string())));
  }
  return grammar::CheckSchema(parameters);
}

}  // namespace

Result<std::string> ArgumentGrammar(const std::string& name, const Tool& tool, bool loose) {
  const json::object& parameters = tool.parameters();
  if (tool.strict) QUERN_TRY(CheckStrict(parameters));
  const json::object* properties = AsObject(parameters.if_contains("properties"));
  const auto* additional = parameters.if_contains("additionalProperties");
  const bool closed = additional != nullptr && additional->is_bool() && !additional->get_bool();
  if (properties == nullptr || properties->empty()) {
    return fmt::format("{}: {}\n", name, tool.strict || closed ? "\"\"" : "any_parameter*");
  }
  std::string sequence;
  std::string rules;
  size_t i = 0;
  for (const auto& [key, schema] : *properties) {
    const std::string rule = fmt::format("{}{}", name, i++);
    if (!CanBeName(key)) {
      if (!tool.strict) continue;
      return Error(Code::kUnsupported,
                   fmt::format("a parameter named '{}' cannot be written in a call", std::string_view(key)));
    }
    const bool only_types = loose && !tool.strict;
    auto own = only_types ? Result<std::string>("") : Parameter(parameters, key, tool.strict).Rules(rule, schema);
    if (!own && tool.strict) return std::unexpected(own.error());
    if (!own || only_types) own = LooseRules(rule, TypesOfProperty(parameters, key));
    rules += *own;
    sequence +=
        fmt::format(" ({} {} \"\\n\"){}", grammar::LarkString(fmt::format("<parameter={}>\n", std::string_view(key))),
                    rule, IsRequired(parameters, key) ? "" : "?");
  }
  return fmt::format("{}:{}\n{}", name, sequence.empty() ? " \"\"" : sequence, rules);
}

}  // namespace quern::chat
