// One thread's part of a call: its rows, its slice of the units, and the loop over time.
#pragma once

#include "gradients.h"
#include "noise.h"
#include "slice.h"

namespace unrolled {
namespace {

constexpr int most_vectors = 64;  // vectors that one stage reads or writes

// A stage with its vectors found: inputs, then outputs; and the operands of its products.
struct Prepared {
  const Stage* stage;
  const Array* arrays;
  const Array* operands;
  bool rolls;
};

// One thread's part: its rows, and its slice of the units. `Arithmetic` is what products are made
// of: Float32 or Bfloat16.
template <class Arithmetic>
class Worker {
  using Weight = typename Arithmetic::Weight;

 public:
  Worker(const Run& run, int groups, int group, int slices, int slice, Barrier& barrier,
         Barrier& team)
      : run_(run), slices_(slices), members_(groups * slices), barrier_(barrier), team_(team),
        gradients_(run, members_, group * slices + slice), slice_(run, slices, slice) {
    const Call& call = run.call_;
    // With lengths, rows are dealt out like cards, so that every group gets long and short ones.
    const index dealt = call.lengths ? groups : 1;
    const index first = call.lengths ? group : call.rows * group / groups;
    const index end = call.lengths ? call.rows : call.rows * (group + 1) / groups;
    count_ = first < end ? (end - first + dealt - 1) / dealt : 0;
    const Pass& pass = run.pass_;
    index packed = 0, widest = 0, deepest = 0;
    for (index s = 0; s < pass.stage_count; ++s) {
      const Stage& stage = pass.stages[s];
      for (index m = 0; m < stage.multiply_count; ++m) {
        packed += slice_.packed_size(stage.multiplies[m]);
        if (slice_.depth(stage.multiplies[m]) > deepest) deepest = slice_.depth(stage.multiplies[m]);
      }
      // a whole slice's width, even where this one is cut short: all must meet at the same barriers
      const index size = call.size[Run::at(stage.space)];
      const index width = stage.results * round_up((size + slices - 1) / slices, lanes);
      if (width > widest) widest = width;
    }
    // As many rows at a time as keep their products in half of the second-level cache: the more,
    // the rarer the weights are read. Weights that are larger than the whole cache come from farther
    // away each time: then products may take as much as they.
    const index room = cache_size() / sizeof(float) / 2;
    chunk_ = widest > 0 ? (packed > 2 * room ? packed : room) / (widest + 1) : count_;
    if (chunk_ < 2 * tile_rows) chunk_ = 2 * tile_rows;
    if (chunk_ < count_) chunk_ = count_ / ((count_ + chunk_ - 1) / chunk_) + 1;
    if (chunk_ > count_) chunk_ = count_;
    // The input products of so many steps at a time as stay in that cache, and fill whole tiles.
    const bool backward = call.mode == Mode::backward;
    index input = 0;
    block_ = run.block_;
    gate_width_ = 0;
    if (!backward) {
      gate_width_ = run.kernel_.gate_count * slice_.units(Space::hidden);
      input = Arithmetic::packed_size(call.input_size, gate_width_);
      const index step = count_ * gate_width_ + 1;
      block_ = room / 4 / step;
      if (block_ * count_ < 2 * tile_rows) block_ = 2 * tile_rows / (count_ + 1) + 1;
      if (block_ > call.steps) block_ = call.steps;
    }
    // rows of one product, at most
    const index tallest = backward || chunk_ > block_ * count_ ? count_ : block_ * count_;
    index arrays = 0;
    for (index s = 0; s < pass.stage_count; ++s)
      arrays += pass.stages[s].input_count + pass.stages[s].output_count +
                pass.stages[s].multiply_count;
    const std::size_t objects = pass.stage_count * sizeof(Prepared) + arrays * sizeof(Array) +
                                count_ * sizeof(index) + 2 * tallest * sizeof(float*);
    const index gates = round_up(block_ * count_ * gate_width_, lanes);
    const index products = round_up(chunk_ * widest, lanes);
    const index sums = backward ? round_up(gradients_.memory(), lanes) : 0;
    index operand = Arithmetic::operand_size(tallest, deepest);
    if (!backward && Arithmetic::operand_size(tallest, call.input_size) > operand)
      operand = Arithmetic::operand_size(tallest, call.input_size);
    operand = round_up(operand, cache_line);
    const index masks = run.kernel_.mask_count * mask_width();
    float* const memory = workspace_.reserve(sums + packed + input + operand + gates + products +
                                             masks + objects / sizeof(float) + lanes);
    ready_ = memory != nullptr;
    if (!ready_) return;
    if (backward) gradients_.use(memory);
    packed_ = memory + sums;
    packed_input_ = packed_ + packed;
    operand_ = packed_input_ + input;
    gates_ = operand_ + operand;
    products_ = gates_ + gates;
    masks_ = products_ + products;
    stages_ = reinterpret_cast<Prepared*>(masks_ + masks);
    Array* const found = reinterpret_cast<Array*>(stages_ + pass.stage_count);
    rows_ = reinterpret_cast<index*>(found + arrays);
    operands_ = reinterpret_cast<const float**>(rows_ + count_);
    results_ = const_cast<float**>(operands_ + tallest);
    for (index i = 0; i < count_; ++i) rows_[i] = run.order_[first + i * dealt];
    prepare(found);
    pack_all();
  }

