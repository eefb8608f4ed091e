// Ollama's requests without anything to answer: they load a model, or unload it (`keep_alive` 0), and say so when it is
// done. api.md H.3.
#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "api/exchange.h"
#include "api/ollama_writer.h"
#include "api/served_model.h"

namespace quern::api {

// No messages, or no prompt and no suffix.
bool IsOllamaLoad(const boost::json::object& body, OllamaShape shape);

struct OllamaLoad {
  std::string model_name;  // as it was asked for
  OllamaShape shape = OllamaShape::kMessage;
  std::optional<std::chrono::milliseconds> keep_alive;
};

// A model that is not loaded on demand is there already, and stays. Strand only; returns at once.
void AnswerOllamaLoad(std::shared_ptr<Exchange> exchange, std::shared_ptr<const ServedModel> model, OllamaLoad load);

}  // namespace quern::api
