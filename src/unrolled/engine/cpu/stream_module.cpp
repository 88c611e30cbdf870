// The Python side of Stream: arrays and tensors in, the stream's own output out.
//
// A step costs a microsecond or two, so its argument is read without the help of any framework: an
// array through the buffer protocol, a tensor as tensor.h does.
#include "stream_module.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <set>
#include <stdexcept>
#include <utility>
#include <vector>

#include "row_numbers.h"
#include "stream.h"
#include "tensor.h"

namespace nb = nanobind;

namespace unrolled {
namespace {

[[noreturn]] void refuse(const std::string& what) { unrolled::refuse("Stream", what); }

std::string text(nb::handle value) { return nb::str(value).c_str(); }

// A float32 array of up to three dimensions whose rows are contiguous, while it is looked at.
class Array {
 public:
  Array(nb::handle array, const char* name, bool written)
      : is_tensor(unrolled::is_tensor(array)), name_(name) {
    if (is_tensor)
      read_tensor(array);
    else
      read_buffer(array, written);
    if (dimensions > 0 && shape[dimensions - 1] > 1 && stride[dimensions - 1] != 1)
      fail("has features that do not lie side by side, expected a contiguous last dimension");
  }
  ~Array() { release(); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  const bool is_tensor;
  float* data = nullptr;
  int dimensions = 0;
  index shape[3], stride[3];  // strides in floats

  bool is_contiguous() const {
    index step = 1;
    for (int d = dimensions - 1; d >= 0; step *= shape[d--])
      if (shape[d] > 1 && stride[d] != step) return false;
    return true;
  }

  bool has_shape(index rows, index features) const {
    return dimensions == 2 && shape[0] == rows && shape[1] == features;
  }

  // Error: another shape was expected.
  [[noreturn]] void refuse(const std::string& expected) {
    fail("has shape " + listed(shape, dimensions) + ", expected " + expected);
  }

  [[noreturn]] void fail(const std::string& what) {
    release();  // an object whose constructor throws is not destroyed
    throw nb::value_error(("Stream: " + std::string(name_) + " " + what).c_str());
  }

 private:
  const char* name_;
  bool held_ = false;
  Py_buffer buffer_;

  void release() {
    if (held_) PyBuffer_Release(&buffer_);
    held_ = false;
  }

  void set_dimensions(index count) {
    if (count > 3) fail("has " + std::to_string(count) + " dimensions, expected at most 3");
    dimensions = static_cast<int>(count);
  }

  void read_buffer(nb::handle array, bool written) {
    if (!PyObject_CheckBuffer(array.ptr()))
      throw nb::type_error(("Stream: " + std::string(name_) +
                            " must be a NumPy array or a tensor, got " +
                            text(array.type().attr("__name__")))
                               .c_str());
    if (PyObject_GetBuffer(array.ptr(), &buffer_, PyBUF_RECORDS_RO) != 0) throw nb::python_error();
    held_ = true;
    const char* format = buffer_.format ? buffer_.format : "B";
    if (format[0] != 'f' || format[1] != 0) {
      fail("is " + (nb::hasattr(array, "dtype") ? text(array.attr("dtype"))
                                                : "of format " + std::string(format)) +
           ", expected float32: " + name_ + ".astype(\"float32\")");
    }
    if (written && buffer_.readonly) fail("is read-only");
    set_dimensions(buffer_.ndim);
    data = static_cast<float*>(buffer_.buf);
    if (reinterpret_cast<std::uintptr_t>(data) % sizeof(float) != 0)
      fail("does not begin at a multiple of four bytes; take " + std::string(name_) + ".copy()");
    for (int d = 0; d < dimensions; ++d) {
      shape[d] = buffer_.shape[d];
      stride[d] = buffer_.strides[d] / buffer_.itemsize;
      if (buffer_.strides[d] % buffer_.itemsize != 0) fail("has rows that are not aligned");
    }
  }

  void read_tensor(nb::handle tensor) {
    const Tensor found(tensor, Dtype::float32, "Stream", name_);
    data = reinterpret_cast<float*>(found.data);
    dimensions = found.dimensions;
    std::copy_n(found.shape, dimensions, shape);
    std::copy_n(found.stride, dimensions, stride);
  }
};

constexpr index most_copied = 1 << 16;  // floats of a piece of `run`, about

// A stream, and the arrays that its steps return.
class StreamObject {
 public:
  // outputs: an array [N, S], the array's row [S] (or anything, if N > 1), a tensor and its row, all
  // of the same memory.
  StreamObject(Stream stream, const nb::list& outputs)
      : stream_(std::move(stream)),
        numbers_(stream_.rows()),
        outputs_{outputs[0], outputs[1], outputs[2], outputs[3]},
        output_(floats(outputs[2], "outputs", {stream_.rows(), stream_.output_size()})) {}

