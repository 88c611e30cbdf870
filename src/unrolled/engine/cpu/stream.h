// A stack of layers that is fed one step after the other and keeps its states in between.
//
// Everything that a step needs is found out beforehand: the weights are packed, and the addresses
// of every vector that a product or an elementwise function reads or writes stand in tables. So a
// step is a walk through them. It allocates nothing and takes no lock; one thread runs it.
//
// A vector of N rows is kept as [N, width], the width rounded up to whole vector registers: an
// elementwise function then runs once over all rows, and never over a part of a register. What the
// lanes past the end hold goes nowhere: no product reads them.
#pragma once

#include <cstdlib>
#include <memory>
#include <utility>
#include <vector>

#include "kernel.h"

namespace unrolled {

// The parameters of one layer, as in Call; they are copied.
struct StreamLayer {
  const float* input_weights;  // [gate_count * hidden, input size]
  std::vector<const float*> matrices;
  const float* input_bias;      // [gate_count * hidden], or null
  const float* recurrent_bias;  // [row blocks of the first matrix * hidden], or null
  const float* vectors;         // [vector_count, hidden]
  std::vector<float> masks;     // what each is in evaluation
};

using Memory = std::unique_ptr<float[], void (*)(void*)>;

// What all batches of a stream read: the parameters of its layers, packed. They never change.
struct StreamWeights {
  // A part of a product: the matrix packed, and where its operand and its results begin.
  struct Piece {
    const float* data;
    index depth, columns;
    index operand;  // which number of the operand it begins with
    index result;   // which of the product's results it makes, and from which number on
    index first;
  };
  struct Layer {
    std::vector<Piece> input;
    std::vector<std::vector<Piece>> products;  // of all multiplies of all stages, in their order
    const float* biases;                       // [bias_count, N, width]
    const float* vectors;                      // [vector_count, N, width]
    const float* masks;                        // [mask_count, N, widest]
  };

  const Engine& engine;
  const Kernel& kernel;
  index rows, input_size, size[2], width[2], heads;
  std::vector<Layer> layers;
  Memory memory;

  index size_of(Space space) const { return size[static_cast<index>(space)]; }
  index width_of(Space space) const { return width[static_cast<index>(space)]; }
};

// So many rows that are stepped together, at most: their states, and all that a step works with.
// All states are zero at first.
class StreamBatch {
 public:
  StreamBatch(std::shared_ptr<const StreamWeights> weights, index rows);

  index rows() const { return rows_; }
  // State k of layer l, [rows, width of state k].
  float* state(index l, index k) { return layers_[l].states[k]; }
  const float* state(index l, index k) const { return layers_[l].states[k]; }

  // One step of the first `rows` rows: x [rows, input size], rows `row` floats apart. The output is
  // state 0 of the last layer.
  void step(const float* x, index row, index rows);
  // Many steps of all rows, as Stream's.
  void run(const float* x, index step, index row, index steps, float* y);
  // The output of the step before, y [rows, output size] with rows `row` floats apart.
  void write_output(index l, float* y, index row) const;

 private:
  struct Product {
    const float* packed;
    index depth, columns;
    std::vector<const float*> operands;  // per row
    std::vector<float*> results;         // per row
    bool accumulate;
  };
  struct Step {  // a stage with all its addresses
    std::vector<Product> products;
    Pointwise function;
    index width;  // of a row
    index size;   // of what a row really has
    std::vector<const float*> in;
    std::vector<float*> out;
    std::vector<std::pair<index, index>> gates;  // inputs that are gates: number, which gate
    std::vector<index> inputs;                   // those that are x itself
  };
  struct Layer {
    std::vector<float*> states;  // [rows, width] each
    std::vector<Step> steps;
    float* before;  // the output's old value, where a later stage still reads it; else null
  };

  Step resolve(const Layer& layer, const StreamWeights::Layer& own, const Stage& stage,
               const std::vector<StreamWeights::Piece>* pieces) const;
  void layer_input(index l, const float* x, index step, index row, index steps, index rows);
  void advance(Layer& layer, index t, index rows);
  void each_row(Step& step, index rows);

  std::shared_ptr<const StreamWeights> weights_;
  decltype(RowProduct::multiply) multiply_;
  index rows_;
  index gate_width_, output_size_, output_width_;
  index block_;  // steps whose input products are taken at once
  index gate_step_;  // floats of one step's input products
  Memory memory_;
  float* gates_;     // [block, gate, rows, width]
  float* inputs_;    // [block, rows, width]: x, where the equations read it
  float* sequence_;  // [block, rows, width]: what passes from layer to layer
  float* products_;  // [result, rows, width]
  float* scratch_;   // [slot, rows, width]
  std::vector<const float*> operands_;  // [block, rows]
  std::vector<float*> results_;
  std::vector<Layer> layers_;
};

class Stream {
 public:
  // `size`: hidden, projected. The first layer's input has input_size features, the others' is the
  // output of the layer below. `heads`: blocks on the diagonal of each row block of U. All states
  // are zero.
  Stream(const Engine& engine, const Kernel& kernel, index rows, index input_size,
         const index* size, index heads, const std::vector<StreamLayer>& layers);
  // Another stream in the same state; it shares the packed weights, which never change.
  Stream(const Stream& other);
  Stream(Stream&&) = default;
  Stream& operator=(const Stream&) = delete;

  index rows() const { return weights_->rows; }
  index input_size() const { return weights_->input_size; }
  index output_size() const { return state_size(0); }
  index state_count() const { return weights_->kernel.state_count; }
  index state_size(index k) const { return weights_->size_of(weights_->kernel.states[k]); }
  index layer_count() const { return static_cast<index>(weights_->layers.size()); }

  // One step: x [N, input size] with rows `row` floats apart, y [N, output size], contiguous.
  void step(const float* x, index row, float* y);
  // Many: x [T, N, input size] with the given strides, y [T, N, output size], contiguous. They may
  // be the same array, not overlap otherwise.
  void run(const float* x, index step, index row, index steps, float* y);
  // One step of some rows, which must be distinct: x [count, input size], y [count, output size].
  // The others' states stay as they are. x and y may overlap, as in a step of all rows.
  void step_rows(const index* rows, index count, const float* x, index row, float* y);

  // State k of all layers, [layers, count, size of state k], contiguous; of all rows where `rows` is
  // null, else of those.
  void read_state(index k, const index* rows, index count, float* to) const;
  void write_state(index k, const index* rows, index count, const float* from);

 private:
  index state_width(index k) const { return weights_->width_of(weights_->kernel.states[k]); }

  std::shared_ptr<const StreamWeights> weights_;
  StreamBatch all_;
  StreamBatch some_;  // to which step_rows copies a few rows at a time
};

}  // namespace unrolled
