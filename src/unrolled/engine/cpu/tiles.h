// The same product by the tiles of AMX: sixteen rows by sixteen columns, two by two at a time.
#pragma once

#include "pairs.h"

namespace unrolled {
namespace {

// The shape of the tile registers, for blocks of so many rows: 0...3 sums, 4 and 5 operands, 6 and 7
// weights.
struct alignas(64) Shape {
  std::uint8_t palette = 1, start = 0, reserved[14] = {};
  std::uint16_t bytes[16] = {};
  std::uint8_t rows[16] = {};
  explicit Shape(index height) {
    for (int tile = 0; tile < 8; ++tile) {
      bytes[tile] = 64;
      rows[tile] = static_cast<std::uint8_t>(tile < 6 ? height : 16);
    }
  }
};
thread_local index shape_height = 0;  // of the present shape; 0 where there is none

inline void shape_tiles(index height) {
  if (shape_height == height) return;
  const Shape shape(height);
  _tile_loadconfig(&shape);
  shape_height = height;
}

// Rows of one tile of sums to their places.
inline void put(const float* sums, index rows, float* const* result, index c, index columns,
                bool accumulate) {
  const __mmask16 there = static_cast<__mmask16>(mask_of(columns - c));
  for (index r = 0; r < rows; ++r) {
    __m512 sum = _mm512_load_ps(sums + r * panel);
    float* const to = result[r] + c;
    if (accumulate) sum += _mm512_maskz_loadu_ps(there, to);
    _mm512_mask_storeu_ps(to, there, sum);
  }
}

// One or two blocks of rows by one or two panels. Where all of their results are there and rows of
// results are `stride` apart, tiles of sums are read and written in place.
template <int R, int C>
inline void multiply_tiles(const std::uint32_t* operand, index height, const float* packed,
                           index depth, index rows, float* const* result, index stride, index c,
                           index columns, bool accumulate) {
  const index tile = height * panel, block = depth / strip * tile, next = depth / 2 * panel;
  const bool in_place = stride > 0 && rows >= R * height && columns - c >= C * panel;
  float* const place = result[0] + c;
  const index below = height * stride, bytes = stride * static_cast<index>(sizeof(float));
  if (in_place && accumulate) {
    _tile_loadd(0, place, bytes);
    if constexpr (C == 2) _tile_loadd(1, place + panel, bytes);
    if constexpr (R == 2) _tile_loadd(2, place + below, bytes);
    if constexpr (R == 2 && C == 2) _tile_loadd(3, place + below + panel, bytes);
  } else {
    _tile_zero(0);
    if constexpr (C == 2) _tile_zero(1);
    if constexpr (R == 2) _tile_zero(2);
    if constexpr (R == 2 && C == 2) _tile_zero(3);
  }
  for (index k = 0; k < depth; k += strip, operand += tile, packed += 16 * panel) {
    _tile_loadd(6, packed, 64);
    _tile_loadd(4, operand, 64);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (C == 2) {
      _tile_loadd(7, packed + next, 64);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (R == 2) {
      _tile_loadd(5, operand + block, 64);
      _tile_dpbf16ps(2, 5, 6);
      if constexpr (C == 2) _tile_dpbf16ps(3, 5, 7);
    }
  }
  if (in_place) {
    _tile_stored(0, place, bytes);
    if constexpr (C == 2) _tile_stored(1, place + panel, bytes);
    if constexpr (R == 2) _tile_stored(2, place + below, bytes);
    if constexpr (R == 2 && C == 2) _tile_stored(3, place + below + panel, bytes);
    return;
  }
  alignas(64) float sums[4][16 * panel];
  _tile_stored(0, sums[0], 64);
  if constexpr (C == 2) _tile_stored(1, sums[1], 64);
  if constexpr (R == 2) _tile_stored(2, sums[2], 64);
  if constexpr (R == 2 && C == 2) _tile_stored(3, sums[3], 64);
  for (int r = 0; r < R; ++r) {
    const index left = rows - r * height, count = left < height ? left : height;
    for (int p = 0; p < C; ++p)
      put(sums[2 * r + p], count, result + r * height, c + p * panel, columns, accumulate);
  }
}

// How far apart rows are, 0 if not evenly.
inline index stride_of(float* const* row, index rows) {
  const index stride = rows > 1 ? row[1] - row[0] : panel;
  for (index r = 2; r < rows; ++r)
    if (row[r] - row[r - 1] != stride) return 0;
  return stride;
}

inline void product_of_tiles(const std::uint32_t* operand, Blocks blocks, index rows, index depth,
                             const float* packed, float* const* result, index columns,
                             bool accumulate) {
  shape_tiles(blocks.height);
  const index height = blocks.height, stride = stride_of(result, rows);
  for (index c = 0; c < columns; c += 2 * panel, packed += depth * panel) {
    const bool two = columns - c > panel;
    for (index b = 0; b < blocks.count; b += 2) {
      const bool pair = b + 1 < blocks.count;
      const auto multiply = pair ? (two ? multiply_tiles<2, 2> : multiply_tiles<2, 1>)
                                 : (two ? multiply_tiles<1, 2> : multiply_tiles<1, 1>);
      multiply(operand + b * height * (depth / 2), height, packed, depth, rows - b * height,
               result + b * height, stride, c, columns, accumulate);
    }
  }
}

}  // namespace
}  // namespace unrolled
