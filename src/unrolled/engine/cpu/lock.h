// Locks that no fork leaves closed. Threads come and go at any time, also while another one forks: the
// child must not find a lock that nobody is there to open.
#pragma once

#include <pthread.h>

namespace unrolled {

// Holds a lock until the end of a scope.
template <pthread_mutex_t& lock>
struct Holding {
  Holding() { pthread_mutex_lock(&lock); }
  ~Holding() { pthread_mutex_unlock(&lock); }
  Holding(const Holding&) = delete;
  Holding& operator=(const Holding&) = delete;
};

inline void nothing() {}

// Lets every fork wait for a lock; the child does something before it opens its own. To be called once.
template <pthread_mutex_t& lock, void (*in_child)() = nothing>
int survive_forks() {
  return pthread_atfork([] { pthread_mutex_lock(&lock); }, [] { pthread_mutex_unlock(&lock); },
                        [] {
                          in_child();
                          pthread_mutex_unlock(&lock);
                        });
}

}  // namespace unrolled
