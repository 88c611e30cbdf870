#include "stream.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace unrolled {

namespace {

// Rows (steps times batch) that are multiplied at once: enough to read the weights rarely, few
// enough for what comes out to stay in the first-level cache.
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

Memory reserve(index floats) {
  const std::size_t bytes = static_cast<std::size_t>(round_up(floats + 1, 64)) * sizeof(float);
  Memory memory(static_cast<float*>(std::aligned_alloc(256, bytes)), std::free);
  if (!memory) throw std::bad_alloc();
  std::memset(memory.get(), 0, bytes);
  return memory;
}

// Packs the weights for a stream of so many rows.
class Packing {
 public:
  using Piece = StreamWeights::Piece;

  Packing(StreamWeights& weights, float* memory) : weights_(weights), parts_(memory) {}
  index taken() const { return parts_.taken(); }

  StreamWeights::Layer layer(const StreamLayer& layer, index below) {
    const Kernel& kernel = weights_.kernel;
    const index rows = weights_.rows, width = weights_.width_of(Space::hidden);
    const index hidden = weights_.size_of(Space::hidden);
    StreamWeights::Layer own;
    own.input = pieces(layer.input_weights, kernel.gate_count, Space::hidden, below, 1);
    for (index s = 0; s < kernel.inference.stage_count; ++s) {
      const Stage& stage = kernel.inference.stages[s];
      for (index i = 0; i < stage.multiply_count; ++i) {
        const Multiply& m = stage.multiplies[i];
        const Matrix& matrix = kernel.matrices[m.matrix];
        const index heads = matrix.recurrent ? weights_.heads : 1;
        const index depth = weights_.size_of(matrix.columns) / heads;
        own.products.push_back(
            pieces(layer.matrices[m.matrix] + m.row * weights_.size_of(matrix.rows) * depth, m.rows,
                   matrix.rows, depth, heads));
      }
    }
    float* biases = parts_.take(kernel.bias_count * rows * width);
    for (index b = 0; biases != nullptr && b < kernel.bias_count; ++b)
      set_bias(kernel.biases[b], layer, hidden, biases + b * rows * width, rows, width);
    own.biases = biases;
    float* vectors = parts_.take(kernel.vector_count * rows * width);
    for (index v = 0; vectors != nullptr && v < kernel.vector_count * rows; ++v)
      std::memcpy(vectors + v * width, layer.vectors + v / rows * hidden, hidden * sizeof(float));
    own.vectors = vectors;
    const index widest = rows * std::max(weights_.width[0], weights_.width[1]);
    float* masks = parts_.take(kernel.mask_count * widest);
    for (index m = 0; masks != nullptr && m < kernel.mask_count; ++m)
      std::fill_n(masks + m * widest, widest, layer.masks[m]);
    own.masks = masks;
    return own;
  }

 private:
  StreamWeights& weights_;
  Parts parts_;
  std::vector<const float*> columns_;

  // `blocks` row blocks of a space's size. With one row of a batch the blocks' results lie side by
  // side and are one product; with more of them every block is a product of its own, and so is every
  // block on the diagonal, of which `heads` make up a row block.
  std::vector<Piece> pieces(const float* from, index blocks, Space space, index depth,
                            index heads) {
    const index size = weights_.size_of(space), width = weights_.width_of(space);
    std::vector<Piece> found;
    if (blocks == 0) return found;
    if (heads == 1 && weights_.rows == 1) {
      columns_.assign(blocks * width, nullptr);
      for (index b = 0; b < blocks; ++b) columns_of(from + b * size * depth, size, depth, b * width);
      found.push_back(piece(depth, blocks * width, 0, 0, 0));
      return found;
    }
    const index height = size / heads;
    for (index b = 0; b < blocks; ++b)
      for (index h = 0; h < heads; ++h) {
        columns_.assign(height, nullptr);
        columns_of(from + (b * size + h * height) * depth, height, depth, 0);
        found.push_back(piece(depth, height, h * depth, b, h * height));
      }
    return found;
  }

  // Rows of a matrix become columns number `first`, ...
  void columns_of(const float* from, index count, index depth, index first) {
    for (index j = 0; j < count; ++j) columns_[first + j] = from + j * depth;
  }

