#include "api/ollama_load.h"

#include <boost/json/array.hpp>
#include <utility>

#include "api/answer.h"
#include "api/json_writer.h"

namespace quern::api {

namespace json = boost::json;

namespace {

bool IsEmpty(const json::value* value) {
  return value == nullptr || value->is_null() || (value->is_array() && value->get_array().empty()) ||
         (value->is_string() && value->get_string().empty());
}

// Reads one token and writes none: whatever has to be there for that is there then.
class LoadAnswer final : public Answer {
 public:
  LoadAnswer(std::shared_ptr<Exchange> exchange, std::shared_ptr<const ServedModel> model, OllamaLoad load)
      : Answer(std::move(exchange), std::move(model), false), load_(std::move(load)) {}

  void Begin() {
    const engine::Residency::State state = model().backend->residency().state;
    if (unloads() && state == engine::Residency::State::kUnloaded) return Send();
    engine::GenerateRequest request;
    request.prompt = {0};
    request.keep_alive = load_.keep_alive;
    std::vector<engine::GenerateRequest> requests;
    requests.push_back(std::move(request));
    Start(std::move(requests));
  }

 private:
  void OnAdmitted() override {}
  void OnToken(size_t, const engine::TokenEvent&) override {}
  void OnPromptLogprobs(size_t, const engine::PromptLogprobsEvent&) override {}
  void WritePending() override {}
  void WriteKeepAlive() override {}
  void OnFinished(size_t, const engine::FinishedEvent&) override { Send(); }

  bool unloads() const { return load_.keep_alive && load_.keep_alive->count() == 0; }

  void Send() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    JsonWriter out;
    out.BeginObject().Key("model").String(load_.model_name);
    out.Key("created_at").String(OllamaTime(std::chrono::duration_cast<std::chrono::milliseconds>(now).count()));
    if (load_.shape == OllamaShape::kMessage) {
      out.Key("message").BeginObject().Key("role").String("assistant").Key("content").String("").EndObject();
    } else {
      out.Key("response").String("");
    }
    out.Key("done").Bool(true).Key("done_reason").String(unloads() ? "unload" : "load").EndObject();
    exchange().SendJson(200, out.Take());
    Done({});
  }

  const OllamaLoad load_;
};

}  // namespace

bool IsOllamaLoad(const json::object& body, OllamaShape shape) {
  if (shape == OllamaShape::kMessage) return IsEmpty(body.if_contains("messages"));
  return IsEmpty(body.if_contains("prompt")) && IsEmpty(body.if_contains("suffix"));
}

void AnswerOllamaLoad(std::shared_ptr<Exchange> exchange, std::shared_ptr<const ServedModel> model, OllamaLoad load) {
  std::make_shared<LoadAnswer>(std::move(exchange), std::move(model), std::move(load))->Begin();
}

}  // namespace quern::api
