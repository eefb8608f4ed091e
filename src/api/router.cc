#include "api/router.h"

#include <array>

namespace quern::api {

namespace {

struct Mount {
  std::string_view path;
  RoutePrefix prefix;
};

// Longest first.
constexpr std::array kMounts = {
    Mount{"/compatible-mode/v1", RoutePrefix::kCompatibleMode},
    Mount{"/openai/v1", RoutePrefix::kOpenAi},
    Mount{"/v1", RoutePrefix::kV1},
    Mount{"", RoutePrefix::kBare},
};

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

Operation OperationOf(std::string_view rest) {
  if (rest == "/chat/completions") return Operation::kChat;
  if (rest == "/completions") return Operation::kCompletions;
  if (rest == "/fim/completions") return Operation::kFim;
  if (rest == "/models") return Operation::kListModels;
  if (rest.starts_with("/models/")) return Operation::kGetModel;
  return Operation::kNone;
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

RouteMatch MatchRoute(std::string_view path) {
  RouteMatch match;
  if (path.empty() || path == "/") {
    match.operation = Operation::kRoot;
    return match;
  }
  if (path.ends_with('/')) path.remove_suffix(1);
  if (path == "/health" || path == "/v1/health") {
    match.operation = Operation::kHealth;
    return match;
  }
  if (path == "/metrics") {
    match.operation = Operation::kMetrics;
    return match;
  }
  match.doubled_v1 = path.find("/v1/v1/") != std::string_view::npos;
  for (const Mount& mount : kMounts) {
    if (!path.starts_with(mount.path)) continue;
    const std::string_view rest = path.substr(mount.path.size());
    match.operation = OperationOf(rest);
    match.prefix = mount.prefix;
    if (match.operation == Operation::kGetModel) match.model_id = PercentDecode(rest.substr(8));
    if (match.operation != Operation::kNone) return match;
  }
  return match;
}

std::string_view OperationName(Operation operation) {
  switch (operation) {
    case Operation::kNone:
      return "unknown";
    case Operation::kChat:
      return "chat.completions";
    case Operation::kCompletions:
      return "completions";
    case Operation::kFim:
      return "fim.completions";
    case Operation::kListModels:
      return "models.list";
    case Operation::kGetModel:
      return "models.get";
    case Operation::kHealth:
      return "health";
    case Operation::kMetrics:
      return "metrics";
    case Operation::kRoot:
      return "root";
  }
  return "unknown";
}

std::string_view AllowedMethods(Operation operation) {
  switch (operation) {
    case Operation::kChat:
    case Operation::kCompletions:
    case Operation::kFim:
      return "POST, OPTIONS";
    default:
      return "GET, HEAD, OPTIONS";
  }
}

}  // namespace quern::api
