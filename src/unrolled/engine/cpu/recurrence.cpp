// The loop over time: for every step, stages of packed products and elementwise functions.
//
// Work is shared by a grid of threads. Rows (sequences of the batch) are independent of each other,
// so *groups* of rows need no word between them. Where there are few rows, or where the weights
// outgrow one processor's cache, the units of a group are cut into *slices*, one thread each, which
// keep their part of the weights at hand and meet at a barrier after every stage.
#ifdef _OPENMP
#include <omp.h>
#endif

#include "row_product.h"
#include "worker.h"

namespace unrolled {
namespace {

constexpr int most_threads = 256;

struct Grid {
  int groups, slices;
};

// How to share a call among `threads`.
Grid share(const Kernel& kernel, const Call& call, int threads) {
  index weights = 0;
  for (index m = 0; m < kernel.matrix_count; ++m) {
    const Matrix& matrix = kernel.matrices[m];
    weights += matrix.blocks * call.size[Run::at(matrix.rows)] *
               call.size[Run::at(matrix.columns)];
  }
  const double step = 2.0 * weights * call.rows;  // operations
  if (threads < 2 || step * call.steps < 1e6) return {1, 1};
  const index units = call.size[0] < call.size[1] || call.size[1] == 0 ? call.size[0] : call.size[1];
  // A slice must be worth a barrier (about a microsecond) and several vectors wide.
  const bool can_slice = step / threads > 3e5 && units / threads >= 2 * lanes;
  const bool few_rows = call.rows < 2 * threads;
  const bool large = weights * 4 > cache_size() * 3 / 4;
  if (can_slice && (few_rows || large)) return {1, threads};
  return {static_cast<int>(call.rows < threads ? call.rows : threads), 1};
}

void run(const Kernel& kernel, const Call& call) {
  if (call.rows == 0) return;
  const Run shared(kernel, call);
  const int wanted = call.threads < most_threads ? call.threads : most_threads;
  const Grid grid = share(kernel, call, wanted);
  Barrier barrier;  // only a grid of one group has slices
#ifdef _OPENMP
  if (grid.groups * grid.slices > 1) {
    // Fewer threads may come than were asked for; all of the grid's parts must be done all the same.
#pragma omp parallel num_threads(grid.groups * grid.slices)
    {
      const int members = omp_get_num_threads(), member = omp_get_thread_num();
      const bool sliced = grid.slices > 1;
      Worker(shared, sliced ? 1 : members, sliced ? 0 : member, sliced ? members : 1,
             sliced ? member : 0, barrier)
          .go();
    }
    return;
  }
#endif
  Worker(shared, 1, 0, 1, 0, barrier).go();
}

void pack_columns(float* to, index depth, index columns, const float* const* column) {
  pack_for_rows(to, depth, columns, [=](index c) { return column[c]; });
}

}  // namespace

#define UNROLLED_JOIN_(a, b) a##b
#define UNROLLED_JOIN(a, b) UNROLLED_JOIN_(a, b)

extern const Kernel UNROLLED_JOIN(kernels_, UNROLLED_ISA)[];
extern const index UNROLLED_JOIN(kernel_count_, UNROLLED_ISA);

#define UNROLLED_TEXT_(a) #a
#define UNROLLED_TEXT(a) UNROLLED_TEXT_(a)

Engine UNROLLED_JOIN(engine_, UNROLLED_ISA)() {
  return {UNROLLED_TEXT(UNROLLED_ISA), run, {lanes, pack_columns, multiply_rows},
          UNROLLED_JOIN(kernels_, UNROLLED_ISA), UNROLLED_JOIN(kernel_count_, UNROLLED_ISA)};
}

}  // namespace unrolled
