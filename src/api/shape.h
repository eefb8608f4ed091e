// What a request's JSON body may look like: the names of its fields, their kinds and ranges. One table per route, used
// twice: requests are checked against it before a handler reads them, and /openapi.json describes it. What the shape
// refuses is refused with the error that ObjectReader gives for the same field; readers check what a shape cannot say
// (limits that are settings, fields that exclude each other, the vocabulary's size).
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>

#include "api/errors.h"
#include "api/json_reader.h"

namespace quern::api {

// Kinds of JSON values, to be combined. null is absence everywhere.
enum KindBits : unsigned {
  kBoolKind = 1,
  kIntegerKind = 2,
  kNumberKind = 4,
  kStringKind = 8,
  kArrayKind = 16,
  kObjectKind = 32,
  kAnyKind = 63,
};

struct Shape;

// Constant; everything it views is static.
struct Field {
  std::string_view name;
  unsigned kinds = kAnyKind;  // any kind: nothing else is looked at
  bool required = false;
  // Of numbers and integers.
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  std::span<const std::string_view> values = {};  // of strings; empty = any
  const Shape* object = nullptr;                  // of objects; null = any
  const Field* items = nullptr;                   // of the values of arrays (its name is not used); null = any
  std::string_view missing = {};                  // said when it is required and not there; empty = the usual
};

// An object. Fields that no span names may be there too: they are ignored, as api.md 0.3 has it.
struct Shape {
  std::span<const Field> fields = {};
  std::span<const Shape* const> parts = {};  // whose fields it has as well
};

// Errors: 400 naming the first field that does not fit.
ApiResult<void> CheckShape(const ObjectReader& object, const Shape& shape);

// As JSON Schema (2020-12).
std::string JsonSchemaOf(const Shape& shape);

}  // namespace quern::api
