// Memory that a thread keeps between calls, so that a call touches no fresh pages.
#pragma once

#include <atomic>
#include <cstddef>

namespace unrolled {

// The memory of one thread for one purpose. A thread takes it for a call and leaves it afterwards;
// in between it belongs to nobody, and `release_workspaces` may free it.
class Workspace {
 public:
  Workspace();
  ~Workspace();
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  // So many floats, aligned to 256 bytes, of any content; null where there is no memory.
  float* take(std::size_t floats);
  // What was taken is needed no more. Large memory goes back to the system at once.
  void leave();
  // Frees what it holds, if nobody has taken it; returns the bytes.
  std::size_t release();
  // Another workspace of the process; null after the last.
  Workspace* next() const { return next_; }

 private:
  void free_memory();

  float* data_ = nullptr;
  std::size_t size_ = 0;  // floats
  std::atomic<bool> taken_{false};
  Workspace* next_;  // all workspaces of the process, guarded by a lock
  Workspace* before_ = nullptr;
};

// A workspace, taken until the end of a scope.
class Taken {
 public:
  explicit Taken(Workspace& workspace) : workspace_(workspace) {}
  ~Taken() {
    if (data_ != nullptr) workspace_.leave();
  }
  Taken(const Taken&) = delete;
  Taken& operator=(const Taken&) = delete;

  // As Workspace::take, at most once.
  float* reserve(std::size_t floats) { return data_ = workspace_.take(floats); }

 private:
  Workspace& workspace_;
  float* data_ = nullptr;
};

// Frees the memory of all threads that is not in use; returns the bytes.
std::size_t release_workspaces();

}  // namespace unrolled
