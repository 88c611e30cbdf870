// From tensors to the kernels' calls: one layer's run over a whole sequence, all directions.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "layer_module.h"
#include "tensor.h"

namespace nb = nanobind;

namespace unrolled {
namespace {

[[noreturn]] void refuse(const std::string& what) { unrolled::refuse(kernels, what); }

void at_least(const char* name, index value, index least) {
  if (value < least)
    refuse(std::string(name) + " must be at least " + std::to_string(least) + ", got " +
           std::to_string(value));
}

void check_count(const nb::list& given, const char* name, index expected) {
  if (static_cast<index>(given.size()) != expected)
    refuse(std::string(name) + " has " + std::to_string(given.size()) + " tensors, expected " +
           std::to_string(expected));
}

// A pointer moved on by some numbers; null stays null.
template <class Number>
Number* moved(Number* pointer, index by) {
  return pointer == nullptr ? nullptr : pointer + by;
}
Sequence moved(Sequence sequence, index by) {
  return {moved(sequence.data, by), sequence.step, sequence.row};
}

index size_at(const Tensor& tensor, const char* name, int dimension) {
  if (dimension >= tensor.dimensions)
    refuse(std::string(name) + " has shape " + listed(tensor.shape, tensor.dimensions));
  return tensor.shape[dimension];
}

// Where a direction's weights are in the operator's list: W, U, then b and c or neither, then P and
// the vectors where the program has them.
struct Places {
  index input = 0, recurrent = 1, input_bias = -1, recurrent_bias = -1, projection = -1,
        vectors = -1, count = 2;

  Places(const Kernel& kernel, bool biases) {
    if (biases) {
      input_bias = count++;
      recurrent_bias = count++;
    }
    if (is_projected(kernel)) projection = count++;
    if (kernel.vector_count > 0) vectors = count++;
  }
  static bool is_recurrent(const Kernel& kernel) {
    return kernel.matrix_count > 0 && kernel.matrices[0].recurrent;
  }
  static bool is_projected(const Kernel& kernel) {
    return kernel.matrix_count > is_recurrent(kernel);
  }
};

// The addresses that a direction has for itself.
struct Direction {
  Call call;
  std::vector<const float*> initial, anew, matrices, gradient_last;
  std::vector<float*> last, gradient_matrices, gradient_anew;
};

// One layer's run over a whole sequence, all directions; kernel.h says what each array is. Sizes
// come from the input, the weights and the program's table, and every tensor must fit them. What is
// given and cannot be read as it is, is copied; what is written must be in order.
class Layer {
 public:
  Layer(const std::string& isa, const std::string& program, index directions, bool batch_first,
        nb::handle x, const nb::list& initial, const nb::list& weights, nb::handle lengths,
        nb::handle reset, nb::handle seed, const std::vector<double>& rates, int threads, int slices)
      : engine_(engine_of(isa)), kernel_(find(engine_, program)), x_(x), batch_first_(batch_first),
        places_(kernel_, false), rates_(rates) {
    at_least("directions", directions, 1);
    at_least("threads", threads, 1);
    at_least("slices", slices, 0);
    const index given = static_cast<index>(weights.size());
    const Places with_biases(kernel_, true);
    if (directions <= given && given == directions * with_biases.count) places_ = with_biases;
    if (directions > given || given != directions * places_.count)
      refuse("weights has " + std::to_string(given) + " tensors, expected " +
             std::to_string(places_.count) + " for each direction, or with biases " +
             std::to_string(with_biases.count));
    if (static_cast<index>(rates.size()) != kernel_.mask_count)
      refuse("rates has " + std::to_string(rates.size()) + " numbers, expected " +
             std::to_string(kernel_.mask_count));
    for (const nb::handle weight : weights) weights_.push_back(weight);

    Call c{};
    products_ = is_bfloat16(x) ? Dtype::bfloat16 : Dtype::float32;
    c.precision = is_bfloat16(x) ? Precision::bfloat16 : Precision::float32;
    c.threads = threads;
    c.slices = slices;
    const Tensor input = read(x_, "x", products_, false, false);
    if (input.dimensions != 3)
      refuse("x has shape " + listed(input.shape, input.dimensions) +
             ", expected [steps, rows, size]");
    c.steps = input.shape[batch_first];
    c.rows = input.shape[!batch_first];
    c.input_size = input.shape[2];
    c.input = in_order(input);
    if (!lengths.is_none()) {
      const Tensor found = read(lengths, "lengths", Dtype::int64, true, true);
      check_contiguous(found, "lengths", {c.rows});
      c.lengths = reinterpret_cast<const std::int64_t*>(found.data);
      check_lengths(c);
    }
    c.reset = mask_or_null(reset, "reset", c.steps, c.rows);
    c.rates = rates_.data();
    c.drawing = !seed.is_none();
    if (c.drawing) c.seed = PyLong_AsUnsignedLongLongMask(nb::int_(seed).ptr());
    if (PyErr_Occurred()) throw nb::python_error();

    directions_.resize(directions);
    for (index d = 0; d < directions; ++d) {
      Direction& own = directions_[d];
      own.call = c;
      own.call.descending = d == 1;
      read_weights(own, &weights_[d * places_.count]);
      for (const Space space : {Space::hidden, Space::projected})
        if (size_of(own.call, space) != size_of(directions_[0].call, space))
          refuse("the weights of one direction have other sizes than those of another");
    }
    if (kernel_.input_slot >= 0) read_exact_input(program);
    check_count(initial, "initial", kernel_.state_count);
    for (index k = 0; k < kernel_.state_count; ++k) {
      nb::handle state = initial[k];
      const Tensor found = read(state, "initial", Dtype::float32, true, true);
      check_contiguous(found, "initial", {count(), rows(), state_size(k)});
      initial_.push_back(state);
      for (index d = 0; d < count(); ++d)
        directions_[d].initial.push_back(
            moved(reinterpret_cast<const float*>(found.data), d * rows() * state_size(k)));
    }
    for (Direction& own : directions_) own.call.initial = own.call.anew = own.initial.data();
  }

