// Interactive requests come before those in the background, whichever of a machine's engines they are with: the engines
// share its cores and its memory's rate.
#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <mutex>

namespace quern::engine {

// Thread-safe; outlives its claims.
class RightOfWay {
 public:
  // Held for an interactive request from its acceptance to its end. While there is one, no engine begins a step of
  // requests in the background, unless its place is needed (Backend::Hurry).
  class Claim {
   public:
    explicit Claim(RightOfWay& way);
    ~Claim();
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;

   private:
    RightOfWay& way_;
  };

  bool IsClaimed() const { return n_claims_ > 0; }

  // Calls `call` whenever the last claim ended, on the thread that ended it, as long as the handle lives. The call must
  // not use this object.
  std::shared_ptr<void> WhenFree(std::function<void()> call);

 private:
  using Call = std::function<void()>;

  std::atomic<int> n_claims_{0};
  std::mutex mutex_;
  std::list<std::weak_ptr<Call>> calls_;  // guarded by mutex_
};

}  // namespace quern::engine
