// Any bytes as tokenizer.json. When they are one, it must encode and decode any text.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/utf8.h"
#include "tokenizer/nfc.h"
#include "tokenizer/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quern;
  using namespace quern::tokenizer;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto tokenizer = Tokenizer::FromJson(input);
  if (!tokenizer.has_value()) {
    QUERN_CHECK(!tokenizer.error().message().empty());
    return 0;
  }
  // The file itself is as good a text as any; its end is where mutations add bytes.
  const std::string_view text = input.substr(input.size() - std::min<size_t>(input.size(), 512));
  const auto ids = (*tokenizer)->Encode(text, {.added = AddedTokens::kIgnore});
  std::string storage;
  QUERN_CHECK((*tokenizer)->DecodeBytes(ids, false) == ToNfc(text, storage));
  StreamDecoder decoder(*tokenizer, false);
  std::string streamed;
  for (const TokenId id : (*tokenizer)->Encode(text)) streamed += decoder.Push(id);
  streamed += decoder.Flush();
  QUERN_CHECK(IsValidUtf8(streamed));
  return 0;
}
