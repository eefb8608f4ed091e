#include "model/plain_model.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <numeric>
#include <random>

#include "model/golden_case.h"

namespace quern::model {
namespace {

constexpr int kWidth = 32;  // of the residual stream, of a head, of everything that may be chosen

double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double Silu(double x) { return x * Sigmoid(x); }

std::string Config(Architecture architecture) {
  const bool next = architecture == Architecture::kQwen3Next;
  const bool moe = next || architecture == Architecture::kQwen3Moe;
  const bool qwen2 = architecture == Architecture::kQwen2;
  const char* classes[] = {"Qwen2ForCausalLM", "Qwen3ForCausalLM", "Qwen3MoeForCausalLM", "Qwen3NextForCausalLM"};
  std::string json = fmt::format(
      R"({{"architectures":["{}"],"model_type":"{}","hidden_size":32,"num_attention_heads":{},"num_key_value_heads":1,
      "num_hidden_layers":{},"intermediate_size":32,"vocab_size":64,"rms_norm_eps":1e-6,"tie_word_embeddings":false,
      "max_position_embeddings":{},"rope_theta":{},"rope_scaling":{{"rope_type":"yarn","factor":{},
      "original_max_position_embeddings":{}}})",
      classes[static_cast<int>(architecture)], ArchitectureName(architecture), qwen2 ? 1 : 2, next ? 2 : 1,
      qwen2 ? 32768 : 262144, qwen2 ? "1e6" : "1e7", qwen2 ? 32 : 4, qwen2 ? 32768 : 262144);
  if (!qwen2) json += R"(,"head_dim":32)";
  if (moe) {
    json += R"(,"num_experts":4,"num_experts_per_tok":2,"moe_intermediate_size":32,"norm_topk_prob":true,
      "decoder_sparse_step":1)";
  }
  if (next) {
    json += R"(,"mlp_only_layers":[0],"shared_expert_intermediate_size":32,"partial_rotary_factor":0.25,
      "layer_types":["linear_attention","full_attention"],"linear_num_key_heads":1,"linear_num_value_heads":2,
      "linear_key_head_dim":16,"linear_value_head_dim":16,"linear_conv_kernel_dim":4)";
  }
  return json + "}";
}

class TensorMaker {
 public:
  TensorMaker(TestTensors& out, uint32_t seed) : out_(out), rng_(seed) {}

  void Add(const std::string& name, std::vector<int64_t> shape, float sigma, float mean = 0) {
    const auto n = std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
    std::vector<float> values(static_cast<size_t>(n));
    for (float& value : values) value = mean + sigma * normal_(rng_);
    out_[name] = {std::move(shape), std::move(values)};
  }
  void Matrix(const std::string& name, int64_t rows, int64_t cols, float gain = 1) {
    Add(name, {rows, cols}, gain / std::sqrt(static_cast<float>(cols)));
  }
  void Ffn(const std::string& prefix) {
    for (const char* name : {"gate_proj", "up_proj", "down_proj"}) Matrix(prefix + name + ".weight", kWidth, kWidth);
  }

 private:
  TestTensors& out_;
  std::mt19937 rng_;
  std::normal_distribution<float> normal_;
};

void AddAttention(TensorMaker& maker, Architecture architecture, const std::string& p) {
  const bool qwen2 = architecture == Architecture::kQwen2;
  const bool next = architecture == Architecture::kQwen3Next;
  const int n_heads = qwen2 ? 1 : 2;
  // Gains that make some tokens stand out among a million.
  maker.Matrix(p + "q_proj.weight", (next ? 2 : 1) * n_heads * kWidth, kWidth, qwen2 ? 3 : 1);
  maker.Matrix(p + "k_proj.weight", kWidth, kWidth, qwen2 ? 2 : 1);
  maker.Matrix(p + "v_proj.weight", kWidth, kWidth);
  maker.Matrix(p + "o_proj.weight", kWidth, n_heads * kWidth, 2);
  if (qwen2) {
    for (const char* name : {"q_proj", "k_proj", "v_proj"}) maker.Add(p + name + ".bias", {kWidth}, 0.2F);
    return;
  }
  for (const char* name : {"q_norm", "k_norm"}) maker.Add(p + name + ".weight", {kWidth}, 0.2F, next ? 0.5F : 1.5F);
}