  // Where it is a part of a sequence: its direction, its time, and the states after a reset.
  void is_part(bool descending, index first_step, const nb::list& anew) {
    for (Direction& own : directions_) {
      own.call.descending = descending;
      own.call.first_step = first_step;
    }
    read_written(anew, "anew", &Direction::anew);
    for (Direction& own : directions_) own.call.anew = own.anew.data();
  }

  // New arrays for the results.
  nb::object new_output() const {
    const index size = count() * state_size(0);
    return batch_first_ ? empty(x_, rows(), steps(), size) : empty(x_, steps(), rows(), size);
  }
  nb::list new_states() const {
    nb::list found;
    for (const nb::handle state : initial_) found.append(empty_like(state));
    return found;
  }
  nb::list new_tapes() const {
    nb::list found;
    for (index d = 0; d < count(); ++d) found.append(empty(x_, steps(), rows(), tape_width()));
    return found;
  }
  nb::list new_weights() const {
    nb::list found;
    for (const nb::handle weight : weights_) found.append(empty_like(weight));
    return found;
  }
  nb::list new_inputs() const {
    nb::list found;
    for (index d = 0; d < count(); ++d)
      found.append(empty(x_, steps(), rows(), directions_[0].call.input_size));
    return found;
  }

  // Without tapes nothing is kept for backward.
  void forward(nb::handle output, const nb::list& last, const nb::list& tapes) {
    read_results(tapes.size() > 0 ? Mode::forward : Mode::inference, output, last, tapes);
    run();
  }

