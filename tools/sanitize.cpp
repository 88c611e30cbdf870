// Every kernel of one instruction set over odd shapes, and streams, in buffers of exactly the right
// size, to be run under a sanitizer. Also checks that inference gives what training gives, that a
// second run gives the same bits, and that nothing is left unwritten.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "amx.h"
#include "kernel.h"
#include "pool.h"
#include "stream.h"

namespace unrolled {
Engine UNROLLED_ENGINE();

namespace {

std::mt19937 generator(1);

// Exactly this many floats, in memory of their own.
struct Buffer {
  std::unique_ptr<float[]> data;
  std::size_t size;
  explicit Buffer(index count, bool random)
      : data(new float[static_cast<std::size_t>(count)]), size(static_cast<std::size_t>(count)) {
    std::uniform_real_distribution<float> draw(-0.5f, 0.5f);
    for (std::size_t i = 0; i < size; ++i)
      data[i] = random ? draw(generator) : std::numeric_limits<float>::quiet_NaN();
  }
  Buffer copy() const {
    Buffer other(static_cast<index>(size), false);
    std::memcpy(other.data.get(), data.get(), size * sizeof(float));
    return other;
  }
};

struct Shape {
  index steps, rows, hidden;
  int threads, slices;
  bool ragged, descending, bias, gradient_last, reset, bfloat16;
};

std::string text(const Kernel& kernel, const Shape& s) {
  char line[256];
  std::snprintf(line, sizeof line, "%s T%td N%td H%td threads%d slices%d%s%s%s%s%s", kernel.name, s.steps,
                s.rows, s.hidden, s.threads, s.slices, s.ragged ? " ragged" : "",
                s.descending ? " descending" : "", s.bias ? "" : " nobias", s.reset ? " reset" : "",
                s.bfloat16 ? " bfloat16" : "");
  return line;
}

void fail(const Kernel& kernel, const Shape& shape, const char* what) {
  std::fprintf(stderr, "%s: %s\n", text(kernel, shape).c_str(), what);
  std::exit(1);
}

// The same numbers in bfloat16, in memory of exactly the right size.
struct Rounded {
  std::unique_ptr<std::uint16_t[]> data;
  explicit Rounded(const Buffer& from) : data(new std::uint16_t[from.size]) {
    for (std::size_t i = 0; i < from.size; ++i) {
      std::uint32_t bits;
      std::memcpy(&bits, &from.data[i], sizeof bits);
      data[i] = static_cast<std::uint16_t>(bits >> 16);
    }
  }
  float* get() const { return reinterpret_cast<float*>(data.get()); }
};

std::vector<float*> pointers(const std::vector<Buffer>& buffers) {
  std::vector<float*> found;
  for (const Buffer& buffer : buffers) found.push_back(buffer.data.get());
  return found;
}

bool finite(const Buffer& buffer) {
  for (std::size_t i = 0; i < buffer.size; ++i)
    if (!std::isfinite(buffer.data[i])) return false;
  return true;
}

bool same(const Buffer& a, const Buffer& b) {
  return std::memcmp(a.data.get(), b.data.get(), a.size * sizeof(float)) == 0;
}

// Row blocks of U, if there is one.
index recurrent_blocks(const Kernel& kernel) {
  for (index m = 0; m < kernel.matrix_count; ++m)
    if (kernel.matrices[m].recurrent) return kernel.matrices[m].blocks;
  return 0;
}

void check(const Engine& engine, const Kernel& kernel, const Shape& shape) {
  const index size[2] = {shape.hidden, (shape.hidden + 1) / 2};
  const auto width = [&](const Space* slots, index count) {
    index sum = 0;
    for (index s = 0; s < count; ++s) sum += size[static_cast<int>(slots[s])];
    return sum;
  };
  const index T = shape.steps, N = shape.rows;
  const index output_size = size[static_cast<int>(kernel.states[0])];
  const index tape_width = width(kernel.tape, kernel.tape_count);
  // where x stands in the equations, it is as wide as the units
  const index input_size = kernel.input_slot >= 0 ? shape.hidden : 3;
  const Buffer input(T * N * input_size, true), gradient(T * N * output_size, true);
  const Buffer input_weights(kernel.gate_count * shape.hidden * input_size, true);
  const Buffer input_bias(kernel.gate_count * shape.hidden, true);
  const Buffer recurrent_bias(recurrent_blocks(kernel) * shape.hidden, true);
  const Buffer vectors(kernel.vector_count * shape.hidden, true);
  const Buffer gradient_tape(T * N * tape_width, true);
  // heads where they divide both sizes
  const bool even = size[0] % 2 == 0 && size[1] % 2 == 0;
  const index heads = even ? 2 : 1;
  const std::vector<double> rates(kernel.mask_count, 0.3);
  std::vector<Buffer> initial, matrices, gradient_last;
  for (index k = 0; k < kernel.state_count; ++k) {
    initial.emplace_back(N * size[static_cast<int>(kernel.states[k])], true);
    gradient_last.emplace_back(N * size[static_cast<int>(kernel.states[k])], true);
  }
  for (index m = 0; m < kernel.matrix_count; ++m) {
    const Matrix& matrix = kernel.matrices[m];
    matrices.emplace_back(matrix.blocks * size[static_cast<int>(matrix.rows)] *
                              size[static_cast<int>(matrix.columns)] /
                              (matrix.recurrent ? heads : 1),
                          true);
  }
  std::unique_ptr<std::int64_t[]> lengths(new std::int64_t[N]);
  for (index n = 0; n < N; ++n) lengths[n] = n == N / 2 ? T : (n * 7 + 3) % (T + 1);

  std::unique_ptr<bool[]> reset(new bool[T * N]);
  for (index i = 0; i < T * N; ++i) reset[i] = i % 3 == 0;

  const auto initial_of = pointers(initial);
  const Rounded rounded_input(input), rounded_weights(input_weights);
  std::vector<Rounded> rounded;
  for (const Buffer& matrix : matrices) rounded.emplace_back(matrix);
  std::vector<float*> matrices_of = pointers(matrices);
  if (shape.bfloat16)
    for (std::size_t m = 0; m < rounded.size(); ++m) matrices_of[m] = rounded[m].get();
  auto gradient_last_of = pointers(gradient_last);
  if (!shape.gradient_last) gradient_last_of.assign(gradient_last_of.size(), nullptr);
  std::vector<Buffer> before;
  for (int round = 0; round < 2; ++round) {
    std::vector<Buffer> found;
    const auto run = [&](Mode mode, Buffer* tape, Buffer& output, std::vector<Buffer>& last,
                         std::vector<Buffer>* gradients) {
      const auto last_of = pointers(last);
      std::vector<float*> gradients_of;
      Call call{};
      call.mode = mode;
      call.descending = shape.descending;
      call.steps = T;
      call.rows = N;
      call.size[0] = size[0];
      call.size[1] = size[1];
      call.lengths = shape.ragged ? lengths.get() : nullptr;
      if (shape.reset) call.reset = {reset.get(), N, 1};
      call.threads = shape.threads;
      call.slices = shape.slices;
      call.anew = initial_of.data();
      if (tape) call.tape = {tape->data.get(), N * tape_width, tape_width};
      call.output = {output.data.get(), N * output_size, output_size};
      call.initial = initial_of.data();
      call.last = last_of.data();
      call.matrices = matrices_of.data();
      call.input_bias = shape.bias ? input_bias.data.get() : nullptr;
      call.recurrent_bias = shape.bias ? recurrent_bias.data.get() : nullptr;
      float* const x = shape.bfloat16 ? rounded_input.get() : input.data.get();
      call.precision = shape.bfloat16 ? Precision::bfloat16 : Precision::float32;
      call.input = {x, N * input_size, input_size};
      call.input_size = input_size;
      call.exact_input = {input.data.get(), N * input_size, input_size};
      call.heads = heads;
      call.vectors = vectors.data.get();
      call.rates = rates.data();
      call.drawing = shape.reset;
      call.seed = 12345678901u;
      call.input_weights = shape.bfloat16 ? rounded_weights.get() : input_weights.data.get();
      if (gradients) {
        // of x, of its weights, of the biases, of the vectors, of the states after resets, of the
        // matrices
        gradients->emplace_back(T * N * input_size, false);
        const auto add = [&](const Buffer& like) {
          gradients->emplace_back(static_cast<index>(like.size), false);
          std::fill_n(gradients->back().data.get(), like.size, 0.0f);
        };
        for (const Buffer* like : {&input_weights, &input_bias, &recurrent_bias, &vectors})
          add(*like);
        for (const Buffer& state : initial) add(state);
        for (const Buffer& matrix : matrices) add(matrix);
        gradients_of = pointers(*gradients);
        call.block = (T + 2) / 3;  // several blocks
        call.gradient = {gradient.data.get(), N * output_size, output_size};
        call.gradient_last = gradient_last_of.data();
        call.gradient_input = {gradients_of[0], N * input_size, input_size};
        call.gradient_input_weights = gradients_of[1];
        call.gradient_input_bias = shape.bias ? gradients_of[2] : nullptr;
        call.gradient_recurrent_bias = shape.bias ? gradients_of[3] : nullptr;
        call.gradient_vectors = gradients_of[4];
        call.gradient_tape = {gradient_tape.data.get(), N * tape_width, tape_width};
        call.gradient_anew = gradients_of.data() + 5;
        call.gradient_matrices = gradients_of.data() + 5 + initial.size();
      }
      engine.run(kernel, call);
    };
    const auto states = [&] {
      std::vector<Buffer> list;
      for (const Buffer& state : initial) list.emplace_back(static_cast<index>(state.size), false);
      return list;
    };
    Buffer tape(T * N * tape_width, false);
    Buffer inferred(T * N * output_size, false), output(T * N * output_size, false);
    std::vector<Buffer> sums;
    std::vector<Buffer> inferred_last = states(), last = states(), gradients = states();
    run(Mode::inference, nullptr, inferred, inferred_last, nullptr);
    run(Mode::forward, &tape, output, last, nullptr);
    if (!same(inferred, output)) fail(kernel, shape, "inference differs from training");
    const Buffer kept = tape.copy();
    run(Mode::backward, &tape, output, gradients, &sums);
    if (!same(kept, tape)) fail(kernel, shape, "backward changed the tape");
    found.push_back(std::move(tape));
    found.push_back(std::move(output));
    for (Buffer& sum : sums) found.push_back(std::move(sum));
    for (index k = 0; k < kernel.state_count; ++k) {
      if (!same(last[k], inferred_last[k])) fail(kernel, shape, "last states differ");
      found.push_back(std::move(last[k]));
      found.push_back(std::move(gradients[k]));
    }
    for (const Buffer& buffer : found)
      if (!finite(buffer)) fail(kernel, shape, "something was left unwritten");
    for (std::size_t i = 0; i < before.size(); ++i)
      if (!same(before[i], found[i])) fail(kernel, shape, "a second run gave other bits");
    before = std::move(found);
  }
}

// A stream of two layers: in steps of all rows and of some what it gives in one run, to the bit, and
// a clone what it gives itself.
void check_stream(const Engine& engine, const Kernel& kernel, const Shape& shape) {
  const index T = shape.steps, N = shape.rows;
  const index input_size = kernel.input_slot >= 0 ? shape.hidden : 3;
  const index size[2] = {shape.hidden, (shape.hidden + 1) / 2};
  const index output_size = size[static_cast<int>(kernel.states[0])];
  const index heads = size[0] % 2 == 0 && size[1] % 2 == 0 ? 2 : 1;
  const Buffer input(T * N * input_size, true);
  std::vector<Buffer> parameters;
  const auto draw = [&](index count) {
    parameters.emplace_back(count, true);
    return parameters.back().data.get();
  };
  std::vector<StreamLayer> layers;
  for (const index features : {input_size, output_size}) {
    StreamLayer layer{draw(kernel.gate_count * shape.hidden * features), {}, nullptr, nullptr,
                      draw(kernel.vector_count * shape.hidden),
                      std::vector<float>(kernel.mask_count, 0.3f)};
    for (index m = 0; m < kernel.matrix_count; ++m) {
      const Matrix& matrix = kernel.matrices[m];
      layer.matrices.push_back(draw(matrix.blocks * size[static_cast<int>(matrix.rows)] *
                                    size[static_cast<int>(matrix.columns)] /
                                    (matrix.recurrent ? heads : 1)));
    }
    if (shape.bias) {
      layer.input_bias = draw(kernel.gate_count * shape.hidden);
      layer.recurrent_bias = draw(recurrent_blocks(kernel) * shape.hidden);
    }
    layers.push_back(layer);
  }
  Stream stream(engine, kernel, N, input_size, size, heads, layers);
  parameters.clear();  // they were copied
  std::vector<Buffer> initial;
  for (index k = 0; k < kernel.state_count; ++k) {
    initial.emplace_back(2 * N * size[static_cast<int>(kernel.states[k])], true);
    stream.write_state(k, nullptr, N, initial.back().data.get());
  }
  Stream clone(stream);
  Buffer output(T * N * output_size, false), again(T * N * output_size, false);
  Buffer stepped(T * N * output_size, false);
  stream.run(input.data.get(), N * input_size, input_size, T, output.data.get());
  clone.run(input.data.get(), N * input_size, input_size, T, again.data.get());
  for (index k = 0; k < kernel.state_count; ++k) {
    Buffer state(2 * N * size[static_cast<int>(kernel.states[k])], false);
    stream.read_state(k, nullptr, N, state.data.get());
    if (!finite(state)) fail(kernel, shape, "a stream's state was left unwritten");
    clone.write_state(k, nullptr, N, initial[k].data.get());
  }
  for (index t = 0; t < T; ++t)
    clone.step(input.data.get() + t * N * input_size, input_size,
               stepped.data.get() + t * N * output_size);
  if (!finite(output)) fail(kernel, shape, "a stream left something unwritten");
  if (!same(output, again)) fail(kernel, shape, "a clone gave other bits");
  if (!same(output, stepped)) fail(kernel, shape, "steps differ from a run");

  std::vector<index> all(N);
  for (index n = 0; n < N; ++n) all[n] = N - 1 - n;
  for (index k = 0; k < kernel.state_count; ++k) {
    Buffer state(2 * N * size[static_cast<int>(kernel.states[k])], false);
    clone.write_state(k, nullptr, N, initial[k].data.get());
    clone.read_state(k, all.data(), N, state.data.get());
    clone.write_state(k, all.data(), N, state.data.get());
  }
  // first the odd rows, then the even ones, the last of them first
  for (index t = 0; t < T; ++t)
    for (const index first : {1, 0}) {
      std::vector<index> rows;
      for (index n = N - 1; n >= 0; --n)
        if (n % 2 == first) rows.push_back(n);
      if (rows.empty()) continue;
      const index count = static_cast<index>(rows.size());
      Buffer some(count * output_size, false);
      clone.step_rows(rows.data(), count,
                      input.data.get() + (t * N + rows[0]) * input_size, -2 * input_size,
                      some.data.get());
      for (index i = 0; i < count; ++i)
        std::memcpy(stepped.data.get() + (t * N + rows[i]) * output_size,
                    some.data.get() + i * output_size, output_size * sizeof(float));
    }
  if (!same(output, stepped)) fail(kernel, shape, "steps of some rows differ from a run");
}

int check_all() {
#ifdef UNROLLED_X86
  const Bfloat16Support has = bfloat16_support();
  const bool tiles = std::string(UNROLLED_SET) == "amx";
  const bool products = tiles || std::string(UNROLLED_SET) == "avx512_bf16";
  if (!__builtin_cpu_supports(UNROLLED_NEEDS) || (tiles && !has.tiles) ||
      (products && !has.vectors)) {
    std::puts("skipped: this processor does not have it");
    return 0;
  }
#else
  const bool products = false;
#endif
  const Engine engine = UNROLLED_ENGINE();
  int count = 0;
  const index sizes[][3] = {{1, 1, 1},  {2, 7, 3},   {9, 13, 17},  {0, 2, 3},   {3, 0, 5},
                            {5, 2, 65}, {4, 7, 130}, {12, 25, 31}, {3, 3, 320}, {3, 7, 300}};
  for (index k = 0; k < engine.kernel_count; ++k)
    for (const auto& [T, N, H] : sizes)
      for (const auto& [threads, slices] : {std::pair{1, 1}, {2, 1}, {4, 2}, {4, 4}})
        for (int options = 0; options < 8; ++options) {
          // Sets that differ in bfloat16 only are run on nothing else.
          const bool bfloat16 = products || options >= 6;
          const Shape shape{T,
                            N,
                            H,
                            threads,
                            slices,
                            options % 2 == 1,
                            options % 4 >= 2,
                            options != 3,
                            options != 0,
                            options == 3 || options == 4 || options == 7,
                            bfloat16};
          check(engine, engine.kernels[k], shape);
          if (threads == 1 && N > 0) check_stream(engine, engine.kernels[k], shape);
          ++count;
          if (threads < 4) continue;
          limit_members(2);  // half of the team stays away
          check(engine, engine.kernels[k], shape);
          limit_members(most_members);
        }
  std::printf("%d shapes, %td kernels\n", count, engine.kernel_count);
  return 0;
}

}  // namespace
}  // namespace unrolled

int main() { return unrolled::check_all(); }
