// Nanoseconds per step of RTNeural's layers, whose sizes are fixed when they are compiled; built and
// run by stream.py. A line for each cell and size, in = out: lstm 8 95.0
#include <RTNeural/RTNeural.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <random>
#include <vector>

namespace {

std::mt19937 generator(1);

std::vector<float> draw(int count) {
  std::uniform_real_distribution<float> uniform(-0.3f, 0.3f);
  std::vector<float> values(count);
  for (float& value : values) value = uniform(generator);
  return values;
}

std::vector<std::vector<float>> draw(int rows, int columns) {
  std::vector<std::vector<float>> values;
  for (int r = 0; r < rows; ++r) values.push_back(draw(columns));
  return values;
}

template <int H>
void set_weights(RTNeural::LSTMLayerT<float, H, H>& layer) {
  layer.setWVals(draw(H, 4 * H));
  layer.setUVals(draw(H, 4 * H));
  layer.setBVals(draw(4 * H));
}

template <int H>
void set_weights(RTNeural::GRULayerT<float, H, H>& layer) {
  layer.setWVals(draw(H, 3 * H));
  layer.setUVals(draw(H, 3 * H));
  layer.setBVals(draw(2, 3 * H));
}

template <template <typename, int, int, RTNeural::SampleRateCorrectionMode> class Layer, int H>
void measure(const char* name) {
  using Net = RTNeural::ModelT<float, H, H, Layer<float, H, H, RTNeural::SampleRateCorrectionMode::None>>;
  static Net net;
  set_weights<H>(net.template get<0>());
  net.reset();
  const int steps = 2048, rounds = 21;
  const std::vector<std::vector<float>> x = draw(16, H);
  alignas(64) float input[H];
  std::vector<double> times;
  float sum = 0;
  for (int round = 0; round < rounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    for (int t = 0; t < steps; ++t) {
      std::copy(x[t % 16].begin(), x[t % 16].end(), input);
      sum += net.forward(input);
    }
    const std::chrono::duration<double, std::nano> spent = std::chrono::steady_clock::now() - start;
    times.push_back(spent.count() / steps);
  }
  std::nth_element(times.begin(), times.begin() + rounds / 2, times.end());
  std::printf("%s %d %.1f\n", name, H, sum == sum ? times[rounds / 2] : -1.0);
}

template <int H>
void measure_both() {
  measure<RTNeural::LSTMLayerT, H>("lstm");
  measure<RTNeural::GRULayerT, H>("gru");
}

}  // namespace

int main() {
  measure_both<8>();
  measure_both<16>();
  measure_both<32>();
  measure_both<64>();
}
