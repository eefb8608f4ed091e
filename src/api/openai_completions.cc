#include "api/openai_completions.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>

#include "api/fim.h"
#include "base/utf8.h"

namespace quern::api {

namespace json = boost::json;

namespace {

class PromptReader {
 public:
  PromptReader(const ServedModel& model, const Limits& limits, bool needs_output)
      : model_(model), limits_(limits), needs_output_(needs_output) {}

  // suffix: absent or empty for a plain completion.
  ApiResult<std::vector<CompletionPrompt>> Read(const ObjectReader& body, std::string_view suffix) {
    suffix_ = suffix;
    const json::value* prompt = body.Find("prompt");
    if (prompt == nullptr) {
      QUERN_API_TRY(AddText("", "prompt"));
    } else if (prompt->is_string()) {
      QUERN_API_TRY(AddText(std::string_view(prompt->get_string()), "prompt"));
    } else if (prompt->is_array()) {
      QUERN_API_TRY(ReadList(prompt->get_array()));
    } else {
      return Fail(WrongKind("prompt", "a string or an array", *prompt));
    }
    return std::move(prompts_);
  }

  bool saw_fim() const { return saw_fim_; }

 private:
  ApiResult<void> ReadList(const json::array& list) {
    if (list.empty()) {
      return Fail(BadField("prompt", "Invalid value for 'prompt': the array is empty.", "invalid_value"));
    }
    if (list[0].is_number()) return AddIds(list, "prompt");
    if (list.size() > limits_.max_prompts) {
      return Fail(BadField("prompt",
                           fmt::format("'prompt' has {} entries, at most {} are allowed (limit max_prompts).",
                                       list.size(), limits_.max_prompts),
                           "invalid_value"));
    }
    for (size_t i = 0; i < list.size(); ++i) {
      const std::string path = fmt::format("prompt[{}]", i);
      if (list[i].is_string()) {
        QUERN_API_TRY(AddText(std::string_view(list[i].get_string()), path));
      } else if (list[i].is_array()) {
        QUERN_API_TRY(AddIds(list[i].get_array(), path));
      } else {
        return Fail(WrongKind(path, "a string or an array of token ids", list[i]));
      }
    }
    return {};
  }

  ApiResult<void> AddText(std::string_view text, const std::string& path) {
    QUERN_API_TRY(CheckTextFits(model_, text.size(), "prompt"));
    CompletionPrompt prompt;
    const bool in_prompt = HasFimMarkers(text);
    std::string for_model(text);
    if (in_prompt) {
      for_model = CompleteFim(std::move(for_model));
    } else if (!suffix_.empty()) {
      for_model = BuildFim(text, suffix_);
    }
    if (in_prompt || !suffix_.empty()) {
      saw_fim_ = true;
      if (model_.tokenizer->AddedTokenId(kFimMiddle) < 0) {
        return Fail(BadField(in_prompt ? path : "suffix",
                             "This model's tokenizer has no fill-in-the-middle tokens: it cannot fill in.",
                             "unsupported"));
      }
    }
    prompt.text = text;
    tokenizer::EncodeOptions encode;
    tokenizer::ByteRange behind_cursor{};
    if (!in_prompt && !suffix_.empty()) {
      // A file that mentions control tokens behind the cursor must not end the prompt early.
      behind_cursor.end = for_model.size() - kFimMiddle.size();
      behind_cursor.begin = behind_cursor.end - suffix_.size();
      encode.literal = {&behind_cursor, 1};
    }
    prompt.tokens = model_.tokenizer->Encode(for_model, encode);
    return Add(std::move(prompt), path);
  }

  ApiResult<void> AddIds(const json::array& ids, const std::string& path) {
    QUERN_API_TRY(CheckPromptFits(model_, ids.size(), needs_output_, "prompt"));
    CompletionPrompt prompt;
    prompt.tokens.reserve(ids.size());
    const int vocab_size = model_.backend->info().vocab_size;
    for (size_t i = 0; i < ids.size(); ++i) {
      const std::optional<int64_t> id = ids[i].is_number() ? AsInteger(ids[i]) : std::nullopt;
      if (!id || *id < 0 || *id >= vocab_size) {
        const std::string item = fmt::format("{}[{}]", path, i);
        if (!ids[i].is_number()) return Fail(WrongKind(item, "a token id", ids[i]));
        return Fail(BadField(
            item, fmt::format("Invalid value for '{}': token ids are integers in [0, {}].", item, vocab_size - 1),
            "invalid_value"));
      }
      prompt.tokens.push_back(static_cast<engine::TokenId>(*id));
    }
    prompt.text = ReplaceInvalidUtf8(model_.tokenizer->DecodeBytes(prompt.tokens, false));
    const engine::TokenId middle = model_.tokenizer->AddedTokenId(kFimMiddle);
    saw_fim_ |= std::find(prompt.tokens.begin(), prompt.tokens.end(), middle) != prompt.tokens.end();
    return Add(std::move(prompt), path);
  }

