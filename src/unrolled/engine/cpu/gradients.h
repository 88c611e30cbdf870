// Gradients of the weights and of the input: sums over a block of steps of adjoints times operands.
//
//   gradient[r][c] += sum over rows k of adjoint[k][r] * operand[k][c]
//
// Operands are packed into panels of columns, as many rows as stay in the second-level cache, and
// read once for every tile of a few adjoints. The gradient's rows are shared among the threads.
#pragma once

#include "bfloat16.h"
#include "run.h"

#include <type_traits>

namespace unrolled {
namespace {

// One tile: to[r][0...] += sum over k of adjoint[k * stride + r] * panel[k][...]
template <int Rows, int Vectors>
void sum_tile(const float* adjoint, index stride, index depth, const float* panel, float* to,
              index to_stride, index columns) {
  vec sum[Rows][Vectors];
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) sum[r][v] = vec{};
  for (index k = 0; k < depth; ++k, panel += Vectors * lanes, adjoint += stride) {
    vec operand[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) operand[v] = Whole{}.load(panel + v * lanes);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      const vec value = broadcast(adjoint[r]);
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) sum[r][v] += value * operand[v];
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r, to += to_stride)
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      float* const at = to + v * lanes;
      const index count = columns - v * lanes;
      if (count >= lanes) {
        Whole{}.store(at, Whole{}.load(at) + sum[r][v]);
      } else if (count > 0) {
        const Part part{count};
        part.store(at, part.load(at) + sum[r][v]);
      }
    }
}

using SumTile = void (*)(const float*, index, index, const float*, float*, index, index);

template <int Vectors>
constexpr SumTile sum_tiles[tile_rows] = {sum_tile<1, Vectors>, sum_tile<2, Vectors>,
                                          sum_tile<3, Vectors>, sum_tile<4, Vectors>,
                                          sum_tile<5, Vectors>, sum_tile<6, Vectors>};

inline SumTile sum_tile_of(index rows, index vectors) {
#if UNROLLED_VECTOR_BYTES >= 64
  if (vectors == 4) return sum_tiles<4>[rows - 1];
  if (vectors == 3) return sum_tiles<3>[rows - 1];
#endif
  return vectors == 2 ? sum_tiles<2>[rows - 1] : sum_tiles<1>[rows - 1];
}

// to[j * stride] += sum over k of adjoint[k][j] * factor(k), for `count` adjoints: what a tile would
// waste most of its columns on.
template <class Factor>
void sum_column(const float* adjoint, index width, index depth, Factor factor, float* to,
                index stride, index count) {
  constexpr int abreast = 8;  // sums that do not wait for each other
  for (index first = 0; first < count; first += abreast * lanes) {
    const index left = count - first;
    vec sum[abreast]{};
    if (left >= abreast * lanes) {
      const float* from = adjoint + first;
      for (index k = 0; k < depth; ++k, from += width) {
        const vec value = broadcast(factor(k));
#pragma GCC unroll 8
        for (int v = 0; v < abreast; ++v) sum[v] += Whole{}.load(from + v * lanes) * value;
      }
    } else {
      const float* from = adjoint + first;
      for (index k = 0; k < depth; ++k, from += width) {
        const vec value = broadcast(factor(k));
        sweep(0, left, [&](index j, auto part) { sum[j / lanes] += part.load(from + j) * value; });
      }
    }
    const index used = left < abreast * lanes ? left : abreast * lanes;
    for (index j = 0; j < used; ++j) to[(first + j) * stride] += sum[j / lanes][j % lanes];
  }
}

constexpr index narrow = lanes / 2;  // operands of fewer columns are not packed

// One thread's share of the gradients.
template <class Arithmetic>
class Gradients {
  using Weight = typename Arithmetic::Weight;
  static constexpr index most_depth = Arithmetic::fast ? 4 * sum_depth : sum_depth;
  // Numbers of operands that are packed at a time: a third of a second-level cache of 1 MiB or, of
  // bfloat16, half of one of 2 MiB. They do not follow the cache that there is, since how many rows
  // are summed up at a time decides the last bits of a gradient.
  static constexpr index most_operands = (1 << 20) / 12, most_operands_fast = (1 << 21) / 4;
  static constexpr index laid_rows = 64;  // adjoints that are laid out at a time

