// The tensors of the multi-token prediction head.
#include <string>

#include "model/mtp_names.h"
#include "model/weights.h"

namespace quern::model {

Result<MtpWeights> WeightLoader::Mtp(const EmbeddingTable& embedding) {
  auto weights = MtpParts(embedding);
  if (!weights) return std::unexpected(weights.error().WithContext("the multi-token prediction head"));
  return weights;
}

Result<MtpWeights> WeightLoader::MtpParts(const EmbeddingTable& embedding) {
  const ModelConfig& c = config();
  const std::string p(kMtpPrefix), block(kMtpBlock);
  MtpWeights w;
  QUERN_ASSIGN(w.fc, MatrixOf(p + "fc.weight", c.d_model, 2 * int64_t{c.d_model}, "mtp"));
  QUERN_ASSIGN(w.token_norm, NormOf(p + "pre_fc_norm_embedding.weight", c.d_model));
  QUERN_ASSIGN(w.hidden_norm, NormOf(p + "pre_fc_norm_hidden.weight", c.d_model));
  QUERN_ASSIGN(w.layer, AttentionLayer(block));
  if (c.n_experts > 0) {
    QUERN_ASSIGN(w.layer.ffn, Moe(block + "mlp."));
  } else {
    QUERN_ASSIGN(w.layer.ffn, Ffn(block + "mlp.", c.d_ff, "mtp"));
  }
  QUERN_ASSIGN(w.final_norm, NormOf(p + "norm.weight", c.d_model));
  w.embedding = embedding;
  if (checkpoint_.Find(p + "embed_tokens.weight") != nullptr) {
    QUERN_ASSIGN(w.embedding, EmbeddingOf(p + "embed_tokens.weight", c.vocab, c.d_model));
  }
  if (checkpoint_.Find(p + "lm_head.weight") != nullptr) {
    QUERN_ASSIGN(w.lm_head, MatrixOf(p + "lm_head.weight", c.vocab, c.d_model, "mtp"));
  }
  return w;
}

}  // namespace quern::model
