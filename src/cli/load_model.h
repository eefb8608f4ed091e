// A path -> everything that answers requests: weights, tokenizer, chat template, generation defaults, engine.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "chat/chat_format.h"
#include "cli/settings.h"
#include "engine/engine.h"
#include "engine/right_of_way.h"
#include "model/checkpoint.h"
#include "model/model.h"
#include "model/packed_file.h"
#include "tokenizer/tokenizer.h"

namespace quern::cli {

// The path to load: settings' model, or the model in the box (found beside the program, so that it works from any
// directory). Errors: kNotFound, with the places looked at.
Result<std::filesystem::path> ModelPath(const Settings& settings);

// What is read from a checkpoint; no engine yet, no thread.
struct LoadedFiles {
  std::filesystem::path path;
  std::shared_ptr<const model::Checkpoint> checkpoint;
  std::unique_ptr<model::Model> model;  // null when a script answers
  uint64_t kv_bytes = 0;                // for keys, values and states: what the memory plan leaves
  std::shared_ptr<const tokenizer::Tokenizer> tokenizer;
  std::shared_ptr<const chat::ChatFormat> chat_format;
};

// tokenizer.json of a directory, or the metadata of a GGUF file. Errors: kNotFound, kCorrupt, kUnsupported; the file is
// named.
Result<std::shared_ptr<const tokenizer::Tokenizer>> LoadTokenizer(const model::Checkpoint& checkpoint);

// chat_template.jinja, else chat_template of tokenizer_config.json (a string, or a list of named ones: "default"
// first), else the metadata of a GGUF file, else empty.
Result<std::string> ReadChatTemplate(const model::Checkpoint& checkpoint);

// What is read of a model's text side; no weights.
struct TextFiles {
  std::shared_ptr<const tokenizer::Tokenizer> tokenizer;
  std::shared_ptr<const chat::ChatFormat> chat_format;
  engine::SamplingDefaults defaults;
  std::vector<engine::TokenId> eos_tokens;
  int context_length = 0;  // 0 = not said
};

// From a checkpoint, or from a directory with its tokenizer.json and what there is of config.json,
// generation_config.json and the chat template. Errors as above.
Result<TextFiles> LoadTextFiles(const std::filesystem::path& path);

// The packed file beside the checkpoint; null when there is none, or when it cannot be used: a line on standard error
// then says why.
std::shared_ptr<const model::PackedFile> FindPacked(const model::Checkpoint& checkpoint);

// Loads everything; progress of the weights goes to the terminal. Errors as above.
Result<LoadedFiles> LoadFiles(const Settings& settings);

// Starts the backend: the native engine, or the scripted one. Takes files.model. right_of_way: shared with the other
// models of this process; null = there are none.
Result<std::shared_ptr<engine::Backend>> StartBackend(LoadedFiles& files, const Settings& settings,
                                                      std::shared_ptr<engine::RightOfWay> right_of_way = nullptr);

// The ids that end an answer: what the checkpoint says, and the tokenizer's <|im_end|> and <|endoftext|>.
std::vector<engine::TokenId> StopTokens(const engine::BackendInfo& info, const tokenizer::Tokenizer& tokenizer);

// A name for the API: the setting, else the directory or file without its ending; "quern-demo" for the model in the
// box.
std::string ModelName(const Settings& settings, const std::filesystem::path& path);

}  // namespace quern::cli
