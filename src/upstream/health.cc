#include "upstream/health.h"

namespace quern::upstream {

bool Health::MayAsk(Clock::time_point now, int n_running) {
  if (now < held_until_) return false;
  if (state_ == State::kDown && !options_.probed && now >= down_until_) state_ = State::kTrial;
  if (state_ == State::kTrial) return n_running == 0;
  return state_ == State::kUp;
}

Health::Clock::time_point Health::MayAskAt(Clock::time_point now) const {
  const auto earliest = std::max(now, held_until_);
  return state_ == State::kDown ? std::max(earliest, down_until_) : earliest;
}

void Health::OnSuccess() {
  state_ = State::kUp;
  n_failures_ = 0;
  cooldown_ = std::chrono::milliseconds(0);
}

void Health::OnFailure(Clock::time_point now, std::string_view why) {
  last_failure_ = why;
  ++n_failures_;
  // What was under way when it went down says nothing new.
  if (state_ == State::kDown) return;
  if (state_ == State::kUp && n_failures_ < options_.max_failures) return;
  state_ = State::kDown;
  cooldown_ = cooldown_.count() == 0 ? options_.cooldown : std::min(cooldown_ * 2, options_.max_cooldown);
  down_until_ = now + cooldown_;
}

void Health::OnProbe(Clock::time_point now, bool alive, std::string_view why) {
  if (!alive) return OnFailure(now, why);
  if (state_ == State::kDown) {
    state_ = State::kTrial;
  } else if (state_ == State::kUp) {
    n_failures_ = 0;
  }
}

}  // namespace quern::upstream