  // Gradients of weights, and those of states after a reset, are written; or, with `add`, added to
  // what is there.
  void backward(nb::handle output, const nb::list& tapes, index block, bool add,
                nb::handle gradient, const nb::list& gradient_last, const nb::list& gradient_tapes,
                const nb::list& gradient_x, const nb::list& gradient_weights,
                const nb::list& gradient_initial, const nb::list& gradient_anew) {
    at_least("block", block, 0);
    adds_ = add;
    read_results(Mode::backward, output, gradient_initial, tapes);
    if (!gradient.is_none()) {
      const Sequence whole = in_order(read_gradient(gradient));
      for (index d = 0; d < count(); ++d)
        directions_[d].call.gradient = moved(whole, d * state_size(0));
    }
    check_count(gradient_last, "gradient_last", kernel_.state_count);
    for (index k = 0; k < kernel_.state_count; ++k) {
      nb::handle one = gradient_last[k];
      const float* data = nullptr;
      if (!one.is_none()) {
        const Tensor found = read(one, "gradient_last", Dtype::float32, true, true);
        check_contiguous(found, "gradient_last", {count(), rows(), state_size(k)});
        data = reinterpret_cast<const float*>(found.data);
      }
      for (index d = 0; d < count(); ++d)
        directions_[d].gradient_last.push_back(moved(data, d * rows() * state_size(k)));
    }
    if (resets()) read_written(gradient_anew, "gradient_anew", &Direction::gradient_anew);
    if (gradient_tapes.size() > 0) check_count(gradient_tapes, "gradient_tapes", count());
    if (gradient_x.size() > 0) check_count(gradient_x, "gradient_x", count());
    check_count(gradient_weights, "gradient_weights", count() * places_.count);
    for (index d = 0; d < count(); ++d) {
      Direction& own = directions_[d];
      Call& c = own.call;
      c.block = block;
      if (gradient_tapes.size() > 0) {
        nb::handle one = gradient_tapes[d];
        const Tensor found = read(one, "gradient_tapes", Dtype::float32, false, true);
        check_shape(found, "gradient_tapes", {c.steps, c.rows, tape_width()});
        c.gradient_tape = sequence_of(found);
      }
      if (gradient_x.size() > 0)
        c.gradient_input = sequence(gradient_x[d], "gradient_x", c.steps, c.rows, c.input_size);
      read_gradients(own, gradient_weights, d * places_.count);
      c.gradient_last = own.gradient_last.data();
      c.gradient_matrices = own.gradient_matrices.data();
      c.gradient_anew = own.gradient_anew.data();
      for (index k = 0; resets() && k < kernel_.state_count; ++k)
        clear(own.gradient_anew[k], rows() * state_size(k));
    }
    run();
  }

  bool resets() const { return directions_[0].call.reset.data != nullptr; }

 private:
  const Engine& engine_;
  const Kernel& kernel_;
  nb::handle x_;
  const bool batch_first_;
  Places places_;
  const std::vector<double>& rates_;
  Dtype products_;  // the dtype of their operands
  bool adds_ = false;
  std::vector<nb::handle> weights_, initial_;  // as they are read
  std::vector<nb::object> copies_;  // of what could not be read as it was
  std::unique_ptr<float[]> laid_out_;  // the output's gradient
  std::vector<Direction> directions_;
  std::vector<std::pair<float*, index>> cleared_;  // before the run: arrays and their numbers

  index count() const { return static_cast<index>(directions_.size()); }
  index steps() const { return directions_[0].call.steps; }
  index rows() const { return directions_[0].call.rows; }
  static index size_of(const Call& c, Space space) { return c.size[static_cast<index>(space)]; }
  index state_size(index k) const { return size_of(directions_[0].call, kernel_.states[k]); }
  // Floats of what forward leaves for backward of one step of a row.
  index tape_width() const {
    index sum = 0;
    for (index s = 0; s < kernel_.tape_count; ++s)
      sum += size_of(directions_[0].call, kernel_.tape[s]);
    return sum;
  }

  // A tensor whose numbers lie side by side: all of them, or those of the last dimension. One that
  // `converts` may have another dtype.
  Tensor read(nb::handle& tensor, const char* name, Dtype dtype, bool all, bool converts) {
    const Tensor found(tensor, dtype, kernels, name, true);
    if (!found.has_dtype && !converts) Tensor(tensor, dtype, kernels, name);  // refuses
    const bool lies_well = all ? found.is_contiguous() : found.is_side_by_side();
    if (found.has_dtype && found.is_plain && lies_well) return found;
    copies_.push_back(copied(tensor, dtype));
    tensor = copies_.back();
    return Tensor(tensor, dtype, kernels, name);
  }

  static Sequence sequence_of(const Tensor& tensor) {
    return {reinterpret_cast<float*>(tensor.data), tensor.stride[0], tensor.stride[1]};
  }
  // The output's gradient. That of a sum is one number seen everywhere: nothing lies side by side, and
  // it is laid out here in a tenth of the time that torch takes for a step or two.
  Tensor read_gradient(nb::handle gradient) {
    Tensor found(gradient, Dtype::float32, kernels, "gradient", true);
    check_output_shape(found, "gradient");
    if (found.has_dtype && found.is_plain && found.is_side_by_side()) return found;
    if (!found.has_dtype || !found.is_plain)
      return read(gradient, "gradient", Dtype::float32, false, true);
    const index *shape = found.shape, *stride = found.stride;
    laid_out_.reset(new float[shape[0] * shape[1] * shape[2]]);
    const float* const from = reinterpret_cast<const float*>(found.data);
    float* to = laid_out_.get();
    for (index i = 0; i < shape[0]; ++i)
      for (index j = 0; j < shape[1]; ++j)
        for (index k = 0; k < shape[2]; ++k)
          *to++ = from[i * stride[0] + j * stride[1] + k * stride[2]];
    found.data = reinterpret_cast<char*>(laid_out_.get());
    found.stride[0] = shape[1] * shape[2];
    found.stride[1] = shape[2];
    found.stride[2] = 1;
    return found;
  }

