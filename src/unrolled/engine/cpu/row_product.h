// The packed matrix product for one operand or a few: what a step of a single sequence is made of.
//
//   columns of the result ->            Every weight is read once and used at once, so the pace is
//   +----------------+------+           that of the cache that holds them, if only enough sums are
//   |     panel      |  …   |  depth    under way: a fused multiply-add takes four cycles and two
//   +----------------+------+           begin in each. One row therefore takes a panel of eight to
// twelve vectors at a time, wider than the tiles of product.h; a few rows share what they read.
//
// Every entry is one sum in order of k, as in product.h. So a row's bits depend neither on the rows
// beside it nor on which of the two products takes it: a stream gives the layer's numbers.
#pragma once

#include <utility>

#include "pack.h"

namespace unrolled {
namespace {

constexpr int most_panel_vectors = 12;
constexpr int most_rows = 4;

// Vectors of the panel that comes next: eight sums at least are under way, wherever there are as
// many columns, and only the last panel's width is no multiple of four.
inline index row_panel_vectors(index left) {
  return left <= most_panel_vectors ? left : left >= 20 ? 12 : 8;
}

// Vectors of a panel that so many rows take at a time; their sums must stay in registers.
constexpr int row_tile_vectors(int rows) {
  if (rows == 1) return most_panel_vectors;
#if UNROLLED_VECTOR_BYTES >= 64
  return rows == 4 ? 4 : 8;  // of 32
#else
  return rows == 4 ? 2 : 4;  // of 16
#endif
}

// Packs the matrix whose entry (k, c) is column(c)[k], or zero where column(c) is null.
template <class Column>
void pack_for_rows(float* to, index depth, index columns, Column column) {
  for (index c = 0, width; c < columns; c += width) {
    width = row_panel_vectors(round_up(columns - c, lanes) / lanes) * lanes;
    for (index v = 0; v < width; v += lanes) {
      const float* from[lanes];
      for (index j = 0; j < lanes; ++j) from[j] = c + v + j < columns ? column(c + v + j) : nullptr;
      index k = 0;
      for (; k + lanes <= depth; k += lanes) {
        vec square[lanes];
#pragma GCC unroll 16
        for (int j = 0; j < lanes; ++j)
          square[j] = from[j] ? Whole{}.load(from[j] + k) : vec{};
        transpose<lanes / 2>(square);
#pragma GCC unroll 16
        for (int j = 0; j < lanes; ++j) Whole{}.store(to + (k + j) * width + v, square[j]);
      }
      for (; k < depth; ++k)
        for (index j = 0; j < lanes; ++j) to[k * width + v + j] = from[j] ? from[j][k] : 0.0f;
    }
    to += depth * width;
  }
}

// result[r][0...] (+)= sum over k of operand[r][k] * panel[k * stride...]
template <int Rows, int Vectors>
void row_tile(const float* const* operand, index depth, const float* panel, index stride,
              float* const* result, index columns, bool accumulate) {
  vec sum[Rows][Vectors];
  const float* row[Rows];
#pragma GCC unroll 4
  for (int r = 0; r < Rows; ++r) row[r] = operand[r];
#pragma GCC unroll 4
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 12
    for (int v = 0; v < Vectors; ++v) sum[r][v] = vec{};
  for (index k = 0; k < depth; ++k, panel += stride) {
    vec value[Rows];
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r) value[r] = broadcast(row[r][k]);
#pragma GCC unroll 12
    for (int v = 0; v < Vectors; ++v) {
      const vec weight = Whole{}.load(panel + v * lanes);
#pragma GCC unroll 4
      for (int r = 0; r < Rows; ++r) sum[r][v] += value[r] * weight;
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 12
    for (int v = 0; v < Vectors; ++v) {
      float* to = result[r] + v * lanes;
      const index count = columns - v * lanes;
      if (count >= lanes) {
        Whole{}.store(to, accumulate ? Whole{}.load(to) + sum[r][v] : sum[r][v]);
      } else if (count > 0) {
        const Part part{count};
        part.store(to, accumulate ? part.load(to) + sum[r][v] : sum[r][v]);
      }
    }
  }
}

using RowTile = void (*)(const float* const*, index, const float*, index, float* const*, index,
                         bool);

// The tile for 1, 2, ... vectors.
template <int Rows, int... Less>
inline RowTile row_tile_of(index vectors, std::integer_sequence<int, Less...>) {
  static constexpr RowTile tiles[] = {row_tile<Rows, Less + 1>...};
  return tiles[vectors - 1];
}

// Up to `Rows` rows by one panel of so many vectors, `columns` of whose lanes are meant.
template <int Rows>
inline void multiply_panel(const float* const* operand, index depth, const float* panel,
                           index vectors, float* const* result, index columns, bool accumulate) {
  constexpr int width = row_tile_vectors(Rows);
  float* to[Rows];
  for (index v = 0; v < vectors; v += width) {
    const index taken = vectors - v < width ? vectors - v : width;
    for (int r = 0; r < Rows; ++r) to[r] = result[r] + v * lanes;
    const RowTile tile = row_tile_of<Rows>(taken, std::make_integer_sequence<int, width>{});
    tile(operand, depth, panel + v * lanes, vectors * lanes, to, columns - v * lanes, accumulate);
  }
}

// result[r][0...columns) (+)= packed matrix times operand[r], for 0 <= r < rows.
inline void multiply_rows(const float* const* operand, index rows, index depth, const float* packed,
                          float* const* result, index columns, bool accumulate) {
  for (index c = 0, vectors; c < columns; c += vectors * lanes) {
    vectors = row_panel_vectors(round_up(columns - c, lanes) / lanes);
    for (index r = 0; r < rows;) {
      float* to[most_rows];
      const index taken = rows - r < most_rows ? rows - r : most_rows;
      for (index q = 0; q < taken; ++q) to[q] = result[r + q] + c;
      const auto multiply = taken == 1   ? multiply_panel<1>
                            : taken == 2 ? multiply_panel<2>
                            : taken == 3 ? multiply_panel<3>
                                         : multiply_panel<4>;
      multiply(operand + r, depth, packed, vectors, to, columns - c, accumulate);
      r += taken;
    }
    packed += depth * vectors * lanes;
  }
}

}  // namespace
}  // namespace unrolled
