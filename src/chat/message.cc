#include "chat/message.h"

#include <boost/json/object.hpp>

namespace quern::chat {

const boost::json::object& Tool::parameters() const {
  static const boost::json::object kNone;
  const auto* function = declaration.if_contains("function");
  const boost::json::object* inner = function != nullptr ? function->if_object() : &declaration;
  if (inner == nullptr) return kNone;
  const auto* schema = inner->if_contains("parameters");
  if (schema == nullptr || !schema->is_object()) return kNone;
  return schema->get_object();
}

}  // namespace quern::chat
