// The packed matrix product for one operand or a few: what a step of a single sequence is made of.
//
//   columns of the result ->            Every weight is read once and used at once, so the pace is
//   +----------------+------+           that of the cache that holds them, if only enough sums are
//   |     panel      |  …   |  depth    under way: a fused multiply-add takes four cycles and two
//   +----------------+------+           begin in each. One row therefore takes a panel twice as
// wide as the tiles of product.h, or, where the panel is narrow, several entries of the depth at
// a time; a few rows share what they read.
#pragma once

#include <utility>

#include "pack.h"

namespace unrolled {
namespace {

constexpr int row_panel_vectors = 8;
constexpr int most_rows = 4;

// Vectors of a panel that so many rows take at a time; their sums must stay in registers.
constexpr int row_tile_vectors(int rows) {
#if UNROLLED_VECTOR_BYTES >= 64
  return rows == 4 ? 4 : 8;  // of 32
#else
  return rows == 1 ? 8 : rows == 4 ? 2 : 4;  // of 16
#endif
}

// Floats that a matrix packed for rows takes.
inline index row_packed_size(index depth, index columns) {
  return depth * round_up(columns, lanes);
}

// Packs the matrix whose entry (k, c) is column(c)[k], or zero where column(c) is null.
template <class Column>
void pack_for_rows(float* to, index depth, index columns, Column column) {
  for (index c = 0; c < columns; c += row_panel_vectors * lanes) {
    const index left = round_up(columns - c, lanes);
    const index width = left < row_panel_vectors * lanes ? left : row_panel_vectors * lanes;
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

// result[r][0...] (+)= sum over k of operand[r][k] * panel[k * stride...], each in `Sums` parts.
template <int Rows, int Vectors, int Sums>
void row_tile(const float* const* operand, index depth, const float* panel, index stride,
              float* const* result, index columns, bool accumulate) {
  vec sum[Sums][Rows][Vectors];
  const float* row[Rows];
#pragma GCC unroll 4
  for (int r = 0; r < Rows; ++r) row[r] = operand[r];
#pragma GCC unroll 8
  for (int s = 0; s < Sums; ++s)
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) sum[s][r][v] = vec{};
  const auto add = [&](vec (*to)[Vectors], index k) {
    vec value[Rows];
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r) value[r] = broadcast(row[r][k]);
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) {
      const vec weight = Whole{}.load(panel + k * stride + v * lanes);
#pragma GCC unroll 4
      for (int r = 0; r < Rows; ++r) to[r][v] += value[r] * weight;
    }
  };
  index k = 0;
  for (; k + Sums <= depth; k += Sums)
#pragma GCC unroll 8
    for (int s = 0; s < Sums; ++s) add(sum[s], k + s);
  for (; k < depth; ++k) add(sum[0], k);
#pragma GCC unroll 4
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) {
      // by halves, so that the last additions do not wait for one another
#pragma GCC unroll 4
      for (int half = Sums / 2; half > 0; half /= 2)
#pragma GCC unroll 4
        for (int s = 0; s < half; ++s) sum[s][r][v] += sum[s + half][r][v];
      float* to = result[r] + v * lanes;
      const index count = columns - v * lanes;
      if (count >= lanes) {
        Whole{}.store(to, accumulate ? Whole{}.load(to) + sum[0][r][v] : sum[0][r][v]);
      } else if (count > 0) {
        const Part part{count};
        part.store(to, accumulate ? part.load(to) + sum[0][r][v] : sum[0][r][v]);
      }
    }
  }
}

using RowTile = void (*)(const float* const*, index, const float*, index, float* const*, index,
                         bool);

// Sums enough for the multiply-adds' latency, a power of two of them for each entry (measured: more
// cost registers and additions at the end).
constexpr int row_tile_sums(int rows, int vectors) {
  return rows > 1 || vectors == 8 ? 1 : vectors > 2 ? 2 : 4;
}

// The tile for 1, 2, ... vectors.
template <int Rows, int... Less>
inline RowTile row_tile_of(index vectors, std::integer_sequence<int, Less...>) {
  static constexpr RowTile tiles[] = {
      row_tile<Rows, Less + 1, row_tile_sums(Rows, Less + 1)>...};
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

// result[r][0...columns) (+)= packed matrix times operand[r], for 0 <= r < rows. What a row gets
// depends on how many rows are taken with it in the last bits only.
inline void multiply_rows(const float* const* operand, index rows, index depth, const float* packed,
                          float* const* result, index columns, bool accumulate) {
  for (index c = 0; c < columns; c += row_panel_vectors * lanes) {
    const index left = round_up(columns - c, lanes) / lanes;
    const index vectors = left < row_panel_vectors ? left : row_panel_vectors;
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
