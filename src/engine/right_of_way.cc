#include "engine/right_of_way.h"

#include <utility>

namespace quern::engine {

RightOfWay::Claim::Claim(RightOfWay& way) : way_(way) { ++way_.n_claims_; }

RightOfWay::Claim::~Claim() {
  if (--way_.n_claims_ > 0) return;
  std::lock_guard lock(way_.mutex_);
  way_.calls_.remove_if([](const std::weak_ptr<Call>& call) { return call.expired(); });
  for (const std::weak_ptr<Call>& call : way_.calls_) {
    if (const auto alive = call.lock()) (*alive)();
  }
}

std::shared_ptr<void> RightOfWay::WhenFree(std::function<void()> call) {
  auto kept = std::make_shared<Call>(std::move(call));
  std::lock_guard lock(mutex_);
  calls_.push_back(kept);
  return kept;
}

}  // namespace quern::engine
