// The Python side of the CPU engine: which instruction sets there are, and one call.
#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "amx.h"
#include "stream_module.h"

namespace nb = nanobind;

namespace unrolled {

Engine engine_baseline();
#ifdef UNROLLED_X86
Engine engine_avx2();
Engine engine_avx512();
#endif
#ifdef UNROLLED_BFLOAT16
Engine engine_avx512_bf16();
Engine engine_amx();
#endif

// Instruction sets that this processor runs, the fastest first. The first of them may differ from
// the next in nothing but the products of bfloat16.
const std::vector<Engine>& engines() {
  static const std::vector<Engine> found = [] {
    std::vector<Engine> list;
#ifdef UNROLLED_X86
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512vl");
#ifdef UNROLLED_BFLOAT16
    const Bfloat16Support bfloat16 = avx512 ? bfloat16_support() : Bfloat16Support{};
    if (bfloat16.tiles) list.push_back(engine_amx());
    if (bfloat16.vectors) list.push_back(engine_avx512_bf16());
#endif
    if (avx512) list.push_back(engine_avx512());
    if (avx2) list.push_back(engine_avx2());
#endif
    list.push_back(engine_baseline());
    return list;
  }();
  return found;
}

// Kernels that were compiled after the module was, by target and name; guarded by the interpreter's
// lock. Their libraries are never closed.
std::map<std::pair<std::string, std::string>, const Kernel*>& added() {
  static std::map<std::pair<std::string, std::string>, const Kernel*> kernels;
  return kernels;
}

const Kernel& find(const Engine& engine, const std::string& name) {
  for (index k = 0; k < engine.kernel_count; ++k)
    if (name == engine.kernels[k].name) return engine.kernels[k];
  const auto found = added().find({engine.target, name});
  if (found != added().end()) return *found->second;
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

Mask mask(nb::handle strided) {
  nb::tuple t = nb::cast<nb::tuple>(strided);
  return {pointer<const bool>(nb::cast<Pointer>(t[0])), nb::cast<index>(t[1]),
          nb::cast<index>(t[2])};
}

void call(const std::string& isa, const std::string& name, const std::string& mode,
          bool bfloat16, bool descending, index steps, index rows, index hidden, index projected,
          int threads, int slices, Pointer lengths, nb::handle input, index input_size,
          Pointer input_weights,
          Pointer input_bias, Pointer recurrent_bias, const std::vector<Pointer>& matrices,
          const std::vector<Pointer>& initial, const std::vector<Pointer>& last, nb::handle output,
          nb::handle tape, index block, nb::handle gradient, const std::vector<Pointer>& gradient_last,
          nb::handle gradient_input, Pointer gradient_input_weights, Pointer gradient_input_bias,
          Pointer gradient_recurrent_bias, const std::vector<Pointer>& gradient_matrices,
          nb::handle reset, const std::vector<Pointer>& anew,
          const std::vector<Pointer>& gradient_anew, Pointer vectors, nb::handle exact_input,
          nb::handle gradient_tape, Pointer gradient_vectors, const std::vector<double>& rates,
          bool drawing, std::uint64_t seed, index first_step, index heads) {
  const Engine& engine = engine_of(isa);
  const Kernel& kernel = find(engine, name);
  const auto initial_of = pointers(initial), last_of = pointers(last),
             matrices_of = pointers(matrices), gradient_last_of = pointers(gradient_last),
             gradient_matrices_of = pointers(gradient_matrices), anew_of = pointers(anew),
             gradient_anew_of = pointers(gradient_anew);
  Call c{};
  c.mode = mode == "inference" ? Mode::inference : mode == "forward" ? Mode::forward
                                                                     : Mode::backward;
  c.precision = bfloat16 ? Precision::bfloat16 : Precision::float32;
  c.descending = descending;
  c.steps = steps;
  c.rows = rows;
  c.size[0] = hidden;
  c.size[1] = projected;
  c.lengths = pointer<std::int64_t>(lengths);
  c.threads = threads;
  c.slices = slices;
  c.tape = sequence(tape);
  c.output = sequence(output);
  c.initial = initial_of.data();
  c.last = last_of.data();
  c.matrices = matrices_of.data();
  c.input = sequence(input);
  c.input_size = input_size;
  c.input_weights = pointer<float>(input_weights);
  c.input_bias = pointer<float>(input_bias);
  c.recurrent_bias = pointer<float>(recurrent_bias);
  c.block = block;
  c.gradient = sequence(gradient);
  c.gradient_last = gradient_last_of.data();
  c.gradient_input = sequence(gradient_input);
  c.gradient_matrices = gradient_matrices_of.data();
  c.gradient_input_weights = pointer<float>(gradient_input_weights);
  c.gradient_input_bias = pointer<float>(gradient_input_bias);
  c.gradient_recurrent_bias = pointer<float>(gradient_recurrent_bias);
  c.reset = mask(reset);
  c.anew = anew_of.data();
  c.gradient_anew = gradient_anew_of.data();
  c.vectors = pointer<float>(vectors);
  c.exact_input = sequence(exact_input);
  c.gradient_tape = sequence(gradient_tape);
  c.gradient_vectors = pointer<float>(gradient_vectors);
  c.rates = rates.data();
  c.drawing = drawing;
  c.seed = seed;
  c.first_step = first_step;
  c.heads = heads;
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
  m.def("target", [](const std::string& isa) {
    const Engine& engine = engine_of(isa);
    return std::make_pair(std::string(engine.target), std::string(engine.flags));
  }, nb::arg("isa"), "What cells are compiled for, and the compiler's flags for it.");
  m.def("add_kernel", [](const std::string& target, const std::string& name, Pointer kernel) {
    added()[{target, name}] = pointer<const Kernel>(kernel);
  }, nb::arg("target"), nb::arg("name"), nb::arg("kernel"),
        "Makes a kernel known by name; it must stay where it is for ever.");
  m.def("advise", &advise, nb::arg("begin"), nb::arg("bytes"),
        "Asks for large pages under memory that is about to be written for the first time.");
  const nb::tuple nothing = nb::make_tuple(0, 0, 0);
  const std::vector<Pointer> none;
  m.def("call", &call, nb::arg("isa"), nb::arg("name"), nb::arg("mode"), nb::arg("bfloat16"),
        nb::arg("descending"),
        nb::arg("steps"), nb::arg("rows"), nb::arg("hidden"), nb::arg("projected"),
        nb::arg("threads"), nb::arg("slices"), nb::arg("lengths"), nb::arg("input"),
        nb::arg("input_size"),
        nb::arg("input_weights"), nb::arg("input_bias"), nb::arg("recurrent_bias"),
        nb::arg("matrices"), nb::arg("initial"), nb::arg("last"), nb::arg("output"),
        nb::arg("tape"), nb::arg("block") = 0, nb::arg("gradient") = nothing,
        nb::arg("gradient_last") = none,
        nb::arg("gradient_input") = nothing, nb::arg("gradient_input_weights") = 0,
        nb::arg("gradient_input_bias") = 0, nb::arg("gradient_recurrent_bias") = 0,
        nb::arg("gradient_matrices") = none, nb::arg("reset") = nothing, nb::arg("anew") = none,
        nb::arg("gradient_anew") = none, nb::arg("vectors") = 0, nb::arg("exact_input") = nothing,
        nb::arg("gradient_tape") = nothing, nb::arg("gradient_vectors") = 0,
        nb::arg("rates") = std::vector<double>(), nb::arg("drawing") = false, nb::arg("seed") = 0,
        nb::arg("first_step") = 0, nb::arg("heads") = 1,
        "Runs one direction of one layer over a whole sequence; see kernel.h.");
  bind_stream(m);
}
