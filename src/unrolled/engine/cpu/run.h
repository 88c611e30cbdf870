// A call as all its threads share it: where every vector is, and which rows have which steps.
#pragma once

#include <cstring>
#include <utility>

#include "product.h"
#include "team.h"

namespace unrolled {
namespace {

constexpr index most_adjoints = 1 << 21;  // floats of a block of steps
constexpr index sum_depth = 256;  // rows of adjoints that are summed up at a time

// A step on its way: its time, and where the adjoints of it and of the step after it are kept.
enum class Clock : std::uint8_t { time, ring, ring_after };

struct Moment {
  index at[3];
  index time() const { return at[0]; }
};

// Where a row's step stands, in the order of going; a set of these.
enum Edge : unsigned {
  nowhere = 0,
  at_start = 1,  // the row's first step
  at_reset = 2,  // it does not go on from the step before it
  at_end = 4,    // no step goes on from it
  at_last = 8,   // the row's last step
};

// A vector sequence as a stage meets it: at some edges of time it is replaced by `edge`, or by
// `anew` after a reset.
struct Array {
  float* data = nullptr;
  index step = 0, row = 0;
  float* edge = nullptr;
  index edge_row = 0;
  unsigned edges = nowhere;
  float* anew = nullptr;
  Clock clock = Clock::time;

  float* at(const Moment& moment, index r, unsigned where) const {
    if (edges & where) return (where & edges & at_reset ? anew : edge) + r * edge_row;
    return data + moment.at[static_cast<index>(clock)] * step + r * row;
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
    const index hidden = call.size[at(Space::hidden)];
    scratch_width_ = width(pass_.scratch, pass_.scratch_count);
    // Rows of adjoints are read column by column: an odd number of cache lines apart, they do not
    // compete for the same few places in the cache.
    adjoints_ = width(kernel.delta, kernel.delta_count);
    delta_width_ = (round_up(adjoints_, cache_line) / cache_line | 1) * cache_line;
    const index longest =
        width(kernel.tape, kernel.tape_count) + delta_width_ + (kernel.bias_count + 1) * hidden;
    // The adjoints of a block of steps stay in a last-level cache until they have been summed up
    // to gradients; a block fills the panels of that sum.
    const bool backward = call.mode == Mode::backward;
    const index step = call.rows * delta_width_;
    block_ = call.block > 0 ? call.block : most_adjoints / (step + 1);
    if (call.block == 0 && block_ * call.rows < sum_depth) block_ = sum_depth / call.rows;
    if (block_ < 2) block_ = 2;  // a step reads the adjoints of the one after it
    if (block_ > call.steps) block_ = call.steps > 0 ? call.steps : 1;
    // the order of rows first: it wants more alignment than the floats after it
    const index ordered = call.rows + (call.lengths ? call.steps + 1 : 0);
    const index order = round_up(ordered * (sizeof(index) / sizeof(float)), cache_line);
    const index biases = round_up(kernel.bias_count * hidden, cache_line);
    const index sums = round_up(adjoints_, cache_line);
    const index scratch = round_up(call.rows * scratch_width_, cache_line);
    const index deltas = backward ? round_up(block_ * step, cache_line) : 0;
    const index packed = backward && call.gradient_input.data != nullptr
                             // a product of bfloat16 may fill every depth up to 32 more
                             ? packed_size(kernel.gate_count * (hidden + 32), call.input_size)
                             : 0;
    const index starts = backward && resets() ? round_up(call.rows * delta_width_, cache_line) : 0;
    vector_sums_size_ = backward ? round_up(kernel.vector_count * hidden, cache_line) : 0;
    const index vector_sums = vector_sums_size_ * call.rows;
    float* memory = workspace_.reserve(order + round_up(longest, cache_line) + biases + sums +
                                       scratch + deltas + packed + starts + vector_sums);
    ready_ = memory != nullptr;
    if (!ready_) return;
    order_ = reinterpret_cast<index*>(memory);
    zeros_ = memory + order;
    biases_ = zeros_ + round_up(longest, cache_line);
    sums_ = biases_ + biases;
    scratch_ = sums_ + sums;
    delta_ = scratch_ + scratch;
    packed_input_ = delta_ + deltas;
    starts_ = packed_input_ + packed;
    vector_sums_ = starts_ + starts;
    std::memset(vector_sums_, 0, vector_sums * sizeof(float));
    std::memset(starts_, 0, starts * sizeof(float));
    std::memset(zeros_, 0, longest * sizeof(float));
    std::memset(sums_, 0, sums * sizeof(float));
    if (!backward) add_biases();
    sort_rows();
  }

  const Kernel& kernel_;
  const Call& call_;
  const Pass& pass_;
  const bool downward_;
  index scratch_width_;
  index adjoints_, delta_width_;  // of a row, and the room that they take
  index block_;  // steps whose adjoints are held
  float* zeros_;
  float* biases_;  // [bias_count, hidden]
  float* sums_;  // over all steps and rows of the adjoints
  float* scratch_;
  float* delta_;  // [block_, rows, delta_width_]: step number i at i % block_
  float* packed_input_;  // the input weights, for the gradient of x
  float* starts_;  // [rows, delta_width_]: adjoints, summed over the steps that start anew
  // Each row's part of the vectors' gradients, of one block of steps: [rows, vector_sums_size_]. A
  // row has one whoever computes it, so that the sum over rows does not depend on the threads.
  float* vector_sums_;
  index vector_sums_size_;
  index* order_;  // rows, the longest first