 public:
  Gradients(const Run& run, int members, int member) : run_(run), members_(members), member_(member) {
    index widest = run.call_.input_size;
    for (index m = 0; m < run.kernel_.matrix_count; ++m) {
      const index columns = run.call_.size[Run::at(run.kernel_.matrices[m].columns)];
      if (columns > widest) widest = columns;
    }
    widest_ = round_up(widest, lanes);
    depth_ = (Arithmetic::fast ? most_operands_fast : most_operands) / (widest_ + 1);
    if (Arithmetic::fast) depth_ = round_up(depth_, 32);
    if (depth_ < 64) depth_ = 64;
    if (depth_ > most_depth) depth_ = most_depth;
    laid_size_ = Arithmetic::fast ? Arithmetic::operand_size(laid_rows, depth_) : 0;
    const index rows = Arithmetic::operand_size(sum_depth, run.kernel_.gate_count * hidden());
    if (run.call_.gradient_input.data != nullptr && rows > laid_size_) laid_size_ = rows;
    laid_size_ = round_up(laid_size_, cache_line);
  }

  // Floats of memory that it needs, and where they are.
  index memory() const {
    constexpr index pointer = sizeof(float*) / sizeof(std::uint32_t);
    return depth_ * widest_ + laid_size_ + 2 * most_depth * pointer;
  }
  void use(float* memory) {
    panels_ = memory;
    laid_ = memory + depth_ * widest_;
    operands_ = reinterpret_cast<const float**>(laid_ + laid_size_);
    results_ = const_cast<float**>(operands_ + most_depth);
  }

  bool first() const { return member_ == 0; }

  // Adds the steps number from <= i < until, whose adjoints are there.
  void add(index from, index until) {
    const Kernel& kernel = run_.kernel_;
    const index rows = run_.call_.rows, count = (until - from) * rows;
    for (index first = 0; first < count; first += depth_) {
      const index depth = count - first < depth_ ? count - first : depth_;
      const index at = from * rows + first;  // counts rows of all steps
      const float* const adjoints = adjoint(from, first);
      for (index g = 0; g < kernel.gradient_count; ++g) {
        const Gradient& gradient = kernel.gradients[g];
        const bool another = g == 0 || !same_operand(gradient, kernel.gradients[g - 1]);
        if (another || heads(gradient) > 1) find_operands(gradient, at, depth);
        for (index head = 0; head < heads(gradient); ++head) {
          if (gradient.matrix < 0 && another)
            pack_operands(inputs(), columns(gradient), depth);
          else if (another || heads(gradient) > 1)
            pack_operands(operands_, columns(gradient), depth);
          add(gradient, head, depth, adjoints);
          for (index k = 0; heads(gradient) > 1 && k < depth; ++k)
            operands_[k] += columns(gradient);  // the next head's part
        }
      }
      const Share share = own(run_.adjoints_);
      sum_column(adjoints + share.begin, run_.delta_width_, depth, [](index) { return 1.0f; },
                 run_.sums_ + share.begin, 1, share.end - share.begin);
    }
    add_vectors();
    if (run_.call_.gradient_input.data != nullptr) multiply(from, count);
  }

  // Packs this thread's part of the input weights for the gradient of x.
  void pack_input() {
    const Call& call = run_.call_;
    if (call.gradient_input.data == nullptr) return;
    const index width = panel_vectors * lanes, panels = (call.input_size + width - 1) / width;
    const auto* const weights = reinterpret_cast<const Weight*>(call.input_weights);
    each_of_input([&](const Gradient& gradient, index depth, float* packed) {
      for (index p = member_; p < panels; p += members_) {
        const index left = call.input_size - p * width;
        Arithmetic::pack_rows(packed + Arithmetic::packed_size(depth, p * width), depth,
                              left < width ? left : width,
                              weights + gradient.row * hidden() * call.input_size + p * width,
                              call.input_size);
      }
    });
  }

  // The gradients of the biases, from the sums of all adjoints; one thread's work.
  void add_biases() {
    const Call& call = run_.call_;
    for (index g = 0; g < run_.kernel_.gradient_count; ++g) {
      const Gradient& gradient = run_.kernel_.gradients[g];
      float* const to =
          gradient.matrix < 0 ? call.gradient_input_bias : call.gradient_recurrent_bias;
      if (gradient.matrix > 0 || to == nullptr) continue;  // a projection has none
      const float* const from = run_.sums_ + run_.offset(run_.kernel_.delta, gradient.slot);
      for (index j = 0; j < gradient.count * hidden(); ++j) to[gradient.row * hidden() + j] += from[j];
    }
  }

 private:
  struct Share {
    index begin, end;
  };

