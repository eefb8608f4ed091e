#include "chat/value_types.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <string>

namespace quern::chat {
namespace {

namespace json = boost::json;

constexpr int kMaxDepth = 32;
constexpr int kMaxNodes = 2000;

std::string Lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
  return out;
}

bool StartsWithAny(std::string_view text, std::initializer_list<std::string_view> prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](std::string_view prefix) { return text.starts_with(prefix); });
}

// Clients send the type names of many languages.
ValueTypes TypeOfName(std::string_view name) {
  const std::string lower = Lower(name);
  if (lower == "null" || lower == "none") return kNullType;
  if (lower == "string" || lower == "str" || lower == "text" || lower == "varchar" || lower == "char" ||
      lower == "enum") {
    return kStringType;
  }
  if (StartsWithAny(lower, {"int", "uint", "long", "short", "unsigned"})) return kIntegerType;
  if (StartsWithAny(lower, {"num", "float", "double", "decimal"})) return kNumberType;
  if (lower == "boolean" || lower == "bool" || lower == "binary") return kBooleanType;
  if (lower == "object" || StartsWithAny(lower, {"dict", "map"})) return kObjectType;
  if (StartsWithAny(lower, {"arr", "list"})) return kArrayType;
  return kOtherType;
}

ValueTypes TypeOfMember(const json::value& member) {
  switch (member.kind()) {
    case json::kind::null:
      return kNullType;
    case json::kind::bool_:
      return kBooleanType;
    case json::kind::string:
      return kStringType;
    case json::kind::array:
      return kArrayType;
    case json::kind::object:
      return kObjectType;
    case json::kind::double_:
      return kNumberType;
    default:
      return kIntegerType;
  }
}

class Resolver {
 public:
  explicit Resolver(const json::object& root) : root_(root) {}

  ValueTypes Types(const json::value& schema, int depth);
  const json::value* Property(const json::object& schema, std::string_view name, int depth);

 private:
  // "#/a/b" inside the root; null when there is no such place.
  const json::value* Target(std::string_view reference) const;
  bool Spent(int depth) { return depth > kMaxDepth || ++n_nodes_ > kMaxNodes; }

  const json::object& root_;
  int n_nodes_ = 0;
};

const json::value* Resolver::Target(std::string_view reference) const {
  if (!reference.starts_with("#/")) return nullptr;
  const json::object* at = &root_;
  const json::value* found = nullptr;
  size_t begin = 2;
  while (begin <= reference.size()) {
    const size_t end = std::min(reference.find('/', begin), reference.size());
    std::string key;
    for (size_t i = begin; i < end; ++i) {
      if (reference[i] == '~' && i + 1 < end) {
        key += reference[++i] == '0' ? '~' : '/';
      } else {
        key += reference[i];
      }
    }
    found = at != nullptr ? at->if_contains(key) : nullptr;
    if (found == nullptr) return nullptr;
    at = found->if_object();
    begin = end + 1;
  }
  return found;
}

ValueTypes Resolver::Types(const json::value& schema, int depth) {
  const json::object* object = schema.if_object();
  if (object == nullptr || Spent(depth)) return 0;
  ValueTypes types = 0;
  const json::value* type = object->if_contains("type");
  if (type != nullptr && type->is_string()) types |= TypeOfName(type->get_string());
  if (type != nullptr && type->is_array()) {
    for (const json::value& name : type->get_array()) {
      if (name.is_string()) types |= TypeOfName(name.get_string());
    }
  }
  if (const json::value* nullable = object->if_contains("nullable"); nullable != nullptr && nullable->is_bool()) {
    if (nullable->get_bool() && types != 0) types |= kNullType;
  }
  if (type == nullptr) {
    if (const json::value* members = object->if_contains("enum"); members != nullptr && members->is_array()) {
      for (const json::value& member : members->get_array()) types |= TypeOfMember(member);
    }
    if (const json::value* constant = object->if_contains("const")) types |= TypeOfMember(*constant);
    if (object->contains("properties")) types |= kObjectType;
    if (object->contains("items")) types |= kArrayType;
  }
  if (const json::value* reference = object->if_contains("$ref"); reference != nullptr && reference->is_string()) {
    if (const json::value* target = Target(reference->get_string())) types |= Types(*target, depth + 1);
  }
  for (const std::string_view branch : {"anyOf", "oneOf", "allOf"}) {
    const json::value* members = object->if_contains(branch);
    if (members == nullptr || !members->is_array()) continue;
    for (const json::value& member : members->get_array()) types |= Types(member, depth + 1);
  }
  return types;
}

const json::value* Resolver::Property(const json::object& schema, std::string_view name, int depth) {
  if (Spent(depth)) return nullptr;
  if (const json::value* properties = schema.if_contains("properties"); properties && properties->is_object()) {
    if (const json::value* found = properties->get_object().if_contains(name)) return found;
  }
  if (const json::value* reference = schema.if_contains("$ref"); reference != nullptr && reference->is_string()) {
    const json::value* target = Target(reference->get_string());
    if (target != nullptr && target->is_object()) {
      if (const json::value* found = Property(target->get_object(), name, depth + 1)) return found;
    }
  }
  for (const std::string_view branch : {"allOf", "anyOf", "oneOf"}) {
    const json::value* members = schema.if_contains(branch);
    if (members == nullptr || !members->is_array()) continue;
    for (const json::value& member : members->get_array()) {
      if (!member.is_object()) continue;
      if (const json::value* found = Property(member.get_object(), name, depth + 1)) return found;
    }
  }
  return nullptr;
}

}  // namespace

ValueTypes TypesOfProperty(const json::object& parameters, std::string_view name) {
  Resolver resolver(parameters);
  const json::value* schema = resolver.Property(parameters, name, 0);
  const ValueTypes types = schema != nullptr ? resolver.Types(*schema, 0) : 0;
  return types == 0 ? kStringType : types;
}

bool HasProperty(const json::object& parameters, std::string_view name) {
  return Resolver(parameters).Property(parameters, name, 0) != nullptr;
}

}  // namespace quern::chat