  StreamObject clone(const nb::list& outputs) const {
    check_free();
    check_outputs(outputs);
    return StreamObject(stream_, outputs);
  }

  static void check_outputs(const nb::list& outputs) {
    if (outputs.size() != 4)
      refuse("outputs has " + std::to_string(outputs.size()) + " entries, expected 4");
  }

  nb::object step(nb::handle x, nb::handle out) {
    check_free();
    Array input(x, "x", false);
    const bool bare = check(input, "", 0, stream_.input_size());
    const index row = bare ? 0 : input.stride[0];
    if (out.is_none()) {
      stream_.step(input.data, row, output_);
      return outputs_[2 * input.is_tensor + bare];
    }
    Array result(out, "out", true);
    check_out(result, input);
    stream_.step(input.data, row, result.data);
    return nb::borrow(out);
  }

  // The steps are computed while other threads run Python, and these may free or shorten what they
  // were given. So it works on copies, a piece at a time, and looks at the arrays again for each.
  void run(nb::handle block, nb::handle out) {
    check_free();
    index from = 0, steps;
    do {
      Array input(block, "block", false);
      const bool bare = check(input, "T, ", 1, stream_.input_size());
      {
        Array result(out, "out", true);
        check_out(result, input);
      }
      if (from > 0 && input.shape[0] != steps) input.fail("changed its shape during the run");
      steps = input.shape[0];
      const index rows = stream_.rows(), wide = stream_.input_size(), high = stream_.output_size();
      const index fit = std::max<index>(most_copied / (rows * (wide + high)), 1);
      const index count = std::min(fit, steps - from);
      copied_.resize(count * rows * (wide + high));
      float* const x = copied_.data();
      float* const y = x + count * rows * wide;
      for (index t = 0; t < count; ++t)
        for (index n = 0; n < rows; ++n)
          std::memcpy(x + (t * rows + n) * wide,
                      input.data + (from + t) * input.stride[0] + (bare ? 0 : n * input.stride[1]),
                      wide * sizeof(float));
      running_ = true;
      {
        nb::gil_scoped_release release;
        stream_.run(x, rows * wide, wide, count, y);
      }
      running_ = false;
      Array result(out, "out", true);
      check_out(result, input);
      if (count > 0)
        std::memcpy(result.data + from * rows * high, y, count * rows * high * sizeof(float));
      from += count;
    } while (from < steps);
  }

  void step_rows(nb::handle rows, nb::handle x, nb::handle out) {
    check_free();
    const std::vector<index>& found = numbers_.read(rows);
    const index count = static_cast<index>(found.size());
    Array input(x, "x", false);
    if (!input.has_shape(count, stream_.input_size()))
      input.refuse(listed_of(count, stream_.input_size()));
    Array result(out, "out", true);
    if (!result.has_shape(count, stream_.output_size()))
      result.refuse(listed_of(count, stream_.output_size()));
    if (!result.is_contiguous()) result.fail("is not contiguous");
    stream_.step_rows(found.data(), count, input.data, input.stride[0], result.data);
  }

  // Of all rows, or of those that are named.
  void read_state(index k, nb::handle to, nb::handle rows) {
    check_free();
    const std::vector<index>* const named = rows.is_none() ? nullptr : &numbers_.read(rows);
    const index count = named ? static_cast<index>(named->size()) : stream_.rows();
    stream_.read_state(k, named ? named->data() : nullptr, count, state(k, to, count));
  }
  void write_state(index k, nb::handle from, nb::handle rows) {
    check_free();
    const std::vector<index>* const named = rows.is_none() ? nullptr : &numbers_.read(rows);
    const index count = named ? static_cast<index>(named->size()) : stream_.rows();
    stream_.write_state(k, named ? named->data() : nullptr, count, state(k, from, count));
  }

