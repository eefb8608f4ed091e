// The page for people lists every limit of the wire.
#include "api/limits.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <regex>
#include <string>

namespace quern::api {
namespace {

std::string ReadFile(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST(Limits, AreAllInTheDocumentation) {
  const std::string header = ReadFile("src/api/limits.h");
  const std::string page = ReadFile("docs/limits.md");
  const std::regex field(R"(\n  (?:size_t|int|std::chrono::milliseconds) (\w+))");
  int n_fields = 0;
  for (std::sregex_iterator it(header.begin(), header.end(), field), end; it != end; ++it, ++n_fields) {
    EXPECT_NE(page.find("`" + (*it)[1].str() + "`"), std::string::npos)
        << (*it)[1].str() << " is not in docs/limits.md";
  }
  EXPECT_GE(n_fields, 20) << "the header was not understood";
}

}  // namespace
}  // namespace quern::api
