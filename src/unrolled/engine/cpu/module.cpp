// The Python side of the CPU engine: which instruction sets there are, and one call.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernel.h"

namespace nb = nanobind;

namespace unrolled {

Engine engine_baseline();
#ifdef UNROLLED_X86
Engine engine_avx2();
Engine engine_avx512();
#endif

// Instruction sets that this processor runs, the fastest first.
const std::vector<Engine>& engines() {
  static const std::vector<Engine> found = [] {
    std::vector<Engine> list;
#ifdef UNROLLED_X86
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
      list.push_back(engine_avx512());
    if (avx2) list.push_back(engine_avx2());
#endif
    list.push_back(engine_baseline());
    return list;
  }();
  return found;
}

const Kernel& find(const Engine& engine, const std::string& name) {
  for (index k = 0; k < engine.kernel_count; ++k)
    if (name == engine.kernels[k].name) return engine.kernels[k];
  throw std::invalid_argument("no kernel is called " + name);
}

const Engine& engine_of(const std::string& name) {
  for (const Engine& engine : engines())
    if (name == engine.name) return engine;
  throw std::invalid_argument("this processor has no instruction set " + name);
}

using Pointer = std::uintptr_t;
template <class T>
T* pointer(Pointer value) {
  return reinterpret_cast<T*>(value);
}

// A sequence of vectors from Python: (pointer, step stride, row stride) in floats.
using Strided = std::tuple<Pointer, index, index>;

std::vector<float*> pointers(const std::vector<Pointer>& values) {
  std::vector<float*> result;
  for (Pointer value : values) result.push_back(pointer<float>(value));
  return result;
}

Sequence sequence(nb::handle strided) {
  nb::tuple t = nb::cast<nb::tuple>(strided);
  return {pointer<float>(nb::cast<Pointer>(t[0])), nb::cast<index>(t[1]), nb::cast<index>(t[2])};
}

void call(const std::string& isa, const std::string& name, const std::string& mode,
          bool descending, index steps, index rows, index hidden, index projected, Pointer lengths,
          int threads, nb::handle tape, nb::handle output, const std::vector<Pointer>& initial,
          const std::vector<Pointer>& last, const std::vector<Pointer>& matrices, Pointer biases,
          nb::handle input, index input_size, Pointer input_weights, index from, index until,
          nb::handle gradient, const std::vector<Pointer>& gradient_last, nb::handle delta) {
  const Engine& engine = engine_of(isa);
  const Kernel& kernel = find(engine, name);
  const auto initial_of = pointers(initial), last_of = pointers(last),
             matrices_of = pointers(matrices), gradient_last_of = pointers(gradient_last);
  Call c{};
  c.mode = mode == "inference" ? Mode::inference : mode == "forward" ? Mode::forward
                                                                     : Mode::backward;
  c.descending = descending;
  c.steps = steps;
  c.rows = rows;
  c.size[0] = hidden;
  c.size[1] = projected;
  c.lengths = pointer<std::int64_t>(lengths);
  c.threads = threads;
  c.tape = sequence(tape);
  c.output = sequence(output);
  c.initial = initial_of.data();
  c.last = last_of.data();
  c.matrices = matrices_of.data();
  c.biases = pointer<float>(biases);
  c.input = sequence(input);
  c.input_size = input_size;
  c.input_weights = pointer<float>(input_weights);
  c.from = from;
  c.until = until;
  c.gradient = sequence(gradient);
  c.gradient_last = gradient_last_of.data();
  c.delta = sequence(delta);
  nb::gil_scoped_release release;
  engine.run(kernel, c);
}

// Asks for large pages under memory that is about to be written for the first time: the kernel of
// the system then clears megabytes at once instead of stopping the loop every 4 KiB. It is a hint.
void advise(Pointer begin, std::size_t bytes) {
#ifdef MADV_HUGEPAGE
  constexpr Pointer page = 1 << 21;
  const Pointer first = (begin + page - 1) / page * page, end = (begin + bytes) / page * page;
  if (first < end) madvise(pointer<void>(first), end - first, MADV_HUGEPAGE);
#else
  (void)begin, (void)bytes;
#endif
}

}  // namespace unrolled

NB_MODULE(_cpu, m) {
  using namespace unrolled;
  m.doc() = "Kernels for recurrences on CPUs.";
  m.def("instruction_sets", [] {
    std::vector<std::string> names;
    for (const Engine& engine : engines()) names.push_back(engine.name);
    return names;
  }, "Instruction sets that this processor runs, the fastest first.");
  m.def("plans", [] {
    std::vector<std::string> plans;
    const Engine& engine = engines().front();
    for (unrolled::index k = 0; k < engine.kernel_count; ++k) plans.push_back(engine.kernels[k].plan);
    return plans;
  }, "For each kernel how its arrays are laid out, as JSON.");
  m.def("advise", &advise, nb::arg("begin"), nb::arg("bytes"),
        "Asks for large pages under memory that is about to be written for the first time.");
  m.def("call", &call, nb::arg("isa"), nb::arg("name"), nb::arg("mode"), nb::arg("descending"),
        nb::arg("steps"), nb::arg("rows"), nb::arg("hidden"), nb::arg("projected"),
        nb::arg("lengths"), nb::arg("threads"), nb::arg("tape"), nb::arg("output"),
        nb::arg("initial"), nb::arg("last"), nb::arg("matrices"), nb::arg("biases"),
        nb::arg("input"), nb::arg("input_size"), nb::arg("input_weights"),
        nb::arg("from_step"), nb::arg("until_step"), nb::arg("gradient"), nb::arg("gradient_last"), nb::arg("delta"),
        "Runs one direction of one layer over a whole sequence; see kernel.h.");
}
