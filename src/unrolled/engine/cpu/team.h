// What threads of a call have: memory of their own, and a place to wait for each other.
#pragma once

#include <atomic>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif
#include <unistd.h>

#include "waiting.h"
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

// Threads of a group wait here for each other.
class Barrier {
 public:
  void wait(int members) {
    if (members == 1) return;
    const int turn = turn_.value();
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) == members - 1) {
      arrived_.store(0, std::memory_order_relaxed);
      turn_.raise();
    } else {
      turn_.wait(turn);
    }
  }

 private:
  alignas(64) std::atomic<int> arrived_{0};
  Signal turn_;
};

}  // namespace
}  // namespace unrolled