  // A sequence in the order of the caller's dimensions.
  Sequence in_order(const Tensor& tensor) const {
    const Sequence found = sequence_of(tensor);
    return batch_first_ ? Sequence{found.data, found.row, found.step} : found;
  }
  void check_output_shape(const Tensor& tensor, const char* name) const {
    const index size = count() * state_size(0);
    if (batch_first_)
      check_shape(tensor, name, {rows(), steps(), size});
    else
      check_shape(tensor, name, {steps(), rows(), size});
  }

  static void check_lengths(const Call& c) {
    for (index row = 0; row < c.rows; ++row)
      if (c.lengths[row] < 0 || c.lengths[row] > c.steps)
        refuse("lengths must lie between 0 and the input's " + std::to_string(c.steps) +
               " steps, got " + std::to_string(c.lengths[row]) + " for row " +
               std::to_string(row));
  }

  void read_exact_input(const std::string& program) {
    const Call& first = directions_[0].call;
    if (first.input_size != size_of(first, Space::hidden))
      refuse("x has " + std::to_string(first.input_size) + " features and stands in the equations " +
             "of " + program + ": expected hidden = " +
             std::to_string(size_of(first, Space::hidden)));
    nb::handle x = x_;
    const Sequence exact = in_order(read(x, "x", Dtype::float32, false, true));
    for (Direction& own : directions_) own.call.exact_input = exact;
  }

  // For each state [directions, rows, size].
  template <class Pointer>
  void read_written(const nb::list& given, const char* name,
                    std::vector<Pointer> Direction::*member) {
    check_count(given, name, kernel_.state_count);
    for (index k = 0; k < kernel_.state_count; ++k) {
      float* const data = floats(given[k], name, {count(), rows(), state_size(k)});
      for (index d = 0; d < count(); ++d)
        (directions_[d].*member).push_back(moved(data, d * rows() * state_size(k)));
    }
  }

  // The sizes that follow from the program's table.
  index gates(const Call& c) const { return kernel_.gate_count * size_of(c, Space::hidden); }
  index products_of_states(const Call& c) const {
    return Places::is_recurrent(kernel_) ? kernel_.matrices[0].blocks * size_of(c, Space::hidden)
                                         : 0;
  }
  index matrix_rows(const Call& c, index k) const {
    return kernel_.matrices[k].blocks * size_of(c, kernel_.matrices[k].rows);
  }
  index matrix_columns(const Call& c, index k) const {
    const Matrix& matrix = kernel_.matrices[k];
    return size_of(c, matrix.columns) / (matrix.recurrent ? c.heads : 1);
  }
  index place_of(index matrix) const {
    return kernel_.matrices[matrix].recurrent ? places_.recurrent : places_.projection;
  }

