// Fuzz target: any bytes as a multipart/form-data body, and the first one for how it is cut. Whatever they are, the
// parts and the verdict are the same for every cut, and what the parts hold is no more than came in.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "api/multipart.h"

namespace {

using quern::api::ApiResult;
using quern::api::MultipartParser;
using quern::api::MultipartPart;

struct Outcome {
  std::string parts;
  bool whole = false;
  size_t n_data = 0;
};

Outcome Parse(std::string_view body, size_t piece_bytes) {
  Outcome outcome;
  MultipartParser parser("b", {[&](const MultipartPart& part) -> ApiResult<void> {
                                 outcome.parts += '\1' + part.name + '\2' + part.filename.value_or("\3");
                                 return {};
                               },
                               [&](std::string_view bytes) -> ApiResult<void> {
                                 outcome.parts += bytes;
                                 outcome.n_data += bytes.size();
                                 return {};
                               },
                               [&]() -> ApiResult<void> {
                                 outcome.parts += '\4';
                                 return {};
                               }});
  while (!body.empty()) {
    if (!parser.Feed(body.substr(0, piece_bytes))) return outcome;
    body.remove_prefix(std::min(piece_bytes, body.size()));
  }
  outcome.whole = parser.Finish().has_value();
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Outcome whole = Parse(body, body.size() + 1);
  const Outcome cut = Parse(body, data[0] % 64U + 1);
  // How far a broken body was read depends on the cut; a whole one is the same.
  if (whole.whole != cut.whole || (whole.whole && whole.parts != cut.parts) || whole.n_data > body.size()) {
    std::fprintf(stderr, "multipart: %d %d, %zu bytes of data from %zu\n", whole.whole, cut.whole, whole.n_data,
                 body.size());
    std::abort();
  }
  static_cast<void>(MultipartParser::BoundaryOf(body));
  return 0;
}
