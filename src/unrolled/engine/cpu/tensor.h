// Tensors as the kernels take them: checked at the moment when they become pointers.
//
// torch is not linked; a tensor tells of itself through DLPack's exchange functions, and through a few
// attributes, which are looked up by interned names. Whatever does not fit (dtype, shape, order in memory, a storage that is too short
// or not there) raises a ValueError that names the argument, what was expected and what came.
#pragma once

#include <nanobind/nanobind.h>

#include <initializer_list>
#include <string>

#include "kernel.h"

namespace unrolled {

enum class Dtype { float32, bfloat16, int64, boolean };

// Prepares the names and torch's types; called once, when the module is loaded.
void load_torch();

// Whether it is a tensor of torch, of whatever class.
bool is_tensor(nanobind::handle object);

std::string listed(const index* sizes, int count);  // as [2, 3]

// A tensor on the CPU, of the given dtype, and its numbers as they lie in memory.
struct Tensor {
  static constexpr int most_dimensions = 3;
  char* data;
  int dimensions;
  index shape[most_dimensions], stride[most_dimensions];  // strides in numbers
  // Both hold but for a tensor that `lenient` has let pass, of which a copy can be read.
  bool has_dtype = true;
  bool is_plain = true;  // numbers as they are, at an address that fits them

  Tensor() : data(nullptr), dimensions(0) {}
  // `whose` begins every error: "Stream" or "kernels".
  Tensor(nanobind::handle tensor, Dtype dtype, const char* whose, const char* name,
         bool lenient = false);

  bool has_shape(std::initializer_list<index> sizes) const;
  bool is_contiguous() const;
  // Whether the numbers of the last dimension lie side by side.
  bool is_side_by_side() const;
};

// A copy in another dtype, in order, its numbers as they are; or the tensor where that changes nothing.
nanobind::object copied(nanobind::handle tensor, Dtype dtype);
nanobind::object converted(nanobind::handle tensor, nanobind::handle dtype);
nanobind::object dtype_of(nanobind::handle tensor);
bool is_float32(nanobind::handle dtype);
bool is_bfloat16(nanobind::handle tensor);
// New float32 arrays on a tensor's device: of its shape, which must be contiguous; of these sizes.
nanobind::object empty_like(nanobind::handle tensor);
nanobind::object empty(nanobind::handle tensor, index steps, index rows, index size);
// Asks for large pages under an array that is about to be written for the first time, if it is large.
void advise(nanobind::handle array);

// What the kernels expect of one argument; None is null where it may be.
const char* const kernels = "kernels";

// That a tensor has these sizes; and that its numbers are in order: all of them, or those of the last
// dimension.
void check_shape(const Tensor& tensor, const char* name, std::initializer_list<index> sizes);
void check_contiguous(const Tensor& tensor, const char* name, std::initializer_list<index> sizes);
void check_side_by_side(const Tensor& tensor, const char* name);
// Numbers side by side, of exactly these sizes.
void* contiguous(nanobind::handle tensor, const char* name, std::initializer_list<index> sizes,
                 Dtype dtype = Dtype::float32);
float* floats(nanobind::handle tensor, const char* name, std::initializer_list<index> sizes);
float* floats_or_null(nanobind::handle tensor, const char* name,
                      std::initializer_list<index> sizes);
// [steps, rows, size], of any strides but 1 in the last dimension.
Sequence sequence(nanobind::handle tensor, const char* name, index steps, index rows, index size,
                  Dtype dtype = Dtype::float32);
Sequence sequence_or_null(nanobind::handle tensor, const char* name, index steps, index rows,
                          index size);
// [steps, rows], of any strides.
Mask mask_or_null(nanobind::handle tensor, const char* name, index steps, index rows);

// Raises a ValueError that begins with `whose`.
[[noreturn]] void refuse(const char* whose, const std::string& what);

}  // namespace unrolled
