// The Python side of Stream: arrays and tensors in, the stream's own output out.
//
// A step costs a microsecond or two, so its argument is read without the help of any framework: an
// array through the buffer protocol, a tensor through a few of its attributes.
#include "stream_module.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <stdexcept>
#include <tuple>
#include <utility>
#include <vector>

#include "stream.h"

namespace nb = nanobind;

namespace unrolled {
namespace {

using Pointer = std::uintptr_t;

// Attributes of a tensor, as interned strings: looking one up creates nothing.
struct Names {
  PyObject *dtype, *is_cpu, *shape, *is_contiguous, *stride, *data_ptr;
} names;

nb::object attribute(nb::handle object, PyObject* name) {
  PyObject* found = PyObject_GetAttr(object.ptr(), name);
  if (found == nullptr) throw nb::python_error();
  return nb::steal(found);
}

nb::object call(nb::handle object, PyObject* name) {
  PyObject* arguments[] = {object.ptr()};
  PyObject* found =
      PyObject_VectorcallMethod(name, arguments, 1 | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr);
  if (found == nullptr) throw nb::python_error();
  return nb::steal(found);
}

std::string text(nb::handle value) { return nb::str(value).c_str(); }

std::string listed(const index* shape, int count) {
  std::string found = "[";
  for (int d = 0; d < count; ++d) found += (d ? ", " : "") + std::to_string(shape[d]);
  return found + "]";
}

// How this process sees torch: the type of its tensors, and the one dtype that is taken.
struct Torch {
  nb::object tensor, float32;
  bool owns(nb::handle object) const {
    return PyType_IsSubtype(Py_TYPE(object.ptr()), reinterpret_cast<PyTypeObject*>(tensor.ptr()));
  }
};

// A float32 array of up to three dimensions whose rows are contiguous, while it is looked at.
class Array {
 public:
  Array(const Torch& torch, nb::handle array, const char* name, bool written)
      : is_tensor(torch.owns(array)), name_(name) {
    if (is_tensor)
      read_tensor(array, torch.float32);
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
    for (int d = 0; d < dimensions; ++d) {
      shape[d] = buffer_.shape[d];
      stride[d] = buffer_.strides[d] / buffer_.itemsize;
      if (buffer_.strides[d] % buffer_.itemsize != 0) fail("has rows that are not aligned");
    }
  }

  void read_tensor(nb::handle tensor, nb::handle float32) {
    const nb::object dtype = attribute(tensor, names.dtype);
    if (!dtype.is(float32))
      fail("is " + text(dtype) + ", expected torch.float32: " + name_ + ".float()");
    if (attribute(tensor, names.is_cpu).ptr() != Py_True)
      fail("is on " + text(tensor.attr("device")) + ", expected it on the CPU");
    const nb::object size = attribute(tensor, names.shape);
    set_dimensions(PyTuple_Size(size.ptr()));
    for (int d = 0; d < dimensions; ++d)
      shape[d] = PyLong_AsSsize_t(PyTuple_GetItem(size.ptr(), d));
    if (call(tensor, names.is_contiguous).ptr() == Py_True) {
      index step = 1;
      for (int d = dimensions - 1; d >= 0; --d) {
        stride[d] = step;
        step *= shape[d];
      }
    } else {
      const nb::object strides = call(tensor, names.stride);
      for (int d = 0; d < dimensions; ++d)
        stride[d] = PyLong_AsSsize_t(PyTuple_GetItem(strides.ptr(), d));
    }
    data = reinterpret_cast<float*>(PyLong_AsVoidPtr(call(tensor, names.data_ptr).ptr()));
  }
};

// A stream, and the arrays that its steps return.
class StreamObject {
 public:
  // outputs: an array [N, S], the array's row [S] (or anything, if N > 1), a tensor and its row of
  // the same memory, which begins at `output`.
  StreamObject(Stream stream, Torch torch, const nb::tuple& outputs, Pointer output)
      : stream_(std::move(stream)),
        torch_(std::move(torch)),
        outputs_{outputs[0], outputs[1], outputs[2], outputs[3]},
        output_(reinterpret_cast<float*>(output)) {}

  StreamObject clone(const nb::tuple& outputs, Pointer output) const {
    check_free();
    return StreamObject(stream_, torch_, outputs, output);
  }

