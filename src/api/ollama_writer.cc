#include "api/ollama_writer.h"

#include <fmt/format.h>

#include <boost/json/parse.hpp>
#include <chrono>
#include <ctime>

#include "api/json_writer.h"

namespace quern::api {

namespace json = boost::json;

namespace {

// The lines both kinds of answers are made of, and the times in the last one.
class OllamaLines {
 public:
  explicit OllamaLines(OllamaShape shape) : shape_(shape) {}

  void Attach(Exchange& exchange, std::string_view model_name) {
    exchange_ = &exchange;
    model_name_ = model_name;
  }

  Exchange& exchange() const { return *exchange_; }

  void MarkFirst() {
    if (first_ == Clock::time_point{}) first_ = Clock::now();
  }

  void WriteLine(std::string_view content, std::span<const WholeCall> calls) const {
    JsonWriter out;
    WriteHead(out);
    WriteText(out, content, calls);
    out.Key("done").Bool(false).EndObject();
    exchange_->WriteRaw(out.text());
    exchange_->WriteRaw("\n");
  }

  std::string Final(std::string_view content, std::span<const WholeCall> calls, std::string_view finish_reason,
                    const Usage& usage) {
    MarkFirst();
    const auto ns = [](Clock::duration span) -> int64_t {
      return std::chrono::duration_cast<std::chrono::nanoseconds>(span).count();
    };
    const Clock::time_point now = Clock::now();
    JsonWriter out;
    WriteHead(out);
    WriteText(out, content, calls);
    out.Key("done").Bool(true).Key("done_reason").String(finish_reason == "length" ? "length" : "stop");
    out.Key("total_duration").Int(ns(now - began_)).Key("load_duration").Int(0);
    out.Key("prompt_eval_count").Int(usage.n_prompt).Key("prompt_eval_duration").Int(ns(first_ - began_));
    out.Key("eval_count").Int(usage.n_generated).Key("eval_duration").Int(ns(now - first_)).EndObject();
    return out.Take();
  }

  void End(std::string_view finish_reason, const Usage& usage) {
    exchange_->WriteRaw(Final("", {}, finish_reason, usage) + "\n");
    exchange_->EndStream(200);
  }

  void Fail(const ApiError& error) {
    exchange_->WriteRaw(exchange_->dialect().error_json(error, "") + "\n");
    exchange_->EndStream(error.http_status);
  }

 private:
  using Clock = std::chrono::steady_clock;

  void WriteHead(JsonWriter& out) const {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    out.BeginObject().Key("model").String(model_name_);
    out.Key("created_at").String(OllamaTime(std::chrono::duration_cast<std::chrono::milliseconds>(now).count()));
  }

  void WriteText(JsonWriter& out, std::string_view content, std::span<const WholeCall> calls) const {
    if (shape_ == OllamaShape::kResponse) {
      out.Key("response").String(content);
      return;
    }
    out.Key("message").BeginObject().Key("role").String("assistant").Key("content").String(content);
    if (!calls.empty()) {
      out.Key("tool_calls").BeginArray();
      for (const WholeCall& call : calls) {
        out.BeginObject().Key("function").BeginObject().Key("name").SanitizedString(call.name);
        out.Key("arguments").Raw(ArgumentsObject(call.arguments)).EndObject().EndObject();
      }
      out.EndArray();
    }
    out.EndObject();
  }

  // A call that was cut has no whole object; what there is of it is kept in one.
  static std::string ArgumentsObject(const std::string& arguments) {
    json::error_code error;
    const json::value parsed = json::parse(arguments, error);
    if (!error && parsed.is_object()) return arguments;
    JsonWriter out;
    out.BeginObject().Key("incomplete").SanitizedString(arguments).EndObject();
    return out.Take();
  }

  const OllamaShape shape_;
  Exchange* exchange_ = nullptr;
  std::string model_name_;
  const Clock::time_point began_ = Clock::now();
  Clock::time_point first_{};
};

class OllamaWriter final : public ChatWriter {
 public:
  explicit OllamaWriter(OllamaShape shape) : lines_(shape) {}

  void Attach(Exchange& exchange, const ChatTurn& turn) override {
    lines_.Attach(exchange, turn.request.fields.model_name);
  }

  void Begin() override { lines_.exchange().StartStream("application/x-ndjson"); }

  void Delta(size_t, const ChatDelta& delta, const Usage&) override {
    lines_.MarkFirst();
    for (const ToolDelta& tool : delta.tools) {
      if (tool.begin) calls_.push_back({tool.id, tool.name, ""});
      if (!calls_.empty()) calls_.back().arguments += tool.arguments;
    }
    if (!delta.content.empty()) lines_.WriteLine(delta.content, {});
  }

  // No blank lines: every line of this protocol is an object, and an empty piece of text is one.
  void KeepAlive(size_t, const Usage&) override { lines_.WriteLine("", {}); }

  void EndChoice(size_t, const ChoiceEnd& end, const Usage&) override {
    if (!calls_.empty()) lines_.WriteLine("", calls_);
    finish_reason_ = end.finish_reason;
  }

  void End(const Usage& usage) override { lines_.End(finish_reason_, usage); }
  void Fail(const ApiError& error) override { lines_.Fail(error); }

  std::string Whole(std::span<const WholeChoice> choices, const Usage& usage) override {
    return lines_.Final(choices[0].content, choices[0].calls, choices[0].end.finish_reason, usage);
  }

 private:
  OllamaLines lines_;
  std::vector<WholeCall> calls_;
  std::string finish_reason_;
};

class OllamaTextWriter final : public CompletionWriter {
 public:
  void Attach(Exchange& exchange, const CompletionTurn& turn) override {
    lines_.Attach(exchange, turn.request.fields.model_name);
  }

  void Begin() override { lines_.exchange().StartStream("application/x-ndjson"); }

  void Delta(size_t, const CompletionDelta& delta, const Usage&) override {
    lines_.MarkFirst();
    if (!delta.text.empty()) lines_.WriteLine(delta.text, {});
  }

  void KeepAlive(size_t, const Usage&) override { lines_.WriteLine("", {}); }
  void EndChoice(size_t, const CompletionEnd& end, const Usage&) override { finish_reason_ = end.finish_reason; }
  void End(const Usage& usage) override { lines_.End(finish_reason_, usage); }
  void Fail(const ApiError& error) override { lines_.Fail(error); }

  std::string Whole(std::span<const WholeCompletion> choices, const Usage& usage) override {
    return lines_.Final(choices[0].all.text, {}, choices[0].end.finish_reason, usage);
  }

 private:
  OllamaLines lines_{OllamaShape::kResponse};
  std::string finish_reason_;
};

}  // namespace

std::string OllamaTime(int64_t unix_ms) {
  const auto at = static_cast<std::time_t>(unix_ms / 1000);
  std::tm utc{};
  gmtime_r(&at, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                     utc.tm_hour, utc.tm_min, utc.tm_sec, unix_ms % 1000);
}

std::unique_ptr<ChatWriter> NewOllamaWriter(OllamaShape shape) { return std::make_unique<OllamaWriter>(shape); }
std::unique_ptr<CompletionWriter> NewOllamaTextWriter() { return std::make_unique<OllamaTextWriter>(); }

}  // namespace quern::api
