#include "api/model_list.h"

#include <fmt/format.h>

#include <ctime>

#include "api/json_writer.h"
#include "api/service_context.h"
#include "base/utf8.h"

namespace quern::api {

namespace {

std::string_view StateName(engine::Residency::State state) {
  switch (state) {
    case engine::Residency::State::kLoaded:
      return "loaded";
    case engine::Residency::State::kLoading:
      return "loading";
    case engine::Residency::State::kUnloaded:
      return "unloaded";
    case engine::Residency::State::kElsewhere:
      return "upstream";
  }
  return "";
}

void WriteModel(JsonWriter& json, std::string_view id, const ServedModel& model) {
  json.BeginObject();
  json.Key("id").String(id);
  json.Key("object").String("model");
  json.Key("created").Int(model.created);
  json.Key("owned_by").String(model.owned_by);
  json.Key("root").String(model.id);
  json.Key("type").String("model");
  json.Key("display_name").String(id == model.id ? model.display_name : id);
  json.Key("context_length").Int(model.context_length());
  json.Key("max_model_len").Int(model.context_length());
  json.Key("max_output_tokens").Int(model.max_output());
  json.Key("status").BeginObject().Key("value").String(StateName(model.backend->residency().state)).EndObject();
  const auto at = static_cast<std::time_t>(model.created);
  std::tm utc{};
  gmtime_r(&at, &utc);
  json.Key("created_at")
      .String(fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                          utc.tm_hour, utc.tm_min, utc.tm_sec));
  json.Key("meta").BeginObject().Key("n_ctx_train").Int(model.context_length());
  json.Key("n_vocab").Int(model.backend->info().vocab_size).EndObject();
  json.EndObject();
}

}  // namespace

void ListModels(const Call& call) {
  JsonWriter json;
  const auto& listings = call.service.models->listings();
  json.BeginObject().Key("object").String("list").Key("data").BeginArray();
  for (const auto& listing : listings) WriteModel(json, listing.id, *listing.model);
  json.EndArray().Key("has_more").Bool(false);
  json.Key("first_id");
  listings.empty() ? json.Null() : json.String(listings.front().id);
  json.Key("last_id");
  listings.empty() ? json.Null() : json.String(listings.back().id);
  json.EndObject();
  call.exchange->SendJson(200, json.Take());
}

void GetModel(const Call& call) {
  const std::string& id = call.params[0];
  const auto model = IsValidUtf8(id) ? call.service.models->Find(id) : nullptr;
  if (!model) {
    ApiError error = BadField(
        "model", fmt::format("The model '{}' does not exist.", ReplaceInvalidUtf8(std::string_view(id).substr(0, 200))),
        "model_not_found");
    error.http_status = 404;
    call.exchange->SendError(error);
    return;
  }
  JsonWriter json;
  WriteModel(json, id, *model);
  call.exchange->SendJson(200, json.Take());
}

}  // namespace quern::api
