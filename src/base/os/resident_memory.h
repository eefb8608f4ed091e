// How much memory this process occupies, as the system counts it: pages that are in memory, shared and mapped files'
// too.
#pragma once

#include <cstddef>

namespace quern::os {

// 0 where the system does not tell.
size_t ResidentBytes();

// The most that was resident at once, since the start of the process or since ForgetPeakResident. 0 as above.
size_t PeakResidentBytes();

// Gives free memory back to the system and counts the peak anew from what is resident then.
void ForgetPeakResident();

}  // namespace quern::os
