// Ctrl-C as a question that can be asked.
#pragma once

namespace quern::cli {

// From now on SIGINT only counts. Call once, before other threads start.
void CatchInterrupts();

// How often Ctrl-C was pressed since the last call.
int TakeInterrupts();

// Waits until fd can be read (or is at its end) or Ctrl-C is pressed or was pressed since the last TakeInterrupts().
void WaitForInputOrInterrupt(int fd);

}  // namespace quern::cli
