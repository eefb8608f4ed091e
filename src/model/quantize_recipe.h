// Which type each tensor of a written GGUF file gets. The mixtures (S, M, L) follow what published files of these names
// hold: most matrices in one type, the few whose error spreads furthest in a better one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/dtype.h"

namespace quern::model {

enum class Recipe {
  kF32,
  kF16,
  kBF16,
  kQ8_0,
  kQ6K,
  kQ5KM,
  kQ5KS,
  kQ4KM,
  kQ4KS,
  kIQ4NL,
  kQ4_0,
  kQ3KL,
  kQ3KM,
  kQ3KS,
  kQ2K
};

// "q4_k_m" and so on, "q3_k", "q4_k" and "q5_k" for their M mixtures; nullopt for another word. Case does not matter.
std::optional<Recipe> ParseRecipe(std::string_view name);
std::string_view RecipeName(Recipe recipe);
std::vector<std::string> RecipeNames();  // best first

// general.file_type of the file.
uint32_t GgufFileType(Recipe recipe);

// The type of one tensor. name: GGUF's; rows of n_cols; tied: there is no output.weight.
//   - f32: one-dimensional tensors, norms, routers, convolutions (small, and they decide what the rest is multiplied
//   by).
//   - output.weight (token_embd.weight when tied) of a recipe below q6_k: q6_k.
//   - q4_k_m, q5_k_m: attn_v and the down projections of the first and last eighth of the layers and of every third one
//     between: q6_k; the fused attn_qkv of recurrent layers one step up. q4_k_s: those of the first eighth: q5_k.
//   - iq4_nl: attn_v, and the down projections of the first eighth: q5_k.
//   - q3_k_l: attn_v, attn_output and the down projections: q5_k. q3_k_m: those q4_k, of the first sixteenth of the
//     layers attn_v and the down projections q5_k. Both: the fused attn_qkv q4_k.
//   - q2_k: attn_v q4_k; attn_output and the down projections q3_k.
//   - ssm_ba (two gates per head): q8_0 at least.
//   - everything else: the recipe's base type.
// A row that is no multiple of 256 cannot be a k-quant: iq4_nl stands in for q2_k and q3_k, q5_0 for q4_k, q8_0 for
// q5_k and q6_k; one that is no multiple of 32 becomes f16.
DType TypeFor(Recipe recipe, std::string_view name, int n_dims, int64_t n_cols, int n_layers, bool tied);

}  // namespace quern::model
