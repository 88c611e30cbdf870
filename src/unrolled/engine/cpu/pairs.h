// The product of bfloat16 operands and weights in pairs; its sums are float32. For AVX512-BF16.
//
//   panel of 16 columns        Weights lie in panels of sixteen columns, a panel's depth in pairs:
//   +-------------------+      that is what a tile of AMX and the pairwise product of AVX512-BF16
//   | k0k1 k0k1 … k0k1  |      read. Operands are rounded and laid out in blocks of rows, thirty-two
//   | k2k3 k2k3 … k2k3  |      numbers of each row of a block side by side. Depths are filled up
//   +-------------------+      with zeros to a multiple of thirty-two.
#pragma once

#include <immintrin.h>

#include <utility>

#include "vector.h"

namespace unrolled {
namespace {

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

}  // namespace
}  // namespace unrolled
