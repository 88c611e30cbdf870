#include "stream.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace unrolled {

namespace {

// Rows (steps times batch) of a layer's input that are multiplied at once: enough to read the
// weights rarely, few enough for what comes out to stay in the first-level cache.
constexpr index block_rows = 32;

index round_up(index value, index to) { return (value + to - 1) / to * to; }

// Hands out parts of one block of memory; first only counts, then hands out.
class Parts {
 public:
  explicit Parts(float* memory) : memory_(memory) {}
  float* take(index floats) {
    const index at = taken_;
    taken_ += round_up(floats, 64);  // whole cache lines, and the widest vectors stay aligned
    return memory_ ? memory_ + at : nullptr;
  }
  index taken() const { return taken_; }

 private:
  float* memory_;
  index taken_ = 0;
};

// One bias of the step, the same for all rows.
void add_bias(const Bias& bias, const StreamLayer& layer, index hidden, float* to, index rows,
              index width) {
  for (index n = 0; n < rows; ++n)
    for (index j = 0; j < hidden; ++j) {
      if (layer.input_bias != nullptr && bias.input >= 0)
        to[n * width + j] += layer.input_bias[bias.input * hidden + j];
      if (layer.recurrent_bias != nullptr && bias.recurrent >= 0)
        to[n * width + j] += layer.recurrent_bias[bias.recurrent * hidden + j];
    }
}

// Whether a stage after the one that writes the output still reads the output's old value.
bool reads_output_late(const Pass& pass) {
  bool written = false;
  for (index s = 0; s < pass.stage_count; ++s) {
    const Stage& stage = pass.stages[s];
    const auto is_old = [](Location l) { return l.place == Place::previous && l.index == 0; };
    if (written && std::any_of(stage.inputs, stage.inputs + stage.input_count, is_old)) return true;
    for (index m = 0; m < stage.multiply_count; ++m)
      if (written && is_old(stage.multiplies[m].operand)) return true;
    for (index o = 0; o < stage.output_count; ++o)
      written = written || (stage.outputs[o].place == Place::state && stage.outputs[o].index == 0);
  }
  return false;
}

}  // namespace

Stream::Memory Stream::reserve(index floats) {
  const std::size_t bytes = static_cast<std::size_t>(round_up(floats + 1, 64)) * sizeof(float);
  Memory memory(static_cast<float*>(std::aligned_alloc(256, bytes)));
  if (!memory) throw std::bad_alloc();
  std::memset(memory.get(), 0, bytes);
  return memory;
}

