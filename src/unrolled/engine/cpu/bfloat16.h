// Products of bfloat16 operands and weights: by the processor's own instructions, or, where it has
// none, by float32 operands that are rounded all the same.
#pragma once

#include "float32.h"
#include "team.h"

#ifdef __AMX_BF16__
#include "tiles.h"
#elif defined(__AVX512BF16__)
#include "pairs.h"
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

#ifdef __AVX512BF16__

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
    multiply(memory, rows, depth, packed, result, columns, accumulate);
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

  // Rows of operands, laid out, times a packed matrix.
  static void multiply(const float* memory, index rows, index depth, const float* packed,
                       float* const* result, index columns, bool accumulate) {
    depth = round_up(depth, strip);
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
  // Widened to float32 first, a piece of a panel at a time.
  template <class Column>
  static void pack(float* to, index depth, index columns, Column column) {
    constexpr index deep = 64;
    float wide[widest * deep];
    for (index c = 0; c < columns; c += widest) {
      const index count = columns - c < widest ? columns - c : widest;
      const index width = round_up(count, lanes);
      for (index k = 0; k < depth; k += deep) {
        const index part = depth - k < deep ? depth - k : deep;
        for (index j = 0; j < count; ++j) widen(wide + j * deep, column(c + j) + k, part);
        unrolled::pack(to + k * width, part, count, [&](index j) { return wide + j * deep; });
      }
      to += depth * width;
    }
  }
  static void pack_rows(float* to, index depth, index columns, const bfloat16* from,
                        index stride) {
    float wide[widest];
    for (index c = 0; c < columns; c += widest) {
      const index count = columns - c < widest ? columns - c : widest;
      for (index k = 0; k < depth; ++k, to += round_up(count, lanes)) {
        widen(wide, from + k * stride + c, count);
        unrolled::pack_rows(to, 1, count, wide, count);
      }
    }
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

 private:
  static constexpr index widest = panel_vectors * lanes;  // columns of a panel
};

#endif

}  // namespace
}  // namespace unrolled
