#include "api/server_routes.h"

#include "api/json_writer.h"
#include "api/openapi.h"
#include "api/service_context.h"

namespace quern::api {

namespace {

void Health(const Call& call) {
  const bool stopping = call.service.stopping;
  if (stopping || call.service.models->models().empty()) {
    JsonWriter json;
    json.BeginObject().Key("error").BeginObject().Key("code").Int(503);
    json.Key("message").String(stopping ? "Shutting down" : "Loading model");
    json.Key("type").String("unavailable_error").EndObject().EndObject();
    call.exchange->SendJson(503, json.Take());
    return;
  }
  call.exchange->SendJson(200, R"({"status":"ok"})");
}

void Root(const Call& call) { call.exchange->SendText(200, "text/plain; charset=utf-8", "Quern is running\n"); }

void Metrics(const Call& call) {
  call.exchange->SendText(200, "text/plain; version=0.0.4; charset=utf-8",
                          call.service.metrics->Render(*call.service.models));
}

void Describe(const Call& call) { call.exchange->SendJson(200, OpenApiJson(*call.service.routes)); }

constexpr Mount kHealthMounts[] = {{"", RoutePrefix::kBare}, {"/v1", RoutePrefix::kV1}};

constexpr Route kRoutes[] = {
    {"root", "GET", "/", kRootMount, &kOpenAiDialect, Root, "Say that the server runs", true},
    {"health", "GET", "/health", kHealthMounts, &kOpenAiDialect, Health, "Say whether requests are taken", true},
    {"openapi", "GET", "/openapi.json", kRootMount, &kOpenAiDialect, Describe, "This description", true},
    {"metrics", "GET", "/metrics", kRootMount, &kOpenAiDialect, Metrics, "Figures in Prometheus text format"},
};

}  // namespace

std::span<const Route> ServerRoutes() { return kRoutes; }

}  // namespace quern::api