  bool ready() const { return ready_; }  // whether there was memory for it

  void go() {
    const index steps = run_.call_.steps;
    if (run_.call_.mode != Mode::backward) {
      for (index i = 0; i < steps; ++i) {
        if (i % block_ == 0) multiply_input(i);
        step(i);
      }
    } else {
      gradients_.pack_input();
      for (index from = 0; from < steps; from += block_) {
        const index until = from + block_ < steps ? from + block_ : steps;
        for (index i = from; i < until; ++i) {
          step(i);
          if (run_.resets()) sum_up_starts(run_.moment(i));
        }
        team_.wait(members_);
        add_products_of_states(from, until);
        gradients_.add(from, until);
        team_.wait(members_);
      }
      if (gradients_.first()) gradients_.add_biases();
      if (run_.resets()) add_products_of_starts();
    }
    finish();
    Arithmetic::end();
  }

 private:
  Taken workspace_{own_workspace};
  bool ready_;
  const Run& run_;
  const int slices_, members_;
  Barrier& barrier_;  // of the group
  Barrier& team_;
  Gradients<Arithmetic> gradients_;
  Slice<Arithmetic> slice_;
  index count_, chunk_;
  index block_, gate_width_;
  float* packed_;
  float* packed_input_;
  float* operand_;  // where a product lays out its operands
  float* gates_;  // [block_, count_, gate_width_]
  float* products_;
  float* masks_;  // of one row
  Prepared* stages_;
  index* rows_;
  const float** operands_;
  float** results_;

  index mask_width() const {
    const index* size = run_.call_.size;
    return round_up(size[0] > size[1] ? size[0] : size[1], cache_line);
  }
  // How many rows have a step at this time.
  index running(index t) const {
    if (run_.call_.lengths == nullptr) return count_;
    index active = 0;
    while (active < count_ && run_.length(rows_[active]) > t) ++active;
    return active;
  }

  // Input and matrices as what they are.
  static const Weight* numbers(const float* data) { return reinterpret_cast<const Weight*>(data); }

  // The input products of a block of steps, beginning with the one taken as number `from`.
  void multiply_input(index from) {
    if (gate_width_ == 0) return;
    const Call& call = run_.call_;
    const Weight* const input = numbers(call.input.data);
    auto** const operands = reinterpret_cast<const Weight**>(operands_);
    index count = 0;
    for (index i = from; i < from + block_ && i < call.steps; ++i) {
      const index t = run_.time(i), active = running(t);
      for (index r = 0; r < active; ++r, ++count) {
        operands[count] = input + t * call.input.step + rows_[r] * call.input.row;
        results_[count] = gates_ + ((i - from) * count_ + r) * gate_width_;
      }
    }
    Arithmetic::product(operand_, operands, count, call.input_size, packed_input_, results_,
                        gate_width_, false);
  }

  void pack_all() {
    if (gate_width_ > 0)
      slice_.pack_input(packed_input_, run_.call_.input_size, gate_width_);
    float* to = packed_;
    const Pass& pass = run_.pass_;
    for (index s = 0; s < pass.stage_count; ++s)
      for (index i = 0; i < pass.stages[s].multiply_count; ++i)
        to = slice_.pack(to, pass.stages[s].multiplies[i]);
  }

  // Finds where the vectors of all stages are: it is the same for all steps, but for the strides.
  void prepare(Array* to) {
    const Pass& pass = run_.pass_;
    for (index s = 0; s < pass.stage_count; ++s) {
      const Stage& stage = pass.stages[s];
      Prepared& prepared = stages_[s];
      prepared = {&stage, to, nullptr, false};
      const index unit_count = slice_.units(stage.space), width = stage.results * unit_count;
      for (index i = 0; i < stage.input_count; ++i) {
        const Location from = stage.inputs[i];
        const index skipped = from.index * unit_count - slice_.begin(stage.space);
        // what lives with the thread counts its own rows, and the rows of a chunk
        *to++ = from.place == Place::product ? Array{products_ + skipped, 0, width}
                : from.place == Place::gate  ? Array{gates_ + skipped, 0, gate_width_}
                : from.place == Place::mask  ? Array{masks_ + from.index * mask_width()}
                                             : run_.resolve(from, false);
      }
      for (index i = 0; i < stage.output_count; ++i) {
        const Location target = stage.outputs[i];
        *to++ = run_.resolve(target, true);
      }
      prepared.operands = to;
      for (index m = 0; m < stage.multiply_count; ++m) {
        const Location operand = stage.multiplies[m].operand;
        *to++ = run_.resolve(operand, false);
        prepared.rolls = prepared.rolls || run_.rolls(operand);
      }
    }
  }

