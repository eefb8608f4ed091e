#include "model/gguf_export.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <span>
#include <tuple>

#include "model/f8_scales.h"
#include "model/mtp_names.h"

namespace quern::model {
namespace {

constexpr std::string_view kExperts = ".mlp.experts.";
constexpr std::string_view kBlock = "blk.";

// "model.layers.3.mlp.experts.7.up_proj.weight" in its parts.
struct ExpertName {
  std::string_view before;  // "model.layers.3"
  int expert;
  std::string_view projection;  // "gate", "up" or "down"
};

std::optional<ExpertName> ParseExpert(std::string_view name) {
  const size_t at = name.find(kExperts);
  if (at == std::string_view::npos) return std::nullopt;
  std::string_view rest = name.substr(at + kExperts.size());
  int expert = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), expert);
  if (error != std::errc()) return std::nullopt;
  rest.remove_prefix(static_cast<size_t>(end - rest.data()));
  for (const std::string_view projection : {"gate", "up", "down"}) {
    if (rest == fmt::format(".{}_proj.weight", projection)) return ExpertName{name.substr(0, at), expert, projection};
  }
  return std::nullopt;
}

int64_t RowsOf(const StoredTensor& tensor) {
  int64_t n = 1;
  for (size_t i = 0; i + 1 < tensor.shape.size(); ++i) n *= tensor.shape[i];
  return n;
}

bool IsLeftOut(std::string_view name, const ModelConfig& config) {
  const bool foreign_mtp = config.n_mtp_layers == 0 && (name.starts_with(kMtpPrefix) || name.starts_with("model.mtp."));
  return foreign_mtp || name.ends_with(".rotary_emb.inv_freq") || name.ends_with(".activation_scale") ||
         (name == "lm_head.weight" && config.tied_embeddings);
}

// Builds the plan tensor by tensor.
class Planner {
 public:
  explicit Planner(const Checkpoint& checkpoint)
      : checkpoint_(checkpoint),
        config_(checkpoint.config()),
        published_(checkpoint.format() == CheckpointFormat::kSafetensors) {}

  Result<ExportPlan> Plan() {
    QUERN_TRY(CheckLayers());
    for (const StoredTensor& tensor : checkpoint_.tensors()) QUERN_TRY(Add(tensor));
    std::ranges::sort(plan_.tensors, {}, [](const ExportTensor& t) { return OrderOf(t.name); });
    return std::move(plan_);
  }

 private:
  // Embedding, layers by number, the rest.
  static std::tuple<int, int, std::string> OrderOf(const std::string& name) {
    if (name == "token_embd.weight") return {0, 0, name};
    if (!name.starts_with(kBlock)) return {2, 0, name};
    int layer = 0;
    std::from_chars(name.data() + kBlock.size(), name.data() + name.size(), layer);
    return {1, layer, name};
  }

  Result<void> CheckLayers() const {
    if (config_.n_experts == 0) return {};
    for (int layer = 0; layer < config_.n_layers; ++layer) {
      if (config_.IsMoeLayer(layer)) continue;
      return Error(Code::kUnsupported, fmt::format("{}: layer {} has no experts while others have; a GGUF file of this "
                                                   "architecture cannot say so",
                                                   checkpoint_.path().string(), layer));
    }
    return {};
  }

  // GGUF's name; the multi-token prediction head is the block behind the last layer.
  std::optional<std::string> NameOf(std::string_view name) const {
    const int block = config_.n_layers;
    if (const auto part = GgufMtpName(name)) return fmt::format("{}{}.{}", kBlock, block, *part);
    if (!name.starts_with(kMtpBlock)) return GgufName(name, config_.architecture);
    return GgufName(fmt::format("model.layers.{}.{}", block, name.substr(kMtpBlock.size())), config_.architecture);
  }

  Result<void> Add(const StoredTensor& tensor) {
    if (tensor.name.ends_with(kF8ScaleSuffix)) return {};  // part of the tensor it belongs to
    if (IsLeftOut(tensor.name, config_)) {
      plan_.left_out.push_back(tensor.name);
      return {};
    }
    if (tensor.shape.empty()) return NoName(tensor);
    if (const auto expert = ParseExpert(tensor.name)) return AddExperts(tensor, *expert);
    if (tensor.name.ends_with(".linear_attn.in_proj_qkvz.weight")) return AddQkvz(tensor);
    const auto name = NameOf(tensor.name);
    if (!name.has_value() && published_) return NoName(tensor);
    ExportTensor out{.name = name.value_or(tensor.name), .shape = tensor.shape, .rows = {{&tensor, 0, RowsOf(tensor)}}};
    if (tensor.name.ends_with(".conv1d.weight")) out.shape = {RowsOf(tensor), tensor.shape.back()};
    if (tensor.name.ends_with(".shared_expert_gate.weight")) out.shape = {tensor.shape.back()};
    if (published_) out.change = ChangeOf(tensor.name);
    plan_.tensors.push_back(std::move(out));
    return {};
  }