  const Run& run_;
  const int members_, member_;
  index widest_, depth_;  // columns and rows of the operands that are packed at a time
  index laid_size_;
  float* laid_ = nullptr;  // adjoints, where a product wants them laid out
  float* panels_ = nullptr;
  const float** operands_ = nullptr;
  float** results_ = nullptr;

  index hidden() const { return run_.call_.size[0]; }
  Share own(index count) const {
    return {count * member_ / members_, count * (member_ + 1) / members_};
  }

  // The adjoints of a row, counted from the beginning of the block that begins with step `from`.
  const float* adjoint(index from, index row) const {
    return run_.delta_ + (from % run_.block_ * run_.call_.rows + row) * run_.delta_width_;
  }
  index columns(const Gradient& gradient) const {
    if (gradient.matrix < 0) return run_.call_.input_size;
    return run_.row_size(gradient.matrix);
  }
  index heads(const Gradient& gradient) const {
    return gradient.matrix < 0 ? 1 : run_.heads(gradient.matrix);
  }
  static bool same_operand(const Gradient& a, const Gradient& b) {
    if (a.matrix < 0 || b.matrix < 0) return a.matrix < 0 && b.matrix < 0;
    return a.operand.place == b.operand.place && a.operand.index == b.operand.index;
  }

  // The operand of every row from number `at` on.
  void find_operands(const Gradient& gradient, index at, index depth) {
    const Call& call = run_.call_;
    const Array array = gradient.matrix < 0 ? Array{} : run_.resolve(gradient.operand, false);
    for (index k = 0; k < depth;) {
      const Moment moment = run_.moment((at + k) / call.rows);
      const index t = moment.time();
      if (gradient.matrix < 0) {
        const auto* const x = reinterpret_cast<const Weight*>(call.input.data) + t * call.input.step;
        for (index r = (at + k) % call.rows; r < call.rows && k < depth; ++r, ++k)
          inputs()[k] = x + r * call.input.row;
        continue;
      }
      for (index r = (at + k) % call.rows; r < call.rows && k < depth; ++r, ++k) {
        // what a row holds after its end is anything; x is what the caller made of it
        const bool absent = t >= run_.length(r);
        operands_[k] = absent ? run_.zeros_
                              : array.at(moment, r, array.edges ? run_.edges(t, r) : nowhere);
      }
    }
  }

  const Weight** inputs() { return reinterpret_cast<const Weight**>(operands_); }

  template <class Number>
  void pack_operands(const Number* const* operands, index columns, index depth) {
    if (columns < narrow) return;
    if constexpr (Arithmetic::fast) {
      Arithmetic::pack_pairs(panels_, depth, columns, [&](index k) { return operands[k]; });
      return;
    }
    float* to = panels_;
    for (index c = 0; c < columns; c += panel_vectors * lanes) {
      const index left = columns - c, whole = panel_vectors * lanes;
      const index used = left < whole ? left : whole, width = round_up(used, lanes);
      for (index k = 0; k < depth; ++k, to += width)
        sweep(0, used, [&](index j, auto part) {
          Whole{}.store(to + j, load(part, operands[k] + c + j));
        });
    }
  }

  // One head's part of a gradient: with a single head all row blocks at once.
  void add(const Gradient& gradient, index head, index depth, const float* adjoints) {
    const Call& call = run_.call_;
    const bool input = gradient.matrix < 0;
    const index height =
        input ? hidden() : call.size[Run::at(run_.kernel_.matrices[gradient.matrix].rows)];
    const bool whole = heads(gradient) == 1;
    const index tall = whole ? gradient.count * height : height / heads(gradient);
    const Share share = own(tall);
    for (index block = 0; block < (whole ? 1 : gradient.count); ++block) {
      const index first = block * height + head * tall + share.begin;
      add_rows(adjoints + run_.offset(run_.kernel_.delta, gradient.slot) + first, depth, input,
               (input ? call.gradient_input_weights : call.gradient_matrices[gradient.matrix]) +
                   (gradient.row * height + first) * columns(gradient),
               share.end - share.begin, columns(gradient));
    }
  }

