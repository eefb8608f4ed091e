#include "kernels/delta_net.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "kernels/test_rows.h"

namespace quern::kernels {
namespace {

constexpr int kTokens = 70;

// One head's inputs over kTokens, as a layer gives them: normalised keys and queries, gates between 0 and 1.
struct Head {
  Head(int key_dim, int value_dim) : n_k(key_dim), n_v(value_dim) {
    const auto k_size = static_cast<size_t>(key_dim), v_size = static_cast<size_t>(value_dim);
    q = NormalFloats(kTokens * k_size, 1);
    k = NormalFloats(kTokens * k_size, 2);
    v = NormalFloats(kTokens * v_size, 3);
    const auto raw = NormalFloats(2 * kTokens, 4);
    for (int t = 0; t < kTokens; ++t) {
      TableFor(Isa::kRef)->l2_norm(q.data() + t * key_dim, key_dim, 1e-6F, 1.0F / std::sqrt(float(key_dim)));
      TableFor(Isa::kRef)->l2_norm(k.data() + t * key_dim, key_dim, 1e-6F, 1.0F);
      decay.push_back(std::exp(-0.3F * Softplus(raw[static_cast<size_t>(t)])));
      beta.push_back(Sigmoid(raw[static_cast<size_t>(kTokens + t)]));
    }
  }

  // Tokens [first, first + n) through a level.
  void Run(Isa isa, std::vector<float>& state, std::vector<float>& out, int first, int n) const {
    TableFor(isa)->delta_steps({.state = state.data(),
                                .key_dim = n_k,
                                .value_dim = n_v,
                                .n_tokens = n,
                                .q = q.data() + first * n_k,
                                .k = k.data() + first * n_k,
                                .qk_stride = n_k,
                                .v = v.data() + first * n_v,
                                .v_stride = n_v,
                                .decay = decay.data() + first,
                                .beta = beta.data() + first,
                                .gate_stride = 1,
                                .out = out.data() + first * n_v,
                                .out_stride = n_v});
  }

  // The same tokens in the chunked form, at most `piece` of them a call.
  void RunChunks(Isa isa, std::vector<float>& state, std::vector<float>& out, int piece) const {
    std::vector<float> changes(static_cast<size_t>(kTokens * n_v), NAN);
    std::array<float, kDeltaChunk + 1> reach{};
    std::array<float, size_t{kDeltaChunk} * kDeltaChunk> by_key{}, by_query{};
    const KernelTable& table = *TableFor(isa);
    for (int at = 0; at < kTokens;) {
      const int before = at % kDeltaChunk;
      const int n = std::min({piece, kDeltaChunk - before, kTokens - at});
      std::vector<const float*> keys;
      std::vector<float*> u;
      for (int t = at - before; t < at + n; ++t) {
        keys.push_back(k.data() + t * n_k);
        u.push_back(changes.data() + t * n_v);
      }
      table.delta_products({.key_dim = n_k,
                            .n_before = before,
                            .n_tokens = n,
                            .k = keys.data(),
                            .q = q.data() + at * n_k,
                            .qk_stride = n_k,
                            .by_key = by_key.data(),
                            .by_query = by_query.data()});
      table.delta_chunk({.state = state.data(),
                         .key_dim = n_k,
                         .value_dim = n_v,
                         .n_before = before,
                         .n_tokens = n,
                         .k = keys.data(),
                         .u = u.data(),
                         .reach = reach.data(),
                         .by_key = by_key.data(),
                         .by_query = by_query.data(),
                         .q = q.data() + at * n_k,
                         .qk_stride = n_k,
                         .v = v.data() + at * n_v,
                         .v_stride = n_v,
                         .decay = decay.data() + at,
                         .beta = beta.data() + at,
                         .gate_stride = 1,
                         .out = out.data() + at * n_v,
                         .out_stride = n_v});
      at += n;
    }
  }

  std::vector<float> NewState() const { return std::vector<float>(static_cast<size_t>(n_k * n_v), 0.0F); }
  std::vector<float> NewOut() const { return std::vector<float>(static_cast<size_t>(kTokens * n_v), NAN); }