 private:
  Stream stream_;
  RowNumbers numbers_;
  nb::object outputs_[4];
  float* output_;
  std::vector<float> copied_;
  bool running_ = false;  // in another thread; guarded by the interpreter's lock

  void check_free() const {
    if (running_) throw std::runtime_error("Stream: run is under way in another thread");
  }

  static std::string listed_of(index rows, index features) {
    const index sizes[] = {rows, features};
    return listed(sizes, 2);
  }

  // The array of state k of so many rows, which must be the layers' own in shape.
  float* state(index k, nb::handle array, index rows) const {
    if (k < 0 || k >= stream_.state_count())
      refuse("state must be from 0 to " + std::to_string(stream_.state_count() - 1) + ", got " +
             std::to_string(k));
    return floats(array, "state", {stream_.layer_count(), rows, stream_.state_size(k)});
  }

  // That `leading` dimensions (called `names`), then [N, features], or bare [features] if N is 1;
  // returns whether it is bare.
  bool check(Array& array, const char* names, int leading, index features) const {
    const int d = array.dimensions;
    const bool bare = d == leading + 1 && stream_.rows() == 1;
    const bool rows = d == leading + 2 && array.shape[d - 2] == stream_.rows();
    if ((bare || rows) && array.shape[d - 1] == features) return bare;
    const std::string size = std::to_string(features) + "]", begin = "[" + std::string(names);
    array.refuse((stream_.rows() == 1 ? begin + size + " or " : "") + begin +
                 std::to_string(stream_.rows()) + ", " + size);
  }

  // That `out` is contiguous and has the input's shape, but for the output's features.
  void check_out(Array& out, const Array& input) const {
    index wanted[3];
    const int count = input.dimensions;
    bool same = out.dimensions == count;
    for (int d = 0; d < count; ++d) {
      wanted[d] = d + 1 < count ? input.shape[d] : stream_.output_size();
      same = same && out.shape[d] == wanted[d];
    }
    if (!same) out.refuse(listed(wanted, count));
    if (!out.is_contiguous()) out.fail("is not contiguous");
  }
};

// The sizes of a stream, and the program that its layers run.
struct Form {
  const Engine& engine;
  const Kernel& kernel;
  index rows, input_size, size[2], heads;

  Form(const std::string& isa, const std::string& name, index rows, index input_size, index hidden,
       index projected, index heads)
      : engine(engine_of(isa)), kernel(find(engine, name)), rows(rows), input_size(input_size),
        size{hidden, projected}, heads(heads) {
    if (rows < 1 || hidden < 1 || projected < 1 || input_size < 0)
      refuse("a stream has at least one row, unit, output and layer");
    if (heads < 1 || hidden % heads != 0 || (heads > 1 && output_size() % heads != 0))
      refuse("heads must divide the units and outputs, got " + std::to_string(heads));
    if (kernel.input_slot >= 0 && input_size != hidden) no_features(input_size);
  }

  index size_of(Space space) const { return size[static_cast<index>(space)]; }
  index output_size() const { return size_of(kernel.states[0]); }
  index below(std::size_t layer) const { return layer == 0 ? input_size : output_size(); }
  index columns(const Matrix& matrix) const {
    return size_of(matrix.columns) / (matrix.recurrent ? heads : 1);
  }
  index recurrent_rows() const {
    const bool some = kernel.matrix_count > 0 && kernel.matrices[0].recurrent;
    return some ? kernel.matrices[0].blocks * size[0] : 0;
  }

