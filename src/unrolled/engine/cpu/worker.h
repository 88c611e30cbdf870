// One thread's part of a call: its rows, its slice of the units, and the loop over time.
#pragma once

#include "pack.h"
#include "run.h"

namespace unrolled {
namespace {

constexpr int most_vectors = 64;  // vectors that one stage reads or writes

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
      pack(packed_input_, call.input_size, gate_width_,
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
          pack_rows(to, depth(m), columns(m), from + begin(shape.columns), stride);
        } else {
          pack(to, depth(m), columns(m), row_of(from, stride, shape.rows));
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

}  // namespace
}  // namespace unrolled
