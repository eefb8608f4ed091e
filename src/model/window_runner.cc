#include "model/window_runner.h"

#include <fmt/core.h>

#include <algorithm>

namespace quern::model {

Result<std::unique_ptr<WindowRunner>> WindowRunner::Create(const Model& model, int window) {
  if (window < 2 || window > model.config().context_length) {
    return Error(Code::kInvalidArgument,
                 fmt::format("a window of {} tokens; {} takes 2 to {}", window, model.checkpoint().path().string(),
                             model.config().context_length));
  }
  QUERN_ASSIGN(auto kv, KvPool::Create(model, (window + kKvPageTokens - 1) / kKvPageTokens));
  return std::unique_ptr<WindowRunner>(new WindowRunner(model, std::move(kv)));
}

WindowRunner::WindowRunner(const Model& model, std::unique_ptr<KvPool> kv)
    : model_(model), kv_(std::move(kv)), activations_(Activations::Create()), sequence_(SequenceState::Create(*kv_)) {}

void WindowRunner::Restart() {
  sequence_.reset();  // gives its pages back first
  sequence_ = SequenceState::Create(*kv_);
}

Result<ForwardResult> WindowRunner::Next(std::span<const TokenId> tokens, ThreadPool& pool) {
  QUERN_TRY(sequence_->Reserve(static_cast<int>(tokens.size())));
  const Segment segment{.sequence = sequence_.get(), .tokens = tokens, .logits = LogitsFor::kAll};
  return model_.Forward({&segment, 1}, *activations_, pool);
}

std::vector<WindowPiece> WindowPieces(size_t n_tokens, size_t window) {
  std::vector<WindowPiece> pieces;
  for (size_t begin = 0; begin < n_tokens;) {
    const size_t at = begin % window;
    const size_t n = std::min({size_t{kWindowChunk}, window - at, n_tokens - begin});
    pieces.push_back({begin, n, at == 0});
    begin += n;
  }
  return pieces;
}

}  // namespace quern::model
