// Which JSON types a tool's schema allows for one parameter.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <string_view>

namespace quern::chat {

// A set of types. kOther: a type name that JSON schema does not know; its values are read as literals when they are
// one.
using ValueTypes = uint32_t;
inline constexpr ValueTypes kNullType = 1U << 0;
inline constexpr ValueTypes kIntegerType = 1U << 1;
inline constexpr ValueTypes kNumberType = 1U << 2;
inline constexpr ValueTypes kBooleanType = 1U << 3;
inline constexpr ValueTypes kObjectType = 1U << 4;
inline constexpr ValueTypes kArrayType = 1U << 5;
inline constexpr ValueTypes kStringType = 1U << 6;
inline constexpr ValueTypes kOtherType = 1U << 7;

// The types of properties[name] in a tool's parameter schema: type names and lists of them, members of enum and const,
// $ref inside the schema, and every branch of anyOf, oneOf and allOf. A property that is not declared or says nothing
// about its type is a string. Work and depth are bounded; what lies beyond the bound counts as saying nothing.
ValueTypes TypesOfProperty(const boost::json::object& parameters, std::string_view name);

// Whether the schema declares a property of this name.
bool HasProperty(const boost::json::object& parameters, std::string_view name);

}  // namespace quern::chat