  nb::object step(nb::handle x, nb::handle out) {
    check_free();
    Array input(torch_, x, "x", false);
    const bool bare = check(input, "", 0, stream_.input_size());
    const index row = bare ? 0 : input.stride[0];
    if (out.is_none()) {
      stream_.step(input.data, row, output_);
      return outputs_[2 * input.is_tensor + bare];
    }
    Array result(torch_, out, "out", true);
    check_out(result, input);
    stream_.step(input.data, row, result.data);
    return nb::borrow(out);
  }

  void run(nb::handle block, nb::handle out) {
    check_free();
    Array input(torch_, block, "block", false);
    const bool bare = check(input, "T, ", 1, stream_.input_size());
    Array result(torch_, out, "out", true);
    check_out(result, input);
    running_ = true;
    {
      nb::gil_scoped_release release;
      stream_.run(input.data, input.stride[0], bare ? 0 : input.stride[1], input.shape[0],
                  result.data);
    }
    running_ = false;
  }

  void read_state(index k, Pointer to) const {
    check_free();
    stream_.read_state(k, reinterpret_cast<float*>(to));
  }
  void write_state(index k, Pointer from) {
    check_free();
    stream_.write_state(k, reinterpret_cast<const float*>(from));
  }

 private:
  Stream stream_;
  Torch torch_;
  nb::object outputs_[4];
  float* output_;
  bool running_ = false;  // in another thread; guarded by the interpreter's lock

  void check_free() const {
    if (running_) throw std::runtime_error("Stream: run is under way in another thread");
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

// What Python calls: everything by name; addresses as integers.
void create(StreamObject* self, const std::string& isa, const std::string& name, index rows,
            index input_size, index hidden, index projected, const nb::list& layers,
            nb::object tensor, nb::object float32, const nb::tuple& outputs, Pointer output) {
  const Engine& engine = engine_of(isa);
  std::vector<StreamLayer> parameters;
  for (nb::handle layer : layers) {
    const auto [input_weights, input_bias, recurrent_bias, matrices, vectors, masks] =
        nb::cast<std::tuple<Pointer, Pointer, Pointer, std::vector<Pointer>, Pointer,
                            std::vector<float>>>(layer);
    StreamLayer own{reinterpret_cast<const float*>(input_weights),
                    {},
                    reinterpret_cast<const float*>(input_bias),
                    reinterpret_cast<const float*>(recurrent_bias),
                    reinterpret_cast<const float*>(vectors),
                    masks};
    for (Pointer matrix : matrices) own.matrices.push_back(reinterpret_cast<const float*>(matrix));
    parameters.push_back(std::move(own));
  }
  const index size[2] = {hidden, projected};
  new (self) StreamObject(Stream(engine, find(engine, name), rows, input_size, size, parameters),
                          Torch{std::move(tensor), std::move(float32)}, outputs, output);
}

}  // namespace

void bind_stream(nb::module_& m) {
  names = {PyUnicode_InternFromString("dtype"),  PyUnicode_InternFromString("is_cpu"),
           PyUnicode_InternFromString("shape"),  PyUnicode_InternFromString("is_contiguous"),
           PyUnicode_InternFromString("stride"), PyUnicode_InternFromString("data_ptr")};
  nb::class_<StreamObject>(m, "Stream", "A stack of layers, fed step by step; see stream.h.")
      .def("__init__", &create, nb::arg("isa"), nb::arg("name"), nb::arg("rows"),
           nb::arg("input_size"), nb::arg("hidden"), nb::arg("projected"), nb::arg("layers"),
           nb::arg("tensor"), nb::arg("float32"), nb::arg("outputs"), nb::arg("output"))
      .def("clone", &StreamObject::clone, nb::arg("outputs"), nb::arg("output"))
      .def("step", &StreamObject::step, nb::arg("x"), nb::arg("out").none() = nb::none())
      .def("run", &StreamObject::run, nb::arg("block"), nb::arg("out"))
      .def("read_state", &StreamObject::read_state, nb::arg("state"), nb::arg("to"))
      .def("write_state", &StreamObject::write_state, nb::arg("state"), nb::arg("source"));
}

}  // namespace unrolled
