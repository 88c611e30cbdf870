// The loop over time: for every step, stages of packed products and elementwise functions.
//
// Work is shared by a grid of threads. Rows (sequences of the batch) are independent of each other,
// so *groups* of rows need no word between them within a block of steps. Where there are few rows,
// or where the weights outgrow one processor's cache, the units of a group are cut into *slices*,
// one thread each, which keep their part of the weights at hand and meet at a barrier after every
// stage.
#include <atomic>
#include <chrono>

#include "division.h"
#include "pool.h"
#include "row_product.h"
#include "worker.h"

namespace unrolled {
namespace {

// What one step costs a thread, in seconds, on a processor of about two gigahertz: its products, at
// the speed of arithmetic or of reading the weights, and what slices wait and read from each other.
// Without products inside the step, `alone` counts: those of the input and the elementwise part.
template <class Arithmetic>
double cost(const Run& run, Grid grid) {
  const Kernel& kernel = run.kernel_;
  const Call& call = run.call_;
  double weights = 0, alone = 0;
  if (kernel.matrix_count == 0)
    alone = double(call.size[0]) * (kernel.gate_count * call.input_size + 64);
  for (index m = 0; m < kernel.matrix_count; ++m) {
    const Matrix& matrix = kernel.matrices[m];
    weights += double(matrix.blocks) * call.size[Run::at(matrix.rows)] * run.row_size(m);
  }
  constexpr double near = 1e11, far = 1.2e10, other = 4e9;  // bytes a second
  const double rows = double((call.rows + grid.groups - 1) / grid.groups);
  const double bytes = weights * sizeof(typename Arithmetic::Weight) / grid.slices;
  const double compute = 2 * (weights + alone) * rows / grid.slices / Arithmetic::speed;
  const double read = bytes / (bytes < cache_size() * 0.75 ? near : far);
  double together = 0;
  if (grid.slices > 1) {
    const double exchanged = call.mode == Mode::backward ? run.adjoints_ : call.size[0];
    together = 1e-6 * run.pass_.stage_count +
               rows * exchanged * sizeof(float) * (grid.slices - 1) / grid.slices / other;
  }
  return (compute > read ? compute : read) + together;
}

// Mixes a number into a digest.
inline std::uint64_t mixed(std::uint64_t digest, std::uint64_t number) {
  digest = (digest ^ number) * 0x9e3779b97f4a7c15;
  return digest ^ digest >> 29;
}

// What calls have in common that take the same time for a row's step.
inline std::uint64_t kind_of(const Kernel& kernel, const Call& call) {
  std::uint64_t digest = reinterpret_cast<std::uintptr_t>(&kernel);
  int length = 0;
  while (call.steps >> length > 1) ++length;
  const index numbers[] = {static_cast<index>(call.mode), static_cast<index>(call.precision),
                           length, call.rows, call.size[0], call.size[1], call.heads,
                           call.input_size, call.threads, call.lengths != nullptr,
                           call.gradient_input.data != nullptr};
  for (const index number : numbers) digest = mixed(digest, static_cast<std::uint64_t>(number));
  return digest;
}

// Every way to share a call among some of its threads that may be the best one.
template <class Arithmetic>
Divisions divisions_of(const Run& run, int threads) {
  const Call& call = run.call_;
  const index narrow = call.size[0] < call.size[1] || call.size[1] == 0 ? call.size[0] : call.size[1];
  const auto groups = [&](int most) { return call.rows < most ? static_cast<int>(call.rows) : most; };
  if (run.kernel_.row_wise && call.slices > 0) return {0, 1, {{groups(threads), 1}}, 0};
  if (call.slices > 0) {
    const int slices = call.slices < threads ? call.slices : threads;
    return {0, 1, {{groups(threads / slices), slices}}, 0};
  }
  const double alone = cost<Arithmetic>(run, {1, 1});
  Divisions found{kind_of(run.kernel_, call), 0, {}, 0};
  double costs[most_divisions];
  const auto add = [&](Grid grid) {
    for (int d = 0; d < found.count; ++d)
      if (found.grids[d] == grid) return;
    const double own = cost<Arithmetic>(run, grid);
    int place = found.count;
    while (place > 0 && own < costs[place - 1]) --place;
    if (place == most_divisions) return;
    if (found.count < most_divisions) ++found.count;
    for (int d = found.count - 1; d > place; --d) {
      found.grids[d] = found.grids[d - 1];
      costs[d] = costs[d - 1];
    }
    found.grids[place] = grid;
    costs[place] = own;
  };
  constexpr double least = 2e-5;  // seconds; what is over sooner is no work to share
  for (int used = threads; used > 1 && alone * call.steps > least; used /= 2)
    for (int slices = 1; slices <= used; ++slices) {
      // a slice should be several vectors wide
      const bool wide = slices == 1 || (!run.kernel_.row_wise && narrow / slices >= 2 * lanes);
      if (used % slices != 0 || !wide) continue;
      const Grid grid{groups(used / slices), slices};
      if (used == threads && has_openmp()) add({grid.groups, grid.slices, true});
      add(grid);
    }
  if (found.count == most_divisions) --found.count;  // one thread is always worth a try
  add({1, 1});
  found.expected = costs[0] / static_cast<double>(call.rows);
  return found;
}

// Steps of all rows.
inline double work_of(const Call& call) {
  if (call.lengths == nullptr) return double(call.steps) * double(call.rows);
  double sum = 1;
  for (index r = 0; r < call.rows; ++r) sum += double(call.lengths[r]);
  return sum;
}

// What the members of a call share beside the run.
struct Team {
  const Run& run;
  const Grid grid;
  Barrier all;
  Barrier* groups;  // one for each
  std::atomic<bool> ready{true};
};

// One member's part.
template <class Arithmetic>
void take_part(void* context, int member, int members) {
  Team& team = *static_cast<Team*>(context);
  // Fewer threads may have come than were asked for; all of the grid's parts must be done all the same.
  Grid grid = team.grid;
  if (members != grid.groups * grid.slices)
    grid = grid.slices > 1 ? Grid{1, members} : Grid{members, 1};  // rows may be no one's
  const int group = member / grid.slices;
  const FlushToZero flush(team.run.call_.mode == Mode::backward);
  Worker<Arithmetic> worker(team.run, grid.groups, group, grid.slices, member % grid.slices,
                            team.groups[group], team.all);
  if (!worker.ready()) team.ready.store(false, std::memory_order_relaxed);
  team.all.wait(members);  // either all of them go, or none: they would wait for each other
  if (team.ready.load(std::memory_order_relaxed)) worker.go();
}

template <class Arithmetic>
bool run_alone(const Run& run) {
  Barrier none;
  Team team{run, {1, 1}, {}, &none};
  take_part<Arithmetic>(&team, 0, 1);
  return team.ready.load(std::memory_order_relaxed);
}

// `seconds`: that it is expected to take.
template <class Arithmetic>
bool run_shared(const Run& run, Grid grid, double seconds) {
  Barrier groups[most_members];
  Team team{run, grid, {}, groups};
  if (grid.openmp) {
    run_by_openmp(grid.groups * grid.slices, take_part<Arithmetic>, &team);
    return team.ready.load(std::memory_order_relaxed);
  }
  // The longer it will take, the longer it pays to wait for help: a processor that has been at rest
  // takes up to some milliseconds to begin on a virtual machine. Who has said how to divide the call
  // wants it so.
  constexpr double least = 5e4, most = 3e7;
  const double part = seconds * 1e9 / 8;
  const double patience = run.call_.slices > 0 ? 1e9 : part < least ? least : part > most ? most : part;
  run_together(grid.groups * grid.slices, static_cast<long long>(patience), take_part<Arithmetic>,
               &team);
  return team.ready.load(std::memory_order_relaxed);
}

template <class Arithmetic>
bool run_in(const Kernel& kernel, const Call& call) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  const Run shared(kernel, call);
  if (!shared.ready()) return false;
  const Divisions divisions =
      divisions_of<Arithmetic>(shared, call.threads < most_members ? call.threads : most_members);
  const Decision decision = decide(divisions);
  const Grid grid = decision.grid;
  const double seconds = decision.seconds * work_of(call);
  const bool ready = grid == Grid{1, 1} ? run_alone<Arithmetic>(shared)
                                        : run_shared<Arithmetic>(shared, grid, seconds);
  const std::chrono::duration<double> taken = Clock::now() - start;
  if (ready) learn(divisions, grid, taken.count() / work_of(call));
  return ready;
}

bool run(const Kernel& kernel, const Call& call) {
  if (call.rows == 0) return true;
  return call.precision == Precision::bfloat16 ? run_in<Bfloat16>(kernel, call)
                                               : run_in<Float32>(kernel, call);
}

void pack_columns(float* to, index depth, index columns, const float* const* column) {
  pack_for_rows(to, depth, columns, [=](index c) { return column[c]; });
}

}  // namespace

#define UNROLLED_JOIN_(a, b) a##b
#define UNROLLED_JOIN(a, b) UNROLLED_JOIN_(a, b)

extern const Kernel UNROLLED_JOIN(kernels_, UNROLLED_TARGET)[];
extern const index UNROLLED_JOIN(kernel_count_, UNROLLED_TARGET);

#define UNROLLED_TEXT_(a) #a
#define UNROLLED_TEXT(a) UNROLLED_TEXT_(a)

Engine UNROLLED_JOIN(engine_, UNROLLED_ISA)() {
  return {UNROLLED_TEXT(UNROLLED_ISA),
          UNROLLED_TEXT(UNROLLED_TARGET),
          UNROLLED_FLAGS,
          run,
          {lanes, pack_columns, multiply_rows},
          UNROLLED_JOIN(kernels_, UNROLLED_TARGET),
          UNROLLED_JOIN(kernel_count_, UNROLLED_TARGET)};
}

}  // namespace unrolled
