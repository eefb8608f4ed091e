// Whether an upstream endpoint is worth asking, judged from how requests and probes fared. No clock of its own: times
// are given. One owner, no locking.
//
//   kUp     requests flow; max_failures failures in a row -> kDown
//   kDown   nothing is sent until a probe succeeds, or the cooldown is over where nobody probes -> kTrial
//   kTrial  one request at a time; success -> kUp, failure -> kDown with twice the cooldown
//
// Besides, an endpoint that answered 429 or 503 with Retry-After is left alone until then; that is no failure.
#pragma once

#include <algorithm>
#include <chrono>
#include <string>
#include <string_view>

namespace quern::upstream {

class Health {
 public:
  using Clock = std::chrono::steady_clock;
  enum class State { kUp, kDown, kTrial };

  struct Options {
    int max_failures = 3;
    std::chrono::milliseconds cooldown{2'000};
    std::chrono::milliseconds max_cooldown{60'000};
    bool probed = true;  // somebody calls OnProbe while it is down
  };
  explicit Health(const Options& options) : options_(options) {}

  // n_running: requests under way there.
  bool MayAsk(Clock::time_point now, int n_running);
  // The earliest time at which MayAsk can become true without a probe; now when it is.
  Clock::time_point MayAskAt(Clock::time_point now) const;

  void OnSuccess();
  void OnFailure(Clock::time_point now, std::string_view why);
  void HoldUntil(Clock::time_point until) { held_until_ = std::max(held_until_, until); }
  // alive: what a probe found. A failed one counts as a failure; a good one lets an endpoint that is down be tried.
  void OnProbe(Clock::time_point now, bool alive, std::string_view why);

  State state() const { return state_; }
  const std::string& last_failure() const { return last_failure_; }

 private:
  Options options_;
  State state_ = State::kUp;
  int n_failures_ = 0;  // in a row
  std::chrono::milliseconds cooldown_{0};
  Clock::time_point down_until_{};
  Clock::time_point held_until_{};
  std::string last_failure_;
};

}  // namespace quern::upstream
