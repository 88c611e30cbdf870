// What products are made of, of which the loop over time is a template: Float32, or Bfloat16.
#pragma once

#include "pack.h"

namespace unrolled {
namespace {

struct Float32 {
  using Weight = float;
  static constexpr bool fast = false;  // whether there is more than a product
  static constexpr double speed = 7.5e9 * lanes;  // operations a second

  static index packed_size(index depth, index columns) {
    return unrolled::packed_size(depth, columns);
  }
  template <class Column>
  static void pack(float* to, index depth, index columns, Column column) {
    unrolled::pack(to, depth, columns, column);
  }
  static void pack_rows(float* to, index depth, index columns, const float* from, index stride) {
    unrolled::pack_rows(to, depth, columns, from, stride);
  }
  // Floats that the operands of one product take beside themselves.
  static index operand_size(index, index) { return 0; }
  static void product(float*, const float* const* operand, index rows, index depth,
                      const float* packed, float* const* result, index columns, bool accumulate,
                      bool backwards = false) {
    unrolled::product(operand, rows, depth, packed, result, columns, accumulate, backwards);
  }
  static void end() {}
};

}  // namespace
}  // namespace unrolled