  bool ready() const { return ready_; }  // whether there was memory for all of this
  static index at(Space space) { return static_cast<index>(space); }
  index length(index row) const { return call_.lengths ? call_.lengths[row] : call_.steps; }
  bool resets() const { return call_.reset.data != nullptr; }
  bool reset(index t, index row) const {
    return call_.reset.data[t * call_.reset.step + row * call_.reset.row];
  }
  unsigned edges(index t, index row) const {
    const index end = length(row) - 1;
    bool first = t == 0, last = t == end;  // in time
    bool before = resets() && t > 0 && reset(t, row);  // is it cut from the one before
    bool after = resets() && t < end && reset(t + 1, row);
    if (call_.descending) {
      std::swap(first, last);
      std::swap(before, after);
    }
    return (first ? at_start : nowhere) | (before ? at_reset : nowhere) |
           (last ? at_end | at_last : after ? at_end : nowhere);
  }
  // Blocks on the diagonal of a matrix, and the numbers in one of its rows. P has one block.
  index heads(index matrix) const { return kernel_.matrices[matrix].recurrent ? call_.heads : 1; }
  index row_size(index matrix) const {
    return call_.size[at(kernel_.matrices[matrix].columns)] / heads(matrix);
  }
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
        a.edges = at_start;
        if (resets()) {
          a.edges |= at_reset;
          a.anew = const_cast<float*>(call_.anew[k]);
        }
        return a;
      }
      case Place::bias:
        return {biases_ + k * call_.size[at(Space::hidden)]};
      case Place::scratch:
        return {scratch_ + offset(pass_.scratch, k), 0, scratch_width_};
      case Place::vector:
        return {const_cast<float*>(call_.vectors) + k * call_.size[at(Space::hidden)]};
      case Place::input:
        return whole(call_.exact_input);
      case Place::gradient:
        if (k > 0 && call_.gradient_tape.data != nullptr)
          return slot(call_.gradient_tape, kernel_.tape, k - 1);
        return k > 0 || call_.gradient.data == nullptr ? Array{zeros_} : whole(call_.gradient);
      case Place::carry: {
        Array a{call_.last[k], 0, state_size(k)};
        if (!write) {
          const float* last = call_.gradient_last[k];
          a.edge = last ? const_cast<float*>(last) : zeros_;
          a.edge_row = last ? state_size(k) : 0;
          a.edges = at_last;
        }
        return a;
      }
      case Place::delta:
      case Place::delta_after: {
        Array a{delta_ + offset(kernel_.delta, k), call_.rows * delta_width_, delta_width_};
        a.clock = location.place == Place::delta ? Clock::ring : Clock::ring_after;
        if (location.place == Place::delta_after) {
          a.edge = zeros_;
          a.edges = at_end;
        }
        return a;
      }
      case Place::sum:
        return {vector_sums_ + k * call_.size[at(Space::hidden)], 0, vector_sums_size_};
      case Place::product:
      case Place::gate:
      case Place::mask:
        break;  // live with the thread
    }
    return {};
  }

  // A state that has no sequence changes in place while others may still read it.
  bool rolls(Location operand) const {
    return operand.place == Place::previous && operand.index > 0 &&
           state(operand.index).step == 0;
  }

  // Step number i of this pass, and the other way round: what number a time has.
  index time(index i) const { return downward_ ? call_.steps - 1 - i : i; }
  Moment moment(index i) const {
    return {{time(i), i % block_, (i + block_ - 1) % block_}};
  }

  // Where slot k begins in a stack of vectors of the given sizes.
  index offset(const Space* sizes, index k) const { return width(sizes, k); }

 private:
  Taken workspace_{team_workspace};
  bool ready_;

  index width(const Space* sizes, index count) const {
    index sum = 0;
    for (index s = 0; s < count; ++s) sum += call_.size[at(sizes[s])];
    return sum;
  }

  static Array whole(const Sequence& sequence) {
    return {sequence.data, sequence.step, sequence.row};
  }

  Array slot(const Sequence& sequence, const Space* sizes, index k) const {
    return {sequence.data + offset(sizes, k), sequence.step, sequence.row};
  }

  // Where the step sees only the sum of two products, their biases are one.
  void add_biases() {
    const index hidden = call_.size[at(Space::hidden)];
    for (index b = 0; b < kernel_.bias_count; ++b) {
      const Bias& bias = kernel_.biases[b];
      for (index j = 0; j < hidden; ++j) {
        float sum = 0.0f;
        if (call_.input_bias != nullptr && bias.input >= 0)
          sum = call_.input_bias[bias.input * hidden + j];
        if (call_.recurrent_bias != nullptr && bias.recurrent >= 0)
          sum += call_.recurrent_bias[bias.recurrent * hidden + j];
        biases_[b * hidden + j] = sum;
      }
    }
  }

  Array state(index k) const {
    if (k == 0) return whole(call_.output);
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

}  // namespace
}  // namespace unrolled
