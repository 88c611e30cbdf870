// Packing: a matrix as the panels that the product reads (product.h).
#pragma once

#include "product.h"

namespace unrolled {
namespace {

// Transposes a square of lanes x lanes floats, by halves, quarters, ...
template <int Distance>
inline void transpose(vec* x) {
  if constexpr (Distance > 0) {
    uvec first{}, second{};
    for (int lane = 0; lane < lanes; ++lane) {
      first[lane] = lane & Distance ? lanes + lane - Distance : lane;
      second[lane] = lane & Distance ? lanes + lane : lane + Distance;
    }
#pragma GCC unroll 16
    for (int i = 0; i < lanes; ++i) {
      if (i & Distance) continue;
      const vec a = x[i], b = x[i + Distance];
      x[i] = __builtin_shuffle(a, b, first);
      x[i + Distance] = __builtin_shuffle(a, b, second);
    }
    transpose<Distance / 2>(x);
  }
}

// Packs the matrix whose entry (k, c) is column(c)[k]; unused lanes become zero.
template <class Column>
void pack(float* to, index depth, index columns, Column column) {
  for (index c = 0; c < columns; c += panel_vectors * lanes) {
    const index left = round_up(columns - c, lanes);
    const index width = left < panel_vectors * lanes ? left : panel_vectors * lanes;
    for (index v = 0; v < width; v += lanes) {
      const index used = columns - c - v < lanes ? columns - c - v : lanes;
      const float* from[lanes];
      for (index j = 0; j < used; ++j) from[j] = column(c + v + j);
      index k = 0;
      for (; used == lanes && k + lanes <= depth; k += lanes) {
        vec square[lanes];
#pragma GCC unroll 16
        for (int j = 0; j < lanes; ++j) square[j] = Whole{}.load(from[j] + k);
        transpose<lanes / 2>(square);
#pragma GCC unroll 16
        for (int j = 0; j < lanes; ++j) Whole{}.store(to + (k + j) * width + v, square[j]);
      }
      for (; k < depth; ++k) {
        float* const row = to + k * width + v;
        for (index j = 0; j < used; ++j) row[j] = from[j][k];
        for (index j = used; j < lanes; ++j) row[j] = 0.0f;
      }
    }
    to += depth * width;
  }
}

// Packs the matrix whose entry (k, c) is from[k * stride + c].
inline void pack_rows(float* to, index depth, index columns, const float* from, index stride) {
  for (index c = 0; c < columns; c += panel_vectors * lanes) {
    const index left = round_up(columns - c, lanes);
    const index width = left < panel_vectors * lanes ? left : panel_vectors * lanes;
    const index used = columns - c < width ? columns - c : width;
    for (index k = 0; k < depth; ++k, to += width)
      sweep(0, used, [&](index j, auto part) {
        Whole{}.store(to + j, part.load(from + k * stride + c + j));
      });
  }
}

}  // namespace
}  // namespace unrolled