void AddDeltaNet(TensorMaker& maker, const std::string& p) {
  maker.Matrix(p + "in_proj_qkvz.weight", 96, kWidth);
  maker.Matrix(p + "in_proj_ba.weight", 4, kWidth);
  maker.Add(p + "conv1d.weight", {64, 1, 4}, 0.5F);
  maker.Add(p + "A_log", {2}, 0.2F, -3);  // remembers some tens of tokens
  maker.Add(p + "dt_bias", {2}, 0.2F);
  maker.Add(p + "norm.weight", {16}, 0.2F, 1);
  maker.Matrix(p + "out_proj.weight", kWidth, kWidth);
}

void AddMoe(TensorMaker& maker, bool shared, const std::string& p) {
  maker.Matrix(p + "gate.weight", 4, kWidth, 3);
  for (int e = 0; e < 4; ++e) maker.Ffn(fmt::format("{}experts.{}.", p, e));
  if (!shared) return;
  maker.Ffn(p + "shared_expert.");
  maker.Matrix(p + "shared_expert_gate.weight", 1, kWidth);
}

}  // namespace

TinyCheckpoint TinyCheckpoint::Make(Architecture architecture, uint32_t seed) {
  TinyCheckpoint out{.config_json = Config(architecture), .tensors = {}};
  TensorMaker maker(out.tensors, seed);
  const bool next = architecture == Architecture::kQwen3Next;
  const float norm = next ? 0 : 1;
  maker.Add("model.embed_tokens.weight", {64, kWidth}, 1);
  maker.Matrix("lm_head.weight", 64, kWidth);
  maker.Add("model.norm.weight", {kWidth}, 0.2F, norm);
  const int n_layers = next ? 2 : 1;
  for (int layer = 0; layer < n_layers; ++layer) {
    const std::string p = fmt::format("model.layers.{}.", layer);
    maker.Add(p + "input_layernorm.weight", {kWidth}, 0.2F, norm);
    maker.Add(p + "post_attention_layernorm.weight", {kWidth}, 0.2F, norm);
    if (next && layer == 0) {
      AddDeltaNet(maker, p + "linear_attn.");
      maker.Ffn(p + "mlp.");
      continue;
    }
    AddAttention(maker, architecture, p + "self_attn.");
    if (next || architecture == Architecture::kQwen3Moe) {
      AddMoe(maker, next, p + "mlp.");
    } else {
      maker.Ffn(p + "mlp.");
    }
  }
  return out;
}

void TinyCheckpoint::Write(const std::filesystem::path& folder) const {
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "config.json") << config_json;
  WriteSafetensors(folder / "model.safetensors", tensors);
}

PlainModel::PlainModel(const TinyCheckpoint& checkpoint)
    : config_(ParseConfig(checkpoint.config_json).value()), rope_(config_), tensors_(checkpoint.tensors) {}

PlainModel::Row PlainModel::Product(const std::string& name, const Row& x) const {
  const std::vector<float>& w = Weight(name);
  Row y(w.size() / x.size());
  for (size_t o = 0; o < y.size(); ++o) {
    for (size_t i = 0; i < x.size(); ++i) y[o] += static_cast<double>(w[o * x.size() + i]) * x[i];
  }
  const auto bias = tensors_.find(name.substr(0, name.rfind('.')) + ".bias");
  if (bias != tensors_.end()) {
    for (size_t o = 0; o < y.size(); ++o) y[o] += static_cast<double>(bias->second.second[o]);
  }
  return y;
}

PlainModel::Row PlainModel::Norm(const std::string& name, const Row& x) const {
  const std::vector<float>& w = Weight(name);
  const double plus = config_.architecture == Architecture::kQwen3Next ? 1 : 0;
  double squares = 0;
  for (const double v : x) squares += v * v;
  const double inverse = 1 / std::sqrt(squares / static_cast<double>(x.size()) + static_cast<double>(config_.norm_eps));
  Row y(x.size());
  for (size_t i = 0; i < x.size(); ++i) y[i] = (plus + static_cast<double>(w[i])) * x[i] * inverse;
  return y;
}

PlainModel::Row PlainModel::NormHeads(const std::string& name, const Row& x) const {
  Row y;
  for (auto head = x.begin(); head != x.end(); head += config_.head_dim) {
    const Row normed = Norm(name, Row(head, head + config_.head_dim));
    y.insert(y.end(), normed.begin(), normed.end());
  }
  return y;
}

void PlainModel::Rotate(Row& heads, int position) const {
  const auto half = static_cast<size_t>(rope_.n_pairs());
  std::vector<float> cos(half), sin(half);
  rope_.Fill(position, cos.data(), sin.data());
  for (size_t head = 0; head < heads.size(); head += static_cast<size_t>(config_.head_dim)) {
    for (size_t i = 0; i < half; ++i) {
      double& a = heads[head + i];
      double& b = heads[head + half + i];
      const double turned = a * static_cast<double>(cos[i]) - b * static_cast<double>(sin[i]);
      b = b * static_cast<double>(cos[i]) + a * static_cast<double>(sin[i]);
      a = turned;
    }
  }
}

