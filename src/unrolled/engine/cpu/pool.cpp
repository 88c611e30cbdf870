#include "pool.h"

#include <csignal>
#include <chrono>
#include <climits>
#include <new>

#include <dlfcn.h>
#include <pthread.h>
#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

#include "lock.h"
#include "waiting.h"

namespace unrolled {

#if defined(__linux__)
namespace {
void futex(const std::atomic<int>& number, int operation, int value) {
  static_assert(sizeof(std::atomic<int>) == sizeof(int));
  syscall(SYS_futex, &number, operation, value, nullptr, nullptr, 0);
}
}  // namespace

void sleep_while(const std::atomic<int>& number, int value) {
  futex(number, FUTEX_WAIT_PRIVATE, value);
}

void wake_all(const std::atomic<int>& number) { futex(number, FUTEX_WAKE_PRIVATE, INT_MAX); }
#else
namespace {
pthread_mutex_t sleepers = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t awake = PTHREAD_COND_INITIALIZER;
}  // namespace

void sleep_while(const std::atomic<int>& number, int value) {
  pthread_mutex_lock(&sleepers);
  if (number.load() == value) pthread_cond_wait(&awake, &sleepers);
  pthread_mutex_unlock(&sleepers);
}

void wake_all(const std::atomic<int>&) {
  pthread_mutex_lock(&sleepers);
  pthread_cond_broadcast(&awake);
  pthread_mutex_unlock(&sleepers);
}
#endif

namespace {

// How numbers next to zero are treated is a setting of each thread: members take the caller's.
class Arithmetic {
 public:
#if defined(__x86_64__) || defined(__i386__)
  Arithmetic() : control_(_mm_getcsr() & ~flags) {}
  void adopt() const { _mm_setcsr(control_); }

 private:
  static constexpr unsigned flags = 0x3f;  // what has happened so far
  unsigned control_;
#else
  void adopt() const {}
#endif
};

// What a call asks for. It lives as long as the call; who takes it is waited for.
struct Job {
  Part part;
  void* context;
  Arithmetic arithmetic;
  Signal begin;  // raised once, when it is known who is there
  int members = 1;
};

struct Helper {
  std::atomic<Job*> job{nullptr};  // taken by the helper, or taken back by the caller
  Signal asked, finished;
  int member = 0;  // in the job it has taken
  Helper* next = nullptr;  // in the list of those who have nothing to do
};

void serve(Helper& self) {
  for (int seen = 0;; ) {
    self.asked.wait(seen);
    seen = self.asked.value();
    Job* const job = self.job.exchange(nullptr);
    if (job == nullptr) continue;  // the caller did not wait
    job->begin.wait(0);
    job->arithmetic.adopt();
    job->part(job->context, self.member, job->members);
    self.finished.raise();
  }
}

// Helpers with nothing to do. None of them ever ends: what they hold is their working memory, which
// `release_workspaces` frees.
struct Pool {
  Helper* idle = nullptr;
  int count = 0;
};

pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
Pool pool;
std::atomic<int> limit{most_members};
std::atomic<bool> child{false};  // of a fork

// The child of a fork has none of these threads.
void begin_child() {
  pool = {};
  child.store(true, std::memory_order_relaxed);
}

using Locked = Holding<lock>;
const int at_fork = survive_forks<lock, begin_child>();

// A new thread; null where there is none to be had. It takes no signals: they are the program's.
Helper* hire() {
  Helper* const helper = new (std::nothrow) Helper;
  if (helper == nullptr) return nullptr;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  const int failed = pthread_create(
      &thread, nullptr,
      [](void* own) -> void* {
        serve(*static_cast<Helper*>(own));
        return nullptr;
      },
      helper);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (failed) {
    delete helper;
    return nullptr;
  }
  pthread_detach(thread);
#if defined(__linux__)
  pthread_setname_np(thread, "unrolled");
#endif
  return helper;
}

int engage(int wanted, Helper** helpers) {
  const Locked locked;
  int count = 0;
  for (; count < wanted && pool.idle != nullptr; ++count) {
    helpers[count] = pool.idle;
    pool.idle = pool.idle->next;
  }
  while (count < wanted && pool.count < most_members) {
    Helper* const helper = hire();
    if (helper == nullptr) break;
    helpers[count++] = helper;
    ++pool.count;
  }
  return count;
}

void dismiss(int count, Helper* const* helpers) {
  const Locked locked;
  for (int h = 0; h < count; ++h) {
    helpers[h]->next = pool.idle;
    pool.idle = helpers[h];
  }
}

// Waits for helpers to take the job, but no longer than so many nanoseconds.
void await(const Helper* const* helpers, int count, long long patience) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point until = Clock::now() + std::chrono::nanoseconds(patience);
  for (int h = 0, look = 1; h < count; ++look) {
    if (helpers[h]->job.load(std::memory_order_relaxed) == nullptr) {
      ++h;
      continue;
    }
    if (look % 64 == 0 && Clock::now() > until) return;
    pause();
  }
}

// What is used of an OpenMP runtime. Its functions are looked up in what the process has loaded: a
// runtime that this module were linked with would be a second one, with threads of its own.
struct OpenMp {
  void (*parallel)(void (*)(void*), void*, unsigned, unsigned) = nullptr;
  int (*number)() = nullptr;  // of the calling thread among the members
  int (*count)() = nullptr;

