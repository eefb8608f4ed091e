#include "model/importance_collect.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "model/activations.h"
#include "model/weights.h"
#include "model/window_runner.h"

namespace quern::model {
namespace {

struct Sums {
  int n_experts = 1;
  std::vector<double> squares;  // [n_experts, n_cols]
  std::vector<int64_t> n_rows;  // [n_experts]
};

// Where a matrix's inputs are counted.
struct Place {
  Sums* sums;
  int expert;
};

class Collector {
 public:
  explicit Collector(const Weights& weights, bool tied) {
    for (size_t layer = 0; layer < weights.layers.size(); ++layer) {
      AddLayer(weights.layers[layer], fmt::format("blk.{}.", layer));
    }
    Add(weights.lm_head, tied ? "token_embd.weight" : "output.weight");
  }

  // In front of a product, on the thread that asked for it.
  void See(const kernels::MatMulJob& job) {
    const auto [first, last] = places_.equal_range(job.weights);
    for (auto at = first; at != last; ++at) Count(job, at->second);
  }

  Result<ImportanceMatrix> Finish() const {
    ImportanceMatrix out;
    for (const auto& [name, sums] : sums_) {
      const size_t n_cols = sums.squares.size() / sums.n_rows.size();
      ImportanceMatrix::Entry entry{.n_experts = sums.n_experts, .mean_squares = {}};
      for (size_t i = 0; i < sums.squares.size(); ++i) {
        const auto n = static_cast<double>(std::max<int64_t>(1, sums.n_rows[i / n_cols]));
        const auto mean = static_cast<float>(sums.squares[i] / n);
        if (!std::isfinite(mean)) {
          return Error(Code::kCorrupt,
                       fmt::format("the inputs of \"{}\" are not finite: the checkpoint is damaged", name));
        }
        entry.mean_squares.push_back(mean);
      }
      out.Set(name, std::move(entry));
    }
    return out;
  }

 private:
  void Add(const kernels::Matrix& matrix, const std::string& name, int expert = 0, int n_experts = 1) {
    if (matrix.rows() == 0) return;
    Sums& sums = sums_[name];
    sums.n_experts = n_experts;
    sums.squares.resize(static_cast<size_t>(n_experts) * static_cast<size_t>(matrix.cols()));
    sums.n_rows.resize(static_cast<size_t>(n_experts));
    places_.emplace(&matrix, Place{&sums, expert});
  }

  void AddLayer(const LayerWeights& layer, const std::string& prefix) {
    const AttentionWeights& a = layer.attention;
    Add(a.q, prefix + "attn_q.weight");
    Add(a.k, prefix + "attn_k.weight");
    Add(a.v, prefix + "attn_v.weight");
    Add(a.o, prefix + "attn_output.weight");
    const DeltaNetWeights& d = layer.delta_net;
    Add(d.qkvz, prefix + "attn_qkv.weight");  // GGUF has it in two
    Add(d.qkvz, prefix + "attn_gate.weight");
    Add(d.qkv, prefix + "attn_qkv.weight");
    Add(d.z, prefix + "attn_gate.weight");
    Add(d.ba, prefix + "ssm_ba.weight");
    Add(d.out, prefix + "ssm_out.weight");
    if (const auto* moe = std::get_if<MoeWeights>(&layer.ffn)) {
      const int n = static_cast<int>(moe->experts.size());
      for (int e = 0; e < n; ++e) AddFfn(moe->experts[static_cast<size_t>(e)], prefix, "_exps", e, n);
      AddFfn(moe->shared, prefix, "_shexp", 0, 1);
    } else {
      AddFfn(std::get<FfnWeights>(layer.ffn), prefix, "", 0, 1);
    }
  }

  void AddFfn(const FfnWeights& ffn, const std::string& prefix, const char* kind, int expert, int n_experts) {
    Add(ffn.gate, fmt::format("{}ffn_gate{}.weight", prefix, kind), expert, n_experts);
    Add(ffn.up, fmt::format("{}ffn_up{}.weight", prefix, kind), expert, n_experts);
    Add(ffn.down, fmt::format("{}ffn_down{}.weight", prefix, kind), expert, n_experts);
  }

  static void Count(const kernels::MatMulJob& job, const Place& place) {
    const auto n_cols = static_cast<size_t>(job.weights->cols());
    double* squares = place.sums->squares.data() + static_cast<size_t>(place.expert) * n_cols;
    const int64_t n = job.gather.empty() ? job.x.n_rows : static_cast<int64_t>(job.gather.size());
    for (int64_t i = 0; i < n; ++i) {
      const int64_t row = job.gather.empty() ? i : job.gather[static_cast<size_t>(i)];
      const float* x = job.x.data + row * job.x.stride;
      for (size_t c = 0; c < n_cols; ++c) squares[c] += static_cast<double>(x[c]) * static_cast<double>(x[c]);
    }
    place.sums->n_rows[static_cast<size_t>(place.expert)] += n;
  }

  std::map<std::string, Sums> sums_;  // by GGUF name; addresses stay
  std::multimap<const kernels::Matrix*, Place> places_;
};

}  // namespace

Result<ImportanceMatrix> CollectImportance(const Model& model, std::span<const TokenId> tokens, int window,
                                           ThreadPool& pool, const ProgressFn& progress) {
  if (tokens.empty()) return Error(Code::kInvalidArgument, "a text without tokens says nothing");
  if (model.weights() == nullptr) return Error(Code::kUnsupported, "this model has no weights to watch");
  Collector collector(*model.weights(), model.config().tied_embeddings);
  QUERN_ASSIGN(const auto runner, WindowRunner::Create(model, window));
  static_cast<ActivationsBody&>(runner->activations()).matmul.SetObserver([&](const kernels::MatMulJob& job) {
    collector.See(job);
  });
  for (const WindowPiece& piece : WindowPieces(tokens.size(), static_cast<size_t>(window))) {
    if (piece.starts_window) runner->Restart();
    QUERN_TRY(runner->Next(tokens.subspan(piece.begin, piece.n), pool));
    if (progress) progress(piece.begin + piece.n, tokens.size());
  }
  return collector.Finish();
}

}  // namespace quern::model
