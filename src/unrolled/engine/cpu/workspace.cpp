#include "workspace.h"

#include <cstdlib>
#include <thread>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "lock.h"

namespace unrolled {
namespace {

constexpr std::size_t page = 1 << 21;        // a large page of the system, in bytes
constexpr std::size_t kept = 64 * (1 << 20);  // bytes that a workspace may hold between calls

std::size_t round_up(std::size_t value, std::size_t to) { return (value + to - 1) / to * to; }

// All workspaces, in a list.
pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
Workspace* first = nullptr;

using Locked = Holding<lock>;
const int at_fork = survive_forks<lock>();

}  // namespace

Workspace::Workspace() {
  const Locked locked;
  next_ = first;
  if (next_ != nullptr) next_->before_ = this;
  first = this;
}

Workspace::~Workspace() {
  {
    const Locked locked;
    (before_ != nullptr ? before_->next_ : first) = next_;
    if (next_ != nullptr) next_->before_ = before_;
  }
  free_memory();
}

float* Workspace::take(std::size_t floats) {
  // Only `release` can be at it, for the moment that freeing takes.
  while (taken_.exchange(true, std::memory_order_acquire)) std::this_thread::yield();
  if (floats > size_) {
    free_memory();
    std::size_t size = round_up(floats + floats / 4, 64);
    const bool large = size * sizeof(float) >= page / 4;
    if (large) size = round_up(size, page / sizeof(float));
    data_ = static_cast<float*>(std::aligned_alloc(large ? page : 256, size * sizeof(float)));
    if (data_ == nullptr) {
      taken_.store(false, std::memory_order_release);
      return nullptr;
    }
    size_ = size;
#ifdef MADV_HUGEPAGE
    if (large) madvise(data_, size * sizeof(float), MADV_HUGEPAGE);
#endif
  }
  return data_;
}

void Workspace::leave() {
  if (size_ * sizeof(float) > kept) free_memory();
  taken_.store(false, std::memory_order_release);
}

std::size_t Workspace::release() {
  if (taken_.exchange(true, std::memory_order_acquire)) return 0;
  const std::size_t bytes = size_ * sizeof(float);
  free_memory();
  taken_.store(false, std::memory_order_release);
  return bytes;
}

void Workspace::free_memory() {
  std::free(data_);
  data_ = nullptr;
  size_ = 0;
}

std::size_t release_workspaces() {
  const Locked locked;
  std::size_t bytes = 0;
  for (Workspace* each = first; each != nullptr; each = each->next()) bytes += each->release();
  return bytes;
}

}  // namespace unrolled