  bool complete() const { return parallel != nullptr && number != nullptr && count != nullptr; }
};

template <class Function>
void look_up(void* library, const char* name, Function& found) {
  found = reinterpret_cast<Function>(dlsym(library, name));
}

OpenMp find_openmp() {
  OpenMp found;
  void* const parallel = dlsym(RTLD_DEFAULT, "GOMP_parallel");
  Dl_info library;
  if (parallel == nullptr || dladdr(parallel, &library) == 0) return found;
  // all from the same library, should there be several; it stays loaded for ever
  void* const handle = dlopen(library.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
  if (handle == nullptr) return found;
  look_up(handle, "GOMP_parallel", found.parallel);
  look_up(handle, "omp_get_thread_num", found.number);
  look_up(handle, "omp_get_num_threads", found.count);
  return found;
}

const OpenMp& openmp() {
  static const OpenMp found = find_openmp();
  return found;
}

struct Region {
  Part part;
  void* context;
  Arithmetic arithmetic;
};

void enter(void* data) {
  const Region& region = *static_cast<const Region*>(data);
  const Arithmetic own;  // the thread is the runtime's: it gets back what it had
  region.arithmetic.adopt();
  region.part(region.context, openmp().number(), openmp().count());
  own.adopt();
}

}  // namespace

bool has_openmp() {
  return openmp().complete() && !child.load(std::memory_order_relaxed);
}

void run_by_openmp(int wanted, Part part, void* context) {
  const int most = limit.load(std::memory_order_relaxed);
  Region region{part, context, {}};
  openmp().parallel(enter, &region, static_cast<unsigned>(wanted < most ? wanted : most), 0);
}

void run_together(int wanted, long long patience, Part part, void* context) {
  Helper* helpers[most_members];
  const int most = limit.load(std::memory_order_relaxed);
  if (wanted > most) wanted = most;
  const int asked = wanted > 1 ? engage(wanted - 1, helpers) : 0;
  if (asked == 0) return part(context, 0, 1);
  Job job{part, context, {}, {}, 1};
  for (int h = 0; h < asked; ++h) {
    helpers[h]->job.store(&job);
    helpers[h]->asked.raise();
  }
  await(helpers, asked, patience);
  int finished[most_members];
  for (int h = 0; h < asked; ++h) {
    const bool here = helpers[h]->job.exchange(nullptr) == nullptr;
    helpers[h]->member = here ? job.members++ : 0;
    finished[h] = helpers[h]->finished.value();
  }
  job.begin.raise();
  part(context, 0, job.members);
  for (int h = 0; h < asked; ++h)
    if (helpers[h]->member > 0) helpers[h]->finished.wait(finished[h]);
  dismiss(asked, helpers);
}

void limit_members(int most) { limit.store(most < 1 ? 1 : most, std::memory_order_relaxed); }

}  // namespace unrolled