std::shared_ptr<const Stream::Weights> Stream::pack(const Engine& engine, const Kernel& kernel,
                                                    index rows, index input_size,
                                                    const index* size,
                                                    const std::vector<StreamLayer>& layers) {
  const index lanes = engine.row_product.lanes;
  auto weights = std::shared_ptr<Weights>(
      new Weights{engine, kernel, rows, input_size, {size[0], size[1]},
                  {round_up(size[0], lanes), round_up(size[1], lanes)}, {}, nullptr});
  const index hidden = static_cast<index>(Space::hidden);
  const index output = static_cast<index>(kernel.states[0]);
  std::vector<const float*> columns;

  // Packs `blocks` row blocks of so many rows each. With one row of a batch the blocks' results lie
  // side by side and are one product; with more of them every block is a product of its own.
  const auto add = [&](Parts& parts, const float* from, index blocks, index space, index depth) {
    const index width = weights->width[space];
    float* to = parts.take(depth * blocks * width);
    const index pieces = rows == 1 || blocks == 0 ? 1 : blocks;
    const Packed packed{to, depth, blocks * width / pieces, pieces};
    if (to == nullptr) return packed;
    columns.assign(blocks * width, nullptr);
    for (index b = 0; b < blocks; ++b)
      for (index j = 0; j < size[space]; ++j)
        columns[b * width + j] = from + (b * size[space] + j) * depth;
    for (index p = 0; p < packed.pieces; ++p)
      engine.row_product.pack(to + p * depth * packed.columns, depth, packed.columns,
                              columns.data() + p * packed.columns);
    return packed;
  };

  for (const bool counting : {true, false}) {
    Parts parts(weights->memory.get());
    weights->layers.clear();
    for (std::size_t l = 0; l < layers.size(); ++l) {
      const StreamLayer& layer = layers[l];
      PackedLayer own;
      own.input = add(parts, layer.input_weights, kernel.gate_count, hidden,
                      l == 0 ? input_size : size[output]);
      for (index s = 0; s < kernel.inference.stage_count; ++s) {
        const Stage& stage = kernel.inference.stages[s];
        for (index i = 0; i < stage.multiply_count; ++i) {
          const Multiply& m = stage.multiplies[i];
          const Matrix& matrix = kernel.matrices[m.matrix];
          const index space = static_cast<index>(matrix.rows);
          const index depth = size[static_cast<index>(matrix.columns)];
          own.products.push_back(add(parts, layer.matrices[m.matrix] + m.row * size[space] * depth,
                                     m.rows, space, depth));
        }
      }
      const index width = weights->width[hidden];
      float* biases = parts.take(kernel.bias_count * rows * width);
      for (index b = 0; biases != nullptr && b < kernel.bias_count; ++b)
        add_bias(kernel.biases[b], layer, size[hidden], biases + b * rows * width, rows, width);
      own.biases = biases;
      float* vectors = parts.take(kernel.vector_count * rows * width);
      for (index v = 0; vectors != nullptr && v < kernel.vector_count * rows; ++v)
        std::memcpy(vectors + v * width, layer.vectors + v / rows * size[hidden],
                    size[hidden] * sizeof(float));
      own.vectors = vectors;
      const index widest = rows * std::max(weights->width[0], weights->width[1]);
      float* masks = parts.take(kernel.mask_count * widest);
      for (index m = 0; masks != nullptr && m < kernel.mask_count; ++m)
        std::fill_n(masks + m * widest, widest, layer.masks[m]);
      own.masks = masks;
      weights->layers.push_back(std::move(own));
    }
    if (counting) weights->memory = reserve(parts.taken());
  }
  return weights;
}

Stream::Stream(const Engine& engine, const Kernel& kernel, index rows, index input_size,
               const index* size, const std::vector<StreamLayer>& layers)
    : Stream(pack(engine, kernel, rows, input_size, size, layers)) {}

Stream::Stream(std::shared_ptr<const Weights> weights) : weights_(std::move(weights)) {
  const Kernel& kernel = weights_->kernel;
  const Pass& pass = kernel.inference;
  const index rows = weights_->rows, count = static_cast<index>(weights_->layers.size());
  const index width = width_of(Space::hidden);
  index results = 0;
  for (index s = 0; s < pass.stage_count; ++s)
    results = std::max(results, pass.stages[s].results * width_of(pass.stages[s].space));
  index scratch = 0;
  for (index s = 0; s < pass.scratch_count; ++s) scratch += width_of(pass.scratch[s]);
  const bool keeps = reads_output_late(pass);
  const index output = width_of(kernel.states[0]);
  block_ = std::max(block_rows / rows, index{1});
  gate_step_ = kernel.gate_count * rows * width;
  for (const bool counting : {true, false}) {
    Parts parts(memory_.get());
    layers_.assign(count, {});
    for (Layer& layer : layers_) {
      for (index k = 0; k < kernel.state_count; ++k)
        layer.states.push_back(parts.take(rows * width_of(kernel.states[k])));
      layer.before = keeps ? parts.take(rows * output) : nullptr;
    }
    gates_ = parts.take(block_ * gate_step_);
    inputs_ = parts.take(kernel.input_slot >= 0 ? block_ * rows * width : 0);
    sequence_ = parts.take(count > 1 ? block_ * rows * output : 0);
    products_ = parts.take(rows * results);
    scratch_ = parts.take(rows * scratch);
    if (counting) memory_ = reserve(parts.taken());
  }
  operands_.resize(block_ * rows);
  results_.resize(block_ * rows);
  for (index l = 0; l < count; ++l) {
    auto packed = weights_->layers[l].products.begin();
    for (index s = 0; s < pass.stage_count; ++s) {
      layers_[l].steps.push_back(resolve(layers_[l], weights_->layers[l], pass.stages[s], packed));
      packed += pass.stages[s].multiply_count;
    }
  }
}

