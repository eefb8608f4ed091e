// Checks for our own mistakes. QUERN_CHECK is always on and stands at room borders; QUERN_DCHECK is for hot loops
// and vanishes in release builds. Neither may be reachable from bytes that came from outside: those get a Status.
#pragma once

namespace quern {

// Prints "file:line: check failed: text" to stderr and aborts.
[[noreturn]] void CheckFailed(const char* file, int line, const char* text);

}  // namespace quern

#define QUERN_CHECK(cond) \
  (static_cast<bool>(cond) ? static_cast<void>(0) : ::quern::CheckFailed(__FILE__, __LINE__, #cond))

#ifdef NDEBUG
#define QUERN_DCHECK(cond) static_cast<void>(sizeof(static_cast<bool>(cond)))
#else
#define QUERN_DCHECK(cond) QUERN_CHECK(cond)
#endif
