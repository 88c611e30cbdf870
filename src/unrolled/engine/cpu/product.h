// The packed matrix product: rows of operands times a matrix that stays the same for all steps.
//
//   columns of the result ->            The matrix is packed into panels of up to `panel_vectors`
//   +--------+--------+----+            vectors of columns; within a panel the entries that one
//   | panel  | panel  | …  |  depth     step of the inner loop needs lie side by side. A tile of up
//   +--------+--------+----+            to `tile_rows` rows by one panel is held in registers.
#pragma once

#include "vector.h"

namespace unrolled {
namespace {

#if UNROLLED_VECTOR_BYTES >= 64
constexpr int panel_vectors = 4;  // 6 x 4 accumulators of 32 registers
#else
constexpr int panel_vectors = 2;  // 6 x 2 of 16
#endif
constexpr int tile_rows = 6;
constexpr index cache_line = 16;  // floats

// Floats that a packed matrix of this size takes.
inline index packed_size(index depth, index columns) { return depth * round_up(columns, lanes); }

// One tile: result[r][0...] (+)= sum over k of operand[r][k] * panel[k][...]. Meanwhile a
// tall tile fetches 2 * `depth` cache lines from `ahead` on.
template <int Rows, int Vectors>
void tile(const float* const* operand, index depth, const float* panel, const float* ahead,
          float* const* result, index columns, bool accumulate) {
  vec sum[Rows][Vectors];
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) sum[r][v] = vec{};
  const float* row[Rows];
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) row[r] = operand[r];
  for (index k = 0; k < depth; ++k, panel += Vectors * lanes, ahead += 2 * cache_line) {
    if constexpr (Rows > 3) {
      __builtin_prefetch(ahead, 0, 2);
      __builtin_prefetch(ahead + cache_line, 0, 2);
    }
    vec weight[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      weight[v] = Whole{}.load(panel + v * lanes);
      if constexpr (Rows == 2 || Rows == 3) keep(weight[v]);
    }
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      const vec value = broadcast(row[r][k]);
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) sum[r][v] += value * weight[v];
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
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

// A few rows by several panels of full width at a time: a single panel's sums would mostly wait for
// each other, since a multiply-add takes four cycles and two begin in each.
template <int Rows, int Panels>
void low_tile(const float* const* operand, index depth, const float* packed, float* const* result,
              bool accumulate) {
  constexpr index width = panel_vectors * lanes;
  vec sum[Panels][Rows][panel_vectors];
#pragma GCC unroll 4
  for (int p = 0; p < Panels; ++p)
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < panel_vectors; ++v) sum[p][r][v] = vec{};
  const float* row[Rows];
#pragma GCC unroll 4
  for (int r = 0; r < Rows; ++r) row[r] = operand[r];
  for (index k = 0; k < depth; ++k) {
    vec value[Rows];
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r) value[r] = broadcast(row[r][k]);
#pragma GCC unroll 4
    for (int p = 0; p < Panels; ++p)
#pragma GCC unroll 4
      for (int v = 0; v < panel_vectors; ++v) {
        const vec weight = Whole{}.load(packed + (p * depth + k) * width + v * lanes);
#pragma GCC unroll 4
        for (int r = 0; r < Rows; ++r) sum[p][r][v] += value[r] * weight;
      }
  }
#pragma GCC unroll 4
  for (int p = 0; p < Panels; ++p)
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < panel_vectors; ++v) {
        float* const to = result[r] + p * width + v * lanes;
        Whole{}.store(to, accumulate ? Whole{}.load(to) + sum[p][r][v] : sum[p][r][v]);
      }
}

// Panels that so few rows take at a time; their sums must stay in registers.
constexpr int low_tile_panels(int rows) {
  return rows == 1 ? 8 / panel_vectors : 2;
}

constexpr int low_rows = 3;

// The same for as many full panels as there are whole groups of; returns how many it has done.
template <int Rows>
index multiply_low(const float* const* operand, index depth, const float* packed,
                   float* const* result, index full, bool accumulate) {
  constexpr index width = panel_vectors * lanes;
  constexpr int taken = low_tile_panels(Rows);
  float* to[Rows];
  index p = 0;
  for (; p + taken <= full; p += taken) {
    for (int r = 0; r < Rows; ++r) to[r] = result[r] + p * width;
    low_tile<Rows, taken>(operand, depth, packed + p * width * depth, to, accumulate);
  }
  return p;
}

using Tile = void (*)(const float* const*, index, const float*, const float*, float* const*, index,
                      bool);

