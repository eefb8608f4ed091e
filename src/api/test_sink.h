// Test doubles: a ResponseSink whose strand is the test's own thread, and a Service over the scripted backend.
#pragma once

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/service.h"
#include "engine/scripted_backend.h"

namespace quern::api {

// Records what is answered. Everything but Post on the test's thread.
class TestSink final : public ResponseSink {
 public:
  void SendWhole(int status_code, std::vector<Header> header_list, std::string text) override {
    ++n_answers;
    status = status_code;
    headers = std::move(header_list);
    body = std::move(text);
    End();
  }
  void StartStream(int status_code, std::vector<Header> header_list) override {
    ++n_answers;
    status = status_code;
    headers = std::move(header_list);
    streamed = true;
  }
  void Write(std::string bytes) override {
    if (!over) pieces.push_back(bytes);
    if (!over) body += bytes;
  }
  void Close() override { End(); }
  void Abort() override {
    aborted = true;
    End();
  }
  size_t unsent_bytes() const override { return reads_nothing ? body.size() : 0; }
  void Post(std::function<void()> fn) override {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(fn));
    changed_.notify_all();
  }
  void SetTimer(std::chrono::milliseconds, std::function<void()> fn) override { timer = std::move(fn); }
  void OnDrained(std::function<void()> fn) override { Post(std::move(fn)); }
  void OnHalfClosed(std::function<void()> fn) override { on_half_closed = std::move(fn); }
  void OnGone(std::function<void()> fn) override {
    if (!over) on_gone_ = std::move(fn);
  }

  // The peer leaves.
  void Leave() {
    over = true;
    if (const auto fn = std::exchange(on_gone_, nullptr)) fn();
  }
  // Runs what is posted until `until` holds.
  template <typename F>
  void RunUntil(F until) {
    while (!until()) {
      std::function<void()> fn;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return !posted_.empty(); });
        fn = std::move(posted_.front());
        posted_.pop_front();
      }
      fn();
    }
  }
  void Run() {
    RunUntil([this] { return over; });
  }
  // The timer goes off.
  bool FireTimer() {
    const auto fn = std::exchange(timer, nullptr);
    if (fn) fn();
    return fn != nullptr;
  }

  std::string_view Find(std::string_view name) const {
    for (const Header& header : headers) {
      if (header.name == name) return header.value;
    }
    return {};
  }
  boost::json::value Json() const {
    boost::system::error_code error;
    boost::json::value value = boost::json::parse(body, error);
    return error ? boost::json::value(boost::json::object()) : value;
  }
  // The data frames of a stream, in order, "[DONE]" left as a string.
  std::vector<boost::json::value> Frames() const {
    std::vector<boost::json::value> frames;
    std::string_view rest = body;
    while (!rest.empty()) {
      const size_t end = rest.find("\n\n");
      const std::string_view frame = rest.substr(0, end);
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 2);
      if (!frame.starts_with("data: ")) continue;
      const std::string_view data = frame.substr(6);
      frames.push_back(data == "[DONE]" ? boost::json::value("[DONE]") : boost::json::parse(data));
    }
    return frames;
  }

  // The frames of a stream of named events, whose names repeat the type in their data. An empty value where they
  // differ.
  std::vector<boost::json::value> EventFrames() const {
    std::vector<boost::json::value> frames;
    std::string_view rest = body;
    while (!rest.empty()) {
      const size_t end = rest.find("\n\n");
      const std::string_view frame = rest.substr(0, end);
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 2);
      const size_t line = frame.find("\ndata: ");
      boost::json::value value = boost::json::parse(frame.substr(line + 7));
      const bool named = frame.starts_with("event: ") && frame.substr(7, line - 7) == value.at("type").as_string();
      frames.push_back(named ? std::move(value) : boost::json::value(nullptr));
    }
    return frames;
  }

  int n_answers = 0;
  int status = 0;
  std::vector<Header> headers;
  std::string body;
  std::vector<std::string> pieces;
  bool streamed = false;
  bool over = false;
  bool aborted = false;
  bool reads_nothing = false;
  std::function<void()> timer;
  std::function<void()> on_half_closed;

 private:
  void End() {
    over = true;
    timer = nullptr;
    const auto last_owner = std::exchange(on_gone_, nullptr);
  }

  std::function<void()> on_gone_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> posted_;
};

