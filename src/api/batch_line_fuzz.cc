// Fuzz target: any bytes as a line of a batch's input file. Whatever they are, it is a line with an id, a model and a
// body that says the same when it is read again, or an error with a code, a message and the line's number.
#include <boost/json/parse.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "api/batch_line.h"
#include "api/json_writer.h"

namespace {

void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "batch_line: %s\n", what);
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quern::api;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  constexpr std::string_view kEndpoint = "/v1/chat/completions";
  const auto line = ReadBatchLine(text, kEndpoint, 7, Limits());
  if (!line) {
    Require(!line.error().code.empty() && !line.error().message.empty() && line.error().line == 7, "a bare error");
    return 0;
  }
  Require(!line->custom_id.empty() && line->custom_id.size() <= kMaxCustomIdBytes, "an id out of bounds");
  JsonWriter again;
  again.BeginObject().Key("custom_id").String(line->custom_id).Key("method").String("POST").Key("url");
  again.String(kEndpoint).Key("body").Raw(line->body).EndObject();
  const auto second = ReadBatchLine(again.text(), kEndpoint, 7, Limits());
  Require(second.has_value(), "not read again");
  Require(second->custom_id == line->custom_id && second->model == line->model && second->body == line->body,
          "read otherwise the second time");
  return 0;
}
