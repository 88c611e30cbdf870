// One thread's slice of the units, and the part of the matrices that makes them.
#pragma once

#include "bfloat16.h"
#include "run.h"

namespace unrolled {
namespace {

// A product of one block of a matrix: a part of the operand, by a part of the rows.
struct Piece {
  index operand;      // where in the operand it begins
  index depth;        // how many of the operand's numbers it takes
  index result;       // where in the multiply's results it begins
  index columns;      // how many of them it makes
  bool accumulate;    // whether another piece has begun their sum
};

template <class Arithmetic>
class Slice {
  using Weight = typename Arithmetic::Weight;

 public:
  Slice(const Run& run, int slices, int slice) : run_(run) {
    for (int s = 0; s < 2; ++s) {
      // whole vectors, so that no two threads write to one
      const index size = run.call_.size[s], share = round_up((size + slices - 1) / slices, lanes);
      begin_[s] = share * slice < size ? share * slice : size;
      end_[s] = begin_[s] + share < size ? begin_[s] + share : size;
    }
  }

  index begin(Space space) const { return begin_[Run::at(space)]; }
  index end(Space space) const { return end_[Run::at(space)]; }
  index units(Space space) const { return end(space) - begin(space); }

  index depth(const Multiply& m) const {
    return m.transposed ? m.rows * size(matrix(m).rows) : size(matrix(m).columns);
  }
  // Floats that the multiply's part of the matrix takes when it is packed.
  index packed_size(const Multiply& m) const {
    index sum = 0;
    each_piece(m, [&](const Piece& piece, const Weight*) {
      sum += Arithmetic::packed_size(piece.depth, piece.columns);
    });
    return sum;
  }

  float* pack(float* to, const Multiply& m) const {
    const index stride = run_.row_size(m.matrix);
    each_piece(m, [&](const Piece& piece, const Weight* from) {
      if (m.transposed)
        Arithmetic::pack_rows(to, piece.depth, piece.columns, from, stride);
      else
        Arithmetic::pack(to, piece.depth, piece.columns, rows_of(m, from, stride));
      to += Arithmetic::packed_size(piece.depth, piece.columns);
    });
    return to;
  }
  void pack_input(float* to, index depth, index columns) const {
    const auto* const from = reinterpret_cast<const Weight*>(run_.call_.input_weights);
    Arithmetic::pack(to, depth, columns, rows_from(from, depth, Space::hidden));
  }

  // Multiplies `count` operands by a packed part; returns where the next one begins.
  const float* multiply(const Multiply& m, const float* packed, float* memory,
                        const float** operands, float** results, index count, bool accumulate,
                        bool backwards) const {
    index operand = 0, result = 0;  // by how much the addresses have been moved
    each_piece(m, [&](const Piece& piece, const Weight*) {
      for (index r = 0; piece.operand != operand && r < count; ++r)
        operands[r] += piece.operand - operand;
      for (index r = 0; piece.result != result && r < count; ++r)
        results[r] += piece.result - result;
      operand = piece.operand, result = piece.result;
      Arithmetic::product(memory, operands, count, piece.depth, packed, results, piece.columns,
                          accumulate || piece.accumulate, backwards);
      packed += Arithmetic::packed_size(piece.depth, piece.columns);
    });
    return packed;
  }

 private:
  const Run& run_;
  index begin_[2], end_[2];

  index size(Space space) const { return run_.call_.size[Run::at(space)]; }
  const Matrix& matrix(const Multiply& m) const { return run_.kernel_.matrices[m.matrix]; }

  // Rows of this slice in a stack of row blocks, one below the other.
  auto rows_from(const Weight* from, index stride, Space space) const {
    const index whole = size(space), first = begin(space), width = units(space);
    return [=](index c) { return from + (c / width * whole + first + c % width) * stride; };
  }
  auto rows_of(const Multiply& m, const Weight* from, index stride) const {
    const bool blocks = run_.heads(m.matrix) == 1;  // else a piece's rows are side by side
    const Space space = matrix(m).rows;
    const index whole = size(space), first = blocks ? begin(space) : 0;
    const index width = blocks ? units(space) : whole;
    return [=](index c) { return from + (c / width * whole + first + c % width) * stride; };
  }

  // Calls body(piece, from) for each piece of a multiply; its weights begin at `from`: the first row
  // if they are rows, their first entry if they are a transpose's.
  template <class Body>
  void each_piece(const Multiply& m, Body body) const {
    const Space rows = matrix(m).rows, columns = matrix(m).columns;
    const index heads = run_.heads(m.matrix), stride = run_.row_size(m.matrix);
    const Weight* const from =
        reinterpret_cast<const Weight*>(run_.call_.matrices[m.matrix]) + m.row * size(rows) * stride;
    if (heads == 1) {
      if (m.transposed)
        body(Piece{0, depth(m), 0, units(columns), false}, from + begin(columns));
      else
        body(Piece{0, depth(m), 0, m.rows * units(rows), false}, from);
      return;
    }
    const index height = size(rows) / heads, width = size(columns) / heads;
    const Space space = m.transposed ? columns : rows;
    const index wide = m.transposed ? width : height;
    for (index h = 0; h < heads; ++h) {
      const index first = h * wide > begin(space) ? h * wide : begin(space);
      const index last = (h + 1) * wide < end(space) ? (h + 1) * wide : end(space);
      for (index g = 0; g < m.rows && first < last; ++g) {
        const Weight* const block = from + g * size(rows) * stride;
        if (m.transposed)
          body(Piece{g * size(rows) + h * height, height, first - begin(space), last - first, g > 0},
               block + h * height * stride + first - h * width);
        else
          body(Piece{h * width, width, g * units(rows) + first - begin(space), last - first, false},
               block + first * stride);
      }
    }
  }
};

}  // namespace
}  // namespace unrolled
