// Numbers of some of a stream's rows as they are given: a sequence of integers, or an array or
// tensor of int64. Each error is one line that says what was expected and what came.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "tensor.h"

namespace unrolled {

// Reads numbers of rows 0 <= n < count, all distinct; what one call needs is kept for the next.
class RowNumbers {
 public:
  explicit RowNumbers(index count) : marks_(count, 0) { found_.reserve(count); }

  const std::vector<index>& read(nanobind::handle rows) {
    found_.clear();
    ++turn_;
    if (is_tensor(rows))
      read_tensor(rows);
    else if (PyObject_CheckBuffer(rows.ptr()))
      read_buffer(rows);
    else
      read_sequence(rows);
    return found_;
  }

 private:
  std::vector<index> found_;
  std::vector<std::uint64_t> marks_;  // the turn in which a row was named last
  std::uint64_t turn_ = 0;

  static std::string text(nanobind::handle value) { return nanobind::str(value).c_str(); }
  [[noreturn]] static void fail(const std::string& what) { refuse("Stream", "rows " + what); }
  [[noreturn]] static void fail_kind(nanobind::handle of, const char* expected) {
    const std::string kind = text(of.type().attr("__name__"));
    throw nanobind::type_error(
        ("Stream: rows must be " + std::string(expected) + ", got " + kind).c_str());
  }
  static void check_dimensions(index dimensions) {
    if (dimensions != 1)
      fail("has " + std::to_string(dimensions) + " dimensions, expected one");
  }

  void add(index row) {
    const index count = static_cast<index>(marks_.size());
    if (row < 0 || row >= count)
      fail("has " + std::to_string(row) + " at place " + std::to_string(found_.size()) +
           ", expected numbers from 0 to " + std::to_string(count - 1));
    if (marks_[row] == turn_) fail("has " + std::to_string(row) + " twice, expected each row once");
    marks_[row] = turn_;
    found_.push_back(row);
  }

  void read_tensor(nanobind::handle rows) {
    const Tensor tensor(rows, Dtype::int64, "Stream", "rows");
    check_dimensions(tensor.dimensions);
    const auto* const numbers = reinterpret_cast<const std::int64_t*>(tensor.data);
    for (index i = 0; i < tensor.shape[0]; ++i) add(numbers[i * tensor.stride[0]]);
  }

  void read_buffer(nanobind::handle rows) {
    struct Held {
      Py_buffer buffer;
      ~Held() { PyBuffer_Release(&buffer); }
    };
    Py_buffer buffer;
    if (PyObject_GetBuffer(rows.ptr(), &buffer, PyBUF_RECORDS_RO) != 0)
      throw nanobind::python_error();
    const Held held{buffer};
    const std::string format = held.buffer.format ? held.buffer.format : "B";
    if ((format != "l" && format != "q") || held.buffer.itemsize != 8)
      fail("is " +
           (nanobind::hasattr(rows, "dtype") ? text(rows.attr("dtype")) : "of format " + format) +
           ", expected int64");
    check_dimensions(held.buffer.ndim);
    const char* from = static_cast<const char*>(held.buffer.buf);
    for (index i = 0; i < held.buffer.shape[0]; ++i, from += held.buffer.strides[0]) {
      std::int64_t number;
      std::memcpy(&number, from, sizeof number);
      add(number);
    }
  }

  void read_sequence(nanobind::handle rows) {
    if (!PySequence_Check(rows.ptr()))
      fail_kind(rows, "a sequence of integers, or an array or tensor of int64");
    const Py_ssize_t count = PySequence_Size(rows.ptr());
    if (count < 0) throw nanobind::python_error();
    for (Py_ssize_t i = 0; i < count; ++i) {
      PyObject* const item = PySequence_GetItem(rows.ptr(), i);
      if (item == nullptr) throw nanobind::python_error();
      const nanobind::object number = nanobind::steal(item);
      if (PyBool_Check(item) || !PyIndex_Check(item)) fail_kind(number, "integers");
      const Py_ssize_t row = PyNumber_AsSsize_t(item, nullptr);  // clipped, so out of range too
      if (row == -1 && PyErr_Occurred()) throw nanobind::python_error();
      add(row);
    }
  }
};

}  // namespace unrolled
