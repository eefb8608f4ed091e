// Runs a text through a model in windows that know nothing of each other: how predictions are compared and activations
// collected.
#pragma once

#include <memory>
#include <span>

#include "base/status.h"
#include "base/thread_pool.h"
#include "model/model.h"

namespace quern::model {

// Tokens computed in one batch: enough to read the weights well, few enough that their logits stay small.
inline constexpr int kWindowChunk = 128;

// One model and one sequence. Does not own the model. One thread at a time.
class WindowRunner {
 public:
  // Errors: kInvalidArgument (a window beyond the model's context), those of KvPool::Create.
  static Result<std::unique_ptr<WindowRunner>> Create(const Model& model, int window);

  Activations& activations() { return *activations_; }

  // Begins a new window.
  void Restart();
  // The next tokens of the window, at most kWindowChunk; logits of all of them, valid until the next call.
  // Errors: those of Model::Forward.
  Result<ForwardResult> Next(std::span<const TokenId> tokens, ThreadPool& pool);

 private:
  WindowRunner(const Model& model, std::unique_ptr<KvPool> kv);

  const Model& model_;
  std::unique_ptr<KvPool> kv_;
  std::unique_ptr<Activations> activations_;
  std::unique_ptr<SequenceState> sequence_;
};

// A piece of a window: tokens [begin, begin + n) of the text.
struct WindowPiece {
  size_t begin;
  size_t n;
  bool starts_window;
};

// The pieces of all windows of a text in order. The last window may be short.
std::vector<WindowPiece> WindowPieces(size_t n_tokens, size_t window);

}  // namespace quern::model