  ApiResult<void> Add(CompletionPrompt prompt, const std::string& path) {
    if (prompt.tokens.empty()) {
      // These models know no beginning-of-text token; the end of the text before stands for one.
      const engine::TokenId start = model_.tokenizer->AddedTokenId("<|endoftext|>");
      if (start < 0) {
        return Fail(BadField(path, "Invalid value for 'prompt': it is empty, and this model cannot begin from nothing.",
                             "invalid_value"));
      }
      prompt.tokens.push_back(start);
      prompt.placeholder = true;
    }
    QUERN_API_TRY(CheckPromptFits(model_, prompt.tokens.size(), needs_output_, "prompt"));
    prompts_.push_back(std::move(prompt));
    return {};
  }

  const ServedModel& model_;
  const Limits& limits_;
  const bool needs_output_;
  std::string_view suffix_;
  std::vector<CompletionPrompt> prompts_;
  bool saw_fim_ = false;
};

ApiResult<void> ReadShapeOptions(const ObjectReader& body, const Limits& limits, CompletionRequest& request) {
  QUERN_API_ASSIGN(const auto echo, body.Bool("echo"));
  request.echo = echo.value_or(false);
  QUERN_API_ASSIGN(const auto logprobs, body.Int("logprobs", 0, limits.max_top_logprobs));
  request.logprobs = static_cast<int>(logprobs.value_or(-1));
  QUERN_API_ASSIGN(const auto best_of, body.Int("best_of", 1, static_cast<int64_t>(limits.max_choices)));
  request.best_of = static_cast<int>(best_of.value_or(request.fields.n));
  if (request.best_of < request.fields.n) {
    return Fail(
        BadField("best_of",
                 fmt::format("Invalid value for 'best_of': {} is less than n ({}).", request.best_of, request.fields.n),
                 "invalid_value"));
  }
  if (request.best_of > request.fields.n && request.fields.stream) {
    return Fail(BadField("best_of", "'best_of' cannot be combined with 'stream'.", "invalid_value"));
  }
  return {};
}

}  // namespace

void AddImplicitStops(const ServedModel& model, bool fim, CompletionRequest& request) {
  if (request.fields.ignore_eos) return;
  const auto add = [&](std::string_view text) {
    const engine::TokenId id = model.tokenizer->AddedTokenId(text);
    if (id >= 0 && id < model.backend->info().vocab_size) request.implicit_stops.push_back(id);
  };
  add("<|endoftext|>");
  add("<|im_end|>");
  if (!fim) return;
  for (const std::string_view text : kFimStops) add(text);
}

ApiResult<CompletionRequest> ReadCompletionRequest(const ObjectReader& body, const ServedModel& model,
                                                   const Limits& limits, CompletionShape shape) {
  CompletionRequest request;
  request.shape = shape;
  QUERN_API_ASSIGN(request.fields, ReadGenerationFields(body, model, limits, FieldsFor::kCompletions));
  QUERN_API_TRY(ReadShapeOptions(body, limits, request));
  QUERN_API_ASSIGN(const auto suffix, body.String("suffix"));
  if (request.echo && suffix && !suffix->empty()) {
    return Fail(BadField("echo", "'echo' cannot be combined with 'suffix'.", "invalid_value"));
  }
  const bool needs_output = request.fields.max_tokens.value_or(1) != 0;
  PromptReader prompts(model, limits, needs_output);
  QUERN_API_ASSIGN(request.prompts, prompts.Read(body, suffix.value_or("")));
  const size_t n_choices = request.prompts.size() * static_cast<size_t>(request.best_of);
  if (n_choices > limits.max_choices) {
    return Fail(BadField(request.best_of > 1 ? "n" : "prompt",
                         fmt::format("{} prompts times {} choices is more than {} (limit max_choices).",
                                     request.prompts.size(), request.best_of, limits.max_choices),
                         "invalid_value"));
  }
  const bool fim = prompts.saw_fim() || shape == CompletionShape::kFim;
  request.default_max_tokens = fim ? 256 : 16;
  AddImplicitStops(model, fim, request);
  if (request.fields.format && needs_output) {
    if (request.fields.ignore_eos) {
      return Fail(
          BadField("ignore_eos", "'ignore_eos' cannot be combined with a format of the answer.", "invalid_value"));
    }
    QUERN_API_ASSIGN(request.grammar, CompileFormat(*request.fields.format, model));
  }
  return request;
}

}  // namespace quern::api
