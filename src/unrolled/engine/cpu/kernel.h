// What the compiler tells the engine about a cell, and what a caller asks of it.
//
// A cell's kernel is a table: for each pass the stages of one step, each of them matrix products
// followed by one elementwise function. The tables and functions are generated; the loop that runs
// them (recurrence.cpp) is the same for every cell.
#pragma once

#include <cstddef>
#include <cstdint>

namespace unrolled {

using index = std::ptrdiff_t;

// Sizes that a vector may have: the layer's hidden size, or that of its projected output.
enum class Space : std::uint8_t { hidden, projected };

// Where a vector of one step lives; unrolled.compiler.plan documents each.
enum class Place : std::uint8_t {
  tape, state, previous, product, gate, bias, scratch, gradient, carry, delta, delta_after,
  vector, input, mask, sum
};

struct Location {
  Place place;
  std::uint8_t index;
};

// Forward: result, result + 1, ... = row blocks `row`, `row` + 1, ... of the matrix times operand.
// Transposed: result += (row blocks)^T times operand; `state` is the state whose adjoint this is.
struct Multiply {
  Location operand;
  std::uint8_t matrix, row, rows;
  bool transposed;
  std::uint8_t result;
  std::int8_t state;
};

// in[i], out[i] point to whole vectors; computes units begin <= j < end of every output.
// An output may be the same vector as an input.
using Pointwise = void (*)(const float* const* in, float* const* out, index begin, index end);

struct Stage {
  Space space;
  std::uint8_t results;  // how many products the elementwise function reads
  const Multiply* multiplies;
  index multiply_count;
  const Location* inputs;
  index input_count;
  const Location* outputs;
  index output_count;
  Pointwise function;
};

struct Pass {
  const Stage* stages;
  index stage_count;
  const Space* scratch;
  index scratch_count;
};

// A matrix has `blocks` row blocks of size `rows` and columns of size `columns`, stored by rows. A
// recurrent one (U) may be block-diagonal, each row block for itself: only the blocks are stored.
struct Matrix {
  Space rows, columns;
  std::uint8_t blocks;
  bool recurrent;
};

// A bias of the step: the sum of a row block of the input's biases and one of the recurrent biases,
// -1 where it has no part.
struct Bias {
  std::int8_t input, recurrent;
};

// Part of a weight's gradient: row blocks `row`, ... gain the sum over all steps of the adjoints
// `slot`, ... times the operand. Matrix -1 is the input weights, whose operand is x.
struct Gradient {
  std::int8_t matrix;
  std::uint8_t slot, row, count;
  Location operand;
};

// Noise of one value for each unit, drawn anew at every step or once for a sequence: scaled to keep
// the mean (0 or 1 / (1 - rate)), or 1 with the rate's probability.
struct MaskKind {
  bool every_step, scaled;
};

struct Kernel {
  const char* name;
  const char* plan;  // as JSON, for callers
  Pass forward, inference, backward;
  const Space* states;
  const std::int8_t* kept;  // slot of the tape that holds a state's sequence, or -1
  index state_count;
  const Space* tape;
  index tape_count;
  const Space* delta;
  index delta_count;
  const Matrix* matrices;
  index matrix_count;
  index gate_count;  // row blocks of the input weights, each of hidden size
  const Bias* biases;  // of the gates, then of recurrent products
  index bias_count;
  const Gradient* gradients;
  index gradient_count;
  index vector_count;  // vectors of hidden size that all steps and rows share
  index input_slot;    // of the delta: the adjoint of x itself; -1 where only products read x
  const MaskKind* masks;
  index mask_count;
  bool row_wise;  // whether some function needs a whole row, which then is no two threads'
};

enum class Mode : std::uint8_t { inference, forward, backward };

// A vector sequence [steps, rows, size], of any strides but 1 in the last dimension.
struct Sequence {
  float* data;
  index step, row;
};

enum class Precision : std::uint8_t { float32, bfloat16 };

// The upper half of a float32.
struct bfloat16 {
  std::uint16_t bits;
};

// A mask [steps, rows] of any strides.
struct Mask {
  const bool* data;
  index step, row;
};

// One direction of one layer, run over a whole sequence. N rows (the batch), T steps.
// All pointers are to float32 but where `precision` says so; none may overlap another. [N, size]
// arrays are contiguous.
struct Call {
  Mode mode;
  // Of the operands of products. With bfloat16 the input, its weights and the matrices are of it,
  // too (and the input's strides count it); all else is float32, rounded where it is multiplied.
  Precision precision;
  bool descending;             // the layer's direction: from the last step to the first
  index steps, rows;
  index size[2];               // hidden, projected
  index heads;                 // blocks on the diagonal of each row block of U
  const std::int64_t* lengths; // [N], each 0...T, or null where every row has T steps
  int threads;                 // at most
  int slices;                  // threads that share a row's units; 0: as is best
  // Where it holds, a step and the one before it in time are cut apart: whatever the direction, the
  // later one of them to be taken starts from the states `anew`. Null data where nothing is cut.
  Mask reset;
  const float* const* anew;  // per state [N, size]

  Sequence tape;                // written by forward, read by backward
  Sequence output;              // written by inference and forward, read by backward
  const float* const* initial;  // per state [N, size]
  // Per state [N, size]; written. Forward, inference: the state after each row's own last step.
  // Backward: gradient of the initial state.
  float* const* last;
  const float* const* matrices; // per matrix, contiguous
  Sequence input;               // read
  index input_size;
  const float* input_weights;   // [gate_count * hidden, input_size], contiguous
  const float* input_bias;      // [gate_count * hidden], or null
  const float* recurrent_bias;  // [row blocks of the first matrix * hidden], or null
  const float* vectors;         // [vector_count, hidden]
  Sequence exact_input;         // the input in float32, where the kernel has an input slot
  const double* rates;          // per mask
  bool drawing;                 // whether masks are drawn; if not, they are their means
  std::uint64_t seed;           // of the masks
  index first_step;             // time of this call's first step, for the masks

  // Backward only.
  index block;                       // steps whose adjoints are held at a time; 0: as is best
  Sequence gradient;                 // of the output; read
  const float* const* gradient_last; // per state [N, size], or null where it is zero
  Sequence gradient_tape;            // of what the tape holds, or null where it is zero; read
  Sequence gradient_input;           // written, or null
  // Shaped as the weights and, with resets, as `anew`; what is found there is added to.
  float* const* gradient_matrices;
  float* gradient_input_weights;
  float* gradient_input_bias;
  float* gradient_recurrent_bias;
  float* gradient_vectors;
  float* const* gradient_anew;
};

// Whether there was memory for it; if not, nothing has been written.
using Run = bool (*)(const Kernel&, const Call&);

// The product for a few rows, see row_product.h. A matrix is packed from its columns, each of
// `depth` floats side by side, or null for a column of zeros, into depth * columns floats, columns
// rounded up to whole vectors of `lanes`.
struct RowProduct {
  index lanes;
  void (*pack)(float* to, index depth, index columns, const float* const* column);
  void (*multiply)(const float* const* operand, index rows, index depth, const float* packed,
                   float* const* result, index columns, bool accumulate);
};

// One instruction set: the loop compiled for it, and the cells. Sets that differ in nothing but
// products share a target, what cells are compiled for.
struct Engine {
  const char* name;
  const char* target;
  const char* flags;  // of the compiler, for the target's cells
  Run run;
  RowProduct row_product;
  const Kernel* kernels;
  index kernel_count;
};

}  // namespace unrolled