Stream::Stream(const Stream& other) : Stream(other.weights_) {
  for (std::size_t l = 0; l < layers_.size(); ++l)
    for (index k = 0; k < state_count(); ++k)
      std::memcpy(layers_[l].states[k], other.layers_[l].states[k],
                  rows() * width_of(weights_->kernel.states[k]) * sizeof(float));
}

Stream::Step Stream::resolve(const Layer& layer, const PackedLayer& own, const Stage& stage,
                             std::vector<Packed>::const_iterator packed) const {
  const Pass& pass = weights_->kernel.inference;
  const index rows = weights_->rows;
  const auto place = [&](Location location) -> float* {
    const index k = location.index;
    switch (location.place) {
      case Place::previous:
        return k == 0 && layer.before ? layer.before : layer.states[k];
      case Place::state:
        return layer.states[k];
      case Place::product:
        return products_ + k * rows * width_of(stage.space);
      case Place::gate:
        return gates_ + k * rows * width_of(Space::hidden);
      case Place::bias:
        return const_cast<float*>(own.biases) + k * rows * width_of(Space::hidden);
      case Place::vector:
        return const_cast<float*>(own.vectors) + k * rows * width_of(Space::hidden);
      case Place::input:
        return inputs_;
      case Place::mask:
        return const_cast<float*>(own.masks) +
               k * rows * std::max(weights_->width[0], weights_->width[1]);
      case Place::scratch: {
        index offset = 0;
        for (index s = 0; s < k; ++s) offset += rows * width_of(pass.scratch[s]);
        return scratch_ + offset;
      }
      default:
        return nullptr;  // inference has no other
    }
  };
  Step step{{}, stage.function, width_of(stage.space), size_of(stage.space), {}, {}, {}, {}};
  std::vector<bool> written(stage.results, false);
  for (index i = 0; i < stage.multiply_count; ++i, ++packed) {
    const Multiply& m = stage.multiplies[i];
    const index operand_width = width_of(weights_->kernel.matrices[m.matrix].columns);
    for (index p = 0; p < packed->pieces; ++p) {
      Product product{packed->data + p * packed->depth * packed->columns, packed->depth,
                      packed->columns, {}, {}, written[m.result + p]};
      float* const to = place({Place::product, static_cast<std::uint8_t>(m.result + p)});
      for (index n = 0; n < rows; ++n) {
        product.operands.push_back(place(m.operand) + n * operand_width);
        product.results.push_back(to + n * width_of(stage.space));
      }
      step.products.push_back(std::move(product));
    }
    for (index r = 0; r < m.rows; ++r) written[m.result + r] = true;
  }
  for (index i = 0; i < stage.input_count; ++i) {
    step.in.push_back(place(stage.inputs[i]));
    if (stage.inputs[i].place == Place::gate) step.gates.push_back({i, stage.inputs[i].index});
    if (stage.inputs[i].place == Place::input) step.inputs.push_back(i);
  }
  for (index i = 0; i < stage.output_count; ++i) step.out.push_back(place(stage.outputs[i]));
  return step;
}

// The input products of a layer for so many steps (at most a block).
void Stream::layer_input(index l, const float* x, index step, index row, index steps) {
  const Packed& input = weights_->layers[l].input;
  const index rows = weights_->rows, width = width_of(Space::hidden);
  for (index t = 0; t < steps; ++t)
    for (index n = 0; n < rows; ++n) {
      operands_[t * rows + n] = x + t * step + n * row;
      results_[t * rows + n] = gates_ + t * gate_step_ + n * width;
      if (weights_->kernel.input_slot >= 0)
        std::memcpy(inputs_ + (t * rows + n) * width, x + t * step + n * row,
                    input.depth * sizeof(float));
    }
  for (index p = 0; p < input.pieces; ++p) {
    weights_->engine.row_product.multiply(operands_.data(), steps * rows, input.depth,
                                          input.data + p * input.depth * input.columns,
                                          results_.data(), input.columns, false);
    for (index i = 0; i < steps * rows; ++i) results_[i] += rows * width;
  }
}

