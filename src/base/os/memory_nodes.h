// Where memory lies on machines with several memory nodes (NUMA): each socket reads its own node's memory fastest, and
// all nodes together deliver what one alone cannot.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

namespace quern::os {

// The nodes that this process may take memory from, ascending; {0} where the system does not tell.
std::vector<int> MemoryNodes();

// "0-2,5" -> {0, 1, 2, 5}, as the system writes lists of nodes and CPUs. Stops at what is no list; at most 1024
// numbers.
std::vector<int> ParseNumberList(std::string_view text);

// The pages of memory, none of them written yet, will lie on the nodes in turn instead of on that of the thread which
// writes them first. For what all threads read: weights, keys and values. memory begins at a page. False when the
// system refuses; the memory is then as good, only not spread.
bool SpreadMemory(std::span<std::byte> memory, const std::vector<int>& nodes);

// The same for pages of files that the calling thread is the first to bring into memory, from now on.
bool SpreadReadsOfThisThread(const std::vector<int>& nodes);

}  // namespace quern::os
