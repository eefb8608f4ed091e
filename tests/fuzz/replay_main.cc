// Runs a fuzz target without libFuzzer: every file of the corpus folder as it is, then seeded mutations of each
// (truncations, bit flips, byte replacements, splices). Deterministic. Fails when the corpus is empty, because a
// replay of nothing proves nothing.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Bytes = std::vector<uint8_t>;

constexpr int kMutationsPerFile = 200;

Bytes ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

Bytes Mutate(const Bytes& seed, std::mt19937_64& rng) {
  Bytes out = seed;
  if (out.empty()) return out;
  if (rng() % 4 == 0) out.resize(rng() % out.size() + 1);
  const int n_edits = 1 + static_cast<int>(rng() % 4);
  for (int i = 0; i < n_edits; ++i) {
    const size_t at = rng() % out.size();
    switch (rng() % 4) {
      case 0:
        out[at] ^= static_cast<uint8_t>(1U << (rng() % 8));
        break;
      case 1:
        out[at] = static_cast<uint8_t>(rng());
        break;
      case 2:
        out[at] = 0xFF;
        break;
      default: {
        const size_t from = rng() % out.size();
        const size_t n = std::min(out.size() - std::max(at, from), static_cast<size_t>(rng() % 16));
        for (size_t k = 0; k < n; ++k) out[at + k] = out[from + k];
      }
    }
  }
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s CORPUS_DIR\n", argv[0]);
    return 2;
  }
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1], error)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  if (files.empty()) {
    std::fprintf(stderr, "no corpus files in %s\n", argv[1]);
    return 1;
  }
  std::sort(files.begin(), files.end());
  size_t n_runs = 0;
  std::mt19937_64 rng(20260801);
  for (const auto& path : files) {
    const Bytes seed = ReadFile(path);
    LLVMFuzzerTestOneInput(seed.data(), seed.size());
    ++n_runs;
    for (int i = 0; i < kMutationsPerFile; ++i, ++n_runs) {
      const Bytes input = Mutate(seed, rng);
      LLVMFuzzerTestOneInput(input.data(), input.size());
    }
  }
  std::printf("%zu inputs from %zu corpus files\n", n_runs, files.size());
  return 0;
}
