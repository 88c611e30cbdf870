// How the work of a call is divided among threads: found out by trying.
//
// Results do not depend on it, so it may be chosen anew for every call. What is best depends on the
// processor, on its caches, on what a wait costs, and on who else wants to compute at the moment: no
// constant of one machine can say. So calls of one kind are timed, and the division that has been
// the fastest is taken; now and then another one is tried again, the rarer the longer the best one
// has stayed the same.
#pragma once

#include <cstddef>
#include <cstdint>

namespace unrolled {

// Groups of rows, times slices of the units; and who takes the parts: helpers of our own, or threads of
// torch's OpenMP runtime (pool.h).
struct Grid {
  int groups, slices;
  bool openmp = false;
};

inline bool operator==(Grid a, Grid b) {
  return a.groups == b.groups && a.slices == b.slices && a.openmp == b.openmp;
}

constexpr int most_divisions = 8;

// The divisions of calls of one kind, the most promising first.
struct Divisions {
  std::uint64_t kind;
  int count;
  Grid grids[most_divisions];
  double expected;  // seconds of one row's step with the first of them
};

// The one to take now, and how many seconds of a row's step are to be expected of it.
struct Decision {
  Grid grid;
  double seconds;
};

Decision decide(const Divisions& divisions);

// How many seconds a row's step has taken.
void learn(const Divisions& divisions, Grid grid, double seconds);

}  // namespace unrolled