  // Each layer: W, b, c, the matrices, the vectors, the masks' values.
  std::vector<StreamLayer> read(const nb::list& layers) const {
    if (layers.size() < 1) refuse("a stream has at least one row, unit, output and layer");
    if (kernel.input_slot >= 0 && layers.size() > 1 && size[1] != size[0]) no_features(size[1]);
    std::vector<StreamLayer> parameters;
    const index gates = kernel.gate_count * size[0];
    for (std::size_t l = 0; l < layers.size(); ++l) {
      const nb::tuple layer = nb::cast<nb::tuple>(layers[l]);
      if (layer.size() != 6) refuse("a layer has 6 entries, got " + std::to_string(layer.size()));
      StreamLayer own{floats(layer[0], "input_weights", {gates, below(l)}),
                      {},
                      floats_or_null(layer[1], "input_bias", {gates}),
                      floats_or_null(layer[2], "recurrent_bias", {recurrent_rows()}),
                      floats_or_null(layer[4], "vectors", {kernel.vector_count * size[0]}),
                      nb::cast<std::vector<float>>(layer[5])};
      const nb::list matrices = nb::cast<nb::list>(layer[3]);
      if (static_cast<index>(matrices.size()) != kernel.matrix_count)
        refuse("matrices has " + std::to_string(matrices.size()) + " tensors, expected " +
               std::to_string(kernel.matrix_count));
      for (index k = 0; k < kernel.matrix_count; ++k) {
        const Matrix& matrix = kernel.matrices[k];
        own.matrices.push_back(floats(matrices[k], "matrices",
                                      {matrix.blocks * size_of(matrix.rows), columns(matrix)}));
      }
      if ((own.vectors == nullptr && kernel.vector_count > 0) ||
          static_cast<index>(own.masks.size()) != kernel.mask_count)
        refuse("vectors or masks are missing");
      parameters.push_back(std::move(own));
    }
    return parameters;
  }

  // Calls body(numbers, count) for everything that a layer's results depend on; null where there is
  // nothing.
  template <class Body>
  void each_part(const StreamLayer& layer, std::size_t number, Body body) const {
    const index gates = kernel.gate_count * size[0];
    body(layer.input_weights, gates * below(number));
    body(layer.input_bias, layer.input_bias ? gates : 0);
    body(layer.recurrent_bias, layer.recurrent_bias ? recurrent_rows() : 0);
    for (index k = 0; k < kernel.matrix_count; ++k) {
      const Matrix& matrix = kernel.matrices[k];
      body(layer.matrices[k], matrix.blocks * size_of(matrix.rows) * columns(matrix));
    }
    body(layer.vectors, kernel.vector_count * size[0]);
    body(layer.masks.data(), kernel.mask_count);
  }

 private:
  [[noreturn]] void no_features(index features) const {
    refuse("x stands in the equations of " + std::string(kernel.name) + ": expected hidden = " +
           std::to_string(size[0]) + " features, got " + std::to_string(features));
  }
};

void create(StreamObject* self, const std::string& isa, const std::string& name, index rows,
            index input_size, index hidden, index projected, const nb::list& layers,
            const nb::list& outputs, index heads) {
  const Form form(isa, name, rows, input_size, hidden, projected, heads);
  StreamObject::check_outputs(outputs);
  new (self) StreamObject(
      Stream(form.engine, form.kernel, rows, input_size, form.size, heads, form.read(layers)), outputs);
}

// Tells other threads of a call that is under way, while one of these lives.
class Busy {
 public:
  explicit Busy(bool& running) : running_(running) { running_ = true; }
  ~Busy() { running_ = false; }

 private:
  bool& running_;
};

// Layers that are called again and again: a stream that starts anew with every call. Its packed
// weights are kept from call to call, and so is a copy of what they were packed from: whatever has
// been written to a parameter in between, and by whom, the next call sees it.
class Kept {
 public:
  // For each layer the names of W, b, c (or None) and of the matrices; `kind`: their class.
  Kept(const std::string& isa, const std::string& name, index rows, index input_size, index hidden,
       index projected, index heads, const nb::list& names, const nb::list& masks, nb::handle kind)
      : form_(isa, name, rows, input_size, hidden, projected, heads), names_(names), masks_(masks),
        kind_(nb::borrow(kind)) {
    all().insert(this);
  }
  ~Kept() { all().erase(this); }
  Kept(const Kept&) = delete;

  // All that there are; guarded by the interpreter's lock, and never destroyed before the last of them.
  static std::set<Kept*>& all() {
    static auto* const found = new std::set<Kept*>;
    return *found;
  }

