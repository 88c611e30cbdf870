// The functions of which equations are made, beside the frequent ones in vector.h.
//
// As there, every function is branch-free (but for sines of angles beyond a million), propagates
// NaN and is accurate to a few units in the last place over the whole line.
#pragma once

#include <cmath>

#include "vector.h"

namespace unrolled {
namespace {

typedef std::int32_t ivec __attribute__((vector_size(UNROLLED_VECTOR_BYTES)));
// As many doubles, where a float has too few bits for what comes next.
typedef double dvec __attribute__((vector_size(2 * UNROLLED_VECTOR_BYTES)));

inline dvec widen(vec x) { return __builtin_convertvector(x, dvec); }
inline vec narrow(dvec x) { return __builtin_convertvector(x, vec); }
inline dvec broadcast_double(double value) { return value - dvec{}; }

inline vec infinity() { return broadcast(__builtin_inff()); }
inline vec not_a_number() { return broadcast(__builtin_nanf("")); }

// Comparisons and choices.

inline ivec less(vec a, vec b) { return a < b; }
inline ivec less_equal(vec a, vec b) { return a <= b; }
inline ivec greater(vec a, vec b) { return a > b; }
inline ivec greater_equal(vec a, vec b) { return a >= b; }

inline vec where(ivec condition, vec a, vec b) { return condition ? a : b; }

inline bool any(ivec condition) {
  std::int32_t found = 0;
  for (index lane = 0; lane < lanes; ++lane) found |= condition[lane];
  return found != 0;
}

inline vec abs(vec x) { return (vec)((uvec)x & 0x7fffffffu); }

inline vec sign(vec x) {
  return x > 0.0f ? broadcast(1.0f) : x < 0.0f ? broadcast(-1.0f) : x;  // 0 and NaN stay
}

inline vec minimum(vec a, vec b) { return a < b ? a : a == a ? b : a; }
inline vec maximum(vec a, vec b) { return a > b ? a : a == a ? b : a; }

inline vec clamp(vec x, vec low, vec high) { return minimum(maximum(x, low), high); }

inline vec leaky_relu(vec x, vec slope) { return x > 0.0f ? x : slope * x; }

inline vec sqrt(vec x) {
#if defined(__AVX512F__)
  return (vec)_mm512_maskz_sqrt_ps(all_lanes, (__m512)x);
#elif defined(__AVX2__)
  return (vec)_mm256_sqrt_ps((__m256)x);
#else
  for (index lane = 0; lane < lanes; ++lane) x[lane] = __builtin_sqrtf(x[lane]);
  return x;
#endif
}

// Exponentials.

// 2^n (1 + p), for numbers that `Exponential` has no exponent for. In two factors, so that neither
// overflows and what is denormal is rounded at the end.
inline vec scaled(vec p, ivec n) {
  const ivec half = n >> 1;
  const vec first = (vec)((half + 127) << 23), second = (vec)((n - half + 127) << 23);
  return (first + first * p) * second;
}

inline vec exp(vec x) {
  const Reduced reduced = reduce(clamp(x, -104.0f, 89.0f));
  return scaled(small_expm1(reduced.rest), (ivec)reduced.shifted - 0x4b40007f);
}

// 2^y, accurate to a float's bits however large y is.
inline vec exp2(dvec y) {
  const dvec low = broadcast_double(-160.0), high = broadcast_double(160.0);
  y = y < low ? low : y;
  y = y > high ? high : y;
  const dvec magic = broadcast_double(6755399441055744.0);  // 1.5 * 2^52
  const dvec n = (y + magic) - magic;
  const vec p = small_expm1(narrow((y - n) * 0.69314718055994531));
  return scaled(p, __builtin_convertvector(narrow(n), ivec));
}

// exp(x) - 1 for x <= 88.
inline vec expm1(vec x) {
  const Exponential e = exponential(clamp(x, -40.0f, 88.0f));
  return e.scale * e.p + (e.scale - 1.0f);
}

inline vec elu(vec x, vec alpha) { return x > 0.0f ? x : alpha * expm1(x); }

inline vec silu(vec x) {
  const vec e = exp(-abs(x));
  return x * quotient(x < 0.0f ? e : broadcast(1.0f), 1.0f + e);
}

// Logarithms.

// log(1 + f) for sqrt(1/2) <= 1 + f <= 2: twice the inverse hyperbolic tangent of s = f / (2 + f),
// a polynomial with a relative error of 1e-10.
inline vec small_log1p(vec f) {
  const vec s = quotient(f, 2.0f + f);
  const vec z = s * s;
  const vec low = 0.39998877f * z + 0.666666746f;
  const vec high = (0.243016765f * z + 0.214274764f) * z + 0.286168993f;
  return f - s * (f - z * (high * (z * z) + low));
}

// |x| = 2^n m with sqrt(1/2) <= m < sqrt(2), for finite numbers but zero.
struct Split {
  ivec n;
  vec m;
};

inline Split split(vec x) {
  x = abs(x);
  const ivec denormal = x < 0x1p-126f;
  const ivec bits = (ivec)(denormal ? x * 0x1p23f : x);
  const ivec n = (bits - 0x3f3504f3) >> 23;
  return {n - (denormal & 23), (vec)(bits - (ivec)((uvec)n << 23))};
}

inline vec log(vec x) {
  const Split parts = split(x);
  const vec n = __builtin_convertvector(parts.n, vec);
  vec value = small_log1p(parts.m - 1.0f) - n * 2.12194440054690583e-4f;
  value = value + n * 0.693359375f;
  value = x < infinity() ? value : x;
  value = x < 0.0f ? not_a_number() : value;
  return x == 0.0f ? -infinity() : value;
}

inline vec softplus(vec x) { return (x > 0.0f ? x : vec{}) + small_log1p(exp(-abs(x))); }

// Powers, by way of 2^(b log2 |a|); the logarithm needs more bits than a float has.

inline ivec is_integer(vec x) {
  const vec magnitude = abs(x), limit = broadcast(0x1p23f);  // beyond, there are no others
  return (magnitude >= limit) | ((magnitude + limit) - limit == magnitude);
}

inline vec power(vec a, vec b) {
  const vec magnitude = abs(a), one = broadcast(1.0f);
  const Split parts = split(a);
  const dvec m = widen(parts.m);
  const dvec s = (m - 1.0) / (m + 1.0);
  const dvec z = s * s;
  dvec log2 = broadcast_double(0.2614514158718876);
  log2 = log2 * z + 0.3206161316829444;
  log2 = log2 * z + 0.4121984064090552;
  log2 = log2 * z + 0.5770780172151251;
  log2 = log2 * z + 0.9617966939242439;
  log2 = log2 * z + 2.885390081777928;
  log2 = log2 * s + __builtin_convertvector(parts.n, dvec);
  vec value = exp2(widen(b) * log2);
  // 0 and infinity have no logarithm: 0, 1 and infinity to the power of what grows
  const vec extreme = (magnitude < one) == (b > 0.0f) ? vec{} : infinity();
  value = (magnitude == 0.0f) | (magnitude == infinity()) | (abs(b) == infinity()) ? extreme : value;
  value = (magnitude == one) & (abs(b) == infinity()) ? one : value;
  const ivec whole = is_integer(b), odd = whole & ~is_integer(0.5f * b);
  value = (vec)((ivec)value | ((ivec)a & odd & (ivec)broadcast(-0.0f)));
  value = (a < 0.0f) & (magnitude < infinity()) & ~whole ? not_a_number() : value;
  value = (a != a) | (b != b) ? a + b : value;
  return (a == one) | (b == 0.0f) ? one : value;
}

// Angles.

// x = quadrant pi / 2 + rest with |rest| <= pi / 4, for |x| up to a million.
struct Angle {
  vec rest;
  ivec quadrant;
};

inline Angle angle(vec x) {
  const dvec magic = broadcast_double(6755399441055744.0), wide = widen(x);
  const dvec n = (wide * 0.63661977236758134 + magic) - magic;
  // pi / 2 in two parts, the first short enough to make n * part exact
  dvec rest = wide - n * 1.57079632673412561417;
  rest = rest - n * 6.07710050650619224932e-11;
  return {narrow(rest), __builtin_convertvector(narrow(n), ivec)};
}

// sin(rest + quadrant pi / 2)
inline vec turned(vec rest, ivec quadrant) {
  const vec z = rest * rest;
  const vec odd = (-0.000195169763f * z + 0.00833217613f) * z - 0.166666552f;
  const vec even = (2.44380899e-05f * z - 0.00138873642f) * z + 0.0416666456f;
  const vec sine = rest + rest * (z * odd), cosine = 1.0f + z * (even * z - 0.5f);
  const vec value = (quadrant & 1) != 0 ? cosine : sine;
  return (vec)((uvec)value ^ ((uvec)(quadrant & 2) << 30));
}

constexpr float far = 1e6f;

template <float function(float)>
__attribute__((noinline)) void one_by_one(vec& x) {
  for (index lane = 0; lane < lanes; ++lane) x[lane] = function(x[lane]);
}

inline vec sin(vec x) {
  const Angle a = angle(x);
  vec value = turned(a.rest, a.quadrant);
  if (__builtin_expect(any(abs(x) > far), false)) one_by_one<std::sin>(value = x);
  return value;
}

inline vec cos(vec x) {
  const Angle a = angle(x);
  vec value = turned(a.rest, a.quadrant + 1);
  if (__builtin_expect(any(abs(x) > far), false)) one_by_one<std::cos>(value = x);
  return value;
}

// The normal distribution.

// The part of it that lies below x. On the left it is exp(-x^2 / 2) R(-x), and R(t) (t + 3) is a
// polynomial of (t - 3) / (t + 3) with a relative error of 2e-8; on the right it is what is left.
inline vec normal_cdf(vec x) {
  const vec t = clamp(abs(x), 0.0f, 14.5f);  // at whose end nothing is left
  const vec r = quotient(broadcast(1.0f), t + 3.0f);
  const vec w = 1.0f - 6.0f * r;
  vec p = 5.451275501400232e-05f * w - 0.000199391259229742f;
  p = p * w - 0.000947222113609314f;
  p = p * w + 0.001013510162010789f;
  p = p * w + 0.006936855148524046f;
  p = p * w - 0.010461518540978432f;
  p = p * w - 0.04725801944732666f;
  p = p * w + 0.23001763224601746f;
  p = p * w - 0.5093321800231934f;
  p = p * w + 0.7290837168693542f;
  const dvec wide = widen(t);
  const vec tail = exp2(wide * wide * -0.72134752044448170) * (p * r);
  return x > 0.0f ? 1.0f - tail : tail;
}

inline vec gelu(vec x) { return x * normal_cdf(x); }

}  // namespace
}  // namespace unrolled
