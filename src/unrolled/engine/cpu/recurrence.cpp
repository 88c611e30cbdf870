// The loop over time: for every step, stages of packed products and elementwise functions.
//
// Work is shared by a grid of threads. Rows (sequences of the batch) are independent of each other,
// so *groups* of rows need no word between them. Where there are few rows, or where the weights
// outgrow one processor's cache, the units of a group are cut into *slices*, one thread each, which
// keep their part of the weights at hand and meet at a barrier after every stage.
#include <atomic>
#include <cstdlib>
#include <cstring>

#ifdef _OPENMP
#include <omp.h>
#endif
#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif
#include <sched.h>
#include <unistd.h>

#include "product.h"

namespace unrolled {
namespace {

constexpr int most_threads = 256;
constexpr int most_vectors = 64;  // vectors that one stage reads or writes

// Memory that a thread keeps between calls, so that a call touches no fresh pages.
struct Workspace {
  float* data = nullptr;
  std::size_t size = 0;
  ~Workspace() { std::free(data); }
  float* reserve(std::size_t floats) {
    if (floats > size) {
      std::free(data);
      size = round_up(floats + floats / 4, 64);
      data = static_cast<float*>(std::aligned_alloc(256, size * sizeof(float)));
      if (data == nullptr) std::abort();  // as operator new would in a noexcept function
    }
    return data;
  }
};
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

// Threads of a group wait here for each other; spinning, since a stage takes microseconds.
class Barrier {
 public:
  void wait(int members) {
    if (members == 1) return;
    const int turn = turn_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) == members - 1) {
      arrived_.store(0, std::memory_order_relaxed);
      turn_.store(turn + 1, std::memory_order_release);
      return;
    }
    for (int spins = 0; turn_.load(std::memory_order_acquire) == turn; ++spins) {
      if (spins < 1024) {
#if defined(__x86_64__) || defined(__i386__)
        _mm_pause();
#endif
      } else {
        sched_yield();  // more threads than processors: let the others come
      }
    }
  }

 private:
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<int> turn_{0};
};

// A vector sequence as a stage meets it: at one end of time it is replaced by `edge`.
struct Array {
  float* data = nullptr;
  index step = 0, row = 0;
  float* edge = nullptr;
  index edge_row = 0;
  bool edge_at_start = true;

  float* at(index t, index r, bool start, bool end) const {
    if (edge != nullptr && (edge_at_start ? start : end)) return edge + r * edge_row;
    return data + t * step + r * row;
  }
};

// Everything of a call that all threads share.
class Run {
 public:
  Run(const Kernel& kernel, const Call& call)
      : kernel_(kernel),
        call_(call),
        pass_(call.mode == Mode::inference ? kernel.inference
              : call.mode == Mode::forward ? kernel.forward
                                           : kernel.backward),
        // Backward steps through time against the direction of the layer.
        downward_((call.mode == Mode::backward) != call.descending) {
    index width = 0;
    for (index s = 0; s < pass_.scratch_count; ++s) width += call.size[at(pass_.scratch[s])];
    scratch_width_ = width;
    index longest = 0;
    for (index s = 0; s < kernel.tape_count; ++s) longest += call.size[at(kernel.tape[s])];
    for (index s = 0; s < kernel.delta_count; ++s) longest += call.size[at(kernel.delta[s])];
    longest += call.size[at(Space::hidden)];
    // the order of rows first: it wants more alignment than the floats after it
    const index ordered = call.rows + (call.lengths ? call.steps + 1 : 0);
    const index order = round_up(ordered * (sizeof(index) / sizeof(float)), lanes);
    float* memory = team_workspace.reserve(order + longest + call.rows * width);
    order_ = reinterpret_cast<index*>(memory);
    zeros_ = memory + order;
    scratch_ = zeros_ + longest;
    std::memset(zeros_, 0, longest * sizeof(float));
    sort_rows();
  }

  const Kernel& kernel_;
  const Call& call_;
  const Pass& pass_;
  const bool downward_;
  index scratch_width_;
  float* zeros_;
  float* scratch_;
  index* order_;  // rows, the longest first

  static index at(Space space) { return static_cast<index>(space); }
  index length(index row) const { return call_.lengths ? call_.lengths[row] : call_.steps; }
  index state_size(index k) const { return call_.size[at(kernel_.states[k])]; }