  // Frees the packed weights and what they were packed from, but in a call; the next one packs again.
  // Returns the bytes, without those by which packed columns are filled up.
  std::size_t release() {
    if (running_) return 0;
    const std::size_t bytes = 2 * copied_.size() * sizeof(float);
    copied_ = {};
    counts_ = {};
    stream_.clear();
    return bytes;
  }

  // x [T, N, input size], or [T, input size] if N is 1, or with `batch_first` [1, T, input size].
  // Writes the output, laid out as x, and the last states, [layers, N, size] or [layers, size].
  void run(const nb::dict& named, nb::handle x, bool batch_first, const nb::list& initial,
           nb::handle output, const nb::list& last) {
    if (running_) refuse("a call is under way in another thread");
    const nb::list layers = layers_of(named);
    const std::vector<StreamLayer> parameters = form_.read(layers);
    const Tensor input(x, Dtype::float32, "Stream", "x");
    const int leading = input.dimensions == 2 ? 0 : batch_first ? 1 : 0;
    const bool bare = input.dimensions == 2;
    const index steps = input.dimensions < 2 ? 0 : input.shape[leading];
    const index row = bare || input.dimensions != 3 ? 0 : input.stride[1 - leading];
    const bool fits = (bare && form_.rows == 1) ||
                      (input.dimensions == 3 && input.shape[1 - leading] == form_.rows &&
                       (!batch_first || form_.rows == 1));
    if (!fits || input.shape[input.dimensions - 1] != form_.input_size || !input.is_side_by_side())
      refuse("x does not fit");
    const Tensor result(output, Dtype::float32, "Stream", "output");
    if (result.dimensions != input.dimensions || !result.is_contiguous() ||
        result.shape[result.dimensions - 1] != form_.output_size())
      refuse("output does not fit");
    for (int d = 0; d + 1 < input.dimensions; ++d)
      if (result.shape[d] != input.shape[d]) refuse("output does not fit");
    const index states = form_.kernel.state_count, count = static_cast<index>(layers.size());
    if (static_cast<index>(last.size()) != states ||
        (initial.size() > 0 && static_cast<index>(initial.size()) != states))
      refuse("states do not fit");
    std::vector<const float*> from;
    std::vector<float*> to;
    for (index k = 0; k < states; ++k) {
      const auto state = [&](nb::handle array) {
        const index size = form_.size_of(form_.kernel.states[k]);
        return bare ? floats(array, "state", {count, size})
                    : floats(array, "state", {count, form_.rows, size});
      };
      if (initial.size() > 0) from.push_back(state(initial[k]));
      to.push_back(state(last[k]));
    }
    const Busy busy(running_);
    {
      nb::gil_scoped_release release;
      advance(parameters, reinterpret_cast<const float*>(input.data), input.stride[leading], row,
              steps, from, reinterpret_cast<float*>(result.data), to);
    }
  }

 private:
  const Form form_;
  const nb::list names_, masks_;
  const nb::object kind_;
  std::vector<float> copied_;  // of all parts of all layers
  std::vector<index> counts_;  // numbers in each of them
  std::vector<Stream> stream_;  // one, once there has been a call
  bool running_ = false;  // guarded by the interpreter's lock

  nb::object parameter(const nb::dict& named, nb::handle name) const {
    if (name.is_none()) return nb::none();
    PyObject* const found = PyDict_GetItemWithError(named.ptr(), name.ptr());
    if (found == nullptr || Py_TYPE(found) != reinterpret_cast<PyTypeObject*>(kind_.ptr()))
      refuse("a parameter is not there, or of a class of its own");
    return nb::borrow(found);
  }

  nb::list layers_of(const nb::dict& named) const {
    nb::list layers;
    for (const nb::handle each : names_) {
      const nb::tuple own = nb::borrow<nb::tuple>(each);
      nb::list matrices;
      for (std::size_t k = 3; k < own.size(); ++k) matrices.append(parameter(named, own[k]));
      layers.append(nb::make_tuple(parameter(named, own[0]), parameter(named, own[1]),
                                   parameter(named, own[2]), matrices, nb::none(), masks_));
    }
    return layers;
  }

