// What `quern bench` was asked to measure. Each list is crossed with the others.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kernels/kv_layout.h"

namespace quern::cli {

struct BenchOptions {
  std::vector<int> prompt = {512};           // tokens read in one test; 0 = none
  std::vector<int> generate = {128};         // tokens generated per sequence; 0 = none
  std::vector<int> depth = {0};              // tokens that every sequence holds before the test
  std::vector<int> batch = {1};              // sequences that generate together
  std::vector<int> threads;                  // empty = what the machine gives
  std::optional<kernels::KvTypes> kv_types;  // unset = the model's
  int repeat = 5;
  int step_tokens = 512;  // prompt tokens per forward pass
  std::string format = "table";
  std::string plot;  // SVG file of speed over depth; empty = none
  std::string isa;   // force this level
};

}  // namespace quern::cli
