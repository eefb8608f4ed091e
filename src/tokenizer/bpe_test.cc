#include "tokenizer/bpe.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <map>
#include <random>
#include <string>

#include "tokenizer/test_vocabulary.h"

namespace quern::tokenizer {
namespace {

// A vocabulary over bytes with the model made from it.
struct Fixture {
  std::vector<std::string> tokens;
  std::vector<Merge> merges;
  std::vector<std::string_view> views;
  std::unique_ptr<BpeModel> model;

  explicit Fixture(const std::vector<std::pair<std::string, std::string>>& pairs) {
    std::map<std::string, TokenId> ids;
    std::array<TokenId, 256> byte_ids{};
    const auto id_of = [&](const std::string& bytes) {
      const auto [it, is_new] = ids.emplace(bytes, static_cast<TokenId>(tokens.size()));
      if (is_new) tokens.push_back(bytes);
      return it->second;
    };
    for (size_t b = 0; b < 256; ++b) byte_ids[b] = id_of(std::string(1, static_cast<char>(b)));
    for (const auto& [left, right] : pairs) merges.push_back({id_of(left), id_of(right), id_of(left + right)});
    views.assign(tokens.begin(), tokens.end());
    model = std::make_unique<BpeModel>(byte_ids, merges, views);
  }

  std::vector<TokenId> Encode(std::string_view piece, BpeScratch& scratch) const {
    std::vector<TokenId> out;
    model->Encode(piece, scratch, out);
    return out;
  }

  // The definition: while some pair has a rank, join the leftmost pair of lowest rank.
  std::vector<TokenId> Plain(std::string_view piece) const {
    std::vector<TokenId> ids;
    for (const char c : piece) ids.push_back(static_cast<uint8_t>(c));
    while (true) {
      size_t best_rank = merges.size();
      size_t best_at = 0;
      for (size_t i = 0; i + 1 < ids.size(); ++i) {
        for (size_t rank = 0; rank < best_rank; ++rank) {
          if (merges[rank].left == ids[i] && merges[rank].right == ids[i + 1]) {
            best_rank = rank;
            best_at = i;
          }
        }
      }
      if (best_rank == merges.size()) return ids;
      ids[best_at] = merges[best_rank].joined;
      ids.erase(ids.begin() + static_cast<ptrdiff_t>(best_at) + 1);
    }
  }
};

std::vector<std::pair<std::string, std::string>> RandomMerges(std::mt19937_64& rng) {
  std::vector<std::string> known = {"a", "b", "c"};
  std::vector<std::pair<std::string, std::string>> merges;
  while (merges.size() < 24) {
    const std::pair<std::string, std::string> pair = {known[rng() % known.size()], known[rng() % known.size()]};
    if (std::find(merges.begin(), merges.end(), pair) != merges.end()) continue;
    merges.push_back(pair);
    known.push_back(pair.first + pair.second);
  }
  // In a file from a trainer, a token's parts have lower ranks than the merges that use it. Other files may not.
  if (rng() % 2 == 0) std::shuffle(merges.begin(), merges.end(), rng);
  return merges;
}

TEST(Bpe, EqualsTheDefinitionForShortAndLongPieces) {
  std::mt19937_64 rng(11);
  for (int i = 0; i < 60; ++i) {
    const Fixture fixture(RandomMerges(rng));
    BpeScratch scratch;
    for (int k = 0; k < 60; ++k) {
      std::string piece(1 + rng() % (k % 4 == 0 ? 200 : 20), 'a');
      for (char& c : piece) c = static_cast<char>('a' + rng() % (1 + k % 3));
      const auto expected = fixture.Plain(piece);
      EXPECT_EQ(fixture.Encode(piece, scratch), expected) << piece;
      EXPECT_EQ(fixture.Encode(piece, scratch), expected) << "from the cache: " << piece;
    }
  }
}

TEST(Bpe, JoinsTheLeftmostPairFirst) {
  const std::vector<std::pair<std::string, std::string>> merges = {{"a", "a"}};
  const Fixture fixture(merges);
  BpeScratch scratch;
  const auto ids = fixture.Encode("aaaaa", scratch);
  EXPECT_EQ(ids, (std::vector<TokenId>{256, 256, 'a'}));
}

// Pieces of the length where the queue with one list per rank takes over.
TEST(Bpe, EqualsTheDefinitionForVeryLongPieces) {
  std::mt19937_64 rng(12);
  int n_rising = 0;
  for (int i = 0; i < 12; ++i) {
    const Fixture fixture(RandomMerges(rng));
    n_rising += fixture.model->ranks_rise();
    BpeScratch scratch;
    std::string piece(4096 + rng() % 500, 'a');
    for (char& c : piece) c = static_cast<char>('a' + rng() % static_cast<uint64_t>(1 + i % 3));
    EXPECT_EQ(fixture.Encode(piece, scratch), fixture.Plain(piece)) << i;
    EXPECT_EQ(fixture.Encode(piece, scratch), fixture.Plain(piece)) << i << ", with used working memory";
  }
  EXPECT_GT(n_rising, 2);
  EXPECT_LT(n_rising, 10);
}

// What a piece costs is the number of queue entries; each join makes at most two.
TEST(Bpe, TakesAtMostThreeQueueStepsPerByteOfALongPiece) {
  std::vector<std::pair<std::string, std::string>> merges;
  for (const std::string_view unit : {"a", " ", "'", "\xF0\x9F\x98\x80", "ab"}) {
    std::string token(unit.substr(0, 1));
    for (size_t i = 1; i < unit.size(); ++i) {
      merges.emplace_back(token, std::string(1, unit[i]));
      token += unit[i];
    }
    for (; token.size() < 64; token += token) merges.emplace_back(token, token);
  }
  const Fixture fixture(merges);
  for (const std::string_view unit : {"a", " ", "'", "\xF0\x9F\x98\x80", "ab", "a ", "ba'"}) {
    for (const size_t n_bytes : {size_t{100000}, size_t{1000000}}) {
      std::string piece;
      while (piece.size() < n_bytes) piece += unit;
      BpeScratch scratch;
      const auto start = std::chrono::steady_clock::now();
      const auto ids = fixture.Encode(piece, scratch);
      const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
      std::printf("%zu bytes: %.3f s, %zu ids, %.2f steps per byte\n", piece.size(), seconds.count(), ids.size(),
                  static_cast<double>(scratch.n_queue_steps()) / static_cast<double>(piece.size()));
      EXPECT_LE(scratch.n_queue_steps(), 3 * piece.size());
      std::string joined;
      for (const TokenId id : ids) joined += fixture.tokens[static_cast<size_t>(id)];
      EXPECT_EQ(joined, piece);
    }
  }
}

}  // namespace
}  // namespace quern::tokenizer
