// Chat completions that are kept because the request had `store`: written down when they are answered, and the routes
// by which they are read, listed, renamed and deleted. api.md A.2.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "api/chat_writer.h"
#include "api/json_reader.h"
#include "api/kept_items.h"
#include "api/route.h"

namespace quern::api {

// What is kept beside the answer.
struct StoredChatRequest {
  std::string messages;  // JSON array, as the caller sent them
  std::string metadata;  // JSON object of strings
};

// Nothing when the answer is not to be kept. Errors: 400 naming the field.
ApiResult<std::optional<StoredChatRequest>> ReadStore(const ObjectReader& body);

// Answers as `writer` does and keeps the whole answer for the exchange's owner, streamed or not, before its end is
// written. writer: its whole answer is a JSON object with an `id`.
std::unique_ptr<ChatWriter> NewStoringChatWriter(std::unique_ptr<ChatWriter> writer, StoredChatRequest request,
                                                 std::shared_ptr<KeptItems> kept);

// GET (list), and for one id GET, POST, DELETE and GET .../messages.
std::span<const Route> StoredChatRoutes();

}  // namespace quern::api
