#include "api/dashscope_writer.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "api/json_writer.h"
#include "api/logprobs.h"

namespace quern::api {

namespace {

void WriteNativeUsage(JsonWriter& json, const Usage& usage) {
  json.BeginObject();
  json.Key("input_tokens").Int(usage.n_prompt);
  json.Key("output_tokens").Int(usage.n_generated);
  json.Key("total_tokens").Int(int64_t{usage.n_prompt} + usage.n_generated);
  json.Key("prompt_tokens_details").BeginObject().Key("cached_tokens").Int(usage.n_cached).EndObject();
  json.EndObject();
}

// What one frame says of one choice.
struct Piece {
  std::string content;
  std::vector<WholeCall> calls;  // calls[i].id empty: more arguments for a call that was opened in an earlier frame
  int first_call = 0;            // index of calls[0]
  std::vector<engine::TokenEvent> logprobs;
};

class DashScopeWriter final : public ChatWriter {
 public:
  DashScopeWriter(DashScopeResult result, bool incremental) : result_(result), incremental_(incremental) {}

  void Attach(Exchange& exchange, const ChatTurn& turn) override {
    exchange_ = &exchange;
    turn_ = &turn;
    so_far_.resize(static_cast<size_t>(turn.request.fields.n));
  }

  void Begin() override { exchange_->StartSse(); }

  void Delta(size_t choice, const ChatDelta& delta, const Usage& so_far) override {
    Piece& all = so_far_[choice];
    if (!incremental_) {
      Append(all, delta.content, delta.tools, delta.logprobs);
      WriteFrame(choice, all, "null", so_far);
      return;
    }
    if (!delta.content.empty() || !delta.logprobs.empty()) {
      WriteFrame(choice, {delta.content, {}, 0, delta.logprobs}, "null", so_far);
    }
    for (const ToolDelta& tool : delta.tools) WriteToolFrames(choice, tool, so_far);
  }

  // Both SDKs skip comments.
  void KeepAlive(size_t, const Usage&) override { exchange_->WriteRaw(":ping\n\n"); }

  // The last frame of all carries the usage of all choices, so each one waits for the next.
  void EndChoice(size_t choice, const ChoiceEnd& end, const Usage& so_far) override {
    WriteEnd();
    ended_ = Ended{choice, end.finish_reason, so_far};
  }

  void End(const Usage& usage) override {
    if (ended_) ended_->usage = usage;
    WriteEnd();
    exchange_->EndStream(200);
  }

  void Fail(const ApiError& error) override {
    const Dialect& dialect = exchange_->dialect();
    const int status = dialect.error_status(error);
    exchange_->WriteRaw(fmt::format("id:{}\nevent:error\n:HTTP_STATUS/{}\nstatus:{}\ndata:{}\n\n", ++n_frames_, status,
                                    status, dialect.error_json(error, exchange_->request_id())));
    exchange_->EndStream(status);
  }

  std::string Whole(std::span<const WholeChoice> choices, const Usage& usage) override {
    JsonWriter json;
    json.BeginObject().Key("output").BeginObject();
    if (result_ == DashScopeResult::kText) {
      json.Key("text").String(choices[0].content);
      json.Key("finish_reason").String(choices[0].end.finish_reason);
    } else {
      json.Key("choices").BeginArray();
      for (size_t i = 0; i < choices.size(); ++i) {
        const WholeChoice& choice = choices[i];
        WriteChoice(json, i, {choice.content, choice.calls, 0, choice.logprobs}, choice.end.finish_reason);
      }
      json.EndArray();
    }
    json.EndObject();
    WriteTail(json, usage);
    return json.Take();
  }

 private:
  struct Ended {
    size_t choice;
    std::string finish_reason;
    Usage usage;
  };

  static void Append(Piece& all, const std::string& content, const std::vector<ToolDelta>& tools,
                     const std::vector<engine::TokenEvent>& logprobs) {
    all.content += content;
    for (const ToolDelta& tool : tools) {
      if (tool.begin) all.calls.push_back({tool.id, tool.name, ""});
      if (!all.calls.empty()) all.calls.back().arguments += tool.arguments;
    }
    all.logprobs.insert(all.logprobs.end(), logprobs.begin(), logprobs.end());
  }

  void WriteToolFrames(size_t choice, const ToolDelta& tool, const Usage& so_far) {
    if (tool.begin) WriteFrame(choice, {"", {{tool.id, tool.name, ""}}, tool.index, {}}, "null", so_far);
    if (tool.arguments.empty()) return;
    WriteFrame(choice, {"", {{"", "", tool.arguments}}, tool.index, {}}, "null", so_far);
  }

  void WriteEnd() {
    if (!ended_) return;
    const Ended ended = std::move(*ended_);
    ended_.reset();
    WriteFrame(ended.choice, incremental_ ? Piece{} : so_far_[ended.choice], ended.finish_reason, ended.usage);
  }

  void WriteFrame(size_t choice, const Piece& piece, std::string_view finish_reason, const Usage& usage) {
    JsonWriter json;
    json.BeginObject().Key("output").BeginObject();
    if (result_ == DashScopeResult::kText) {
      json.Key("text").String(piece.content);
      json.Key("finish_reason").String(finish_reason);
    } else {
      json.Key("choices").BeginArray();
      WriteChoice(json, choice, piece, finish_reason);
      json.EndArray();
    }
    json.EndObject();
    WriteTail(json, usage);
    exchange_->WriteRaw(fmt::format("id:{}\nevent:result\n:HTTP_STATUS/200\ndata:{}\n\n", ++n_frames_, json.text()));
  }

  // Content is always a string: one SDK parses nothing else.
  void WriteChoice(JsonWriter& json, size_t index, const Piece& piece, std::string_view finish_reason) const {
    json.BeginObject();
    if (so_far_.size() > 1) json.Key("index").Int(static_cast<int64_t>(index));
    json.Key("finish_reason").String(finish_reason);
    json.Key("message").BeginObject().Key("role").String("assistant").Key("content").String(piece.content);
    if (!piece.calls.empty()) {
      json.Key("tool_calls").BeginArray();
      for (size_t i = 0; i < piece.calls.size(); ++i) {
        WriteCall(json, piece.first_call + static_cast<int>(i), piece.calls[i]);
      }
      json.EndArray();
    }
    json.EndObject();
    if (turn_->request.logprobs && !piece.logprobs.empty()) {
      json.Key("logprobs");
      WriteChatLogprobs(json, *turn_->model.tokenizer, piece.logprobs);
    }
    json.EndObject();
  }

  static void WriteCall(JsonWriter& json, int index, const WholeCall& call) {
    json.BeginObject().Key("index").Int(index).Key("id").String(call.id).Key("type").String("function");
    json.Key("function").BeginObject();
    if (!call.id.empty()) json.Key("name").SanitizedString(call.name);
    json.Key("arguments").String(call.arguments).EndObject().EndObject();
  }

  void WriteTail(JsonWriter& json, const Usage& usage) const {
    json.Key("usage");
    WriteNativeUsage(json, usage);
    json.Key("request_id").String(exchange_->request_id()).EndObject();
  }

  const DashScopeResult result_;
  const bool incremental_;
  Exchange* exchange_ = nullptr;
  const ChatTurn* turn_ = nullptr;
  std::vector<Piece> so_far_;  // of each choice; unused when incremental
  std::optional<Ended> ended_;
  int n_frames_ = 0;
};

}  // namespace

std::unique_ptr<ChatWriter> NewDashScopeWriter(DashScopeResult result, bool incremental) {
  return std::make_unique<DashScopeWriter>(result, incremental);
}

}  // namespace quern::api