template <int Vectors>
constexpr Tile tiles[tile_rows] = {tile<1, Vectors>, tile<2, Vectors>, tile<3, Vectors>,
                                   tile<4, Vectors>, tile<5, Vectors>, tile<6, Vectors>};

inline Tile tile_of(index rows, index vectors) {
#if UNROLLED_VECTOR_BYTES >= 64
  if (vectors == 4) return tiles<4>[rows - 1];
  if (vectors == 3) return tiles<3>[rows - 1];
#endif
  return vectors == 2 ? tiles<2>[rows - 1] : tiles<1>[rows - 1];
}

// One number of every operand, of a matrix of so few rows that a tile would be begun and ended for
// little: row by row, without tiles. Sums are those of a tile, to the bit.
template <int Depth>
void shallow_product(const float* const* operand, index rows, const float* packed,
                     float* const* result, index columns, bool accumulate) {
  constexpr index whole = panel_vectors * lanes;
  for (index r = 0; r < rows; ++r) {
    vec value[Depth];
#pragma GCC unroll 8
    for (int k = 0; k < Depth; ++k) value[k] = broadcast(operand[r][k]);
    float* const to = result[r];
    const auto column = [&](index c, const float* from, index width, auto part) {
      vec sum{};
#pragma GCC unroll 8
      for (int k = 0; k < Depth; ++k) sum += value[k] * Whole{}.load(from + k * width);
      part.store(to + c, accumulate ? part.load(to + c) + sum : sum);
    };
    index c = 0;
    for (; c + whole <= columns; c += whole)
#pragma GCC unroll 4
      for (index v = 0; v < whole; v += lanes)
        column(c + v, packed + c * Depth + v, whole, Whole{});
    const index width = round_up(columns - c, lanes);  // of the last panel
    sweep(c, columns, [&](index j, auto part) {
      column(j, packed + c * Depth + (j - c), width, part);
    });
  }
}

using ShallowProduct = void (*)(const float* const*, index, const float*, float* const*, index,
                                bool);

constexpr index most_shallow = 8;
constexpr ShallowProduct shallow_products[most_shallow] = {
    shallow_product<1>, shallow_product<2>, shallow_product<3>, shallow_product<4>,
    shallow_product<5>, shallow_product<6>, shallow_product<7>, shallow_product<8>};

// result[r][0...columns) (+)= packed matrix times operand[r], for 0 <= r < rows. Every entry is one
// sum in order of k, so a row's bits do not depend on the rows beside it.
//
// A panel is read once for every tile. It comes from the second-level cache fast enough; one that
// must come from farther away is fetched while the panel before it is being used. Who multiplies by
// the same matrix again and again goes through it forwards and backwards by turns: what was used last
// is still near.
inline void product(const float* const* operand, index rows, index depth, const float* packed,
                    float* const* result, index columns, bool accumulate, bool backwards = false) {
  if (depth > 0 && depth <= most_shallow)
    return shallow_products[depth - 1](operand, rows, packed, result, columns, accumulate);
  const index tile_count = (rows + tile_rows - 1) / tile_rows;
  const index whole = panel_vectors * lanes, panels = (columns + whole - 1) / whole;
  index done = 0;
  if (rows <= low_rows) {
    const auto multiply = rows == 1 ? multiply_low<1> : rows == 2 ? multiply_low<2> : multiply_low<3>;
    if (rows > 0) done = multiply(operand, depth, packed, result, columns / whole, accumulate);
    backwards = false;
  }
  for (index p = done; p < panels; ++p) {
    const index c = (backwards ? panels - 1 - p : p) * whole;
    const index left = round_up(columns - c, lanes) / lanes;
    const index vectors = left < panel_vectors ? left : panel_vectors;
    const float* const panel = packed + c * depth;
    const float* const next = panel + (backwards ? -whole : whole) * depth;
    const index fetches = (vectors * lanes / cache_line + 1) / 2;  // so many tiles fetch a panel
    const bool fetch = fetches <= tile_count && p + 1 < panels;
    index r = 0;
    for (index i = 0; i < tile_count; ++i) {  // tiles of like height, none of them thin
      const index height = rows / tile_count + (i < rows % tile_count);
      float* to[tile_rows];
      for (index q = 0; q < height; ++q) to[q] = result[r + q] + c;
      const float* const ahead = fetch && i < fetches ? next + 2 * i * depth * cache_line : panel;
      tile_of(height, vectors)(operand + r, depth, panel, ahead, to, columns - c, accumulate);
      r += height;
    }
  }
}

}  // namespace
}  // namespace unrolled
