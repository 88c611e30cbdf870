// A number that goes up, and threads that wait for it.
#pragma once

#include <atomic>

namespace unrolled {

// Tells the processor that a thread only waits.
inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Lets the calling thread sleep for as long as the number has this value; may wake it for nothing.
void sleep_while(const std::atomic<int>& number, int value);
void wake_all(const std::atomic<int>& number);

// A wait is mostly over within microseconds, so it begins by looking again and again; but where there
// are more threads than processors, who is waited for may not run before the waiting thread gives its
// processor away. So it soon sleeps.
class Signal {
 public:
  static constexpr int patience = 1024;  // looks, of some ten nanoseconds each

  int value() const { return number_.load(std::memory_order_acquire); }

  void raise() {
    number_.fetch_add(1);
    // Sequentially consistent, as are the two in `wait`: either this sees the sleeper, or that one
    // sees the new number.
    if (sleepers_.load() > 0) wake_all(number_);
  }

  // Until the number is no longer `seen`.
  void wait(int seen, int looks = patience) {
    for (int look = 0; look < looks; ++look) {
      if (value() != seen) return;
      pause();
    }
    sleepers_.fetch_add(1);
    while (number_.load() == seen) sleep_while(number_, seen);
    sleepers_.fetch_sub(1);
  }

 private:
  alignas(64) std::atomic<int> number_{0};
  std::atomic<int> sleepers_{0};
};

}  // namespace unrolled