PlainModel::Row PlainModel::SwiGlu(const std::string& prefix, const Row& x) const {
  const Row up = Product(prefix + "up_proj.weight", x);
  Row h = Product(prefix + "gate_proj.weight", x);
  for (size_t i = 0; i < h.size(); ++i) h[i] = Silu(h[i]) * up[i];
  return Product(prefix + "down_proj.weight", h);
}

PlainModel::Row PlainModel::Ffn(int layer, const Row& x) const {
  const std::string p = fmt::format("model.layers.{}.mlp.", layer);
  if (!config_.IsMoeLayer(layer)) return SwiGlu(p, x);
  const Row scores = Product(p + "gate.weight", x);
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0U);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  order.resize(static_cast<size_t>(config_.n_experts_used));
  double sum = 0;
  for (const size_t e : order) sum += std::exp(scores[e] - scores[order[0]]);
  Row y(x.size());
  for (const size_t e : order) {
    const double weight = std::exp(scores[e] - scores[order[0]]) / sum;
    const Row expert = SwiGlu(fmt::format("{}experts.{}.", p, e), x);
    for (size_t i = 0; i < y.size(); ++i) y[i] += weight * expert[i];
  }
  if (config_.d_ff_shared > 0) {
    const double gate = Sigmoid(Product(p + "shared_expert_gate.weight", x)[0]);
    const Row shared = SwiGlu(p + "shared_expert.", x);
    for (size_t i = 0; i < y.size(); ++i) y[i] += gate * shared[i];
  }
  return y;
}

// One key head of 16, two value heads of 16. xs becomes the layer's output, feed-forward included.
void PlainModel::RunDeltaNet(int layer, std::vector<Row>& xs) const {
  constexpr size_t kDim = 16, kHeads = 2, kChannels = 64, kConv = 4;
  const std::string block = fmt::format("model.layers.{}.", layer), p = block + "linear_attn.";
  const std::vector<float>& conv = Weight(p + "conv1d.weight");
  std::vector<Row> columns(kConv, Row(kChannels));  // the last ones, oldest first
  Row state(kHeads * kDim * kDim);                  // [head, key dim, value dim]
  for (Row& x : xs) {
    const Row h = Norm(block + "input_layernorm.weight", x);
    const Row qkvz = Product(p + "in_proj_qkvz.weight", h), ba = Product(p + "in_proj_ba.weight", h);
    std::rotate(columns.begin(), columns.begin() + 1, columns.end());
    columns.back().assign(qkvz.begin(), qkvz.begin() + kChannels);
    Row y(kChannels);
    for (size_t c = 0; c < kChannels; ++c) {
      for (size_t i = 0; i < kConv; ++i) y[c] += static_cast<double>(conv[c * kConv + i]) * columns[i][c];
      y[c] = Silu(y[c]);
    }
    for (const size_t first : {size_t{0}, kDim}) {
      double squares = 1e-6;
      for (size_t i = 0; i < kDim; ++i) squares += y[first + i] * y[first + i];
      for (size_t i = 0; i < kDim; ++i) y[first + i] /= std::sqrt(squares);
    }
    Row out;
    for (size_t head = 0; head < kHeads; ++head) {
      const double beta = Sigmoid(ba[head]);
      const double a = ba[kHeads + head] + static_cast<double>(Weight(p + "dt_bias")[head]);
      const double rate = -std::exp(static_cast<double>(Weight(p + "A_log")[head]));
      const double decay = std::exp(rate * std::log1p(std::exp(a)));
      double* s = state.data() + head * kDim * kDim;
      Row o(kDim);
      for (size_t j = 0; j < kDim; ++j) {
        double m = 0;
        for (size_t i = 0; i < kDim; ++i) m += (s[i * kDim + j] *= decay) * y[kDim + i];
        const double change = beta * (y[(2 + head) * kDim + j] - m);
        for (size_t i = 0; i < kDim; ++i) {
          s[i * kDim + j] += y[kDim + i] * change;
          o[j] += s[i * kDim + j] * y[i] / std::sqrt(static_cast<double>(kDim));
        }
      }
      double squares = 0;
      for (const double v : o) squares += v * v;
      const double inverse = 1 / std::sqrt(squares / kDim + static_cast<double>(config_.norm_eps));
      for (size_t j = 0; j < kDim; ++j) {
        const double gate = Silu(qkvz[kChannels + head * kDim + j]);
        out.push_back(static_cast<double>(Weight(p + "norm.weight")[j]) * o[j] * inverse * gate);
      }
    }
    const Row mixed = Product(p + "out_proj.weight", out);
    for (size_t i = 0; i < x.size(); ++i) x[i] += mixed[i];
    const Row fed = Ffn(layer, Norm(block + "post_attention_layernorm.weight", x));
    for (size_t i = 0; i < x.size(); ++i) x[i] += fed[i];
  }
}