// The scripted model had nothing, or nothing more, that fits the format which the request asks for: a failure of the
// script, not of the request's handling.
inline bool ScriptDidNotFit(const TestSink& sink) {
  return (sink.status == 500 || sink.streamed) && sink.body.find("the script has nothing to send") != std::string::npos;
}

// The byte alphabet as a vocabulary: token i of 0..255 is byte i; then the added tokens below.
inline std::shared_ptr<const tokenizer::Tokenizer> ByteTokenizer() {
  tokenizer::VocabularySpec spec;
  uint32_t next = 256;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const bool shown = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    const uint32_t point = shown ? byte : next++;
    std::string text;
    if (point < 0x80) {
      text = static_cast<char>(point);
    } else {
      text += static_cast<char>(0xC0 | (point >> 6));
      text += static_cast<char>(0x80 | (point & 0x3F));
    }
    spec.tokens.push_back(text);
  }
  for (const auto& [text, special] : std::initializer_list<std::pair<const char*, bool>>{{"<|endoftext|>", true},
                                                                                         {"<|im_start|>", true},
                                                                                         {"<|im_end|>", true},
                                                                                         {"<tool_call>", false},
                                                                                         {"</tool_call>", false},
                                                                                         {"<|fim_prefix|>", false},
                                                                                         {"<|fim_middle|>", false},
                                                                                         {"<|fim_suffix|>", false},
                                                                                         {"<|fim_pad|>", false},
                                                                                         {"<|repo_name|>", false},
                                                                                         {"<|file_sep|>", false}}) {
    spec.added.push_back({static_cast<tokenizer::TokenId>(spec.tokens.size()), text, special});
    spec.tokens.emplace_back(text);
  }
  return tokenizer::Tokenizer::FromSpec(std::move(spec)).value();
}

// A service with one model, "demo" (also "qwen3-coder-next" and its like), that says what the script says.
struct ScriptedService {
  explicit ScriptedService(std::string_view script, ServiceOptions options = {},
                           const engine::EngineLimits& engine_limits = {}) {
    static const auto tokenizer = ByteTokenizer();
    backend = engine::ScriptedBackend::Create(script, tokenizer, engine_limits).value();
    auto registry = std::make_shared<ModelRegistry>();
    ServedModel model;
    model.id = "demo";
    model.created = 1'770'000'000;
    model.backend = backend;
    model.tokenizer = tokenizer;
    model.chat_format = chat::ChatFormat::Create("").value();
    registry->Add(std::move(model)).value();
    registry->AddPublishedNames();
    models = registry;
    service = std::make_shared<Service>(std::move(options), registry);
  }

  // Hands the request over; the answer is still to come.
  std::shared_ptr<TestSink> Begin(std::string path, std::string body, std::string method = "POST",
                                  std::vector<Header> headers = {}) const {
    auto sink = std::make_shared<TestSink>();
    service->Handle({std::move(method), std::move(path), "", std::move(headers), std::move(body)}, sink);
    return sink;
  }
  std::shared_ptr<TestSink> Post(std::string path, std::string body) const {
    auto sink = Begin(std::move(path), std::move(body));
    sink->Run();
    return sink;
  }
  std::shared_ptr<TestSink> Get(std::string path, std::string method = "GET", std::vector<Header> headers = {}) const {
    auto sink = Begin(std::move(path), "", std::move(method), std::move(headers));
    sink->Run();
    return sink;
  }
  const std::shared_ptr<const ServedModel>& model() const { return models->models().front(); }

  std::shared_ptr<engine::Backend> backend;
  std::shared_ptr<const ModelRegistry> models;
  std::shared_ptr<Service> service;
};

}  // namespace quern::api
