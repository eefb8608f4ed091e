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

  // The first n_tokens through a level, at most `piece` of them a call.
  void Run(Isa isa, std::vector<float>& state, std::vector<float>& out, int piece, int n_tokens = kTokens) const {
    std::vector<float> changes(size_t{kDeltaChunk} * static_cast<size_t>(n_v), NAN);
    std::array<float, size_t{kDeltaChunk} * kDeltaChunk> by_key{}, by_query{};
    const KernelTable& table = *TableFor(isa);
    for (int at = 0; at < n_tokens;) {
      const int before = at % kDeltaChunk;
      const int n = std::min({piece, kDeltaChunk - before, n_tokens - at});
      std::vector<const float*> keys;
      for (int t = at - before; t < at + n; ++t) keys.push_back(k.data() + t * n_k);
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
                         .decay = decay.data() + at - before,
                         .u = changes.data(),
                         .by_key = by_key.data(),
                         .by_query = by_query.data(),
                         .q = q.data() + at * n_k,
                         .qk_stride = n_k,
                         .v = v.data() + at * n_v,
                         .v_stride = n_v,
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

struct Expected {
  std::vector<double> out;    // [kTokens, n_v]
  std::vector<double> state;  // [n_k, n_v] after the last chunk that is full
};

// The rule itself in f64, token by token, column by column.
Expected ExpectedOf(const Head& h) {
  std::vector<double> state(static_cast<size_t>(h.n_k * h.n_v));
  Expected expected;
  const auto nk = static_cast<size_t>(h.n_k), nv = static_cast<size_t>(h.n_v);
  for (size_t t = 0; t < kTokens; ++t) {
    if (t % kDeltaChunk == 0) expected.state = state;
    for (double& s : state) s *= double{h.decay[t]};
    for (size_t c = 0; c < nv; ++c) {
      double m = 0, sum = 0;
      for (size_t i = 0; i < nk; ++i) m += state[i * nv + c] * double{h.k[t * nk + i]};
      const double change = double{h.beta[t]} * (double{h.v[t * nv + c]} - m);
      for (size_t i = 0; i < nk; ++i) state[i * nv + c] += double{h.k[t * nk + i]} * change;
      for (size_t i = 0; i < nk; ++i) sum += state[i * nv + c] * double{h.q[t * nk + i]};
      expected.out.push_back(sum);
    }
  }
  return expected;
}

constexpr std::array<std::pair<int, int>, 5> kSizes{{{128, 128}, {8, 12}, {16, 76}, {37, 65}, {5, 1}}};

TEST(DeltaChunk, EveryLevelFollowsTheRule) {
  static_assert(kTokens > 2 * kDeltaChunk && kTokens % kDeltaChunk != 0);
  for (const auto& [n_k, n_v] : kSizes) {
    const Head head(n_k, n_v);
    const Expected expected = ExpectedOf(head);
    for (const Isa isa : OfferedIsas()) {
      auto state = head.NewState();
      auto out = head.NewOut();
      head.Run(isa, state, out, kTokens);
      // Values are around 0.1..1; some 128 f32 terms and a state that forgets: a few 1e-7 each.
      for (size_t i = 0; i < out.size(); ++i) {
        ASSERT_NEAR(out[i], expected.out[i], 4e-6) << IsaName(isa) << " " << n_k << " x " << n_v << " value " << i;
      }
      for (size_t i = 0; i < state.size(); ++i) {
        ASSERT_NEAR(state[i], expected.state[i], 2e-6) << IsaName(isa) << " " << n_k << " x " << n_v << " state " << i;
      }
    }
  }
}

TEST(DeltaChunk, AnyCutGivesTheSameBits) {
  for (const auto& [n_k, n_v] : kSizes) {
    const Head head(n_k, n_v);
    for (const Isa isa : OfferedIsas()) {
      auto state = head.NewState();
      auto out = head.NewOut();
      head.Run(isa, state, out, kTokens);
      for (const int piece : {1, 2, 3, 7, 31}) {
        auto cut_state = head.NewState();
        auto cut_out = head.NewOut();
        head.Run(isa, cut_state, cut_out, piece);
        EXPECT_EQ(cut_state, state) << IsaName(isa) << " piece " << piece;
        EXPECT_EQ(cut_out, out) << IsaName(isa) << " piece " << piece;
      }
    }
  }
}

TEST(DeltaChunk, AnUnfinishedChunkDoesNotWriteTheState) {
  const Head head(37, 65);
  for (const Isa isa : OfferedIsas()) {
    auto full = head.NewState(), more = head.NewState();
    auto out = head.NewOut();
    head.Run(isa, full, out, kTokens, 2 * kDeltaChunk);
    head.Run(isa, more, out, 1, 3 * kDeltaChunk - 1);
    EXPECT_EQ(more, full) << IsaName(isa);
    EXPECT_NE(full, head.NewState()) << IsaName(isa);
  }
}

TEST(DeltaChunk, WritesNothingBesideTheState) {
  const Head head(8, 12);
  for (const Isa isa : OfferedIsas()) {
    auto state = head.NewState();
    state.resize(state.size() + 16, 7.0F);
    auto out = head.NewOut();
    out.resize(out.size() + 16, 7.0F);
    head.Run(isa, state, out, kTokens);
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