  // The products of a stage, for a chunk of rows; returns where the next stage's matrices begin.
  const float* multiply(const Prepared& prepared, const float* packed, const Moment& moment,
                        const index* rows, index count) {
    const Stage& stage = *prepared.stage;
    const index t = moment.time(), unit_count = slice_.units(stage.space);
    const index width = stage.results * unit_count;
    for (index i = 0; i < stage.multiply_count; ++i) {
      const Multiply& m = stage.multiplies[i];
      bool again = false;
      for (index before = 0; before < i; ++before)
        again = again || stage.multiplies[before].result == m.result;
      for (index r = 0; r < count; ++r) {
        const index row = rows[r];
        operands_[r] = prepared.operands[i].at(moment, row, run_.edges(t, row));
        results_[r] = products_ + r * width + m.result * unit_count;
      }
      packed = slice_.multiply(m, packed, operand_, operands_, results_, count, again,
                               moment.time() % 2 == 1);
    }
    return packed;
  }

  void step(index i) {
    const Moment moment = run_.moment(i);
    const index active = running(moment.time());
    const float* packed = packed_;
    for (index s = 0; s < run_.pass_.stage_count; ++s) {
      const Prepared& prepared = stages_[s];
      const float* next = packed;
      for (index first = 0; first < active; first += chunk_) {
        const index count = active - first < chunk_ ? active - first : chunk_;
        next = multiply(prepared, packed, moment, rows_ + first, count);
        if (prepared.rolls) barrier_.wait(slices_);
        apply(prepared, moment, i, first, count);
      }
      packed = next;
      barrier_.wait(slices_);
    }
    for (index r = active; r < count_; ++r) clear(moment, rows_[r]);
  }

  // The elementwise function of a stage, for a chunk of rows of step number i.
  void apply(const Prepared& prepared, const Moment& moment, index i, index first, index count) {
    const Stage& stage = *prepared.stage;
    const index t = moment.time(), inputs = stage.input_count;
    const index all = inputs + stage.output_count;
    const index begin_unit = slice_.begin(stage.space), end_unit = slice_.end(stage.space);
    // Row by row the vectors differ by a stride; `which` tells the count that it goes with.
    enum { anywhere, chunk, own };
    float* base[2 * most_vectors];
    std::uint8_t which[2 * most_vectors];
    for (index v = 0; v < all; ++v) {
      const Array& array = prepared.arrays[v];
      const Place place = v < inputs ? stage.inputs[v].place : Place::state;
      which[v] = place == Place::product ? chunk : place == Place::gate ? own : anywhere;
      base[v] = array.at(moment, 0, nowhere);
      if (place == Place::gate) base[v] += i % block_ * count_ * gate_width_;
    }
    for (index r = 0; r < count; ++r) {
      const index row = rows_[first + r];
      const index number[] = {row, r, first + r};
      const unsigned where = run_.edges(t, row);
      float* at[2 * most_vectors];
      for (index v = 0; v < all; ++v)
        at[v] = base[v] + number[which[v]] * prepared.arrays[v].row;
      if (where != nowhere)
        for (index v = 0; v < all; ++v)
          if (prepared.arrays[v].edges & where) at[v] = prepared.arrays[v].at(moment, row, where);
      for (index v = 0; run_.kernel_.mask_count > 0 && v < inputs; ++v)
        if (stage.inputs[v].place == Place::mask)
          fill_mask(at[v], run_.kernel_, run_.call_, stage.inputs[v].index, t, row, begin_unit,
                    end_unit);
      stage.function(at, at + inputs, begin_unit, end_unit);
    }
  }