  void advance(const std::vector<StreamLayer>& parameters, const float* x, index step, index row,
               index steps, const std::vector<const float*>& initial, float* y,
               const std::vector<float*>& last) {
    if (!is_packed(parameters)) pack(parameters);
    Stream& stream = stream_[0];
    for (std::size_t k = 0; k < last.size(); ++k) {
      const index number = static_cast<index>(k);
      if (initial.empty()) {
        const index size = form_.rows * form_.size_of(form_.kernel.states[k]);
        std::memset(last[k], 0, parameters.size() * size * sizeof(float));
      }
      stream.write_state(number, nullptr, form_.rows, initial.empty() ? last[k] : initial[k]);
    }
    stream.run(x, step, row, steps, y);
    for (std::size_t k = 0; k < last.size(); ++k)
      stream.read_state(static_cast<index>(k), nullptr, form_.rows, last[k]);
  }

  bool is_packed(const std::vector<StreamLayer>& parameters) const {
    const float* copy = copied_.data();
    std::size_t part = 0;
    bool same = !stream_.empty();
    for (std::size_t l = 0; same && l < parameters.size(); ++l)
      form_.each_part(parameters[l], l, [&](const float* numbers, index count) {
        same = same && part < counts_.size() && counts_[part] == count &&
               (count == 0 || std::memcmp(copy, numbers, count * sizeof(float)) == 0);
        copy += count;
        ++part;
      });
    return same && part == counts_.size();
  }

  void pack(const std::vector<StreamLayer>& parameters) {
    copied_.clear();
    counts_.clear();
    for (std::size_t l = 0; l < parameters.size(); ++l)
      form_.each_part(parameters[l], l, [&](const float* numbers, index count) {
        if (count > 0) copied_.insert(copied_.end(), numbers, numbers + count);
        counts_.push_back(count);
      });
    stream_.clear();
    stream_.emplace_back(form_.engine, form_.kernel, form_.rows, form_.input_size, form_.size,
                         form_.heads, parameters);
  }
};

}  // namespace

std::size_t release_kept() {
  std::size_t bytes = 0;
  for (Kept* const each : Kept::all()) bytes += each->release();
  return bytes;
}

void bind_stream(nb::module_& m) {
  nb::class_<StreamObject>(m, "Stream", "A stack of layers, fed step by step; see stream.h.")
      .def("__init__", &create, nb::arg("isa"), nb::arg("name"), nb::arg("rows"),
           nb::arg("input_size"), nb::arg("hidden"), nb::arg("projected"), nb::arg("layers"),
           nb::arg("outputs"), nb::arg("heads") = 1)
      .def("clone", &StreamObject::clone, nb::arg("outputs"))
      .def("step", &StreamObject::step, nb::arg("x"), nb::arg("out").none() = nb::none())
      .def("run", &StreamObject::run, nb::arg("block"), nb::arg("out"))
      .def("step_rows", &StreamObject::step_rows, nb::arg("rows"), nb::arg("x"), nb::arg("out"))
      .def("read_state", &StreamObject::read_state, nb::arg("state"), nb::arg("to"),
           nb::arg("rows").none() = nb::none())
      .def("write_state", &StreamObject::write_state, nb::arg("state"), nb::arg("source"),
           nb::arg("rows").none() = nb::none());
  nb::class_<Kept>(m, "Kept", "Layers that are called again and again without a gradient.")
      .def(nb::init<const std::string&, const std::string&, index, index, index, index, index,
                    const nb::list&, const nb::list&, nb::handle>(),
           nb::arg("isa"), nb::arg("name"), nb::arg("rows"), nb::arg("input_size"),
           nb::arg("hidden"), nb::arg("projected"), nb::arg("heads"), nb::arg("names"),
           nb::arg("masks"), nb::arg("kind"))
      .def("run", &Kept::run, nb::arg("parameters"), nb::arg("x"), nb::arg("batch_first"),
           nb::arg("initial"), nb::arg("output"), nb::arg("last"));
  m.def("row_numbers", [](nb::handle rows, index count) {
    return RowNumbers(count < 0 ? 0 : count).read(rows);
  }, nb::arg("rows"), nb::arg("count"), "Checked numbers of some rows of so many, as a list.");
}

}  // namespace unrolled
