// Functions of a whole row: what they need to know of it is found out before the sweep over it.
#pragma once

#include <cmath>

#include "vector.h"

namespace unrolled {
namespace {

// The sum over begin <= j < end of term(j, lanes), which is a vector of zeros past the end.
template <class Term>
inline float row_sum(index begin, index end, Term term) {
  vec sum{};
  index j = begin;
  for (; j + lanes <= end; j += lanes) sum += term(j, Whole{});
  if (j < end) {
    const vec rest = term(j, Part{end - j});
    for (index lane = 0; lane < end - j; ++lane) sum[lane] += rest[lane];
  }
  float total = 0.0f;
  for (index lane = 0; lane < lanes; ++lane) total += sum[lane];
  return total;
}

// y = (v - mean) * scale with scale = 1 / sqrt(variance + 1e-5): layer normalisation.
struct Normalization {
  float mean, scale;
};

inline Normalization normalize_of_row(const float* v, index begin, index end) {
  const float count = static_cast<float>(end - begin);
  const float mean = row_sum(begin, end, [=](index j, auto part) { return part.load(v + j); }) / count;
  const float variance = row_sum(begin, end, [=](index j, auto part) {
                           const vec off = part.load(v + j) - mean;
                           return off * off;
                         }) / count;
  return {mean, 1.0f / std::sqrt(variance + 1e-5f)};
}

inline vec normalize(vec v, Normalization of) { return (v - of.mean) * of.scale; }

// The adjoint of v, given that of y, d: scale * (d - mean(d) - y * mean(d * y)).
struct NormalizationAdjoint {
  Normalization of;
  float mean, along;
};

inline NormalizationAdjoint normalize_adjoint_of_row(const float* d, const float* v, index begin,
                                                     index end) {
  const float count = static_cast<float>(end - begin);
  const Normalization of = normalize_of_row(v, begin, end);
  const float mean = row_sum(begin, end, [=](index j, auto part) { return part.load(d + j); });
  const float along = row_sum(begin, end, [=](index j, auto part) {
    return part.load(d + j) * normalize(part.load(v + j), of);
  });
  return {of, mean / count, along / count};
}

inline vec normalize_adjoint(vec d, vec v, NormalizationAdjoint by) {
  return (d - by.mean - normalize(v, by.of) * by.along) * by.of.scale;
}

}  // namespace
}  // namespace unrolled