  // Where a location's vectors are; `write` tells a target from a source.
  Array resolve(Location location, bool write) const {
    const index k = location.index;
    const index back = call_.descending ? 1 : -1;  // from a step to the one before it
    switch (location.place) {
      case Place::tape:
        return slot(call_.tape, kernel_.tape, k);
      case Place::state:
        return state(k);
      case Place::previous: {
        Array a = state(k);
        a.data += back * a.step;
        a.edge = const_cast<float*>(call_.initial[k]);
        a.edge_row = state_size(k);
        return a;
      }
      case Place::bias: {
        float* biases = const_cast<float*>(call_.biases);
        return {biases ? biases + k * call_.size[at(Space::hidden)] : zeros_};
      }
      case Place::scratch: {
        index offset = 0;
        for (index s = 0; s < k; ++s) offset += call_.size[at(pass_.scratch[s])];
        return {scratch_ + offset, 0, scratch_width_};
      }
      case Place::gradient:
        return {call_.gradient.data, call_.gradient.step, call_.gradient.row};
      case Place::carry: {
        Array a{call_.last[k], 0, state_size(k)};
        if (!write) {
          const float* last = call_.gradient_last[k];
          a.edge = last ? const_cast<float*>(last) : zeros_;
          a.edge_row = last ? state_size(k) : 0;
          a.edge_at_start = false;
        }
        return a;
      }
      case Place::delta:
        return slot(call_.delta, kernel_.delta, k);
      case Place::delta_after: {
        Array a = slot(call_.delta, kernel_.delta, k);
        a.data -= back * a.step;
        a.edge = zeros_;
        a.edge_at_start = false;
        return a;
      }
      case Place::product:
      case Place::gate:
        break;  // live with the thread
    }
    return {};
  }

  // A state that has no sequence changes in place while others may still read it.
  bool rolls(Location operand) const {
    return operand.place == Place::previous && operand.index > 0 &&
           state(operand.index).step == 0;
  }

 private:
  Array slot(const Sequence& sequence, const Space* sizes, index k) const {
    index offset = 0;
    for (index s = 0; s < k; ++s) offset += call_.size[at(sizes[s])];
    return {sequence.data + offset, sequence.step, sequence.row};
  }

  Array state(index k) const {
    if (k == 0) return {call_.output.data, call_.output.step, call_.output.row};
    if (call_.mode != Mode::inference && kernel_.kept[k] >= 0)
      return slot(call_.tape, kernel_.tape, kernel_.kept[k]);
    return {call_.last[k], 0, state_size(k)};
  }

  // Counting sort by length, so that at any step the rows still running are the first ones.
  void sort_rows() {
    if (call_.lengths == nullptr) {
      for (index r = 0; r < call_.rows; ++r) order_[r] = r;
      return;
    }
    index* const place = order_ + call_.rows;  // for each length, where its next row goes
    std::memset(place, 0, (call_.steps + 1) * sizeof(index));
    for (index r = 0; r < call_.rows; ++r) ++place[length(r)];
    for (index t = call_.steps, next = 0; t >= 0; --t) {
      const index count = place[t];
      place[t] = next;
      next += count;
    }
    for (index r = 0; r < call_.rows; ++r) order_[place[length(r)]++] = r;
  }
};

