#include "division.h"

#include "lock.h"

namespace unrolled {
namespace {

constexpr int kinds = 512;        // that are remembered at a time
constexpr int first_tries = 2;    // the first one may have found cold memory
constexpr double near = 1.5;      // who was that much slower than the best is not tried twice at first
constexpr unsigned soonest = 4;  // calls between two tries of another division
constexpr unsigned latest = 512;
constexpr unsigned cost = 20;  // a try may take that much longer than so many calls do, each a bit

struct Trial {
  double seconds;
  int tries;
};

struct Entry {
  std::uint64_t kind;
  int count;  // of divisions; 0 where nothing is remembered
  Trial trials[most_divisions];
  int best, other;  // the fastest, and the one that was tried again last
  unsigned calls, next, interval;
};

pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
Entry entries[kinds];

using Locked = Holding<lock>;
const int at_fork = survive_forks<lock>();

Entry& entry_of(const Divisions& divisions) {
  Entry& entry = entries[divisions.kind % kinds];
  if (entry.kind != divisions.kind || entry.count != divisions.count) {
    entry = {};
    entry.kind = divisions.kind;
    entry.count = divisions.count;
    entry.interval = soonest;
  }
  return entry;
}

int fastest(const Entry& entry) {
  int best = 0;
  for (int d = 1; d < entry.count; ++d)
    if (entry.trials[d].seconds < entry.trials[best].seconds) best = d;
  return best;
}

// Which division a call takes.
int choose(Entry& entry) {
  ++entry.calls;
  for (int d = 0; d < entry.count; ++d)
    if (entry.trials[d].tries == 0) return d;
  const int best = fastest(entry);
  for (int d = 0; d < entry.count; ++d)
    if (entry.trials[d].tries < first_tries &&
        (d == 0 || entry.trials[d].seconds < near * entry.trials[best].seconds))
      return d;
  if (best != entry.best) {
    entry.best = best;
    entry.interval = soonest;
    entry.next = entry.calls + soonest;
  }
  if (entry.calls < entry.next) return best;
  entry.other = (entry.other + 1) % entry.count;
  if (entry.other == best) entry.other = (entry.other + 1) % entry.count;
  if (entry.interval < latest) entry.interval *= 2;
  // the slower it was, the rarer it is tried
  const double ratio = entry.trials[entry.other].seconds / entry.trials[best].seconds;
  const double wait = cost * (ratio - 1);
  entry.next = entry.calls + (wait > entry.interval && wait < 1e6 ? static_cast<unsigned>(wait)
                                                                 : entry.interval);
  return entry.other;
}

}  // namespace

Decision decide(const Divisions& divisions) {
  if (divisions.count == 1) return {divisions.grids[0], divisions.expected};
  const Locked locked;
  Entry& entry = entry_of(divisions);
  const int chosen = choose(entry);
  const Trial& trial = entry.trials[chosen];
  return {divisions.grids[chosen], trial.tries > 0 ? trial.seconds : divisions.expected};
}

void learn(const Divisions& divisions, Grid grid, double seconds) {
  if (divisions.count == 1) return;
  const Locked locked;
  Entry& entry = entry_of(divisions);
  for (int d = 0; d < entry.count; ++d) {
    if (!(divisions.grids[d] == grid)) continue;
    Trial& trial = entry.trials[d];
    if (trial.tries < first_tries) {
      if (trial.tries == 0 || seconds < trial.seconds) trial.seconds = seconds;
      ++trial.tries;
    } else {
      // A single slow call may be an accident, several are not.
      const double most = 4 * trial.seconds;
      const double taken = seconds < most ? seconds : most;
      if (d == entry.best && taken > 1.5 * trial.seconds) {
        entry.interval = soonest / 4;
        if (entry.next > entry.calls + soonest / 4) entry.next = entry.calls + soonest / 4;
      }
      trial.seconds += (taken - trial.seconds) * (taken < trial.seconds ? 0.5 : 0.25);
    }
  }
}

}  // namespace unrolled
