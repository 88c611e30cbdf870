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

// What Python calls. Each layer: W, b, c, the matrices, the vectors, the masks' values.
void create(StreamObject* self, const std::string& isa, const std::string& name, index rows,
            index input_size, index hidden, index projected, const nb::list& layers,
            const nb::list& outputs, index heads) {
  const Engine& engine = engine_of(isa);
  const Kernel& kernel = find(engine, name);
  const index size[2] = {hidden, projected};
  if (rows < 1 || hidden < 1 || projected < 1 || input_size < 0 || layers.size() < 1)
    refuse("a stream has at least one row, unit, output and layer");
  if (heads < 1 || hidden % heads != 0 ||
      (heads > 1 && size[static_cast<index>(kernel.states[0])] % heads != 0))
    refuse("heads must divide the units and outputs, got " + std::to_string(heads));
  if (kernel.input_slot >= 0 && (input_size != hidden || (layers.size() > 1 && projected != hidden)))
    refuse("x stands in the equations of " + name + ": expected hidden = " +
           std::to_string(hidden) + " features, got " + std::to_string(input_size));
  StreamObject::check_outputs(outputs);
  const auto size_of = [&](Space space) { return size[static_cast<index>(space)]; };
  std::vector<StreamLayer> parameters;
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const nb::tuple layer = nb::cast<nb::tuple>(layers[l]);
    if (layer.size() != 6) refuse("a layer has 6 entries, got " + std::to_string(layer.size()));
    const index below = l == 0 ? input_size : size_of(kernel.states[0]);
    const index gates = kernel.gate_count * hidden;
    const index recurrent = kernel.matrix_count > 0 && kernel.matrices[0].recurrent
                                ? kernel.matrices[0].blocks * hidden
                                : 0;
    StreamLayer own{floats(layer[0], "input_weights", {gates, below}),
                    {},
                    floats_or_null(layer[1], "input_bias", {gates}),
                    floats_or_null(layer[2], "recurrent_bias", {recurrent}),
                    floats_or_null(layer[4], "vectors", {kernel.vector_count * hidden}),
                    nb::cast<std::vector<float>>(layer[5])};
    const nb::list matrices = nb::cast<nb::list>(layer[3]);
    if (static_cast<index>(matrices.size()) != kernel.matrix_count)
      refuse("matrices has " + std::to_string(matrices.size()) + " tensors, expected " +
             std::to_string(kernel.matrix_count));
    for (index k = 0; k < kernel.matrix_count; ++k) {
      const Matrix& matrix = kernel.matrices[k];
      const index columns = size_of(matrix.columns) / (matrix.recurrent ? heads : 1);
      own.matrices.push_back(
          floats(matrices[k], "matrices", {matrix.blocks * size_of(matrix.rows), columns}));
    }
    if ((own.vectors == nullptr && kernel.vector_count > 0) ||
        static_cast<index>(own.masks.size()) != kernel.mask_count)
      refuse("vectors or masks are missing");
    parameters.push_back(std::move(own));
  }
  new (self) StreamObject(Stream(engine, kernel, rows, input_size, size, heads, parameters), outputs);
}

}  // namespace

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
  m.def("row_numbers", [](nb::handle rows, index count) {
    return RowNumbers(count < 0 ? 0 : count).read(rows);
  }, nb::arg("rows"), nb::arg("count"), "Checked numbers of some rows of so many, as a list.");
}

}  // namespace unrolled