  // The weights of one direction; H, S and the number of heads follow from them.
  void read_weights(Direction& own, nb::handle* given) {
    constexpr index most = 6;
    static const char* const names[] = {"W", "U", "P"};
    Call& c = own.call;
    Tensor found[most] = {
        read(given[places_.input], names[0], products_, true, true),
        read(given[places_.recurrent], names[1], products_, true, true),
        part(given, places_.input_bias, "b"),
        part(given, places_.recurrent_bias, "c"),
        places_.projection < 0 ? Tensor{}
                               : read(given[places_.projection], names[2], products_, true, true),
        part(given, places_.vectors, "vectors")};
    const Tensor &W = found[0], &U = found[1], &P = found[4], &vectors = found[5];
    index& hidden = c.size[static_cast<index>(Space::hidden)];
    index& projected = c.size[static_cast<index>(Space::projected)];
    const bool is_recurrent = Places::is_recurrent(kernel_);
    hidden = kernel_.gate_count > 0    ? size_at(W, "W", 0) / kernel_.gate_count
             : places_.projection >= 0 ? size_at(P, "P", 1)
             : places_.vectors >= 0    ? size_at(vectors, "vectors", 0) / kernel_.vector_count
             : is_recurrent            ? size_at(U, "U", 0) / kernel_.matrices[0].blocks
                                       : 0;
    projected = places_.projection >= 0 ? size_at(P, "P", 0) : hidden;
    at_least("hidden", hidden, 1);
    at_least("projected", projected, 1);
    c.heads = 1;
    if (is_recurrent) {
      const index whole = size_of(c, kernel_.matrices[0].columns), columns = size_at(U, "U", 1);
      c.heads = columns > 0 ? whole / columns : 0;
      if (c.heads < 1 || whole % c.heads != 0 || hidden % c.heads != 0)
        refuse("heads must divide " + std::to_string(hidden) + " and " + std::to_string(whole) +
               ", got " + std::to_string(c.heads));
    }
    const auto numbers = [](const Tensor& tensor) {
      return reinterpret_cast<const float*>(tensor.data);
    };
    check_contiguous(W, "W", {gates(c), c.input_size});
    c.input_weights = numbers(W);
    if (places_.input_bias >= 0) {
      check_contiguous(found[2], "b", {gates(c)});
      check_contiguous(found[3], "c", {products_of_states(c)});
      c.input_bias = numbers(found[2]);
      c.recurrent_bias = numbers(found[3]);
    }
    for (index k = 0; k < kernel_.matrix_count; ++k) {
      const Tensor& matrix = kernel_.matrices[k].recurrent ? U : P;
      check_contiguous(matrix, kernel_.matrices[k].recurrent ? "U" : "P",
                       {matrix_rows(c, k), matrix_columns(c, k)});
      own.matrices.push_back(numbers(matrix));
    }
    c.matrices = own.matrices.data();
    if (places_.vectors >= 0) {
      check_contiguous(vectors, "vectors", {kernel_.vector_count * hidden});
      c.vectors = numbers(vectors);
    }
  }
  Tensor part(nb::handle* given, index place, const char* name) {
    return place < 0 ? Tensor{} : read(given[place], name, Dtype::float32, true, true);
  }

  void clear(float* data, index numbers) {
    if (!adds_ && data != nullptr) cleared_.emplace_back(data, numbers);
  }

  // The gradients of one direction's weights, which begin at a place of the list.
  void read_gradients(Direction& own, const nb::list& given, index first) {
    Call& c = own.call;
    const auto array = [&](index place, std::initializer_list<index> sizes) {
      float* const data = floats(given[first + place], "gradient_weights", sizes);
      index numbers = 1;
      for (const index size : sizes) numbers *= size;
      clear(data, numbers);
      return data;
    };
    c.gradient_input_weights = array(places_.input, {gates(c), c.input_size});
    if (places_.input_bias >= 0) {
      c.gradient_input_bias = array(places_.input_bias, {gates(c)});
      c.gradient_recurrent_bias = array(places_.recurrent_bias, {products_of_states(c)});
    }
    for (index k = 0; k < kernel_.matrix_count; ++k)
      own.gradient_matrices.push_back(
          array(place_of(k), {matrix_rows(c, k), matrix_columns(c, k)}));
    if (places_.vectors >= 0)
      c.gradient_vectors =
          array(places_.vectors, {kernel_.vector_count * size_of(c, Space::hidden)});
  }

  // Output, last states (or the gradients of the initial ones) and tapes.
  void read_results(Mode mode, nb::handle output, const nb::list& last, const nb::list& tapes) {
    const Tensor whole(output, Dtype::float32, kernels, "output");
    check_output_shape(whole, "output");
    check_side_by_side(whole, "output");
    read_written(last, mode == Mode::backward ? "gradient_initial" : "last", &Direction::last);
    if (mode != Mode::inference) check_count(tapes, "tapes", count());
    for (index d = 0; d < count(); ++d) {
      Direction& own = directions_[d];
      own.call.mode = mode;
      own.call.output = moved(in_order(whole), d * state_size(0));
      own.call.last = own.last.data();
      if (mode != Mode::inference)
        own.call.tape = sequence(tapes[d], "tapes", steps(), rows(), tape_width());
    }
  }

  void run() {
    bool done = true;
    {
      nb::gil_scoped_release release;
      for (const auto& [data, numbers] : cleared_) std::memset(data, 0, numbers * sizeof(float));
      for (const Direction& own : directions_) done = done && engine_.run(kernel_, own.call);
    }
    if (!done) throw std::bad_alloc();
  }
};

}  // namespace
}  // namespace unrolled