  // A step that a row does not have leaves zeros: in the output, and in all that the weights'
  // gradients are made of.
  void clear(const Moment& moment, index row) {
    const Kernel& kernel = run_.kernel_;
    const Call& call = run_.call_;
    const auto zero = [&](float* to, const Space* sizes, index slots) {
      for (index s = 0; s < slots; ++s) {
        std::memset(to + slice_.begin(sizes[s]), 0, slice_.units(sizes[s]) * sizeof(float));
        to += call.size[Run::at(sizes[s])];
      }
    };
    const auto place = [&](const Sequence& sequence) {
      return sequence.data + moment.time() * sequence.step + row * sequence.row;
    };
    if (call.mode == Mode::backward) {
      const Array deltas = run_.resolve({Place::delta, 0}, true);
      zero(deltas.at(moment, row, nowhere), kernel.delta, kernel.delta_count);
    } else {
      zero(place(call.output), kernel.states, 1);
      if (call.mode == Mode::forward) zero(place(call.tape), kernel.tape, kernel.tape_count);
    }
  }

  // After the last step: the final states, or the gradients of the initial ones.
  void finish() {
    const Call& call = run_.call_;
    const Kernel& kernel = run_.kernel_;
    for (index k = 0; k < kernel.state_count; ++k) {
      const Array source = run_.resolve({Place::state, static_cast<std::uint8_t>(k)}, false);
      const Array incoming = run_.resolve({Place::carry, static_cast<std::uint8_t>(k)}, true);
      const Space space = kernel.states[k];
      const index size = run_.state_size(k), begin = slice_.begin(space);
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
        std::memcpy(to + begin, from + begin, slice_.units(space) * sizeof(float));
      }
    }
  }

  // Calls body(multiply) for every transposed product of which a state's adjoint is made, and adds
  // the products of as many operands as that has found.
  template <class Body>
  void add_products_to_states(Body body) {
    const Pass& pass = run_.pass_;
    const float* packed = packed_;
    for (index s = 0; s < pass.stage_count; ++s)
      for (index i = 0; i < pass.stages[s].multiply_count; ++i) {
        const Multiply& m = pass.stages[s].multiplies[i];
        const index count = m.state >= 0 ? body(m) : 0;
        packed = slice_.multiply(m, packed, operand_, operands_, results_, count, true, false);
      }
  }

  // Gradient of the initial states, the part through the products of a row's first step, once the
  // adjoints of that step are there.
  void add_products_of_states(index from, index until) {
    const Call& call = run_.call_;
    add_products_to_states([&](const Multiply& m) {
      const Array operand = run_.resolve({Place::delta, m.operand.index}, false);
      const index size = run_.state_size(m.state), first = slice_.begin(run_.kernel_.states[m.state]);
      index count = 0;
      for (index r = 0; r < count_; ++r) {
        const index row = rows_[r], length = run_.length(row);
        const index first_step = run_.time(call.descending ? length - 1 : 0);  // its number
        if (length == 0 || first_step < from || first_step >= until) continue;
        operands_[count] = operand.at(run_.moment(first_step), row, nowhere);
        results_[count++] = call.last[m.state] + row * size + first;
      }
      return count;
    });
  }

  // What a step that starts anew hands back belongs to the states it starts from and goes no
  // further. The products are linear: they are made at the end, of all such steps at once.
  void sum_up_starts(const Moment& moment) {
    const Call& call = run_.call_;
    const Kernel& kernel = run_.kernel_;
    const index t = moment.time(), active = running(t);
    for (index r = 0; r < active; ++r) {
      const index row = rows_[r];
      if (!(run_.edges(t, row) & at_reset)) continue;
      const float* const delta = run_.resolve({Place::delta, 0}, false).at(moment, row, nowhere);
      float* const sums = run_.starts_ + row * run_.delta_width_;
      for (index s = 0; s < kernel.delta_count; ++s) {
        const Space space = kernel.delta[s];
        const index slot = run_.offset(kernel.delta, s);
        for (index j = slot + slice_.begin(space); j < slot + slice_.end(space); ++j)
          sums[j] += delta[j];
      }
      for (index k = 0; k < kernel.state_count; ++k) {
        const Space space = kernel.states[k];
        const index first = row * run_.state_size(k);
        for (index j = first + slice_.begin(space); j < first + slice_.end(space); ++j) {
          call.gradient_anew[k][j] += call.last[k][j];
          call.last[k][j] = 0.0f;
        }
      }
    }
  }

  void add_products_of_starts() {
    add_products_to_states([&](const Multiply& m) {
      const index slot = run_.offset(run_.kernel_.delta, m.operand.index);
      const index size = run_.state_size(m.state), first = slice_.begin(run_.kernel_.states[m.state]);
      for (index r = 0; r < count_; ++r) {
        operands_[r] = run_.starts_ + rows_[r] * run_.delta_width_ + slot;
        results_[r] = run_.call_.gradient_anew[m.state] + rows_[r] * size + first;
      }
      return count_;
    });
  }
};

}  // namespace
}  // namespace unrolled
