#include "upstream/url.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace quern::upstream {
namespace {

constexpr size_t kMaxUrlBytes = 2048;

std::unexpected<Status> Bad(std::string_view why) {
  // The text itself may hold a password, so it is not repeated.
  return Error(Code::kInvalidArgument, fmt::format("must be a URL like https://host:8000/v1: {}", why));
}

bool TakePrefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// "[::1]:80", "host", "host:80". Empty host when it cannot be read.
std::string_view SplitPort(std::string_view authority, std::string_view& port) {
  if (authority.starts_with('[')) {
    const size_t close = authority.find(']');
    if (close == std::string_view::npos) return {};
    const std::string_view rest = authority.substr(close + 1);
    if (!rest.empty() && !rest.starts_with(':')) return {};
    if (!rest.empty()) port = rest.substr(1);
    return authority.substr(1, close - 1);
  }
  const size_t colon = authority.find(':');
  if (colon == std::string_view::npos) return authority;
  port = authority.substr(colon + 1);
  return authority.substr(0, colon);
}

}  // namespace

std::string Url::Authority() const {
  const std::string name = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return port == (https ? 443 : 80) ? name : fmt::format("{}:{}", name, port);
}

std::string Url::Text() const { return fmt::format("{}://{}{}", https ? "https" : "http", Authority(), path); }

Result<Url> ParseUrl(std::string_view text) {
  if (text.size() > kMaxUrlBytes) return Bad("it is too long");
  const auto is_printable = [](char c) { return c > ' ' && c < 0x7f; };
  if (!std::ranges::all_of(text, is_printable)) return Bad("it has blanks or characters beyond ASCII");
  Url url;
  if (TakePrefix(text, "https://")) {
    url.https = true;
    url.port = 443;
  } else if (!TakePrefix(text, "http://")) {
    return Bad("it begins neither with http:// nor with https://");
  }
  if (text.find_first_of("?#") != std::string_view::npos) return Bad("it has a query or a fragment");
  const size_t slash = std::min(text.find('/'), text.size());
  const std::string_view authority = text.substr(0, slash);
  if (authority.find('@') != std::string_view::npos) return Bad("keys do not belong into it, see api_key_env");
  std::string_view port;
  const std::string_view host = SplitPort(authority, port);
  if (host.empty()) return Bad("it names no host");
  url.host = host;
  if (!port.empty()) {
    int number = 0;
    const auto [end, ec] = std::from_chars(port.data(), port.data() + port.size(), number);
    if (ec != std::errc() || end != port.data() + port.size() || number < 1 || number > 65535) {
      return Bad("its port is not a number from 1 to 65535");
    }
    url.port = static_cast<uint16_t>(number);
  }
  std::string_view path = text.substr(slash);
  while (path.ends_with('/')) path.remove_suffix(1);
  url.path = path;
  return url;
}

}  // namespace quern::upstream