  Piece piece(index depth, index columns, index operand, index result, index first) {
    const RowProduct& product = weights_.engine.row_product;
    float* const to = parts_.take(depth * round_up(columns, product.lanes));
    if (to != nullptr) product.pack(to, depth, columns, columns_.data());
    return {to, depth, columns, operand, result, first};
  }

  // One bias of the step, the same for all rows.
  static void set_bias(const Bias& bias, const StreamLayer& layer, index hidden, float* to,
                       index rows, index width) {
    for (index j = 0; j < hidden; ++j) {
      float sum = 0.0f;
      if (layer.input_bias != nullptr && bias.input >= 0)
        sum = layer.input_bias[bias.input * hidden + j];
      if (layer.recurrent_bias != nullptr && bias.recurrent >= 0)
        sum += layer.recurrent_bias[bias.recurrent * hidden + j];
      for (index n = 0; n < rows; ++n) to[n * width + j] = sum;
    }
  }
};

std::shared_ptr<const StreamWeights> pack(const Engine& engine, const Kernel& kernel, index rows,
                                          index input_size, const index* size, index heads,
                                          const std::vector<StreamLayer>& layers) {
  const index lanes = engine.row_product.lanes;
  auto weights = std::shared_ptr<StreamWeights>(
      new StreamWeights{engine, kernel, rows, input_size, {size[0], size[1]},
                        {round_up(size[0], lanes), round_up(size[1], lanes)}, heads, {},
                        Memory(nullptr, std::free)});
  for (const bool counting : {true, false}) {
    Packing packing(*weights, weights->memory.get());
    weights->layers.clear();
    for (const StreamLayer& layer : layers)
      weights->layers.push_back(packing.layer(
          layer, weights->layers.empty() ? input_size : weights->size_of(kernel.states[0])));
    if (counting) weights->memory = reserve(packing.taken());
  }
  return weights;
}

}  // namespace

StreamBatch::StreamBatch(std::shared_ptr<const StreamWeights> weights, index rows)
    : weights_(std::move(weights)),
      multiply_(weights_->engine.row_product.multiply),
      rows_(rows),
      gate_width_(weights_->width_of(Space::hidden)),
      output_size_(weights_->size_of(weights_->kernel.states[0])),
      output_width_(weights_->width_of(weights_->kernel.states[0])),
      memory_(nullptr, std::free) {
  const Kernel& kernel = weights_->kernel;
  const Pass& pass = kernel.inference;
  const index count = static_cast<index>(weights_->layers.size());
  index results = 0;
  for (index s = 0; s < pass.stage_count; ++s)
    results = std::max(results, pass.stages[s].results * weights_->width_of(pass.stages[s].space));
  index scratch = 0;
  for (index s = 0; s < pass.scratch_count; ++s) scratch += weights_->width_of(pass.scratch[s]);
  const bool keeps = reads_output_late(pass);
  block_ = std::max(block_rows / rows, index{1});
  gate_step_ = kernel.gate_count * rows * gate_width_;
  for (const bool counting : {true, false}) {
    Parts parts(memory_.get());
    layers_.assign(count, {});
    for (Layer& layer : layers_) {
      for (index k = 0; k < kernel.state_count; ++k)
        layer.states.push_back(parts.take(rows * weights_->width_of(kernel.states[k])));
      layer.before = keeps ? parts.take(rows * output_width_) : nullptr;
    }
    gates_ = parts.take(block_ * gate_step_);
    inputs_ = parts.take(kernel.input_slot >= 0 ? block_ * rows * gate_width_ : 0);
    sequence_ = parts.take(count > 1 ? block_ * rows * output_width_ : 0);
    products_ = parts.take(rows * results);
    scratch_ = parts.take(rows * scratch);
    if (counting) memory_ = reserve(parts.taken());
  }
  operands_.resize(block_ * rows);
  results_.resize(block_ * rows);
  for (index l = 0; l < count; ++l) {
    const std::vector<StreamWeights::Piece>* pieces = weights_->layers[l].products.data();
    for (index s = 0; s < pass.stage_count; ++s) {
      layers_[l].steps.push_back(resolve(layers_[l], weights_->layers[l], pass.stages[s], pieces));
      pieces += pass.stages[s].multiply_count;
    }
  }
}

