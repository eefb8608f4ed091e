#include "api/multipart.h"

#include <gtest/gtest.h>

namespace quern::api {
namespace {

constexpr std::string_view kBody =
    "--B\r\n"
    "Content-Disposition: form-data; name=\"purpose\"\r\n\r\n"
    "batch\r\n"
    "--B  \r\n"
    "content-type: application/octet-stream\r\n"
    "CONTENT-DISPOSITION: form-data; name=file; filename=\"a \\\"b\\\".jsonl\"\r\n\r\n"
    "line\r\n--b\r\n\r\n--\r\r\n-- B\r\n"
    "\r\n--B\r\n"
    "Content-Disposition: form-data; name=\"empty\"; filename*=UTF-8''n%C3%A4me.txt; filename=other\r\n\r\n"
    "\r\n--B--\r\nepilogue";
constexpr std::string_view kParts =
    "[purpose]batch;[file|a \"b\".jsonl]line\r\n--b\r\n\r\n--\r\r\n-- B\r\n;[empty|n\u00e4me.txt];";

// The parts, or the error's message.
std::string Parse(std::string_view body, const std::vector<std::string_view>& pieces, MultipartLimits limits = {}) {
  std::string parts;
  MultipartParser parser("B",
                         {[&](const MultipartPart& part) -> ApiResult<void> {
                            parts += "[" + part.name + (part.filename ? "|" + *part.filename : "") + "]";
                            return {};
                          },
                          [&](std::string_view bytes) -> ApiResult<void> {
                            EXPECT_FALSE(bytes.empty());
                            parts += bytes;
                            return {};
                          },
                          [&]() -> ApiResult<void> {
                            parts += ";";
                            return {};
                          }},
                         limits);
  for (const std::string_view piece : pieces.empty() ? std::vector{body} : pieces) {
    const auto fed = parser.Feed(piece);
    if (!fed) return fed.error().message;
  }
  const auto finished = parser.Finish();
  return finished ? parts : finished.error().message;
}

TEST(Multipart, GivesTheSamePartsForEveryCut) {
  EXPECT_EQ(Parse(kBody, {}), kParts);
  for (size_t i = 0; i <= kBody.size(); ++i) {
    EXPECT_EQ(Parse("", {kBody.substr(0, i), kBody.substr(i)}), kParts) << i;
  }
  std::vector<std::string_view> bytes;
  for (size_t i = 0; i < kBody.size(); ++i) bytes.push_back(kBody.substr(i, 1));
  EXPECT_EQ(Parse("", bytes), kParts);
}

TEST(Multipart, EveryBeginningOfABodyIsAnError) {
  const size_t end = kBody.find("--B--") + 5;
  for (size_t i = 0; i < end; ++i) {
    EXPECT_NE(Parse(kBody.substr(0, i), {}).find("could not parse"), std::string::npos) << i;
  }
}

TEST(Multipart, SaysWhatIsWrong) {
  const std::pair<std::string, const char*> rows[] = {
      {"", "ends before its closing boundary"},
      {std::string(10'000, 'x'), "does not begin it"},
      {"--Bx\r\n", "something else than a line end"},
      {"--B" + std::string(100, ' '), "something else than a line end"},
      {"--B\r\nnocolon\r\n\r\n", "no colon"},
      {"--B\r\n\r\n\r\n", "no content-disposition"},
      {"--B\r\nContent-Disposition: attachment; name=x\r\n\r\n", "no content-disposition"},
      {"--B\r\nContent-Disposition: form-data\r\n\r\n", "no content-disposition"},
      {"--B\r\nx: " + std::string(9000, 'x'), "longer than 8192 bytes"},
  };
  for (const auto& [body, expected] : rows) {
    EXPECT_NE(Parse(body, {}).find(expected), std::string::npos) << body.substr(0, 60) << ": " << Parse(body, {});
  }
  EXPECT_NE(Parse(kBody, {}, {.max_parts = 2}).find("max_parts"), std::string::npos);
}

TEST(Multipart, BoundariesOfHeaders) {
  const auto boundary = [](std::string_view header) {
    const auto read = MultipartParser::BoundaryOf(header);
    return read ? *read : std::to_string(read.error().http_status);
  };
  EXPECT_EQ(boundary("multipart/form-data; boundary=abc"), "abc");
  EXPECT_EQ(boundary("Multipart/Form-Data ; charset=utf-8;  BOUNDARY=\"a b;c\""), "a b;c");
  for (const char* header : {"", "application/json", "multipart/form-data", "multipart/form-data; boundary=",
                             "multipart/form-data; boundary", "multipart/mixed; boundary=x"}) {
    EXPECT_EQ(boundary(header), "400") << header;
  }
  EXPECT_EQ(boundary("multipart/form-data; boundary=" + std::string(71, 'x')), "400");
}

}  // namespace
}  // namespace quern::api