// One step of one layer, whose input products stand at number t of the block.
void Stream::advance(Layer& layer, index t) {
  const auto multiply = weights_->engine.row_product.multiply;
  const index rows = weights_->rows;
  if (layer.before)
    std::memcpy(layer.before, layer.states[0],
                rows * width_of(weights_->kernel.states[0]) * sizeof(float));
  for (Step& step : layer.steps) {
    for (const Product& p : step.products)
      multiply(p.operands.data(), rows, p.depth, p.packed, p.results.data(), p.columns,
               p.accumulate);
    for (const auto& [i, gate] : step.gates)
      step.in[i] = gates_ + t * gate_step_ + gate * rows * width_of(Space::hidden);
    for (const index i : step.inputs) step.in[i] = inputs_ + t * rows * width_of(Space::hidden);
    if (weights_->kernel.row_wise)
      each_row(step);
    else
      step.function(step.in.data(), step.out.data(), 0, rows * step.width);
  }
}

// A function that needs a whole row needs it without what fills up the last register.
void Stream::each_row(Step& step) {
  for (index n = 0; n < weights_->rows; ++n) {
    step.function(step.in.data(), step.out.data(), 0, step.size);
    for (const float*& in : step.in) in += step.width;
    for (float*& out : step.out) out += step.width;
  }
  for (const float*& in : step.in) in -= weights_->rows * step.width;
  for (float*& out : step.out) out -= weights_->rows * step.width;
}

void Stream::write_output(const Layer& layer, float* to, index row) const {
  const index width = width_of(weights_->kernel.states[0]);
  for (index n = 0; n < weights_->rows; ++n)
    std::memcpy(to + n * row, layer.states[0] + n * width, output_size() * sizeof(float));
}

void Stream::step(const float* x, index row, float* y) {
  const index width = width_of(weights_->kernel.states[0]);
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    layer_input(l, x, 0, row, 1);
    advance(layers_[l], 0);
    x = layers_[l].states[0];
    row = width;
  }
  write_output(layers_.back(), y, output_size());
}

void Stream::run(const float* x, index step, index row, index steps, float* y) {
  const index rows = weights_->rows, width = width_of(weights_->kernel.states[0]);
  for (index from = 0; from < steps; from += block_) {
    const index count = std::min(block_, steps - from);
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      const bool last = l + 1 == layers_.size();
      if (l == 0)
        layer_input(l, x + from * step, step, row, count);
      else
        layer_input(l, sequence_, rows * width, width, count);
      for (index t = 0; t < count; ++t) {
        advance(layers_[l], t);
        if (last)
          write_output(layers_[l], y + (from + t) * rows * output_size(), output_size());
        else
          write_output(layers_[l], sequence_ + t * rows * width, width);
      }
    }
  }
}

void Stream::read_state(index k, float* to) const {
  const index size = size_of(weights_->kernel.states[k]);
  const index width = width_of(weights_->kernel.states[k]);
  for (const Layer& layer : layers_)
    for (index n = 0; n < weights_->rows; ++n, to += size)
      std::memcpy(to, layer.states[k] + n * width, size * sizeof(float));
}

void Stream::write_state(index k, const float* from) {
  const index size = size_of(weights_->kernel.states[k]);
  const index width = width_of(weights_->kernel.states[k]);
  for (Layer& layer : layers_)
    for (index n = 0; n < weights_->rows; ++n, from += size)
      std::memcpy(layer.states[k] + n * width, from, size * sizeof(float));
}

}  // namespace unrolled
