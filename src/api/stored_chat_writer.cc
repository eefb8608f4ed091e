#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "api/metadata.h"
#include "api/responses_request.h"
#include "api/stored_chat.h"

namespace quern::api {

namespace json = boost::json;

namespace {

class StoringChatWriter final : public ChatWriter {
 public:
  StoringChatWriter(std::unique_ptr<ChatWriter> writer, StoredChatRequest request, std::shared_ptr<KeptItems> kept)
      : writer_(std::move(writer)), request_(std::move(request)), kept_(std::move(kept)) {}

  void Attach(Exchange& exchange, const ChatTurn& turn) override {
    exchange_ = &exchange;
    model_ = turn.request.fields.model_name;
    choices_.resize(static_cast<size_t>(turn.request.fields.n));
    writer_->Attach(exchange, turn);
  }

  void Begin() override { writer_->Begin(); }

  void Delta(size_t choice, const ChatDelta& delta, const Usage& so_far) override {
    WholeChoice& whole = choices_[choice];
    whole.content += delta.content;
    whole.logprobs.insert(whole.logprobs.end(), delta.logprobs.begin(), delta.logprobs.end());
    whole.token_ids.insert(whole.token_ids.end(), delta.token_ids.begin(), delta.token_ids.end());
    for (const ToolDelta& tool : delta.tools) {
      if (tool.begin) whole.calls.push_back({tool.id, tool.name, ""});
      if (!whole.calls.empty()) whole.calls.back().arguments += tool.arguments;
    }
    writer_->Delta(choice, delta, so_far);
  }

  void KeepAlive(size_t choice, const Usage& so_far) override { writer_->KeepAlive(choice, so_far); }

  void EndChoice(size_t choice, const ChoiceEnd& end, const Usage& so_far) override {
    choices_[choice].end = end;
    writer_->EndChoice(choice, end, so_far);
  }

  void End(const Usage& usage) override {
    Keep(writer_->Whole(choices_, usage));
    writer_->End(usage);
  }

  void Fail(const ApiError& error) override { writer_->Fail(error); }

  std::string Whole(std::span<const WholeChoice> choices, const Usage& usage) override {
    std::string whole = writer_->Whole(choices, usage);
    Keep(whole);
    return whole;
  }

 private:
  void Keep(const std::string& whole) {
    json::value object = ParseStored(whole);
    object.as_object()["metadata"] = ParseStored(request_.metadata);
    const KeptItem item{.object = json::serialize(object),
                        .input = std::move(request_.messages),
                        .output = "[]",
                        .part_ids = {},
                        .model = model_,
                        .metadata = std::move(request_.metadata)};
    const std::string id(object.at("id").as_string());
    const Result<void> kept = kept_->Put(ItemKind::kChatCompletion, exchange_->owner(), id, item);
    if (!kept) exchange_->metrics().CountKeepFailure(kept.error());
  }

  const std::unique_ptr<ChatWriter> writer_;
  StoredChatRequest request_;
  const std::shared_ptr<KeptItems> kept_;
  Exchange* exchange_ = nullptr;
  std::string model_;
  std::vector<WholeChoice> choices_;
};

}  // namespace

ApiResult<std::optional<StoredChatRequest>> ReadStore(const ObjectReader& body) {
  QUERN_API_ASSIGN(const auto store, body.Bool("store"));
  if (!store.value_or(false)) return std::nullopt;
  StoredChatRequest request;
  QUERN_API_ASSIGN(request.metadata, ReadMetadata(body));
  QUERN_API_ASSIGN(const json::array* messages, body.Array("messages"));
  request.messages = messages == nullptr ? "[]" : json::serialize(*messages);
  return request;
}

std::unique_ptr<ChatWriter> NewStoringChatWriter(std::unique_ptr<ChatWriter> writer, StoredChatRequest request,
                                                 std::shared_ptr<KeptItems> kept) {
  return std::make_unique<StoringChatWriter>(std::move(writer), std::move(request), std::move(kept));
}

}  // namespace quern::api
