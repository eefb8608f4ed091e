#include "mutations/mutator.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <span>
#include <string_view>

#include "model/packed_file_mend.h"

namespace quern::mutations {
namespace {

using Random = std::mt19937_64;

size_t Below(size_t n, Random& random) { return n == 0 ? 0 : static_cast<size_t>(random() % n); }

// A place in the text, three times out of four in its head.
size_t Place(const std::string& text, size_t header_bytes, Random& random) {
  const size_t head = std::min(text.size(), header_bytes);
  return Below(head > 0 && random() % 4 != 0 ? head : text.size(), random);
}

uint64_t HostileNumber(size_t file_bytes, Random& random) {
  const uint64_t size = file_bytes;
  const std::array<uint64_t, 20> numbers = {0,
                                            1,
                                            2,
                                            3,
                                            7,
                                            31,
                                            255,
                                            256,
                                            65535,
                                            0x7FFFFFFF,
                                            0x80000000,
                                            0xFFFFFFFF,
                                            uint64_t{1} << 32,
                                            uint64_t{1} << 62,
                                            (uint64_t{1} << 63) - 1,
                                            uint64_t{1} << 63,
                                            ~uint64_t{0},
                                            size,
                                            size - 1,
                                            size + 1};
  return numbers[Below(numbers.size(), random)];
}

void Truncate(std::string& text, size_t header_bytes, Random& random) {
  text.resize(Place(text, header_bytes, random));
}

void FlipBits(std::string& text, size_t header_bytes, Random& random) {
  for (size_t n = 1 + Below(8, random); n > 0 && !text.empty(); --n) {
    char& c = text[Place(text, header_bytes, random)];
    c = static_cast<char>(c ^ (1 << Below(8, random)));
  }
}

void InsertOrDelete(std::string& text, size_t header_bytes, Random& random) {
  const size_t at = Place(text, header_bytes, random);
  const size_t n = 1 + Below(random() % 8 == 0 ? 300 : 8, random);
  if (random() % 2 == 0) {
    text.erase(at, n);
  } else {
    std::string noise(n, '\0');
    for (char& c : noise) c = static_cast<char>(random());
    text.insert(at, noise);
  }
}

void CopyWithin(std::string& text, size_t header_bytes, Random& random) {
  const size_t to = Place(text, header_bytes, random);
  const size_t from = Place(text, header_bytes, random);
  const size_t n = std::min(Below(64, random) + 1, text.size() - std::max(to, from));
  if (n > 0) std::memmove(text.data() + to, text.data() + from, n);
}

// A number of four or eight bytes.
void OverwriteNumber(std::string& text, size_t header_bytes, Random& random) {
  const uint64_t number = HostileNumber(text.size(), random);
  const size_t width = random() % 2 == 0 ? 4 : 8;
  if (text.size() < width) return;
  const size_t at = std::min(Place(text, header_bytes, random), text.size() - width);
  std::memcpy(text.data() + at, &number, width);
}

bool IsDigit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }

// One value of a JSON text (a number, or a word or string by its first letter) becomes another.
void ReplaceJsonValue(std::string& text, Random& random) {
  static constexpr std::array<std::string_view, 24> kValues = {"0",
                                                               "-1",
                                                               "1",
                                                               "2",
                                                               "3",
                                                               "7",
                                                               "64",
                                                               "4294967296",
                                                               "2147483648",
                                                               "9223372036854775807",
                                                               "18446744073709551616",
                                                               "1e308",
                                                               "1e999",
                                                               "-0.5",
                                                               "0.001",
                                                               "null",
                                                               "true",
                                                               "\"\"",
                                                               "\"x\"",
                                                               "[]",
                                                               "{}",
                                                               "[[[[[[[[1]]]]]]]]",
                                                               "[-1,1e30]",
                                                               "{\"rope_type\":\"yarn\",\"factor\":1e9}"};
  std::string_view value = kValues[Below(kValues.size(), random)];
  const size_t start = Below(text.size(), random);
  size_t at = start;
  while (at < text.size() && !IsDigit(text[at])) ++at;
  if (at == text.size()) at = start;
  size_t end = at;
  while (end < text.size() && (IsDigit(text[end]) || text[end] == '.' || text[end] == '-' || text[end] == 'e')) ++end;
  text.replace(at, std::max<size_t>(end - at, 1), value);
}

void MutateJson(std::string& text, Random& random) {
  switch (random() % 6) {
    case 0:
      return Truncate(text, text.size(), random);
    case 1:
      return FlipBits(text, text.size(), random);
    case 2:
      return random() % 2 == 0 ? InsertOrDelete(text, text.size(), random) : CopyWithin(text, text.size(), random);
    default:
      for (size_t n = 1 + Below(3, random); n > 0 && !text.empty(); --n) ReplaceJsonValue(text, random);
  }
}

void MutateBinary(std::string& text, size_t header_bytes, Random& random) {
  switch (random() % 8) {
    case 0:
      return Truncate(text, random() % 2 == 0 ? header_bytes : text.size(), random);
    case 1:
    case 2:
      return FlipBits(text, header_bytes, random);
    case 3:
      return InsertOrDelete(text, header_bytes, random);
    case 4:
      return CopyWithin(text, header_bytes, random);
    default:
      for (size_t n = 1 + Below(2, random); n > 0; --n) OverwriteNumber(text, header_bytes, random);
  }
}

// The header as text, its length put right again more often than not, so that the reader gets past it.
void MutateSafetensors(std::string& text, Random& random) {
  uint64_t length = 0;
  if (text.size() < sizeof(length) || random() % 4 == 0) return MutateBinary(text, 512, random);
  std::memcpy(&length, text.data(), sizeof(length));
  length = std::min<uint64_t>(length, text.size() - sizeof(length));
  std::string header = text.substr(sizeof(length), length);
  const std::string data = text.substr(sizeof(length) + length);
  MutateJson(header, random);
  uint64_t stated = header.size();
  if (random() % 8 == 0) stated = HostileNumber(text.size(), random);
  text.resize(sizeof(stated));
  std::memcpy(text.data(), &stated, sizeof(stated));
  text += header;
  text += data;
}

// The index at the end of the file, and sometimes what the trailer says of it. Seldom without mending: then a checksum
// tells.
void MutatePacked(std::string& text, Random& random) {
  constexpr size_t kEdge = 64;
  if (text.size() < 2 * kEdge || random() % 4 == 0) return MutateBinary(text, kEdge, random);
  std::string trailer = text.substr(text.size() - kEdge);
  uint64_t at = 0;
  std::memcpy(&at, trailer.data(), sizeof(at));
  at = std::min<uint64_t>(at, text.size() - kEdge);
  std::string index = text.substr(at, text.size() - kEdge - at);
  if (random() % 8 != 0 && !index.empty()) {
    MutateBinary(index, index.size(), random);
  } else {
    constexpr size_t kNumbers = 24;  // offset and bytes of the index, number of entries
    OverwriteNumber(trailer, kNumbers, random);
  }
  text = text.substr(0, at) + index + trailer;
  model::MendPackedFile(std::as_writable_bytes(std::span(text)));
}

}  // namespace

std::string Mutate(const std::string& seed, Kind kind, size_t header_bytes, Random& random) {
  std::string text = seed;
  while (text == seed) {
    switch (kind) {
      case Kind::kBinary:
        MutateBinary(text, header_bytes, random);
        break;
      case Kind::kJson:
        MutateJson(text, random);
        break;
      case Kind::kSafetensors:
        MutateSafetensors(text, random);
        break;
      case Kind::kPacked:
        MutatePacked(text, random);
        break;
    }
  }
  return text;
}

}  // namespace quern::mutations