  // to[row][0...wide) += sum over k of adjoint k's number `row` times operand k.
  void add_rows(const float* from, index depth, bool input, float* to, index rows, index wide) {
    if (wide < narrow) {
      for (index c = 0; c < wide; ++c)
        if (input)
          sum_column(from, run_.delta_width_, depth, [&](index k) { return widened(inputs()[k][c]); },
                     to + c, wide, rows);
        else
          sum_column(from, run_.delta_width_, depth, [&](index k) { return operands_[k][c]; }, to + c,
                     wide, rows);
      return;
    }
    if constexpr (Arithmetic::fast) {
      for (index r = 0; r < rows; r += laid_rows) {
        const index count = rows - r < laid_rows ? rows - r : laid_rows;
        for (index q = 0; q < count; ++q) results_[q] = to + (r + q) * wide;
        Arithmetic::lay_columns(laid_, from + r, run_.delta_width_, count, depth);
        Arithmetic::multiply(laid_, count, depth, panels_, results_, wide, true);
      }
      return;
    }
    const index tiles = (rows + tile_rows - 1) / tile_rows;
    for (index i = 0, r = 0; i < tiles; ++i) {
      const index count = rows / tiles + (i < rows % tiles);
      const float* panel = panels_;
      for (index c = 0; c < wide; c += panel_vectors * lanes) {
        const index left = round_up(wide - c, lanes) / lanes;
        const index vectors = left < panel_vectors ? left : panel_vectors;
        sum_tile_of(count, vectors)(from + r, run_.delta_width_, depth, panel, to + r * wide + c, wide,
                                    wide - c);
        panel += depth * vectors * lanes;
      }
      r += count;
    }
  }

  // What the rows have found for the vectors in this block; all begin the next one with zeros.
  void add_vectors() {
    const Share share = own(run_.kernel_.vector_count * hidden());
    const index rows = run_.call_.rows, stride = run_.vector_sums_size_;
    float* const to = run_.call_.gradient_vectors;
    sweep(share.begin, share.end, [&](index j, auto part) {
      float* from = run_.vector_sums_ + j;
      vec sum{};
      for (index r = 0; r < rows; ++r, from += stride) {
        sum += part.load(from);
        part.store(from, vec{});
      }
      part.store(to + j, part.load(to + j) + sum);
    });
  }

  // The gradient of x over a block: this thread's share of its rows.
  void multiply(index from, index count) {
    const Call& call = run_.call_;
    const Share share = own(count);
    for (index first = share.begin; first < share.end; first += sum_depth) {
      const index depth = share.end - first < sum_depth ? share.end - first : sum_depth;
      bool accumulate = run_.kernel_.input_slot >= 0 || run_.kernel_.gate_count == 0;
      for (index k = 0; accumulate && k < depth; ++k) begin_input_row(from, first + k);
      each_of_input([&](const Gradient& gradient, index gates, const float* packed) {
        const index slot = run_.offset(run_.kernel_.delta, gradient.slot);
        for (index k = 0; k < depth; ++k) {
          operands_[k] = adjoint(from, first + k) + slot;
          results_[k] = input_row(from * call.rows + first + k);
        }
        Arithmetic::product(laid_, operands_, depth, gates, packed, results_, call.input_size,
                            accumulate);
        accumulate = true;
      });
    }
  }

  float* input_row(index row) const {
    const Call& call = run_.call_;
    return call.gradient_input.data + run_.time(row / call.rows) * call.gradient_input.step +
           row % call.rows * call.gradient_input.row;
  }

  // The gradient of x but for what comes through the gates' products.
  void begin_input_row(index from, index row) const {
    const Kernel& kernel = run_.kernel_;
    float* const to = input_row(from * run_.call_.rows + row);
    const std::size_t bytes = run_.call_.input_size * sizeof(float);
    if (kernel.input_slot >= 0)
      std::memcpy(to, adjoint(from, row) + run_.offset(kernel.delta, kernel.input_slot), bytes);
    else
      std::memset(to, 0, bytes);
  }

  // Calls body(gradient, depth, packed) for each run of row blocks of the input weights.
  template <class Body>
  void each_of_input(Body body) const {
    float* packed = run_.packed_input_;
    for (index g = 0; g < run_.kernel_.gradient_count; ++g) {
      const Gradient& gradient = run_.kernel_.gradients[g];
      if (gradient.matrix >= 0) continue;
      const index depth = gradient.count * hidden();
      body(gradient, depth, packed);
      packed += Arithmetic::packed_size(depth, run_.call_.input_size);
    }
  }

  template <class Part>
  static vec load(Part part, const float* from) {
    return part.load(from);
  }
  template <class Part>
  static vec load(Part part, const bfloat16* from) {
    float wide[lanes];
    for (index j = 0; j < lanes; ++j) wide[j] = 0.0f;
    if constexpr (std::is_same_v<Part, Whole>) {
      for (index j = 0; j < lanes; ++j) wide[j] = widened(from[j]);
    } else {
      for (index j = 0; j < part.count; ++j) wide[j] = widened(from[j]);
    }
    return Whole{}.load(wide);
  }
};

}  // namespace
}  // namespace unrolled
