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

class Stream {
 public:
  // `size`: hidden, projected. The first layer's input has input_size features, the others' is the
  // output of the layer below. All states are zero.
  Stream(const Engine& engine, const Kernel& kernel, index rows, index input_size,
         const index* size, const std::vector<StreamLayer>& layers);
  // Another stream in the same state; it shares the packed weights, which never change.
  Stream(const Stream& other);
  Stream(Stream&&) = default;
  Stream& operator=(const Stream&) = delete;

  index rows() const { return weights_->rows; }
  index input_size() const { return weights_->input_size; }
  index output_size() const { return size_of(weights_->kernel.states[0]); }
  index state_count() const { return weights_->kernel.state_count; }
  index state_size(index k) const { return size_of(weights_->kernel.states[k]); }
  index layer_count() const { return static_cast<index>(layers_.size()); }

  // One step: x [N, input size] with rows `row` floats apart, y [N, output size], contiguous.
  void step(const float* x, index row, float* y);
  // Many: x [T, N, input size] with the given strides, y [T, N, output size], contiguous. They may
  // be the same array, not overlap otherwise.
  void run(const float* x, index step, index row, index steps, float* y);

  // State k of all layers, [layers, N, size of state k], contiguous.
  void read_state(index k, float* to) const;
  void write_state(index k, const float* from);

 private:
  struct Free {
    void operator()(float* memory) const { std::free(memory); }
  };
  using Memory = std::unique_ptr<float[], Free>;

  // A matrix, packed in pieces of so many columns each.
  struct Packed {
    const float* data;
    index depth, columns, pieces;
  };
  struct PackedLayer {
    Packed input;
    std::vector<Packed> products;  // of all stages, in their order
    const float* biases;           // [bias_count, N, width]
    const float* vectors;          // [vector_count, N, width]
    const float* masks;            // [mask_count, N, widest]
  };
  struct Weights {
    const Engine& engine;
    const Kernel& kernel;
    index rows, input_size, size[2], width[2];
    std::vector<PackedLayer> layers;
    Memory memory;
  };

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
    std::vector<float*> states;  // [N, width] each
    std::vector<Step> steps;
    float* before;  // the output's old value, where a later stage still reads it; else null
  };

  explicit Stream(std::shared_ptr<const Weights> weights);
  static std::shared_ptr<const Weights> pack(const Engine&, const Kernel&, index rows,
                                             index input_size, const index* size,
                                             const std::vector<StreamLayer>&);
  static Memory reserve(index floats);

  index size_of(Space space) const { return weights_->size[static_cast<index>(space)]; }
  index width_of(Space space) const { return weights_->width[static_cast<index>(space)]; }
  Step resolve(const Layer& layer, const PackedLayer& own, const Stage& stage,
               std::vector<Packed>::const_iterator packed) const;
  void layer_input(index l, const float* x, index step, index row, index steps);
  void advance(Layer& layer, index t);
  void each_row(Step& step);
  void write_output(const Layer& layer, float* to, index row) const;

  std::shared_ptr<const Weights> weights_;
  index block_;  // steps whose input products are taken at once
  index gate_step_;  // floats of one step's input products
  Memory memory_;
  float* gates_;     // [block, gate, N, width]
  float* inputs_;    // [block, N, width]: x, where the equations read it
  float* sequence_;  // [block, N, width]: what passes from layer to layer
  float* products_;  // [result, N, width]
  float* scratch_;   // [slot, N, width]
  std::vector<const float*> operands_;  // [block, N]
  std::vector<float*> results_;
  std::vector<Layer> layers_;
};

}  // namespace unrolled
