// The packed product of bfloat16 operands and weights; its sums are float32.
//
//   panel of 16 columns        Weights lie in panels of sixteen columns, a panel's depth in pairs:
//   +-------------------+      that is what a tile of AMX and the pairwise product of AVX512-BF16
//   | k0k1 k0k1 … k0k1  |      read. Operands are rounded and laid out in blocks of rows, thirty-two
//   | k2k3 k2k3 … k2k3  |      numbers of each row of a block side by side. Depths are filled up
//   +-------------------+      with zeros to a multiple of thirty-two.
//
// An instruction set that has neither rounds operands all the same and multiplies in float32.
#pragma once

#include "pack.h"
#include "team.h"

#ifdef __AVX512BF16__
#include <immintrin.h>

#include <utility>
#endif

namespace unrolled {
namespace {

inline float widened(bfloat16 number) {
  const std::uint32_t bits = static_cast<std::uint32_t>(number.bits) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline float widened(float number) { return number; }

// Of both precisions: what the loop over time needs of a product.
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

#ifdef __AVX512BF16__

constexpr index panel = 16;  // columns
constexpr index strip = 32;  // numbers of a row that lie side by side
#ifdef __AMX_BF16__
constexpr index block_rows = 16;  // of a tile
constexpr index few_rows = 4;  // up to so many the vector product is faster
#else
constexpr index block_rows = 1 << 20;
constexpr index few_rows = 1 << 20;
#endif

inline __mmask32 mask_of(index count) {
  return count >= strip ? ~__mmask32{0} : (__mmask32{1} << count) - 1;
}

// Thirty-two numbers of a row, rounded to nearest even; only the first `count` are there.
inline __m512i rounded(const float* from, index count) {
  const __mmask32 there = mask_of(count);
  const __m512 low = _mm512_maskz_loadu_ps(static_cast<__mmask16>(there), from);
  const __m512 high = _mm512_maskz_loadu_ps(static_cast<__mmask16>(there >> 16), from + 16);
  return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

inline __m512i rounded(const bfloat16* from, index count) {
  return _mm512_maskz_loadu_epi16(mask_of(count), from);
}

typedef std::uint16_t numbers32 __attribute__((vector_size(64)));

// Numbers of two rows in turn, from `begin` on.
template <int begin, std::size_t... j>
inline vec interleave(numbers32 a, numbers32 b, std::index_sequence<j...>) {
  return (vec)__builtin_shufflevector(a, b, (begin + j / 2 + j % 2 * 32)...);
}

// How rows of operands are laid out: blocks of the same height, whose rows beyond the last are
// computed and thrown away.
struct Blocks {
  index count, height;
  explicit Blocks(index rows)
      : count((rows + block_rows - 1) / block_rows), height((rows + count - 1) / count) {}
};

// The same for few rows and many: sum[r][p] over the depth, r from `row` on.
template <int Rows, int Panels>
inline void few(const std::uint32_t* operand, index height, const float* packed, index depth,
                float* const* result, index columns, bool accumulate) {
  __m512 sum[Rows][Panels];
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
    for (int p = 0; p < Panels; ++p) sum[r][p] = _mm512_setzero_ps();
  const index pairs = depth / 2;
  for (index k = 0; k < pairs; k += strip / 2, operand += height * (strip / 2))
    for (index i = 0; i < strip / 2; ++i) {
      __m512bh weight[Panels];
#pragma GCC unroll 8
      for (int p = 0; p < Panels; ++p)
        weight[p] = (__m512bh)_mm512_load_ps(packed + (p * pairs + k + i) * panel);
#pragma GCC unroll 8
      for (int r = 0; r < Rows; ++r) {
        const __m512bh pair = (__m512bh)_mm512_set1_epi32(
            static_cast<int>(operand[r * (strip / 2) + i]));
#pragma GCC unroll 8
        for (int p = 0; p < Panels; ++p) sum[r][p] = _mm512_dpbf16_ps(sum[r][p], pair, weight[p]);
      }
    }
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
    for (int p = 0; p < Panels; ++p) {
      const __mmask16 there = static_cast<__mmask16>(mask_of(columns - p * panel));
      float* const to = result[r] + p * panel;
      if (accumulate) sum[r][p] += _mm512_maskz_loadu_ps(there, to);
      _mm512_mask_storeu_ps(to, there, sum[r][p]);
    }
}

// A few rows by all columns, so many panels at a time as registers allow.
template <int Rows, int Panels>
void few_rows_of(const std::uint32_t* operand, index height, const float* packed, index depth,
                 float* const* result, index columns, bool accumulate, index c = 0) {
  for (; c < columns && (Panels == 1 || columns - c > (Panels - 1) * panel);
       c += Panels * panel) {
    float* to[Rows];
    for (int r = 0; r < Rows; ++r) to[r] = result[r] + c;
    few<Rows, Panels>(operand, height, packed + c * (depth / 2), depth, to, columns - c,
                      accumulate);
  }
  if constexpr (Panels > 1)
    few_rows_of<Rows, Panels / 2>(operand, height, packed, depth, result, columns, accumulate, c);
}

#ifdef __AMX_BF16__

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
#endif

struct Bfloat16 {
  using Weight = bfloat16;
  static constexpr bool fast = true;
#ifdef __AMX_BF16__
  static constexpr double speed = 9e11;
#else
  static constexpr double speed = 2.4e11;
#endif

  static index packed_size(index depth, index columns) {
    return round_up(depth, strip) / 2 * round_up(columns, panel);
  }

  template <class Column>
  static void pack(float* to, index depth, index columns, Column column) {
    for (index c = 0; c < columns; c += panel) {
      const index used = columns - c < panel ? columns - c : panel;
      const bfloat16* from[panel];
      for (index j = 0; j < used; ++j) from[j] = column(c + j);
      for (index k = 0; k < depth; k += strip, to += panel * panel) {
        vec pairs[panel];  // of sixteen columns
#pragma GCC unroll 16
        for (int j = 0; j < panel; ++j)
          pairs[j] = j < used ? (vec)rounded(from[j] + k, depth - k) : vec{};
        transpose<panel / 2>(pairs);
#pragma GCC unroll 16
        for (int j = 0; j < panel; ++j) Whole{}.store(to + j * panel, pairs[j]);
      }
    }
  }

  static void pack_rows(float* to, index depth, index columns, const bfloat16* from,
                        index stride) {
    pack_pairs(to, depth, columns, [=](index k) { return from + k * stride; });
  }

  // Packs a matrix whose rows are row(0), row(1), ... A strip of rows at a time, two panels of it:
  // whole cache lines, and pages that stay known.
  template <class Row>
  static void pack_pairs(float* to, index depth, index columns, Row row) {
    const index full = round_up(depth, strip), next = full / 2 * panel;
    for (index k = 0; k < full; k += strip)
      for (index c = 0; c < columns; c += 2 * panel) {
        float* at = to + c * (full / 2) + k / 2 * panel;
        const bool two = columns - c > panel;
        for (index i = k; i < k + strip; i += 2, at += panel) {
          const auto a = row_or_zero(row, i, depth, c, columns - c);
          const auto b = row_or_zero(row, i + 1, depth, c, columns - c);
          Whole{}.store(at, interleave<0>(a, b, std::make_index_sequence<32>()));
          if (two) Whole{}.store(at + next, interleave<16>(a, b, std::make_index_sequence<32>()));
        }
      }
  }

  template <class Row>
  static numbers32 row_or_zero(Row row, index k, index depth, index c, index count) {
    return k < depth ? (numbers32)rounded(row(k) + c, count) : numbers32{};
  }

  static index operand_size(index rows, index depth) {
    return (rows + panel) * (round_up(depth, strip) / 2);
  }

  template <class Number>
  static void product(float* memory, const Number* const* operand, index rows, index depth,
                      const float* packed, float* const* result, index columns, bool accumulate,
                      bool = false) {
    if (rows == 0) return;
    lay(memory, operand, rows, depth);
    multiply(memory, rows, round_up(depth, strip), packed, result, columns, accumulate);
  }

  template <class Number>
  static void lay(float* memory, const Number* const* operand, index rows, index depth) {
    const index height = Blocks(rows).height, full = round_up(depth, strip);
    for (index r = 0; r < rows; ++r) {
      float* to = memory + r / height * height * (full / 2) + r % height * panel;
      for (index k = 0; k < depth; k += strip, to += height * panel)
        Whole{}.store(to, (vec)rounded(operand[r] + k, depth - k));
    }
  }

  // Lays out the transpose of a matrix with `depth` rows, `stride` apart: its columns are operands.
  template <class Number>
  static void lay_columns(float* to, const Number* from, index stride, index rows, index depth) {
    const Blocks blocks(rows);
    const auto row = [=](index k) { return from + k * stride; };
    for (index b = 0; b < blocks.count; ++b)
      for (index k = 0; k < depth; k += strip, to += blocks.height * panel)
        for (index r = 0; r < blocks.height; r += panel) {
          const index c = b * blocks.height + r;
          const index left = blocks.height - r, count = left < panel ? left : panel;
          const index used = rows - c < count ? rows - c : count;
          vec pairs[panel];
#pragma GCC unroll 16
          for (int i = 0; i < panel; ++i)
            pairs[i] = interleave<0>(row_or_zero(row, k + 2 * i, depth, c, used),
                                     row_or_zero(row, k + 2 * i + 1, depth, c, used),
                                     std::make_index_sequence<32>());
          transpose<panel / 2>(pairs);
          for (index i = 0; i < count; ++i) Whole{}.store(to + (r + i) * panel, pairs[i]);
        }
  }

  // Rows of operands, laid out, times a packed matrix; `depth` is a whole number of strips.
  static void multiply(const float* memory, index rows, index depth, const float* packed,
                       float* const* result, index columns, bool accumulate) {
    const auto* const laid = reinterpret_cast<const std::uint32_t*>(memory);
    const Blocks blocks(rows);
#ifdef __AMX_BF16__
    if (rows > few_rows) {
      product_of_tiles(laid, blocks, rows, depth, packed, result, columns, accumulate);
      return;
    }
#endif
    index r = 0;
    for (; rows - r >= 6; r += 6)
      few_rows_of<6, 4>(laid + r * panel, rows, packed, depth, result + r, columns, accumulate);
    const auto rest = rows - r == 5   ? few_rows_of<5, 4>
                      : rows - r == 4 ? few_rows_of<4, 4>
                      : rows - r == 3 ? few_rows_of<3, 4>
                      : rows - r == 2 ? few_rows_of<2, 8>
                                      : few_rows_of<1, 8>;
    if (r < rows)
      rest(laid + r * panel, rows, packed, depth, result + r, columns, accumulate, 0);
  }

  // A thread that holds tiles makes every change of context dearer.
  static void end() {
#ifdef __AMX_BF16__
    if (shape_height > 0) _tile_release();
    shape_height = 0;
#endif
  }
};

#else  // no instructions for it

thread_local Workspace widened_workspace;

// To the nearest bfloat16, ties to even; NaN stays NaN.
inline float rounded(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const std::uint32_t near = bits + 0x7fffu + (bits >> 16 & 1u), nan = bits | 0x400000u;
  bits = (value == value ? near : nan) & 0xffff0000u;
  std::memcpy(&value, &bits, sizeof bits);
  return value;
}
inline float rounded(bfloat16 value) { return widened(value); }

inline void widen(float* to, const bfloat16* from, index count) {
  for (index i = 0; i < count; ++i) to[i] = widened(from[i]);
}

struct Bfloat16 {
  using Weight = bfloat16;
  static constexpr bool fast = false;
  static constexpr double speed = Float32::speed;

  static index packed_size(index depth, index columns) {
    return unrolled::packed_size(depth, columns);
  }
  // Widened to float32 first: some columns at a time, or some rows.
  template <class Column>
  static void pack(float* to, index depth, index columns, Column column) {
    constexpr index most = panel_vectors * lanes;
    float* const wide = widened_workspace.reserve(most * depth + 1);
    for (index c = 0; c < columns; c += most) {
      const index count = columns - c < most ? columns - c : most;
      for (index j = 0; j < count; ++j) widen(wide + j * depth, column(c + j), depth);
      unrolled::pack(to, depth, count, [=](index j) { return wide + j * depth; });
      to += packed_size(depth, count);
    }
  }
  static void pack_rows(float* to, index depth, index columns, const bfloat16* from,
                        index stride) {
    float* const wide = widened_workspace.reserve(depth * columns + 1);
    for (index k = 0; k < depth; ++k) widen(wide + k * columns, from + k * stride, columns);
    unrolled::pack_rows(to, depth, columns, wide, columns);
  }
  static index operand_size(index rows, index depth) {
    constexpr index pointer = sizeof(float*) / sizeof(std::uint32_t);
    return rows * (depth + pointer);
  }
  template <class Number>
  static void product(float* memory, const Number* const* operand, index rows, index depth,
                      const float* packed, float* const* result, index columns, bool accumulate,
                      bool backwards = false) {
    auto** const row = reinterpret_cast<const float**>(memory);
    float* to = reinterpret_cast<float*>(row + rows);
    for (index r = 0; r < rows; ++r, to += depth) {
      row[r] = to;
      for (index k = 0; k < depth; ++k) to[k] = rounded(operand[r][k]);
    }
    unrolled::product(row, rows, depth, packed, result, columns, accumulate, backwards);
  }
  static void end() {}
};

#endif

}  // namespace
}  // namespace unrolled
