// Noise: a mask's numbers are a hash of where they stand, so that none has to be kept for backward.
// unrolled/engine/noise.py defines the hash, of which this must be the same to the bit.
#pragma once

#include <cmath>

#include "vector.h"

namespace unrolled {
namespace {

constexpr std::uint32_t golden = 0x9e3779b9u;

// A bijection that spreads every bit over all others; of one number or of a vector.
template <class Number>
inline Number mix(Number v) {
  v ^= v >> 16;
  v *= 0x7feb352du;
  v ^= v >> 15;
  v *= 0x846ca68bu;
  return v ^ (v >> 16);
}

// What all units of a row have in common.
inline std::uint32_t noise_key(std::uint64_t seed, index mask, bool reverse, index t, index row) {
  const std::uint32_t words[] = {static_cast<std::uint32_t>(seed),
                                 static_cast<std::uint32_t>(seed >> 32),
                                 static_cast<std::uint32_t>(2 * mask + reverse),
                                 static_cast<std::uint32_t>(t), static_cast<std::uint32_t>(row)};
  std::uint32_t key = 0;
  for (const std::uint32_t word : words) key = mix((key + golden) ^ word);
  return key;
}

// Units begin <= u < end of a mask: `event` with the rate's probability, else `other`.
inline void draw(float* to, std::uint32_t key, double rate, float event, float other, index begin,
                 index end) {
  const uvec below = uvec{} + static_cast<std::uint32_t>(std::nearbyint(rate * 16777216.0));
  uvec first{};
  for (int lane = 0; lane < lanes; ++lane) first[lane] = lane;
  sweep(begin, end, [&](index u, auto part) {
    const uvec unit = first + static_cast<std::uint32_t>(u);
    const uvec happens = (uvec)((mix((unit * golden) ^ key) >> 8) < below);
    part.store(to + u, (vec)((happens & (uvec)broadcast(event)) |
                             (~happens & (uvec)broadcast(other))));
  });
}

// The mask of one row at one step.
inline void fill_mask(float* to, const Kernel& kernel, const Call& call, index mask, index t,
                      index row, index begin, index end) {
  const MaskKind kind = kernel.masks[mask];
  const double rate = call.rates[mask];
  const float mean = kind.scaled ? 1.0f : static_cast<float>(rate);
  if (!call.drawing) {
    sweep(begin, end, [=](index u, auto part) { part.store(to + u, broadcast(mean)); });
    return;
  }
  const float kept = rate < 1 ? static_cast<float>(1 / (1 - rate)) : 0.0f;
  const index step = kind.every_step ? call.first_step + t : 0;
  draw(to, noise_key(call.seed, mask, call.descending, step, row), rate, kind.scaled ? 0.0f : 1.0f,
       kind.scaled ? kept : 0.0f, begin, end);
}

}  // namespace
}  // namespace unrolled
