// What threads of a call have: memory of their own, and a place to wait for each other.
#pragma once

#include <atomic>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif
#include <sched.h>
#include <unistd.h>

#include "vector.h"
#include "workspace.h"

namespace unrolled {
namespace {

thread_local Workspace own_workspace;
thread_local Workspace team_workspace;  // the calling thread's, shared with its team

// Second-level cache of one processor, in bytes.
index cache_size() {
#ifdef _SC_LEVEL2_CACHE_SIZE
  static const long size = sysconf(_SC_LEVEL2_CACHE_SIZE);
  if (size > 0) return size;
#endif
  return 1 << 20;
}

// Backward through a memory that fades makes numbers next to zero, each of which costs a hundred
// ordinary ones. While one of these lives, its thread rounds them to zero. Forward keeps them: its
// functions are exact over the whole line.
class FlushToZero {
 public:
#if defined(__x86_64__) || defined(__i386__)
  explicit FlushToZero(bool on) : before_(_mm_getcsr()) {
    if (on) _mm_setcsr(before_ | _MM_FLUSH_ZERO_ON);
  }
  ~FlushToZero() { _mm_setcsr(before_); }

 private:
  const unsigned before_;
#else
  explicit FlushToZero(bool) {}
#endif
};

// Threads of a group wait here for each other; spinning, since a stage takes microseconds.
class Barrier {
 public:
  void wait(int members) {
    if (members == 1) return;
    const int turn = turn_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) == members - 1) {
      arrived_.store(0, std::memory_order_relaxed);
      turn_.store(turn + 1, std::memory_order_release);
      return;
    }
    for (int spins = 0; turn_.load(std::memory_order_acquire) == turn; ++spins) {
      if (spins < 1024) {
#if defined(__x86_64__) || defined(__i386__)
        _mm_pause();
#endif
      } else {
        sched_yield();  // more threads than processors: let the others come
      }
    }
  }

 private:
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<int> turn_{0};
};

}  // namespace
}  // namespace unrolled