StreamBatch::Step StreamBatch::resolve(const Layer& layer, const StreamWeights::Layer& own,
                                       const Stage& stage,
                                       const std::vector<StreamWeights::Piece>* pieces) const {
  const StreamWeights& weights = *weights_;
  const Pass& pass = weights.kernel.inference;
  const index shared = weights.rows * weights.width_of(Space::hidden);  // of a bias, of a vector
  const auto place = [&](Location location) -> float* {
    const index k = location.index;
    switch (location.place) {
      case Place::previous:
        return k == 0 && layer.before ? layer.before : layer.states[k];
      case Place::state:
        return layer.states[k];
      case Place::product:
        return products_ + k * rows_ * weights.width_of(stage.space);
      case Place::gate:
        return gates_ + k * rows_ * weights.width_of(Space::hidden);
      case Place::bias:
        return const_cast<float*>(own.biases) + k * shared;
      case Place::vector:
        return const_cast<float*>(own.vectors) + k * shared;
      case Place::input:
        return inputs_;
      case Place::mask:
        return const_cast<float*>(own.masks) +
               k * weights.rows * std::max(weights.width[0], weights.width[1]);
      case Place::scratch: {
        index offset = 0;
        for (index s = 0; s < k; ++s) offset += rows_ * weights.width_of(pass.scratch[s]);
        return scratch_ + offset;
      }
      default:
        return nullptr;  // inference has no other
    }
  };
  Step step{{}, stage.function, weights.width_of(stage.space), weights.size_of(stage.space),
            {}, {}, {}, {}};
  std::vector<bool> written(stage.results, false);
  for (index i = 0; i < stage.multiply_count; ++i, ++pieces) {
    const Multiply& m = stage.multiplies[i];
    const index operand_width = weights.width_of(weights.kernel.matrices[m.matrix].columns);
    for (const StreamWeights::Piece& piece : *pieces) {
      Product product{piece.data, piece.depth, piece.columns, {}, {},
                      written[m.result + piece.result]};
      const auto result = static_cast<std::uint8_t>(m.result + piece.result);
      for (index n = 0; n < rows_; ++n) {
        product.operands.push_back(place(m.operand) + n * operand_width + piece.operand);
        product.results.push_back(place({Place::product, result}) + n * step.width + piece.first);
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

// The input products of a layer for so many steps (at most a block) of the first rows.
void StreamBatch::layer_input(index l, const float* x, index step, index row, index steps,
                              index rows) {
  const index features = l == 0 ? weights_->input_size : output_size_, count = steps * rows;
  const bool keeps = weights_->kernel.input_slot >= 0;
  for (index t = 0, i = 0; t < steps; ++t)
    for (index n = 0; n < rows; ++n, ++i) {
      operands_[i] = x + t * step + n * row;
      results_[i] = gates_ + t * gate_step_ + n * gate_width_;
      if (keeps)
        std::memcpy(inputs_ + (t * rows_ + n) * gate_width_, operands_[i],
                    features * sizeof(float));
    }
  index result = 0;
  for (const StreamWeights::Piece& piece : weights_->layers[l].input) {
    for (index i = 0; piece.result != result && i < count; ++i)
      results_[i] += (piece.result - result) * rows_ * gate_width_;
    result = piece.result;
    multiply_(operands_.data(), count, piece.depth, piece.data, results_.data(), piece.columns,
              false);
  }
}

// One step of one layer's first rows, whose input products stand at number t of the block.
void StreamBatch::advance(Layer& layer, index t, index rows) {
  const index gate = rows_ * gate_width_;
  const bool row_wise = weights_->kernel.row_wise;
  if (layer.before)
    std::memcpy(layer.before, layer.states[0], rows * output_width_ * sizeof(float));
  for (Step& step : layer.steps) {
    for (const Product& p : step.products)
      multiply_(p.operands.data(), rows, p.depth, p.packed, p.results.data(), p.columns,
                p.accumulate);
    for (const auto& [i, k] : step.gates) step.in[i] = gates_ + t * gate_step_ + k * gate;
    for (const index i : step.inputs) step.in[i] = inputs_ + t * gate;
    if (row_wise)
      each_row(step, rows);
    else
      step.function(step.in.data(), step.out.data(), 0, rows * step.width);
  }
}

// A function that needs a whole row needs it without what fills up the last register.
void StreamBatch::each_row(Step& step, index rows) {
  for (index n = 0; n < rows; ++n) {
    step.function(step.in.data(), step.out.data(), 0, step.size);
    for (const float*& in : step.in) in += step.width;
    for (float*& out : step.out) out += step.width;
  }
  for (const float*& in : step.in) in -= rows * step.width;
  for (float*& out : step.out) out -= rows * step.width;
}

void StreamBatch::write_output(index l, float* y, index row) const {
  const float* from = state(l, 0);
  for (index n = 0; n < rows_; ++n, from += output_width_)
    std::memcpy(y + n * row, from, output_size_ * sizeof(float));
}

void StreamBatch::step(const float* x, index row, index rows) {
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    layer_input(l, x, 0, row, 1, rows);
    advance(layers_[l], 0, rows);
    x = layers_[l].states[0];
    row = output_width_;
  }
}

void StreamBatch::run(const float* x, index step, index row, index steps, float* y) {
  const index width = output_width_, output = output_size_;
  for (index from = 0; from < steps; from += block_) {
    const index count = std::min(block_, steps - from);
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      if (l == 0)
        layer_input(l, x + from * step, step, row, count, rows_);
      else
        layer_input(l, sequence_, rows_ * width, width, count, rows_);
      for (index t = 0; t < count; ++t) {
        advance(layers_[l], t, rows_);
        if (l + 1 == layers_.size())
          write_output(l, y + (from + t) * rows_ * output, output);
        else
          write_output(l, sequence_ + t * rows_ * width, width);
      }
    }
  }
}

Stream::Stream(const Engine& engine, const Kernel& kernel, index rows, index input_size,
               const index* size, index heads, const std::vector<StreamLayer>& layers)
    : weights_(pack(engine, kernel, rows, input_size, size, heads, layers)),
      all_(weights_, rows),
      some_(weights_, std::min(rows, block_rows)) {}

Stream::Stream(const Stream& other)
    : weights_(other.weights_), all_(weights_, rows()), some_(weights_, other.some_.rows()) {
  for (index l = 0; l < layer_count(); ++l)
    for (index k = 0; k < state_count(); ++k)
      std::memcpy(all_.state(l, k), other.all_.state(l, k),
                  rows() * state_width(k) * sizeof(float));
}

void Stream::step(const float* x, index row, float* y) {
  all_.step(x, row, rows());
  all_.write_output(layer_count() - 1, y, output_size());
}

void Stream::run(const float* x, index step, index row, index steps, float* y) {
  all_.run(x, step, row, steps, y);
}

void Stream::step_rows(const index* rows, index count, const float* x, index row, float* y) {
  // Calls body(a row's state here, the same there, bytes) for all states of `taken` rows.
  const auto each_state = [&](const index* which, index taken, auto body) {
    for (index l = 0; l < layer_count(); ++l)
      for (index k = 0; k < state_count(); ++k) {
        const index width = state_width(k);
        for (index i = 0; i < taken; ++i)
          body(all_.state(l, k) + which[i] * width, some_.state(l, k) + i * width,
               width * sizeof(float));
      }
  };
  for (index from = 0; from < count; from += some_.rows()) {
    const index taken = std::min(some_.rows(), count - from);
    each_state(rows + from, taken,
               [](float* own, float* copy, std::size_t bytes) { std::memcpy(copy, own, bytes); });
    some_.step(x + from * row, row, taken);
    each_state(rows + from, taken,
               [](float* own, float* copy, std::size_t bytes) { std::memcpy(own, copy, bytes); });
  }
  // only now that all of x has been read, which y may overlap
  for (index i = 0; i < count; ++i)
    std::memcpy(y + i * output_size(), all_.state(layer_count() - 1, 0) + rows[i] * state_width(0),
                output_size() * sizeof(float));
}

void Stream::read_state(index k, const index* rows, index count, float* to) const {
  const index size = state_size(k), width = state_width(k);
  for (index l = 0; l < layer_count(); ++l)
    for (index i = 0; i < count; ++i, to += size)
      std::memcpy(to, all_.state(l, k) + (rows ? rows[i] : i) * width, size * sizeof(float));
}

void Stream::write_state(index k, const index* rows, index count, const float* from) {
  const index size = state_size(k), width = state_width(k);
  for (index l = 0; l < layer_count(); ++l)
    for (index i = 0; i < count; ++i, from += size)
      std::memcpy(all_.state(l, k) + (rows ? rows[i] : i) * width, from, size * sizeof(float));
}

}  // namespace unrolled
