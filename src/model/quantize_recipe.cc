#include "model/quantize_recipe.h"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <charconv>

#include "base/check.h"

namespace quern::model {
namespace {

struct RecipeRow {
  Recipe recipe;
  std::string_view name;
  uint32_t file_type;  // the format's numbers
  DType base;
};

constexpr RecipeRow kRecipes[] = {
    {Recipe::kF32, "f32", 0, DType::kF32},      {Recipe::kBF16, "bf16", 32, DType::kBF16},
    {Recipe::kF16, "f16", 1, DType::kF16},      {Recipe::kQ8_0, "q8_0", 7, DType::kQ8_0},
    {Recipe::kQ6K, "q6_k", 18, DType::kQ6K},    {Recipe::kQ5KM, "q5_k_m", 17, DType::kQ5K},
    {Recipe::kQ5KS, "q5_k_s", 16, DType::kQ5K}, {Recipe::kQ4KM, "q4_k_m", 15, DType::kQ4K},
    {Recipe::kQ4KS, "q4_k_s", 14, DType::kQ4K}, {Recipe::kIQ4NL, "iq4_nl", 25, DType::kIQ4NL},
    {Recipe::kQ4_0, "q4_0", 2, DType::kQ4_0},   {Recipe::kQ3KL, "q3_k_l", 13, DType::kQ3K},
    {Recipe::kQ3KM, "q3_k_m", 12, DType::kQ3K}, {Recipe::kQ3KS, "q3_k_s", 11, DType::kQ3K},
    {Recipe::kQ2K, "q2_k", 10, DType::kQ2K},
};

const RecipeRow& RowOf(Recipe recipe) {
  const auto row = std::ranges::find(kRecipes, recipe, &RecipeRow::recipe);
  QUERN_CHECK(row != std::end(kRecipes));
  return *row;
}

bool IsBlockType(DType type) { return Info(type).block_elements > 1; }

bool AlwaysF32(std::string_view name, int n_dims) {
  return n_dims == 1 || name.ends_with("norm.weight") || name.find(".ffn_gate_inp") != std::string_view::npos ||
         name.ends_with(".ssm_conv1d.weight") || name.ends_with(".ssm_a");
}

int LayerOf(std::string_view name) {
  constexpr std::string_view kBlock = "blk.";
  int layer = 0;
  if (name.starts_with(kBlock)) std::from_chars(name.data() + kBlock.size(), name.data() + name.size(), layer);
  return layer;
}

// First and last eighth, and every third between.
bool TakesMoreBits(int layer, int n_layers) {
  const int eighth = n_layers / 8;
  return layer < eighth || layer >= n_layers - eighth || (layer - eighth) % 3 == 2;
}

DType Wanted(Recipe recipe, std::string_view name, int n_layers, bool tied) {
  const DType base = RowOf(recipe).base;
  if (!IsBlockType(base) || base == DType::kQ8_0 || base == DType::kQ6K) return base;
  if (name == "output.weight" || (tied && name == "token_embd.weight")) return DType::kQ6K;
  if (name.ends_with(".ssm_ba.weight")) return DType::kQ8_0;
  const bool value = name.ends_with(".attn_v.weight");
  const bool sensitive = value || name.find(".ffn_down") != std::string_view::npos;
  const bool mixed_out = name.ends_with(".attn_output.weight");
  const bool fused = name.ends_with(".attn_qkv.weight");
  const int layer = LayerOf(name);
  switch (recipe) {
    case Recipe::kQ4KM:
    case Recipe::kQ5KM:
      if (sensitive && TakesMoreBits(layer, n_layers)) return DType::kQ6K;
      if (fused) return recipe == Recipe::kQ4KM ? DType::kQ5K : DType::kQ6K;
      return base;
    case Recipe::kQ4KS:
      return sensitive && layer < n_layers / 8 ? DType::kQ5K : base;
    case Recipe::kIQ4NL:
      return value || (sensitive && layer < n_layers / 8) ? DType::kQ5K : base;
    case Recipe::kQ3KL:
      if (fused) return DType::kQ4K;
      return sensitive || mixed_out ? DType::kQ5K : base;
    case Recipe::kQ3KM:
      if (sensitive && layer < n_layers / 16) return DType::kQ5K;
      return sensitive || mixed_out || fused ? DType::kQ4K : base;
    case Recipe::kQ2K:
      if (value) return DType::kQ4K;
      return sensitive || mixed_out ? DType::kQ3K : base;
    default:
      return base;
  }
}

// The type to use instead when rows are no whole blocks.
DType Fitting(DType type, int64_t n_cols) {
  if (n_cols % Info(type).block_elements == 0) return type;
  if (n_cols % 32 != 0) return DType::kF16;
  if (type == DType::kQ2K || type == DType::kQ3K) return DType::kIQ4NL;
  return type == DType::kQ4K ? DType::kQ5_0 : DType::kQ8_0;
}

}  // namespace

std::optional<Recipe> ParseRecipe(std::string_view name) {
  std::string lower(name);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (lower == "q3_k" || lower == "q4_k" || lower == "q5_k") lower += "_m";
  const auto row = std::ranges::find(kRecipes, std::string_view(lower), &RecipeRow::name);
  if (row == std::end(kRecipes)) return std::nullopt;
  return row->recipe;
}

std::string_view RecipeName(Recipe recipe) { return RowOf(recipe).name; }

std::vector<std::string> RecipeNames() {
  std::vector<std::string> names;
  for (const RecipeRow& row : kRecipes) names.emplace_back(row.name);
  return names;
}

uint32_t GgufFileType(Recipe recipe) { return RowOf(recipe).file_type; }

DType TypeFor(Recipe recipe, std::string_view name, int n_dims, int64_t n_cols, int n_layers, bool tied) {
  if (AlwaysF32(name, n_dims)) return DType::kF32;
  return Fitting(Wanted(recipe, name, n_layers, tied), n_cols);
}

}  // namespace quern::model
