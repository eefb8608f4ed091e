#include "api/openapi.h"

#include <algorithm>
#include <map>

#include "api/json_writer.h"
#include "api/shape.h"

namespace quern::api {

namespace {

constexpr std::string_view kUploadSchema =
    R"({"type":"object","properties":{"file":{"type":"string","contentMediaType":"application/octet-stream"},)"
    R"("purpose":{"type":"string","enum":["batch"]}},"required":["file","purpose"]})";

struct Operation {
  const Route* route;
  std::string id;
};

// "/models/{id...}" -> "/models/{id}", with the names in braces.
std::string PathTemplate(std::string_view pattern, std::vector<std::string>& params) {
  std::string path;
  while (!pattern.empty()) {
    const size_t open = std::min(pattern.find('{'), pattern.size());
    path += pattern.substr(0, open);
    pattern.remove_prefix(open);
    if (pattern.empty()) break;
    const size_t close = pattern.find('}');
    std::string_view name = pattern.substr(1, close - 1);
    if (name.ends_with("...")) name.remove_suffix(3);
    params.emplace_back(name);
    path += '{';
    path += name;
    path += '}';
    pattern.remove_prefix(close + 1);
  }
  return path;
}

std::string OperationId(const Route& route, const Mount& mount) {
  std::string id(route.name);
  if (mount.path == route.mounts.front().path) return id;
  id += mount.path.empty() ? "@root" : "@";
  for (const char c : mount.path) {
    if (c != '/') id += c;
  }
  return id;
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  return lower;
}

void WriteOperation(JsonWriter& json, const Operation& operation, const std::vector<std::string>& params) {
  const Route& route = *operation.route;
  json.Key(Lower(route.method)).BeginObject();
  json.Key("operationId").String(operation.id).Key("summary").String(route.summary);
  json.Key("tags").BeginArray().String(route.dialect->name).EndArray();
  if (!params.empty()) {
    json.Key("parameters").BeginArray();
    for (const std::string& name : params) {
      json.BeginObject().Key("name").String(name).Key("in").String("path").Key("required").Bool(true);
      json.Key("schema").BeginObject().Key("type").String("string").EndObject().EndObject();
    }
    json.EndArray();
  }
  if (route.method == "POST") {
    const bool is_upload = route.begin_upload != nullptr;
    // A POST without a shape (a cancellation) takes a body and needs none.
    json.Key("requestBody").BeginObject().Key("required").Bool(is_upload || route.body != nullptr);
    json.Key("content").BeginObject().Key(is_upload ? "multipart/form-data" : "application/json").BeginObject();
    json.Key("schema").Raw(is_upload               ? std::string(kUploadSchema)
                           : route.body == nullptr ? R"({"type":"object"})"
                                                   : JsonSchemaOf(*route.body));
    json.EndObject().EndObject().EndObject();
  }
  json.Key("responses").BeginObject();
  json.Key("200").BeginObject().Key("description").String("The answer").EndObject();
  json.Key("default").BeginObject().Key("description").String("An error in this family's shape").EndObject();
  json.EndObject();
  if (route.is_public) json.Key("security").BeginArray().EndArray();
  json.EndObject();
}

void WriteKeyScheme(JsonWriter& json, std::string_view name, std::string_view header) {
  json.Key(name).BeginObject().Key("type").String("apiKey").Key("in").String("header");
  json.Key("name").String(header).EndObject();
}

}  // namespace

std::string OpenApiJson(const RouteTable& table) {
  std::map<std::string, std::pair<std::vector<std::string>, std::vector<Operation>>> paths;
  for (const Route* route : table.routes()) {
    for (const Mount& mount : route->mounts) {
      std::vector<std::string> params;
      const std::string path = PathTemplate(std::string(mount.path) + std::string(route->pattern), params);
      paths[path].first = std::move(params);
      paths[path].second.push_back({route, OperationId(*route, mount)});
    }
  }
  JsonWriter json;
  json.BeginObject().Key("openapi").String("3.1.0");
  json.Key("info").BeginObject().Key("title").String("Quern").Key("version").String("0.1.0").EndObject();
  json.Key("paths").BeginObject();
  for (const auto& [path, entry] : paths) {
    json.Key(path).BeginObject();
    for (const Operation& operation : entry.second) WriteOperation(json, operation, entry.first);
    json.EndObject();
  }
  json.EndObject();
  json.Key("components").BeginObject().Key("securitySchemes").BeginObject();
  json.Key("bearer").BeginObject().Key("type").String("http").Key("scheme").String("bearer").EndObject();
  WriteKeyScheme(json, "x_api_key", "x-api-key");
  WriteKeyScheme(json, "api_key", "api-key");
  json.EndObject().EndObject();
  json.Key("security").BeginArray();
  json.BeginObject().EndObject();  // a server without keys asks for none
  for (const char* scheme : {"bearer", "x_api_key", "api_key"}) {
    json.BeginObject().Key(scheme).BeginArray().EndArray().EndObject();
  }
  json.EndArray().EndObject();
  return json.Take();
}

}  // namespace quern::api
