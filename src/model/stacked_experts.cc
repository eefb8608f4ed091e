#include "model/stacked_experts.h"

#include <fmt/core.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "model/config.h"
#include "model/f8_scales.h"
#include "model/safetensors.h"

namespace quern::model {
namespace {

constexpr std::string_view kExperts = ".mlp.experts.";

enum class Stack { kGateUp, kGate, kUp, kDown };

std::optional<Stack> StackOf(std::string_view name) {
  const size_t at = name.rfind(kExperts);
  if (at == std::string_view::npos) return std::nullopt;
  std::string_view tail = name.substr(at + kExperts.size());
  if (tail.ends_with(kF8ScaleSuffix)) tail.remove_suffix(kF8ScaleSuffix.size());
  if (tail == "gate_up_proj") return Stack::kGateUp;
  if (tail == "gate_proj") return Stack::kGate;
  if (tail == "up_proj") return Stack::kUp;
  if (tail == "down_proj") return Stack::kDown;
  return std::nullopt;
}

std::string_view ProjectionName(Stack stack) {
  switch (stack) {
    case Stack::kUp:
      return "up_proj";
    case Stack::kDown:
      return "down_proj";
    case Stack::kGate:
    case Stack::kGateUp:
      return "gate_proj";
  }
  return "";
}

// One stacked tensor's pieces, appended to out.
Result<void> Unstack(const StoredTensor& stacked, Stack stack, std::vector<StoredTensor>& out) {
  const auto fail = [&](Code code, std::string_view text) {
    return Error(code, fmt::format("tensor \"{}\": {}", stacked.name, text));
  };
  if (stacked.shape.size() != 3) {
    return fail(Code::kCorrupt, fmt::format("stacked experts: expected [experts, rows, columns], got shape {}",
                                            ShapeText(stacked.shape)));
  }
  const int64_t n_experts = stacked.shape[0];
  const int64_t n_rows = stacked.shape[1];
  if (n_experts < 1 || n_experts > kMaxExperts) {
    return fail(Code::kExhausted, fmt::format("{} stacked experts, expected 1 to {}", n_experts, kMaxExperts));
  }
  const bool fused = stack == Stack::kGateUp;
  if (fused && n_rows % 2 != 0) {
    return fail(Code::kCorrupt, fmt::format("gate and up fused: expected an even number of rows, got {}", n_rows));
  }
  if (out.size() + static_cast<size_t>(n_experts) * 2 > kMaxTensors) {
    return fail(Code::kExhausted, fmt::format("more than {} tensors with each expert counted", kMaxTensors));
  }
  const std::string_view prefix = std::string_view(stacked.name).substr(0, stacked.name.rfind('.'));
  if (fused && stacked.dtype == DType::kF8E4M3 && n_rows / 2 % kF8BlockSide != 0) {
    return fail(Code::kUnsupported,
                fmt::format("f8_e4m3 gate and up of {} rows each share blocks of {} rows", n_rows / 2, kF8BlockSide));
  }
  const size_t n_pieces = static_cast<size_t>(n_experts) * (fused ? 2 : 1);
  const std::string_view suffix = stacked.name.ends_with(kF8ScaleSuffix) ? kF8ScaleSuffix : "";
  const size_t piece_bytes = stacked.bytes.size() / n_pieces;
  for (size_t piece = 0; piece < n_pieces; ++piece) {
    const bool is_up = fused && piece % 2 == 1;
    StoredTensor view;
    view.name = fmt::format("{}.{}.{}.weight{}", prefix, fused ? piece / 2 : piece,
                            ProjectionName(is_up ? Stack::kUp : stack), suffix);
    view.dtype = stacked.dtype;
    view.shape = {fused ? n_rows / 2 : n_rows, stacked.shape[2]};
    view.bytes = stacked.bytes.subspan(piece * piece_bytes, piece_bytes);
    view.file_idx = stacked.file_idx;
    out.push_back(std::move(view));
  }
  return {};
}

}  // namespace

Result<std::vector<StoredTensor>> UnstackExperts(std::vector<StoredTensor> tensors) {
  std::vector<StoredTensor> out;
  out.reserve(tensors.size());
  for (StoredTensor& tensor : tensors) {
    if (const auto stack = StackOf(tensor.name)) {
      QUERN_TRY(Unstack(tensor, *stack, out));
    } else {
      out.push_back(std::move(tensor));
    }
  }
  return out;
}

}  // namespace quern::model
