// The loop over time: for every step, stages of packed products and elementwise functions.
//
// Work is shared by a grid of threads. Rows (sequences of the batch) are independent of each other,
// so *groups* of rows need no word between them within a block of steps. Where there are few rows,
// or where the weights outgrow one processor's cache, the units of a group are cut into *slices*,
// one thread each, which keep their part of the weights at hand and meet at a barrier after every
// stage.
#ifdef _OPENMP
#include <omp.h>
#endif

#include <atomic>

#include "row_product.h"
#include "worker.h"

namespace unrolled {
namespace {

constexpr int most_threads = 256;

struct Grid {
  int groups, slices;
};

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

// How to share a call among `threads`.
template <class Arithmetic>
Grid share(const Run& run, int threads) {
  const Call& call = run.call_;
  const index narrow = call.size[0] < call.size[1] || call.size[1] == 0 ? call.size[0] : call.size[1];
  if (run.kernel_.row_wise)
    return {call.rows < threads ? static_cast<int>(call.rows) : threads, 1};
  if (call.slices > 0) {
    const int slices = call.slices < threads ? call.slices : threads, most = threads / slices;
    return {call.rows < most ? static_cast<int>(call.rows) : most, slices};
  }
  Grid best{1, 1};
  double least = cost<Arithmetic>(run, best);
  if (threads < 2 || least * call.steps < 1e-5) return best;
  for (int slices = 1; slices <= threads; ++slices) {
    // a slice should be several vectors wide
    if (threads % slices != 0 || (slices > 1 && narrow / slices < 2 * lanes)) continue;
    const int most = threads / slices;
    const Grid grid{call.rows < most ? static_cast<int>(call.rows) : most, slices};
    const double found = cost<Arithmetic>(run, grid);
    if (found < least) best = grid, least = found;
  }
  return best;
}

template <class Arithmetic>
bool run_in(const Kernel& kernel, const Call& call) {
  const Run shared(kernel, call);
  if (!shared.ready()) return false;
  const Grid grid =
      share<Arithmetic>(shared, call.threads < most_threads ? call.threads : most_threads);
#ifdef _OPENMP
  if (grid.groups * grid.slices > 1) {
    Barrier team, groups[most_threads];
    std::atomic<bool> all_ready{true};
#pragma omp parallel num_threads(grid.groups * grid.slices)
    {
      // Fewer threads may come than were asked for; all of the grid's parts must be done all the
      // same.
      const int members = omp_get_num_threads(), member = omp_get_thread_num();
      Grid real = grid;
      if (members != grid.groups * grid.slices)
        real = grid.slices > 1 ? Grid{1, members} : Grid{members, 1};  // rows may be no one's
      const int group = member / real.slices;
      const FlushToZero flush(call.mode == Mode::backward);
      Worker<Arithmetic> worker(shared, real.groups, group, real.slices, member % real.slices,
                                groups[group], team);
      if (!worker.ready()) all_ready.store(false, std::memory_order_relaxed);
      team.wait(members);  // either all of them go, or none: they would wait for each other
      if (all_ready.load(std::memory_order_relaxed)) worker.go();
    }
    return all_ready.load(std::memory_order_relaxed);
  }
#endif
  Barrier alone;
  const FlushToZero flush(call.mode == Mode::backward);
  Worker<Arithmetic> worker(shared, 1, 0, 1, 0, alone, alone);
  if (worker.ready()) worker.go();
  return worker.ready();
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