PlainModel::Row PlainModel::Attend(const Row& q, const std::vector<float>& k, const std::vector<float>& v,
                                   int position) const {
  const auto dim = static_cast<size_t>(config_.head_dim);
  Row out(q.size());
  std::vector<double> score(static_cast<size_t>(position) + 1);
  for (size_t head = 0; head < q.size(); head += dim) {
    double max = -INFINITY, sum = 0;
    for (size_t t = 0; t < score.size(); ++t) {
      double dot = 0;
      for (size_t i = 0; i < dim; ++i) dot += q[head + i] * static_cast<double>(k[t * dim + i]);
      score[t] = dot / std::sqrt(static_cast<double>(dim));
      max = std::max(max, score[t]);
    }
    for (size_t t = 0; t < score.size(); ++t) {
      const double p = std::exp(score[t] - max);
      sum += p;
      for (size_t i = 0; i < dim; ++i) out[head + i] += p * static_cast<double>(v[t * dim + i]);
    }
    for (size_t i = 0; i < dim; ++i) out[head + i] /= sum;
  }
  return out;
}

std::vector<PlainModel::Row> PlainModel::AttentionAt(int layer, const std::vector<Row>& xs,
                                                     std::span<const int> positions) const {
  const std::string block = fmt::format("model.layers.{}.", layer), p = block + "self_attn.";
  std::vector<float> keys, values;  // one KV head, all tokens; f32 as the model keeps them
  for (size_t t = 0; t < xs.size(); ++t) {
    const Row h = Norm(block + "input_layernorm.weight", xs[t]);
    Row k = Product(p + "k_proj.weight", h);
    if (config_.qk_norm) k = NormHeads(p + "k_norm.weight", k);
    Rotate(k, static_cast<int>(t));
    const Row v = Product(p + "v_proj.weight", h);
    keys.insert(keys.end(), k.begin(), k.end());
    values.insert(values.end(), v.begin(), v.end());
  }
  std::vector<Row> out;
  for (const int position : positions) {
    Row x = xs[static_cast<size_t>(position)];
    Row q = Product(p + "q_proj.weight", Norm(block + "input_layernorm.weight", x));
    Row gate;
    if (config_.attention_gate) {  // per head its query, then its gate
      Row queries;
      for (auto head = q.begin(); head != q.end(); head += ptrdiff_t{2} * config_.head_dim) {
        queries.insert(queries.end(), head, head + config_.head_dim);
        gate.insert(gate.end(), head + config_.head_dim, head + ptrdiff_t{2} * config_.head_dim);
      }
      q = queries;
    }
    if (config_.qk_norm) q = NormHeads(p + "q_norm.weight", q);
    Rotate(q, position);
    Row mixed = Attend(q, keys, values, position);
    for (size_t i = 0; i < gate.size(); ++i) mixed[i] *= Sigmoid(gate[i]);
    const Row projected = Product(p + "o_proj.weight", mixed);
    for (size_t i = 0; i < x.size(); ++i) x[i] += projected[i];
    const Row fed = Ffn(layer, Norm(block + "post_attention_layernorm.weight", x));
    for (size_t i = 0; i < x.size(); ++i) x[i] += fed[i];
    out.push_back(std::move(x));
  }
  return out;
}

std::vector<std::vector<double>> PlainModel::Logits(std::span<const int> tokens, std::span<const int> positions) const {
  const std::vector<float>& embedding = Weight("model.embed_tokens.weight");
  std::vector<Row> xs;
  for (const int token : tokens) {
    const auto row = embedding.begin() + ptrdiff_t{token} * kWidth;
    xs.emplace_back(row, row + kWidth);
  }
  for (int layer = 0; layer + 1 < config_.n_layers; ++layer) RunDeltaNet(layer, xs);
  std::vector<Row> out;
  for (const Row& x : AttentionAt(config_.n_layers - 1, xs, positions)) {
    out.push_back(Product("lm_head.weight", Norm("model.norm.weight", x)));
  }
  return out;
}

}  // namespace quern::model
