// What a model name leads to: a backend, its tokenizer and its chat format. Built by the command line, then immutable
// and thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "chat/chat_format.h"
#include "engine/engine.h"
#include "grammar/grammar_compiler.h"
#include "tokenizer/tokenizer.h"

namespace quern::api {

struct ServedModel {
  std::string id;            // as listed by /v1/models
  std::string display_name;  // empty = id
  std::string owned_by = "qwen";
  int64_t created = 0;  // unix seconds
  int max_output_tokens = 65536;
  std::shared_ptr<engine::Backend> backend;
  std::shared_ptr<const tokenizer::Tokenizer> tokenizer;
  std::shared_ptr<const chat::ChatFormat> chat_format;

  // Filled by ModelRegistry::Add.
  std::shared_ptr<grammar::GrammarCompiler> grammars;  // over the tokenizer's vocabulary
  size_t max_token_bytes = 0;  // longest text of one token: a lower bound of a prompt's length without encoding it

  int context_length() const { return backend->info().context_length; }
  // The most that one request may ask for.
  int max_output() const;
};

// Names are compared case-insensitively and without surrounding blanks. Add everything before serving.
class ModelRegistry {
 public:
  // Errors: kInvalidArgument (a missing part, or a name already taken).
  Result<void> Add(ServedModel model, const std::vector<std::string>& aliases = {});

  // The names under which these models are sold (api.md 0.7), all leading to the first model unless taken already.
  void AddPublishedNames();

  // Names like claude-* and gpt-* lead to the first model. Off by default.
  void EnableCatchAll() { catch_all_ = true; }

  // nullptr when unknown.
  std::shared_ptr<const ServedModel> Find(std::string_view name) const;

  struct Listing {
    std::string id;
    std::shared_ptr<const ServedModel> model;
  };
  // Model ids first, then aliases, in the order of adding.
  const std::vector<Listing>& listings() const { return listings_; }
  const std::vector<std::shared_ptr<const ServedModel>>& models() const { return models_; }

 private:
  bool AddName(std::string_view name, const std::shared_ptr<const ServedModel>& model);

  std::vector<std::shared_ptr<const ServedModel>> models_;
  std::vector<Listing> listings_;
  std::unordered_map<std::string, std::shared_ptr<const ServedModel>> by_name_;
  bool catch_all_ = false;
};

}  // namespace quern::api
