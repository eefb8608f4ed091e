#include "base/os/memory_nodes.h"

#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <limits>
#include <string>

namespace quern::os {
namespace {

constexpr int kMostNodes = 1024;  // Linux's own limit
constexpr int kWordBits = std::numeric_limits<unsigned long>::digits;

using NodeMask = std::array<unsigned long, kMostNodes / kWordBits>;

NodeMask MaskOf(const std::vector<int>& nodes) {
  NodeMask mask{};
  for (const int node : nodes) mask[static_cast<size_t>(node / kWordBits)] |= 1UL << (node % kWordBits);
  return mask;
}

}  // namespace

std::vector<int> ParseNumberList(std::string_view text) {
  std::vector<int> numbers;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at < end) {
    int first = 0;
    auto read = std::from_chars(at, end, first);
    if (read.ec != std::errc() || first < 0 || first >= kMostNodes) break;
    int last = first;
    if (read.ptr < end && *read.ptr == '-') read = std::from_chars(read.ptr + 1, end, last);
    if (read.ec != std::errc() || last < first || last >= kMostNodes) break;
    for (int n = first; n <= last; ++n) numbers.push_back(n);
    at = read.ptr;
    if (at == end || *at != ',') break;
    ++at;
  }
  return numbers;
}

std::vector<int> MemoryNodes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word == "Mems_allowed_list:" && status >> word) {
      std::vector<int> nodes = ParseNumberList(word);
      if (!nodes.empty()) return nodes;
    }
  }
  return {0};
}

bool SpreadMemory(std::span<std::byte> memory, const std::vector<int>& nodes) {
  const NodeMask mask = MaskOf(nodes);
  return ::syscall(SYS_mbind, memory.data(), memory.size(), MPOL_INTERLEAVE, mask.data(), kMostNodes, 0) == 0;
}

bool SpreadReadsOfThisThread(const std::vector<int>& nodes) {
  const NodeMask mask = MaskOf(nodes);
  return ::syscall(SYS_set_mempolicy, MPOL_INTERLEAVE, mask.data(), kMostNodes) == 0;
}

}  // namespace quern::os
