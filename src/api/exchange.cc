#include "api/exchange.h"

#include "api/ids.h"

namespace quern::api {

namespace {

constexpr std::string_view kServerName = "quern/0.1.0";

}  // namespace

Exchange::Exchange(Setup setup)
    : setup_(std::move(setup)),
      request_id_(setup_.dialect->new_request_id()),
      started_(std::chrono::steady_clock::now()) {
  setup_.metrics->RequestBegan();
}

Exchange::~Exchange() {
  Count(499);
  setup_.metrics->RequestEnded();
}

void Exchange::Count(int status) {
  if (counted_) return;
  counted_ = true;
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - started_;
  setup_.metrics->CountRequest(setup_.route, status, elapsed.count());
}

std::vector<Header> Exchange::CommonHeaders(std::string_view content_type) const {
  const auto elapsed = std::chrono::steady_clock::now() - started_;
  const auto elapsed_ms = std::chrono::duration_cast<std::chrono::milliseconds>(elapsed).count();
  std::vector<Header> headers;
  headers.reserve(8);
  if (!content_type.empty()) headers.push_back({"content-type", std::string(content_type)});
  headers.push_back({"server", std::string(kServerName)});
  headers.push_back({std::string(setup_.dialect->request_id_header), request_id_});
  headers.push_back({"openai-processing-ms", std::to_string(elapsed_ms)});
  if (!setup_.cors_origin.empty()) {
    headers.push_back({"access-control-allow-origin", setup_.cors_origin});
    headers.push_back({"access-control-expose-headers", "x-request-id, request-id, openai-processing-ms, retry-after"});
    if (setup_.cors_origin != "*") headers.push_back({"vary", "origin"});
  }
  return headers;
}

void Exchange::SendJson(int status, std::string json) {
  answered_ = true;
  Count(status);
  setup_.sink->SendWhole(status, CommonHeaders("application/json"), std::move(json));
}

void Exchange::SendText(int status, std::string_view content_type, std::string text) {
  answered_ = true;
  Count(status);
  setup_.sink->SendWhole(status, CommonHeaders(content_type), std::move(text));
}

void Exchange::SendNoContent(std::vector<Header> headers) {
  answered_ = true;
  Count(204);
  std::vector<Header> all = CommonHeaders("");
  for (Header& header : headers) all.push_back(std::move(header));
  setup_.sink->SendWhole(204, std::move(all), "");
}

void Exchange::SendError(const ApiError& error) {
  answered_ = true;
  const Dialect& dialect = *setup_.dialect;
  const int status = dialect.error_status == nullptr ? error.http_status : dialect.error_status(error);
  Count(status);
  std::vector<Header> headers = CommonHeaders("application/json");
  if (error.retry_after_s > 0) {
    headers.push_back({"retry-after", std::to_string(error.retry_after_s)});
    headers.push_back({"retry-after-ms", std::to_string(error.retry_after_s * 1000)});
  }
  if (!error.allow.empty()) headers.push_back({"allow", error.allow});
  if (status == 401) headers.push_back({"www-authenticate", "Bearer"});
  setup_.sink->SendWhole(status, std::move(headers), dialect.error_json(error, request_id_));
}

void Exchange::StartStream(std::string_view content_type) {
  streaming_ = true;
  std::vector<Header> headers = CommonHeaders(content_type);
  headers.push_back({"cache-control", "no-cache"});
  headers.push_back({"x-accel-buffering", "no"});
  setup_.sink->StartStream(200, std::move(headers));
}

void Exchange::WriteData(std::string_view json) {
  frames_ += "data: ";
  frames_ += json;
  frames_ += "\n\n";
}

void Exchange::WriteEvent(std::string_view event, std::string_view json) {
  frames_ += "event: ";
  frames_ += event;
  frames_ += '\n';
  WriteData(json);
}

void Exchange::Flush() {
  if (frames_.empty()) return;
  std::string frames;
  frames.swap(frames_);
  setup_.sink->Write(std::move(frames));
}

void Exchange::EndStream(int status) {
  answered_ = true;
  Count(status);
  Flush();
  setup_.sink->Close();
}

void Exchange::FailSse(const ApiError& error) {
  WriteData(setup_.dialect->error_json(error, ""));
  frames_ += "data: [DONE]\n\n";
  EndStream(error.http_status);
}

void Exchange::FinishSse() {
  frames_ += "data: [DONE]\n\n";
  EndStream(200);
}

}  // namespace quern::api
