#include "base/os/resident_memory.h"

#include <malloc.h>

#include <fstream>
#include <string>
#include <string_view>

namespace quern::os {
namespace {

size_t StatusBytes(std::string_view name) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    size_t kib = 0;
    if (word == name && status >> kib) return kib * 1024;
  }
  return 0;
}

}  // namespace

size_t ResidentBytes() { return StatusBytes("VmRSS:"); }

size_t PeakResidentBytes() { return StatusBytes("VmHWM:"); }

void ForgetPeakResident() {
  malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << 5;
}

}  // namespace quern::os