// One thread's part: its rows, and its slice of the units.
class Worker {
 public:
  Worker(const Run& run, int groups, int group, int slices, int slice, Barrier& barrier)
      : run_(run), slices_(slices), barrier_(barrier) {
    const Call& call = run.call_;
    for (int s = 0; s < 2; ++s) {
      // whole vectors, so that no two threads write to one
      const index share = round_up((call.size[s] + slices - 1) / slices, lanes);
      begin_[s] = share * slice < call.size[s] ? share * slice : call.size[s];
      end_[s] = begin_[s] + share < call.size[s] ? begin_[s] + share : call.size[s];
    }
    // With lengths, rows are dealt out like cards, so that every group gets long and short ones.
    const index dealt = call.lengths ? groups : 1;
    const index first = call.lengths ? group : call.rows * group / groups;
    const index end = call.lengths ? call.rows : call.rows * (group + 1) / groups;
    count_ = first < end ? (end - first + dealt - 1) / dealt : 0;
    const Pass& pass = run.pass_;
    index packed = 0, widest = 0;
    for (index s = 0; s < pass.stage_count; ++s) {
      const Stage& stage = pass.stages[s];
      for (index m = 0; m < stage.multiply_count; ++m) packed += size_of(stage.multiplies[m]);
      // a whole slice's width, even where this one is cut short: all must meet at the same barriers
      const index size = call.size[Run::at(stage.space)];
      const index width = stage.results * round_up((size + slices - 1) / slices, lanes);
      if (width > widest) widest = width;
    }
    // As many rows at a time as keep their products in half of the second-level cache: the more,
    // the rarer the weights are read.
    const index room = cache_size() / sizeof(float) / 2;
    chunk_ = widest > 0 ? room / (widest + 1) : count_;
    if (chunk_ < 2 * tile_rows) chunk_ = 2 * tile_rows;
    if (chunk_ < count_) chunk_ = count_ / ((count_ + chunk_ - 1) / chunk_) + 1;
    if (chunk_ > count_) chunk_ = count_;
    // The input products of so many steps at a time as stay in that cache, and fill whole tiles.
    index input = 0;
    block_ = call.steps;
    gate_width_ = 0;
    if (call.mode != Mode::backward) {
      gate_width_ = run.kernel_.gate_count * units(Space::hidden);
      input = packed_size(call.input_size, gate_width_);
      const index step = count_ * gate_width_ + 1;
      block_ = room / 4 / step;
      if (block_ * count_ < 2 * tile_rows) block_ = 2 * tile_rows / (count_ + 1) + 1;
      if (block_ > call.steps) block_ = call.steps;
    }
    const index tallest = chunk_ > block_ * count_ || gate_width_ == 0 ? chunk_ : block_ * count_;
    const std::size_t pointers = (count_ * sizeof(index) + 2 * tallest * sizeof(float*)) / sizeof(float);
    const index gates = round_up(block_ * count_ * gate_width_, lanes);
    const index products = round_up(chunk_ * widest, lanes);
    packed_ = own_workspace.reserve(packed + input + gates + products + pointers + lanes);
    packed_input_ = packed_ + packed;
    gates_ = packed_input_ + input;
    products_ = gates_ + gates;
    rows_ = reinterpret_cast<index*>(products_ + products);
    operands_ = reinterpret_cast<const float**>(rows_ + count_);
    results_ = const_cast<float**>(operands_ + tallest);
    for (index i = 0; i < count_; ++i) rows_[i] = run.order_[first + i * dealt];
    pack_all();
  }

  void go() {
    const Call& call = run_.call_;
    const bool all = call.mode != Mode::backward;
    const index until = all ? call.steps : call.until;
    for (index i = all ? 0 : call.from; i < until; ++i) {
      if (gate_width_ > 0 && i % block_ == 0) multiply_input(i);
      const index t = time(i), active = running(t);
      step(t, active, gates_ + i % block_ * count_ * gate_width_);
      for (index r = active; r < count_; ++r) clear(t, rows_[r]);
    }
    if (call.mode == Mode::backward) add_products_of_states();
    if (until == call.steps) finish();
  }

 private:
  const Run& run_;
  const int slices_;
  Barrier& barrier_;
  index begin_[2], end_[2];
  index count_, chunk_;
  index block_, gate_width_;
  float* packed_;
  float* packed_input_;
  float* gates_;  // [block_, count_, gate_width_]
  float* products_;
  index* rows_;
  const float** operands_;
  float** results_;

  index units(Space space) const { return end_[Run::at(space)] - begin_[Run::at(space)]; }
  index begin(Space space) const { return begin_[Run::at(space)]; }

  const Matrix& matrix(const Multiply& m) const { return run_.kernel_.matrices[m.matrix]; }
  index depth(const Multiply& m) const {
    const index* size = run_.call_.size;
    return m.transposed ? m.rows * size[Run::at(matrix(m).rows)]
                        : size[Run::at(matrix(m).columns)];
  }
  index columns(const Multiply& m) const {
    return m.transposed ? units(matrix(m).columns) : m.rows * units(matrix(m).rows);
  }
  index size_of(const Multiply& m) const { return packed_size(depth(m), columns(m)); }

  // The step that is taken as number i (and the other way round), and how many rows have it.
  index time(index i) const { return run_.downward_ ? run_.call_.steps - 1 - i : i; }
  index running(index t) const {
    if (run_.call_.lengths == nullptr) return count_;
    index active = 0;
    while (active < count_ && run_.length(rows_[active]) > t) ++active;
    return active;
  }

  // Rows of this thread's slice in a stack of row blocks, one below the other.
  auto row_of(const float* from, index stride, Space space) const {
    const index size = run_.call_.size[Run::at(space)], first = begin(space), width = units(space);
    return [=](index c) { return from + (c / width * size + first + c % width) * stride; };
  }

