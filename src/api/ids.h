// Random identifiers. Unpredictable enough not to collide; they are not secrets.
#pragma once

#include <cstdint>
#include <string>

namespace quern::api {

std::string NewUuid();   // 8-4-4-4-12 hex, version 4
std::string NewHexId();  // 24 hex digits
uint64_t RandomSeed();   // for requests that name none
int64_t UnixSecondsNow();

}  // namespace quern::api
