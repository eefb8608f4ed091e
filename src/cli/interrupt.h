// Ctrl-C as a question that can be asked.
#pragma once

namespace quern::cli {

// From now on SIGINT only counts; a read() that waits returns with EINTR. Call once, before other threads start.
void CatchInterrupts();

// How often Ctrl-C was pressed since the last call.
int TakeInterrupts();

}  // namespace quern::cli