  ValueChange ChangeOf(std::string_view name) const {
    if (config_.architecture != Architecture::kQwen3Next) return ValueChange::kNone;
    if (name.ends_with(".linear_attn.A_log")) return ValueChange::kNegativeExp;
    const bool is_norm = name.ends_with("norm.weight") || name.find(".pre_fc_norm_") != std::string_view::npos;
    const bool centred = is_norm && !name.ends_with(".linear_attn.norm.weight");
    return centred ? ValueChange::kPlusOne : ValueChange::kNone;
  }

  std::unexpected<Status> NoName(const StoredTensor& tensor) const {
    return Error(Code::kUnsupported, checkpoint_.Where(tensor) + " has no place in a GGUF file of this architecture");
  }

  // All experts of a layer, when the first one comes by.
  Result<void> AddExperts(const StoredTensor& tensor, const ExpertName& name) {
    if (name.expert >= config_.n_experts || tensor.shape.size() != 2) return NoName(tensor);
    if (name.expert > 0) return {};
    const auto stacked = NameOf(fmt::format("{}.mlp.experts.{}_proj", name.before, name.projection));
    if (!stacked.has_value()) return NoName(tensor);
    ExportTensor out{.name = *stacked, .shape = {config_.n_experts, tensor.shape[0], tensor.shape[1]}, .rows = {}};
    for (int e = 0; e < config_.n_experts; ++e) {
      QUERN_ASSIGN(const StoredTensor* const expert,
                   checkpoint_.Get(fmt::format("{}{}{}.{}_proj.weight", name.before, kExperts, e, name.projection),
                                   tensor.shape));
      out.rows.push_back({expert, 0, expert->shape[0]});
    }
    plan_.tensors.push_back(std::move(out));
    return {};
  }

  // Per key head its query, key, value and gate rows -> all queries, keys and values | all gates.
  Result<void> AddQkvz(const StoredTensor& tensor) {
    const ModelConfig& c = config_;
    const int64_t values = int64_t{c.n_linear_value_heads} * c.linear_value_dim;
    const int64_t shape[] = {c.ConvChannels() + values, c.d_model};
    QUERN_TRY(checkpoint_.Get(tensor.name, shape));
    const std::string prefix(tensor.name.substr(0, tensor.name.rfind("in_proj_qkvz")));
    const auto qkv_name = NameOf(prefix + "in_proj_qkv.weight");
    const auto z_name = NameOf(prefix + "in_proj_z.weight");
    if (!qkv_name.has_value() || !z_name.has_value()) return NoName(tensor);
    const int64_t dk = c.linear_key_dim;
    const int64_t dv = values / c.n_linear_key_heads;  // of all value heads of a key head
    const int64_t group = 2 * dk + 2 * dv;
    ExportTensor qkv{.name = *qkv_name, .shape = {c.ConvChannels(), c.d_model}, .rows = {}};
    ExportTensor z{.name = *z_name, .shape = {values, c.d_model}, .rows = {}};
    const auto take = [&](ExportTensor& out, int64_t offset, int64_t n) {
      for (int head = 0; head < c.n_linear_key_heads; ++head) out.rows.push_back({&tensor, head * group + offset, n});
    };
    take(qkv, 0, dk);
    take(qkv, dk, dk);
    take(qkv, 2 * dk, dv);
    take(z, 2 * dk + dv, dv);
    plan_.tensors.push_back(std::move(qkv));
    plan_.tensors.push_back(std::move(z));
    return {};
  }

  const Checkpoint& checkpoint_;
  const ModelConfig& config_;
  const bool published_;  // names and values as published, not as GGUF converters left them
  ExportPlan plan_;
};

}  // namespace

int64_t ExportTensor::n_rows() const {
  int64_t n = 0;
  for (const StoredRows& piece : rows) n += piece.n;
  return n;
}

Result<ExportPlan> PlanExport(const Checkpoint& checkpoint) { return Planner(checkpoint).Plan(); }

}  // namespace quern::model
