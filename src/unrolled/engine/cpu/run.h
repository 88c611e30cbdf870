// A call as all its threads share it: where every vector is, and which rows have which steps.
#pragma once

#include <cstring>

#include "team.h"

namespace unrolled {
namespace {

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

}  // namespace
}  // namespace unrolled
