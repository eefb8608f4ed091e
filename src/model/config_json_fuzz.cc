// Fuzz target: any text as config.json and as generation_config.json. What parses must be safe to compute with.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "model/config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quern::model;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = ParseConfig(text);
  if (config.has_value()) {
    if (config->CountParameters() <= 0 || config->KvBytesPerToken({}) <= 0) std::abort();
    if (config->n_heads % config->n_kv_heads != 0 || config->n_experts_used > config->n_experts) std::abort();
    if (!(*FinishConfig(*config) == *config)) std::abort();  // finishing twice changes nothing
  }
  const auto generation = ParseGenerationConfig(text);
  return generation.has_value() && generation->eos_tokens.size() > static_cast<size_t>(kMaxEosTokens) ? 1 : 0;
}