  // The input products of a block of steps, beginning with the one taken as number `from`.
  void multiply_input(index from) {
    const Call& call = run_.call_;
    index count = 0;
    for (index i = from; i < from + block_ && i < call.steps; ++i) {
      const index t = time(i), active = running(t);
      for (index r = 0; r < active; ++r, ++count) {
        operands_[count] = call.input.data + t * call.input.step + rows_[r] * call.input.row;
        results_[count] = gates_ + ((i - from) * count_ + r) * gate_width_;
      }
    }
    product(operands_, count, call.input_size, packed_input_, results_, gate_width_, false);
  }

  void pack_all() {
    const Call& call = run_.call_;
    if (gate_width_ > 0)
      pack(packed_input_, call.input_size, gate_width_, 1,
           row_of(call.input_weights, call.input_size, Space::hidden));
    float* to = packed_;
    const Pass& pass = run_.pass_;
    for (index s = 0; s < pass.stage_count; ++s) {
      for (index i = 0; i < pass.stages[s].multiply_count; ++i) {
        const Multiply& m = pass.stages[s].multiplies[i];
        const Matrix& shape = matrix(m);
        const index size = run_.call_.size[Run::at(shape.rows)];
        const index stride = run_.call_.size[Run::at(shape.columns)];
        const float* from = run_.call_.matrices[m.matrix] + m.row * size * stride;
        if (m.transposed) {
          from += begin(shape.columns);
          pack(to, depth(m), columns(m), stride, [=](index c) { return from + c; });
        } else {
          pack(to, depth(m), columns(m), 1, row_of(from, stride, shape.rows));
        }
        to += size_of(m);
      }
    }
  }

  bool is_start(index t, index row) const {
    return run_.call_.descending ? t == run_.length(row) - 1 : t == 0;
  }
  bool is_end(index t, index row) const {
    return run_.call_.descending ? t == 0 : t == run_.length(row) - 1;
  }

  void multiply(const Multiply& m, const float* packed, index t, const index* rows, index count,
                index width, index unit_count, bool accumulate) {
    const Array operand = run_.resolve(m.operand, false);
    for (index r = 0; r < count; ++r) {
      operands_[r] = operand.at(t, rows[r], is_start(t, rows[r]), is_end(t, rows[r]));
      results_[r] = products_ + r * width + m.result * unit_count;
    }
    product(operands_, count, depth(m), packed, results_, columns(m), accumulate);
  }

  void step(index t, index active, const float* gates) {
    const Pass& pass = run_.pass_;
    const float* packed = packed_;
    for (index s = 0; s < pass.stage_count; ++s) {
      const Stage& stage = pass.stages[s];
      const index unit_count = units(stage.space);
      const index width = stage.results * unit_count;
      bool rolls = false;
      for (index m = 0; m < stage.multiply_count; ++m)
        rolls = rolls || run_.rolls(stage.multiplies[m].operand);
      Array inputs[most_vectors], outputs[most_vectors];
      for (index i = 0; i < stage.input_count; ++i)
        inputs[i] = run_.resolve(stage.inputs[i], false);
      for (index i = 0; i < stage.output_count; ++i)
        outputs[i] = run_.resolve(stage.outputs[i], true);
      for (index at = 0; at < active; at += chunk_) {
        const index count = active - at < chunk_ ? active - at : chunk_;
        const float* next = packed;
        for (index i = 0; i < stage.multiply_count; ++i) {
          const Multiply& m = stage.multiplies[i];
          bool again = false;
          for (index before = 0; before < i; ++before)
            again = again || stage.multiplies[before].result == m.result;
          multiply(m, next, t, rows_ + at, count, width, unit_count, again);
          next += size_of(m);
        }
        if (rolls) barrier_.wait(slices_);
        for (index r = 0; r < count; ++r)
          apply(stage, inputs, outputs, t, rows_[at + r], products_ + r * width,
                gates + (at + r) * gate_width_);
      }
      for (index i = 0; i < stage.multiply_count; ++i) packed += size_of(stage.multiplies[i]);
      barrier_.wait(slices_);
    }
  }

  void apply(const Stage& stage, const Array* inputs, const Array* outputs, index t, index row,
             const float* products, const float* gates) {
    const bool start = is_start(t, row), end = is_end(t, row);
    const index first = begin(stage.space), unit_count = units(stage.space);
    const float* in[most_vectors];
    float* out[most_vectors];
    for (index i = 0; i < stage.input_count; ++i) {
      const Location from = stage.inputs[i];
      in[i] = from.place == Place::product ? products + from.index * unit_count - first
              : from.place == Place::gate  ? gates + from.index * unit_count - first
                                           : inputs[i].at(t, row, start, end);
    }
    for (index i = 0; i < stage.output_count; ++i) out[i] = outputs[i].at(t, row, start, end);
    stage.function(in, out, first, first + unit_count);
  }

