// Vectors of floats as the compiler knows them, and the functions of which most cells are made.
//
// UNROLLED_VECTOR_BYTES is all that differs between instruction sets. Every function here is
// branch-free, propagates NaN and is accurate to a few units in the last place over the whole line.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "kernel.h"

#ifndef UNROLLED_VECTOR_BYTES
#define UNROLLED_VECTOR_BYTES 16
#endif

namespace unrolled {
// Each instruction set has its own copy of everything below; internal linkage keeps the linker from
// putting one in the place of another.
namespace {

typedef float vec __attribute__((vector_size(UNROLLED_VECTOR_BYTES)));
typedef std::uint32_t uvec __attribute__((vector_size(UNROLLED_VECTOR_BYTES)));
typedef float vec_unaligned
    __attribute__((vector_size(UNROLLED_VECTOR_BYTES), aligned(4), may_alias));

constexpr index lanes = UNROLLED_VECTOR_BYTES / sizeof(float);

inline index round_up(index value, index to) { return (value + to - 1) / to * to; }

#if defined(__AVX512F__)
// The intrinsics without a mask mean the same, but make GCC 12 warn of what they leave undefined.
constexpr __mmask16 all_lanes = 0xffff;
#endif

inline vec broadcast(float value) { return value - vec{}; }

// All lanes of a vector, or only the first `count` where a row's end cuts it.
struct Whole {
  vec load(const float* from) const { return *reinterpret_cast<const vec_unaligned*>(from); }
  void store(float* to, vec value) const { *reinterpret_cast<vec_unaligned*>(to) = value; }
};

struct Part {
  index count;
#if defined(__AVX512F__)
  __mmask16 mask() const { return static_cast<__mmask16>((1u << count) - 1); }
  vec load(const float* from) const { return (vec)_mm512_maskz_loadu_ps(mask(), from); }
  void store(float* to, vec value) const { _mm512_mask_storeu_ps(to, mask(), (__m512)value); }
#elif defined(__AVX2__)
  __m256i mask() const {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  vec load(const float* from) const { return (vec)_mm256_maskload_ps(from, mask()); }
  void store(float* to, vec value) const { _mm256_maskstore_ps(to, mask(), (__m256)value); }
#else
  vec load(const float* from) const {
    vec value{};
    for (index lane = 0; lane < count; ++lane) value[lane] = from[lane];
    return value;
  }
  void store(float* to, vec value) const {
    for (index lane = 0; lane < count; ++lane) to[lane] = value[lane];
  }
#endif
};

// Makes the compiler hold a vector in a register where it would rather read it from memory again.
inline void keep([[maybe_unused]] vec& value) {
#if defined(__AVX512F__)
  asm("" : "+v"(value));
#elif defined(__SSE__)
  asm("" : "+x"(value));
#endif
}

// Units that a function of several sweeps goes through at a time: what one sweep hands on to the next
// stays in the first-level cache.
constexpr index at_once = 32 * lanes;

// Calls body(j, lanes) for every vector of units begin <= j < end.
template <class Body>
inline void sweep(index begin, index end, Body body) {
  index j = begin;
  for (; j + lanes <= end; j += lanes) body(j, Whole{});
  if (j < end) body(j, Part{end - j});
}

inline vec clamp(vec x, float low, float high) {
  const vec l = broadcast(low), h = broadcast(high);
#if defined(__AVX512F__)
  const vec raised = (vec)_mm512_maskz_max_ps(all_lanes, (__m512)l, (__m512)x);
  return (vec)_mm512_maskz_min_ps(all_lanes, (__m512)h, (__m512)raised);  // NaN passes
#elif defined(__AVX2__)
  return (vec)_mm256_min_ps((__m256)h, _mm256_max_ps((__m256)l, (__m256)x));  // NaN passes
#else
  x = x < l ? l : x;  // comparisons with NaN are false: it passes
  return x > h ? h : x;
#endif
}

// a / b for b whose reciprocal is a normal number. A division of a whole vector takes as long as
// all the rest of these functions; an estimate of 14 bits and one correction gives the same.
inline vec quotient(vec a, vec b) {
#if defined(__AVX512F__)
  const vec estimate = (vec)_mm512_maskz_rcp14_ps(all_lanes, (__m512)b);
  const vec q = a * estimate;
  return (a - q * b) * estimate + q;
#else
  return a / b;
#endif
}

// exp(x) = 2^n (1 + p): n is near x / ln 2, p = exp(rest) - 1.
struct Reduced {
  vec shifted, rest;  // the lowest bits of `shifted` are n + 127, the exponent of 2^n
};

inline Reduced reduce(vec x) {
  const vec magic = broadcast(12583039.0f);  // 1.5 * 2^23 + 127: adding it rounds to an integer
  const vec shifted = x * 1.44269504088896341f + magic;
  const vec n = shifted - magic;
  // ln 2 in two parts, the first short enough to make n * part exact
  vec rest = x - n * 0.693359375f;
  rest = rest + n * 2.12194440054690583e-4f;
  return {shifted, rest};
}

// exp(r) - 1 for |r| <= ln(2) / 2, by a polynomial of degree 6 that keeps the relative error of exp
// below 2e-8.
inline vec small_expm1(vec r) {
  // in pairs, so that the sums wait less for each other
  const vec square = r * r;
  const vec low = 0.166665211f * r + 0.49999994f;
  const vec high = 0.00138145429f * square + (0.00836874545f * r + 0.041668389f);
  return (high * square + low) * square + r;
}

struct Exponential {
  vec scale, p;
};

inline Exponential exponential(vec x) {
  const Reduced reduced = reduce(x);
  return {(vec)((uvec)reduced.shifted << 23), small_expm1(reduced.rest)};
}

inline vec sigmoid(vec x) {
  const Exponential e = exponential(-clamp(x, -87.0f, 87.0f));
  return quotient(broadcast(1.0f), 1.0f + (e.scale + e.scale * e.p));
}

// tanh(x) = E / (E + 2) with E = exp(2x) - 1, which is accurate where x is small.
inline vec tanh(vec x) {
  const Exponential e = exponential(clamp(x + x, -40.0f, 40.0f));
  const vec E = e.scale * e.p + (e.scale - 1.0f);
  return quotient(E, E + 2.0f);
}

inline vec relu(vec x) { return x <= vec{} ? vec{} : x; }

}  // namespace
}  // namespace unrolled
