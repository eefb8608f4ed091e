#include "api/route.h"

#include <algorithm>

#include "base/check.h"

namespace quern::api {

namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool IsParam(std::string_view segment) { return segment.starts_with('{'); }
bool IsRest(std::string_view segment) { return segment.ends_with("...}"); }

// "/a/b" -> a, b.
std::vector<std::string> Split(std::string_view path) {
  std::vector<std::string> segments;
  while (!path.empty()) {
    path.remove_prefix(1);
    const size_t end = std::min(path.find('/'), path.size());
    segments.emplace_back(path.substr(0, end));
    path.remove_prefix(end);
  }
  return segments;
}

// The values of the braces, or false.
bool MatchSegments(const std::vector<std::string>& pattern, std::string_view path, std::vector<std::string>& params) {
  for (const std::string& segment : pattern) {
    if (!path.starts_with('/')) return false;
    path.remove_prefix(1);
    const size_t end = IsRest(segment) ? path.size() : std::min(path.find('/'), path.size());
    const std::string_view value = path.substr(0, end);
    if (IsParam(segment)) {
      if (value.empty() && !IsRest(segment)) return false;
      params.push_back(PercentDecode(value));
    } else if (value != segment) {
      return false;
    }
    path.remove_prefix(end);
  }
  return path.empty();
}

bool Answers(const Route& route, std::string_view method) {
  return route.method == method || (route.method == "GET" && method == "HEAD");
}

}  // namespace

std::string PercentDecode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && HexDigit(text[i + 1]) >= 0 && HexDigit(text[i + 2]) >= 0) {
      out.push_back(static_cast<char>(HexDigit(text[i + 1]) * 16 + HexDigit(text[i + 2])));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

RouteTable::RouteTable(std::span<const std::span<const Route>> tables) {
  for (const auto& table : tables) {
    for (const Route& route : table) {
      routes_.push_back(&route);
      for (const Mount& mount : route.mounts) Add(route, mount);
    }
  }
  std::stable_sort(mounts_.begin(), mounts_.end(),
                   [](const auto& a, const auto& b) { return a.first.size() > b.first.size(); });
}

void RouteTable::Add(const Route& route, const Mount& mount) {
  const std::string full = std::string(mount.path) + std::string(route.pattern);
  std::vector<Entry>* entries = nullptr;
  if (full.find('{') == std::string::npos) {
    entries = &exact_[full];
  } else {
    std::vector<std::string> segments = Split(full);
    auto same = std::find_if(patterns_.begin(), patterns_.end(),
                             [&](const Pattern& pattern) { return pattern.segments == segments; });
    if (same == patterns_.end()) same = patterns_.insert(same, {std::move(segments), {}});
    entries = &same->entries;
  }
  for (const Entry& entry : *entries) QUERN_CHECK(entry.route->method != route.method);
  entries->push_back({&route, mount.prefix});
  const bool known = std::any_of(mounts_.begin(), mounts_.end(), [&](const auto& m) { return m.first == mount.path; });
  if (!mount.path.empty() && !known) mounts_.emplace_back(mount.path, route.dialect);
}

const Dialect* RouteTable::DialectOf(std::string_view path) const {
  for (const auto& [mount, dialect] : mounts_) {
    if (path.starts_with(mount) && (path.size() == mount.size() || path[mount.size()] == '/')) return dialect;
  }
  return &kOpenAiDialect;
}

RouteMatch RouteTable::Find(std::string_view method, std::string_view path) const {
  if (path.size() > 2 && path.ends_with('/')) path.remove_suffix(1);
  if (path.empty()) path = "/";
  RouteMatch match;
  match.dialect = DialectOf(path);
  match.doubled_v1 = path.find("/v1/v1/") != std::string_view::npos;
  const std::vector<Entry>* entries = nullptr;
  if (const auto exact = exact_.find(std::string(path)); exact != exact_.end()) {
    entries = &exact->second;
  } else {
    for (const Pattern& pattern : patterns_) {
      match.params.clear();
      if (MatchSegments(pattern.segments, path, match.params)) {
        entries = &pattern.entries;
        break;
      }
    }
  }
  if (entries == nullptr) return match;
  match.dialect = entries->front().route->dialect;
  for (const Entry& entry : *entries) {
    match.allow += std::string(entry.route->method) + (entry.route->method == "GET" ? ", HEAD, " : ", ");
    if (!Answers(*entry.route, method)) continue;
    match.route = entry.route;
    match.dialect = entry.route->dialect;
    match.prefix = entry.prefix;
  }
  match.allow += "OPTIONS";
  return match;
}

}  // namespace quern::api