  int n_k, n_v;
  std::vector<float> q, k, v, decay, beta;
};

// The formula in f64, column by column.
std::vector<double> Expected(const Head& h) {
  std::vector<double> state(static_cast<size_t>(h.n_k * h.n_v)), out;
  const auto nk = static_cast<size_t>(h.n_k), nv = static_cast<size_t>(h.n_v);
  for (size_t t = 0; t < kTokens; ++t) {
    for (double& s : state) s *= double{h.decay[t]};
    for (size_t c = 0; c < nv; ++c) {
      double m = 0, sum = 0;
      for (size_t i = 0; i < nk; ++i) m += state[i * nv + c] * double{h.k[t * nk + i]};
      const double change = double{h.beta[t]} * (double{h.v[t * nv + c]} - m);
      for (size_t i = 0; i < nk; ++i) state[i * nv + c] += double{h.k[t * nk + i]} * change;
      for (size_t i = 0; i < nk; ++i) sum += state[i * nv + c] * double{h.q[t * nk + i]};
      out.push_back(sum);
    }
  }
  return out;
}

TEST(DeltaSteps, EveryLevelFollowsTheRule) {
  for (const auto& [n_k, n_v] : {std::pair(128, 128), std::pair(8, 12), std::pair(16, 65), std::pair(5, 1)}) {
    const Head head(n_k, n_v);
    const std::vector<double> expected = Expected(head);
    for (const Isa isa : OfferedIsas()) {
      auto state = head.NewState();
      auto out = head.NewOut();
      head.Run(isa, state, out, 0, kTokens);
      // Values are around 0.1..1; some 128 f32 terms and a state that forgets: a few 1e-7 each.
      for (size_t i = 0; i < out.size(); ++i) {
        ASSERT_NEAR(out[i], expected[i], 4e-6) << IsaName(isa) << " " << n_k << " x " << n_v << " value " << i;
      }
    }
  }
}

TEST(DeltaSteps, AnyCutGivesTheSameBits) {
  const Head head(16, 76);
  for (const Isa isa : OfferedIsas()) {
    auto state = head.NewState();
    auto out = head.NewOut();
    head.Run(isa, state, out, 0, kTokens);
    for (const int piece : {1, 3, 64}) {
      auto cut_state = head.NewState();
      auto cut_out = head.NewOut();
      for (int at = 0; at < kTokens; at += piece) head.Run(isa, cut_state, cut_out, at, std::min(piece, kTokens - at));
      EXPECT_EQ(cut_state, state) << IsaName(isa) << " piece " << piece;
      EXPECT_EQ(cut_out, out) << IsaName(isa) << " piece " << piece;
    }
  }
}

TEST(DeltaChunk, EveryLevelFollowsTheRule) {
  for (const auto& [n_k, n_v] : {std::pair(128, 128), std::pair(8, 12), std::pair(16, 65), std::pair(5, 1)}) {
    const Head head(n_k, n_v);
    const std::vector<double> expected = Expected(head);
    for (const Isa isa : OfferedIsas()) {
      auto state = head.NewState();
      auto out = head.NewOut();
      head.RunChunks(isa, state, out, kTokens);
      for (size_t i = 0; i < out.size(); ++i) {
        ASSERT_NEAR(out[i], expected[i], 4e-6) << IsaName(isa) << " " << n_k << " x " << n_v << " value " << i;
      }
    }
  }
}

TEST(DeltaChunk, AFullChunkLeavesTheRecurrentFormsStateToRounding) {
  static_assert(kTokens / kDeltaChunk == 2);
  const Head head(128, 128);
  for (const Isa isa : OfferedIsas()) {
    auto chunked = head.NewState(), recurrent = head.NewState();
    auto out = head.NewOut();
    head.RunChunks(isa, chunked, out, kTokens);
    head.Run(isa, recurrent, out, 0, 2 * kDeltaChunk);
    for (size_t i = 0; i < chunked.size(); ++i) ASSERT_NEAR(chunked[i], recurrent[i], 2e-6) << IsaName(isa);
  }
}

TEST(DeltaChunk, AnyCutGivesTheSameBits) {
  for (const auto& [n_k, n_v] : {std::pair(16, 76), std::pair(128, 128), std::pair(7, 5)}) {
    const Head head(n_k, n_v);
    for (const Isa isa : OfferedIsas()) {
      auto state = head.NewState();
      auto out = head.NewOut();
      head.RunChunks(isa, state, out, kTokens);
      for (const int piece : {1, 2, 3, 7, 31}) {
        auto cut_state = head.NewState();
        auto cut_out = head.NewOut();
        head.RunChunks(isa, cut_state, cut_out, piece);
        EXPECT_EQ(cut_state, state) << IsaName(isa) << " piece " << piece;
        EXPECT_EQ(cut_out, out) << IsaName(isa) << " piece " << piece;
      }
    }
  }
}

TEST(DeltaSteps, WritesNothingBesideTheState) {
  const Head head(8, 12);
  for (const Isa isa : OfferedIsas()) {
    auto state = head.NewState();
    state.resize(state.size() + 16, 7.0F);
    auto out = head.NewOut();
    out.resize(out.size() + 16, 7.0F);
    head.Run(isa, state, out, 0, kTokens);
    for (size_t i = 0; i < 16; ++i) {
      ASSERT_EQ(state[state.size() - 1 - i], 7.0F) << IsaName(isa);
      ASSERT_EQ(out[out.size() - 1 - i], 7.0F) << IsaName(isa);
    }
  }
}

TEST(ConvSilu, EveryLevelMatchesTheFormula) {
  for (const Isa isa : OfferedIsas()) {
    for (const int64_t n : {1, 7, 16, 33, 130}) {
      for (const int width : {1, 4, 7}) {
        const auto size = static_cast<size_t>(n);
        const auto x = NormalFloats(size * static_cast<size_t>(width), 1);
        const auto w = NormalFloats(size * static_cast<size_t>(width), 2);
        std::vector<const float*> rows;
        for (int i = 0; i < width; ++i) rows.push_back(x.data() + i * n);
        std::vector<float> out(size + 1, 7.0F);
        TableFor(isa)->conv_silu(
            {.rows = rows.data(), .width = width, .w = w.data(), .n_channels = n, .out = out.data()});
        for (size_t c = 0; c < size; ++c) {
          double sum = 0, magnitude = 0;
          for (size_t i = 0; i < static_cast<size_t>(width); ++i) {
            sum += double{x[i * size + c]} * double{w[i * size + c]};
            magnitude += std::fabs(double{x[i * size + c]} * double{w[i * size + c]});
          }
          // silu's slope stays below 1.1; f32 roundings of up to seven terms.
          ASSERT_NEAR(out[c], sum / (1 + std::exp(-sum)), 1e-6 * magnitude + 1e-12) << IsaName(isa) << " n " << n;
        }
        ASSERT_EQ(out.back(), 7.0F);
      }
    }
  }
}

TEST(L2Norm, EveryLevelMatchesTheFormula) {
  for (const Isa isa : OfferedIsas()) {
    for (const int64_t n : {1, 8, 12, 33, 128}) {
      const auto x = NormalFloats(static_cast<size_t>(n), 3);
      auto y = x;
      TableFor(isa)->l2_norm(y.data(), n, 1e-6F, 0.25F);
      double squares = 0;
      for (const float v : x) squares += double{v} * double{v};
      for (size_t i = 0; i < y.size(); ++i) {
        const double expected = double{x[i]} * 0.25 / std::sqrt(squares + 1e-6);
        ASSERT_NEAR(y[i], expected, 2e-6 * std::fabs(expected)) << IsaName(isa) << " n " << n;
      }
    }
  }
}

TEST(SigmoidMul, SweepsTheWholeRangeOfExp) {
  std::vector<float> gate;
  for (float g = -85; g <= 120; g += 0.0537F) gate.push_back(g);
  const std::vector<float> x(gate.size(), 3.0F);
  for (const Isa isa : OfferedIsas()) {
    std::vector<float> out(gate.size());
    TableFor(isa)->sigmoid_mul(x.data(), gate.data(), static_cast<int64_t>(gate.size()), out.data());
    for (size_t i = 0; i < gate.size(); ++i) {
      const double expected = 3 / (1 + std::exp(-double{gate[i]}));
      ASSERT_NEAR(out[i], expected, 4e-7 * expected) << IsaName(isa) << " gate " << gate[i];
    }
  }
}

TEST(Softplus, NeitherOverflowsNorVanishes) {
  EXPECT_NEAR(Softplus(0.0F), std::log(2.0F), 1e-7F);
  EXPECT_EQ(Softplus(1000.0F), 1000.0F);
  EXPECT_NEAR(Softplus(-20.0F), std::exp(-20.0F), 1e-15F);
  EXPECT_EQ(Softplus(-1000.0F), 0.0F);
  EXPECT_TRUE(std::isnan(Softplus(NAN)));
}

}  // namespace
}  // namespace quern::kernels
