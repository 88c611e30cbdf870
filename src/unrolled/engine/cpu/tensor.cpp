#include "tensor.h"

#include <cstdint>

namespace nb = nanobind;

namespace unrolled {
namespace {

// Attributes of a tensor, as interned strings: looking one up creates nothing.
struct Names {
  PyObject *dtype, *is_cpu, *is_neg, *shape, *is_contiguous, *stride, *data_ptr, *storage_offset,
      *untyped_storage, *nbytes;
} names;

// Never released: the interpreter may be gone before the module is.
struct Torch {
  PyObject* tensor;
  PyObject* dtypes[4];  // in the order of Dtype
} torch;

constexpr const char* dtype_names[] = {"torch.float32", "torch.bfloat16", "torch.int64",
                                       "torch.bool"};
constexpr index sizes_of[] = {4, 2, 8, 1};

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

index number(nb::handle value) {
  const Py_ssize_t found = PyLong_AsSsize_t(value.ptr());
  if (found == -1 && PyErr_Occurred()) throw nb::python_error();
  return found;
}

index item(nb::handle tuple, int place) {
  PyObject* found = PyTuple_GetItem(tuple.ptr(), place);  // borrowed
  if (found == nullptr) throw nb::python_error();
  return number(found);
}

std::string text(nb::handle value) { return nb::str(value).c_str(); }

}  // namespace

void refuse(const char* whose, const std::string& what) {
  throw nb::value_error((std::string(whose) + ": " + what).c_str());
}

std::string listed(const index* sizes, int count) {
  std::string found = "[";
  for (int d = 0; d < count; ++d) found += (d ? ", " : "") + std::to_string(sizes[d]);
  return found + "]";
}

void load_torch() {
  names = {PyUnicode_InternFromString("dtype"),
           PyUnicode_InternFromString("is_cpu"),
           PyUnicode_InternFromString("is_neg"),
           PyUnicode_InternFromString("shape"),
           PyUnicode_InternFromString("is_contiguous"),
           PyUnicode_InternFromString("stride"),
           PyUnicode_InternFromString("data_ptr"),
           PyUnicode_InternFromString("storage_offset"),
           PyUnicode_InternFromString("untyped_storage"),
           PyUnicode_InternFromString("nbytes")};
  const nb::module_ module = nb::module_::import_("torch");
  torch.tensor = nb::object(module.attr("Tensor")).release().ptr();
  const char* const dtypes[] = {"float32", "bfloat16", "int64", "bool"};
  for (int k = 0; k < 4; ++k) torch.dtypes[k] = nb::object(module.attr(dtypes[k])).release().ptr();
}

bool is_tensor(nb::handle object) {
  return PyType_IsSubtype(Py_TYPE(object.ptr()), reinterpret_cast<PyTypeObject*>(torch.tensor));
}

Tensor::Tensor(nb::handle tensor, Dtype dtype, const char* whose, const char* name) {
  const auto fail = [&](const std::string& what) { refuse(whose, std::string(name) + what); };
  if (!is_tensor(tensor))
    throw nb::type_error((std::string(whose) + ": " + name + " must be a tensor, got " +
                          text(tensor.type().attr("__name__")))
                             .c_str());
  const int kind = static_cast<int>(dtype);
  const nb::object found = attribute(tensor, names.dtype);
  if (found.ptr() != torch.dtypes[kind])
    fail(" is " + text(found) + ", expected " + dtype_names[kind] +
         (dtype == Dtype::float32 ? ": " + std::string(name) + ".float()" : ""));
  if (attribute(tensor, names.is_cpu).ptr() != Py_True)
    fail(" is on " + text(tensor.attr("device")) + ", expected it on the CPU");
  const nb::object size = attribute(tensor, names.shape);
  const Py_ssize_t count = PyTuple_Size(size.ptr());
  if (count < 0) throw nb::python_error();
  if (count > most_dimensions)
    fail(" has " + std::to_string(count) + " dimensions, expected at most 3");
  dimensions = static_cast<int>(count);
  index total = 1;
  for (int d = 0; d < dimensions; ++d) total *= shape[d] = item(size, d);
  if (call(tensor, names.is_contiguous).ptr() == Py_True) {
    index step = 1;
    for (int d = dimensions - 1; d >= 0; --d) {
      stride[d] = step;
      step *= shape[d];
    }
  } else {
    const nb::object strides = call(tensor, names.stride);
    for (int d = 0; d < dimensions; ++d) stride[d] = item(strides, d);
  }
  data = nullptr;
  if (total == 0) return;
  if (call(tensor, names.is_neg).ptr() == Py_True)
    fail(" is a view that negates; resolve it with .resolve_neg()");
  // A storage may be shorter than its tensor believes: freed by hand, or never allocated.
  index last = number(call(tensor, names.storage_offset));
  for (int d = 0; d < dimensions; ++d) last += (shape[d] - 1) * stride[d];
  const nb::object storage = call(tensor, names.untyped_storage);
  const index bytes = number(call(storage, names.nbytes));
  data = static_cast<char*>(PyLong_AsVoidPtr(call(tensor, names.data_ptr).ptr()));
  if (PyErr_Occurred()) throw nb::python_error();
  if (data == nullptr || (last + 1) * sizes_of[kind] > bytes)
    fail(" has no memory for its numbers: " +
         (data == nullptr ? "it is a " + text(tensor.type().attr("__name__")) + " without data"
                          : "its storage was freed or made smaller"));
  if (reinterpret_cast<std::uintptr_t>(data) % sizes_of[kind] != 0)
    fail(" does not begin at a multiple of its numbers' size; take .clone()");
}

bool Tensor::has_shape(std::initializer_list<index> sizes) const {
  if (static_cast<int>(sizes.size()) != dimensions) return false;
  const index* own = shape;
  for (index size : sizes)
    if (size != *own++) return false;
  return true;
}

bool Tensor::is_contiguous() const {
  index step = 1;
  for (int d = dimensions - 1; d >= 0; step *= shape[d--])
    if (shape[d] > 1 && stride[d] != step) return false;
  return true;
}

bool Tensor::is_side_by_side() const {
  return dimensions == 0 || shape[dimensions - 1] < 2 || stride[dimensions - 1] == 1;
}

namespace {

Tensor shaped(nb::handle tensor, const char* name, std::initializer_list<index> sizes,
              Dtype dtype) {
  const Tensor found(tensor, dtype, kernels, name);
  if (!found.has_shape(sizes))
    refuse(kernels, std::string(name) + " has shape " + listed(found.shape, found.dimensions) +
                        ", expected " + listed(sizes.begin(), static_cast<int>(sizes.size())));
  return found;
}

}  // namespace

void* contiguous(nb::handle tensor, const char* name, std::initializer_list<index> sizes,
                 Dtype dtype) {
  const Tensor found = shaped(tensor, name, sizes, dtype);
  if (!found.is_contiguous() && found.data != nullptr)
    refuse(kernels, std::string(name) + " is not contiguous");
  return found.data;
}

float* floats(nb::handle tensor, const char* name, std::initializer_list<index> sizes) {
  return static_cast<float*>(contiguous(tensor, name, sizes));
}

float* floats_or_null(nb::handle tensor, const char* name, std::initializer_list<index> sizes) {
  return tensor.is_none() ? nullptr : floats(tensor, name, sizes);
}

Sequence sequence(nb::handle tensor, const char* name, index steps, index rows, index size,
                  Dtype dtype) {
  const Tensor found = shaped(tensor, name, {steps, rows, size}, dtype);
  if (!found.is_side_by_side() && found.data != nullptr)
    refuse(kernels, std::string(name) +
                        " has numbers that do not lie side by side, expected a contiguous last "
                        "dimension");
  return {reinterpret_cast<float*>(found.data), found.stride[0], found.stride[1]};
}

Sequence sequence_or_null(nb::handle tensor, const char* name, index steps, index rows,
                          index size) {
  return tensor.is_none() ? Sequence{nullptr, 0, 0} : sequence(tensor, name, steps, rows, size);
}

Mask mask_or_null(nb::handle tensor, const char* name, index steps, index rows) {
  if (tensor.is_none()) return {nullptr, 0, 0};
  const Tensor found = shaped(tensor, name, {steps, rows}, Dtype::boolean);
  return {reinterpret_cast<const bool*>(found.data), found.stride[0], found.stride[1]};
}

}  // namespace unrolled
