// Random numbers by counter instead of by state: the n-th number of a seed is a pure function, so that a draw does not
// depend on what was drawn before, by whom, or on which step it happened.
#pragma once

#include <cstdint>

namespace quern::engine {

// The number at `counter` in the stream of `seed`, uniform in [0, 1) with 53 bits: Philox 4x32 with 10 rounds (Salmon
// et al., "Parallel random numbers: as easy as 1, 2, 3").
double UniformAt(uint64_t seed, uint64_t counter);

}  // namespace quern::engine
