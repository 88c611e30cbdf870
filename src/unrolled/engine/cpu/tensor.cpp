#include "tensor.h"

#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace nb = nanobind;

namespace unrolled {
namespace {

// DLPack's description of a tensor, and the function by which torch gives one of its own. The layout
// is that of version 1 (github.com/dmlc/dlpack).
struct Described {
  void* data;
  std::int32_t device, device_number, dimensions;
  std::uint8_t code, bits;
  std::uint16_t lanes;
  std::int64_t *shape, *stride;
  std::uint64_t offset;
};

struct Exchange {
  std::uint32_t major, minor;
  Exchange* before;
  void *allocate, *export_owned, *import_owned;
  int (*describe)(void* tensor, Described* to);
  void* stream;
};
constexpr std::int32_t on_cpu = 1;

// Attributes of a tensor, as interned strings: looking one up creates nothing.
struct Names {
  PyObject *dtype, *is_neg, *storage_offset, *untyped_storage, *nbytes, *new_empty;
  PyObject *of_dtype;  // the tuple ("dtype",)
} names;

// Never released: the interpreter may be gone before the module is.
struct Torch {
  PyObject* tensor;
  PyObject* empty_like;
  PyObject* dtypes[4];  // in the order of Dtype
  int (*describe)(void* tensor, Described* to);
} torch;

constexpr const char* dtype_names[] = {"torch.float32", "torch.bfloat16", "torch.int64",
                                       "torch.bool"};
constexpr index sizes_of[] = {4, 2, 8, 1};
constexpr std::uint8_t codes[] = {2, 4, 0, 6};  // DLPack's: float, bfloat16, integer, boolean

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
           PyUnicode_InternFromString("is_neg"),
           PyUnicode_InternFromString("storage_offset"),
           PyUnicode_InternFromString("untyped_storage"),
           PyUnicode_InternFromString("nbytes"),
           PyUnicode_InternFromString("new_empty"),
           nb::make_tuple("dtype").release().ptr()};
  const nb::module_ module = nb::module_::import_("torch");
  const nb::object tensor = module.attr("Tensor");
  torch.tensor = nb::object(tensor).release().ptr();
  torch.empty_like = nb::object(module.attr("empty_like")).release().ptr();
  const char* const dtypes[] = {"float32", "bfloat16", "int64", "bool"};
  for (int k = 0; k < 4; ++k) torch.dtypes[k] = nb::object(module.attr(dtypes[k])).release().ptr();
  const nb::object capsule = tensor.attr("__dlpack_c_exchange_api__");
  const auto* const exchange =
      static_cast<const Exchange*>(PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api"));
  if (exchange == nullptr) throw nb::python_error();
  if (exchange->major != 1 || exchange->describe == nullptr)
    throw nb::import_error("torch describes its tensors by another version of DLPack, expected 1");
  torch.describe = exchange->describe;
}

bool is_tensor(nb::handle object) {
  return PyType_IsSubtype(Py_TYPE(object.ptr()), reinterpret_cast<PyTypeObject*>(torch.tensor));
}

Tensor::Tensor(nb::handle tensor, Dtype dtype, const char* whose, const char* name, bool lenient) {
  const auto fail = [&](const std::string& what) { refuse(whose, std::string(name) + what); };
  if (!is_tensor(tensor))
    throw nb::type_error((std::string(whose) + ": " + name + " must be a tensor, got " +
                          text(tensor.type().attr("__name__")))
                             .c_str());
  const int kind = static_cast<int>(dtype);
  Described found;
  const bool described = torch.describe(tensor.ptr(), &found) == 0;
  if (!described) PyErr_Clear();  // what is wrong with it is said below
  has_dtype = described ? found.code == codes[kind] && found.bits == 8 * sizes_of[kind]
                        : attribute(tensor, names.dtype).ptr() == torch.dtypes[kind];
  if (!has_dtype && !lenient)
    fail(" is " + text(attribute(tensor, names.dtype)) + ", expected " + dtype_names[kind] +
         (dtype == Dtype::float32 ? ": " + std::string(name) + ".float()" : ""));
  if (described ? found.device != on_cpu : !nb::cast<bool>(tensor.attr("is_cpu")))
    fail(" is on " + text(nb::str(tensor.attr("device"))) + ", expected it on the CPU");
  const auto without_memory = [&] {
    fail(" has no memory for its numbers: it is a " + text(tensor.type().attr("__name__")) +
         " without data");
  };
  if (!described) without_memory();
  if (found.dimensions > most_dimensions)
    fail(" has " + std::to_string(found.dimensions) + " dimensions, expected at most 3");
  dimensions = found.dimensions;
  index total = 1;
  for (int d = 0; d < dimensions; ++d) {
    total *= shape[d] = found.shape[d];
    stride[d] = found.stride[d];
  }
  if (total == 0 || is_contiguous()) {  // strides of a single number, or of none, may be anything
    index step = 1;
    for (int d = dimensions - 1; d >= 0; step *= shape[d--]) stride[d] = step;
  }
  data = nullptr;
  if (total == 0 || !has_dtype) return;
  if (call(tensor, names.is_neg).ptr() == Py_True) {
    if (!lenient) fail(" is a view that negates; resolve it with .resolve_neg()");
    is_plain = false;
  }
  // A storage may be shorter than its tensor believes: freed by hand, or never allocated.
  index last = number(call(tensor, names.storage_offset));
  for (int d = 0; d < dimensions; ++d) last += (shape[d] - 1) * stride[d];
  const index bytes = number(call(call(tensor, names.untyped_storage), names.nbytes));
  data = static_cast<char*>(found.data) + found.offset;
  if (found.data == nullptr) without_memory();
  if ((last + 1) * sizes_of[kind] > bytes)
    fail(" has no memory for its numbers: its storage was freed or made smaller");
  if (reinterpret_cast<std::uintptr_t>(data) % sizes_of[kind] != 0) {
    if (!lenient)
      fail(" does not begin at a multiple of its numbers' size; take .clone()");
    is_plain = false;
  }
}

nb::object dtype_of(nb::handle tensor) { return attribute(tensor, names.dtype); }

bool is_float32(nb::handle dtype) {
  return dtype.ptr() == torch.dtypes[static_cast<int>(Dtype::float32)];
}

bool is_bfloat16(nb::handle tensor) {
  return is_tensor(tensor) &&
         dtype_of(tensor).ptr() == torch.dtypes[static_cast<int>(Dtype::bfloat16)];
}

nb::object converted(nb::handle tensor, nb::handle dtype) { return tensor.attr("to")(dtype); }

nb::object copied(nb::handle tensor, Dtype dtype) {
  const int kind = static_cast<int>(dtype);
  nb::object found = converted(tensor, nb::handle(torch.dtypes[kind]));
  found = found.attr("contiguous")().attr("resolve_neg")();
  const auto address = nb::cast<std::uintptr_t>(found.attr("data_ptr")());
  return address % sizes_of[kind] == 0 ? found : nb::object(found.attr("clone")());
}

nb::object empty_like(nb::handle tensor) {
  PyObject* arguments[] = {tensor.ptr(), torch.dtypes[static_cast<int>(Dtype::float32)]};
  // To name the dtype takes longer than to ask for it.
  PyObject* const named = is_float32(dtype_of(tensor)) ? nullptr : names.of_dtype;
  PyObject* found = PyObject_Vectorcall(torch.empty_like, arguments, 1, named);
  if (found == nullptr) throw nb::python_error();
  return nb::steal(found);
}

nb::object empty(nb::handle tensor, index steps, index rows, index size) {
  const nb::tuple shape = nb::make_tuple(steps, rows, size);
  PyObject* arguments[] = {tensor.ptr(), shape.ptr(),
                           torch.dtypes[static_cast<int>(Dtype::float32)]};
  PyObject* made = PyObject_VectorcallMethod(names.new_empty, arguments, 2, names.of_dtype);
  if (made == nullptr) throw nb::python_error();
  nb::object found = nb::steal(made);
  constexpr index large = 1 << 22;  // bytes
  if (steps * rows * size * sizes_of[0] >= large) advise(found);
  return found;
}

void advise(nb::handle array) {
#ifdef MADV_HUGEPAGE
  const Tensor found(array, Dtype::float32, kernels, "array");
  if (!found.is_contiguous() || found.data == nullptr) return;
  index bytes = sizeof(float);
  for (int d = 0; d < found.dimensions; ++d) bytes *= found.shape[d];
  constexpr std::uintptr_t page = 1 << 21;
  const auto begin = reinterpret_cast<std::uintptr_t>(found.data);
  const std::uintptr_t first = (begin + page - 1) / page * page, end = (begin + bytes) / page * page;
  // The kernel of the system then clears megabytes at once instead of stopping the loop every 4 KiB.
  if (first < end) madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
#else
  (void)array;
#endif
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

void check_shape(const Tensor& tensor, const char* name, std::initializer_list<index> sizes) {
  if (!tensor.has_shape(sizes))
    refuse(kernels, std::string(name) + " has shape " + listed(tensor.shape, tensor.dimensions) +
                        ", expected " + listed(sizes.begin(), static_cast<int>(sizes.size())));
}

void check_contiguous(const Tensor& tensor, const char* name, std::initializer_list<index> sizes) {
  check_shape(tensor, name, sizes);
  if (!tensor.is_contiguous() && tensor.data != nullptr)
    refuse(kernels, std::string(name) + " is not contiguous");
}

void check_side_by_side(const Tensor& tensor, const char* name) {
  if (!tensor.is_side_by_side() && tensor.data != nullptr)
    refuse(kernels, std::string(name) +
                        " has numbers that do not lie side by side, expected a contiguous last "
                        "dimension");
}

void* contiguous(nb::handle tensor, const char* name, std::initializer_list<index> sizes,
                 Dtype dtype) {
  const Tensor found(tensor, dtype, kernels, name);
  check_contiguous(found, name, sizes);
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
  const Tensor found(tensor, dtype, kernels, name);
  check_shape(found, name, {steps, rows, size});
  check_side_by_side(found, name);
  return {reinterpret_cast<float*>(found.data), found.stride[0], found.stride[1]};
}

Sequence sequence_or_null(nb::handle tensor, const char* name, index steps, index rows,
                          index size) {
  return tensor.is_none() ? Sequence{nullptr, 0, 0} : sequence(tensor, name, steps, rows, size);
}

Mask mask_or_null(nb::handle tensor, const char* name, index steps, index rows) {
  if (tensor.is_none()) return {nullptr, 0, 0};
  const Tensor found(tensor, Dtype::boolean, kernels, name);
  check_shape(found, name, {steps, rows});
  return {reinterpret_cast<const bool*>(found.data), found.stride[0], found.stride[1]};
}

}  // namespace unrolled