  // A step that a row does not have leaves zeros: in the output, and in all that the weights'
  // gradients are made of.
  void clear(index t, index row) {
    const Kernel& kernel = run_.kernel_;
    const Call& call = run_.call_;
    const auto zero = [&](const Sequence& sequence, const Space* sizes, index slots) {
      float* to = sequence.data + t * sequence.step + row * sequence.row;
      for (index s = 0; s < slots; ++s) {
        const index which = Run::at(sizes[s]);
        std::memset(to + begin_[which], 0, (end_[which] - begin_[which]) * sizeof(float));
        to += call.size[which];
      }
    };
    if (call.mode == Mode::backward) {
      zero(call.delta, kernel.delta, kernel.delta_count);
    } else {
      zero(call.output, kernel.states, 1);
      if (call.mode == Mode::forward) zero(call.tape, kernel.tape, kernel.tape_count);
    }
  }

  // After the last step: the final states, or the gradients of the initial ones.
  void finish() {
    const Call& call = run_.call_;
    const Kernel& kernel = run_.kernel_;
    for (index k = 0; k < kernel.state_count; ++k) {
      const Array source = run_.resolve({Place::state, static_cast<std::uint8_t>(k)}, false);
      const Array incoming = run_.resolve({Place::carry, static_cast<std::uint8_t>(k)}, true);
      const index which = Run::at(kernel.states[k]), size = call.size[which];
      for (index i = 0; i < count_; ++i) {
        const index row = rows_[i], length = run_.length(row);
        float* to = incoming.data + row * size;
        const float* from;
        const bool in_place = k > 0 && source.step == 0;
        if (length > 0 && (call.mode == Mode::backward || in_place)) continue;
        if (length == 0) {
          // no step: what comes in goes out
          from = call.mode != Mode::backward ? call.initial[k] + row * size
                 : call.gradient_last[k]     ? call.gradient_last[k] + row * size
                                             : run_.zeros_;
        } else {
          from = source.data + (call.descending ? 0 : length - 1) * source.step + row * source.row;
        }
        std::memcpy(to + begin_[which], from + begin_[which],
                    (end_[which] - begin_[which]) * sizeof(float));
      }
    }
  }

  // Gradient of the initial states, the part through the products of a row's first step, once the
  // adjoints of that step are there.
  void add_products_of_states() {
    const Call& call = run_.call_;
    const Pass& pass = run_.pass_;
    const float* packed = packed_;
    for (index s = 0; s < pass.stage_count; ++s) {
      for (index i = 0; i < pass.stages[s].multiply_count; ++i) {
        const Multiply& m = pass.stages[s].multiplies[i];
        if (m.state >= 0) {
          const Array operand =
              run_.resolve({Place::delta, m.operand.index}, false);
          const index size = run_.state_size(m.state), first = begin(kernel_space(m.state));
          for (index r = 0; r < count_; ++r) {
            const index row = rows_[r], length = run_.length(row);
            const index t = call.descending ? length - 1 : 0, i = time(t);
            if (length == 0 || i < call.from || i >= call.until) continue;
            const float* delta = operand.at(t, row, false, false);
            float* to = call.last[m.state] + row * size + first;
            product(&delta, 1, depth(m), packed, &to, columns(m), true);
          }
        }
        packed += size_of(m);
      }
    }
  }

  Space kernel_space(index state) const { return run_.kernel_.states[state]; }
};

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
  static_assert(most_threads <= 256, "barriers are on the stack");
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

}  // namespace

#define UNROLLED_JOIN_(a, b) a##b
#define UNROLLED_JOIN(a, b) UNROLLED_JOIN_(a, b)

extern const Kernel UNROLLED_JOIN(kernels_, UNROLLED_ISA)[];
extern const index UNROLLED_JOIN(kernel_count_, UNROLLED_ISA);

#define UNROLLED_TEXT_(a) #a
#define UNROLLED_TEXT(a) UNROLLED_TEXT_(a)

Engine UNROLLED_JOIN(engine_, UNROLLED_ISA)() {
  return {UNROLLED_TEXT(UNROLLED_ISA), run, UNROLLED_JOIN(kernels_, UNROLLED_ISA),
          UNROLLED_JOIN(kernel_count_, UNROLLED_ISA)};
}

}  // namespace unrolled
