// The Python side of the CPU engine: which instruction sets there are, and one call.
#include <dlfcn.h>
#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <map>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "amx.h"
#include "stream_module.h"
#include "tensor.h"
#include "workspace.h"

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

[[noreturn]] void refuse(const std::string& what) { refuse(kernels, what); }

// As many as there are states (or matrices), each checked by `one`.
template <class Value, class One>
std::vector<Value> each(const nb::list& given, const char* name, index count, One one) {
  if (static_cast<index>(given.size()) != count)
    refuse(std::string(name) + " has " + std::to_string(given.size()) + " tensors, expected " +
           std::to_string(count));
  std::vector<Value> found;
  for (index k = 0; k < count; ++k) found.push_back(one(given[k], k));
  return found;
}

void at_least(const char* name, index value, index least) {
  if (value < least)
    refuse(std::string(name) + " must be at least " + std::to_string(least) + ", got " +
           std::to_string(value));
}

Mode mode_of(const std::string& name) {
  if (name == "inference") return Mode::inference;
  if (name == "forward") return Mode::forward;
  if (name == "backward") return Mode::backward;
  refuse("mode must be inference, forward or backward, got " + name);
}

// Floats of vectors of these sizes, one after the other.
index width(const Call& c, const Space* sizes, index count) {
  index sum = 0;
  for (index s = 0; s < count; ++s) sum += c.size[static_cast<index>(sizes[s])];
  return sum;
}

void check_lengths(const Call& c) {
  for (index row = 0; c.lengths != nullptr && row < c.rows; ++row)
    if (c.lengths[row] < 0 || c.lengths[row] > c.steps)
      refuse("lengths must lie between 0 and the input's " + std::to_string(c.steps) +
             " steps, got " + std::to_string(c.lengths[row]) + " for row " + std::to_string(row));
}

// One call of the kernels; kernel.h says what each argument is. Sizes come from the input, the
// program's table and `hidden`, `projected`; every tensor must fit them.
void call(const std::string& isa, const std::string& name, const std::string& mode,
          bool bfloat16, bool descending, index hidden, index projected, index heads, int threads,
          int slices, nb::handle lengths, nb::handle input, nb::handle exact_input,
          nb::handle input_weights, nb::handle input_bias, nb::handle recurrent_bias,
          const nb::list& matrices, nb::handle vectors, const nb::list& initial,
          const nb::list& last, nb::handle output, nb::handle tape, nb::handle reset,
          const nb::list& anew, const std::vector<double>& rates, bool drawing, std::uint64_t seed,
          index first_step, index block, nb::handle gradient, const nb::list& gradient_last,
          nb::handle gradient_tape, nb::handle gradient_input, nb::handle gradient_input_weights,
          nb::handle gradient_input_bias, nb::handle gradient_recurrent_bias,
          const nb::list& gradient_matrices, nb::handle gradient_vectors,
          const nb::list& gradient_anew) {
  const Engine& engine = engine_of(isa);
  const Kernel& kernel = find(engine, name);
  const Dtype products = bfloat16 ? Dtype::bfloat16 : Dtype::float32;
  const auto hidden_space = static_cast<index>(Space::hidden);
  at_least("hidden", hidden, 1);
  at_least("projected", projected, 1);
  at_least("heads", heads, 1);
  at_least("threads", threads, 1);
  at_least("slices", slices, 0);
  at_least("block", block, 0);

  Call c{};
  c.mode = mode_of(mode);
  c.precision = bfloat16 ? Precision::bfloat16 : Precision::float32;
  c.descending = descending;
  c.size[hidden_space] = hidden;
  c.size[static_cast<index>(Space::projected)] = projected;
  c.heads = heads;
  c.threads = threads;
  c.slices = slices;
  c.block = block;

  const Tensor x(input, products, kernels, "input");
  if (x.dimensions != 3)
    refuse("input has shape " + listed(x.shape, x.dimensions) + ", expected [steps, rows, size]");
  c.steps = x.shape[0];
  c.rows = x.shape[1];
  c.input_size = x.shape[2];
  c.input = sequence(input, "input", c.steps, c.rows, c.input_size, products);
  if (kernel.input_slot >= 0) {
    if (c.input_size != hidden)
      refuse("input has " + std::to_string(c.input_size) + " features, and x stands in the " +
             "equations of " + name + ": expected hidden = " + std::to_string(hidden));
    c.exact_input = sequence(exact_input, "exact_input", c.steps, c.rows, c.input_size);
  }
  if (!lengths.is_none())
    c.lengths = static_cast<std::int64_t*>(contiguous(lengths, "lengths", {c.rows}, Dtype::int64));
  check_lengths(c);
  c.reset = mask_or_null(reset, "reset", c.steps, c.rows);

  // The weights, and in the same shapes their gradients.
  const index gates = kernel.gate_count * hidden;
  const index products_of_states = kernel.matrix_count > 0 && kernel.matrices[0].recurrent
                                       ? kernel.matrices[0].blocks * hidden
                                       : 0;
  const auto rows_of = [&](index k) {
    const Matrix& matrix = kernel.matrices[k];
    return matrix.blocks * c.size[static_cast<index>(matrix.rows)];
  };
  const auto columns_of = [&](index k) {
    const Matrix& matrix = kernel.matrices[k];
    const index columns = c.size[static_cast<index>(matrix.columns)];
    if (!matrix.recurrent) return columns;
    if (columns % heads != 0 || hidden % heads != 0)
      refuse("heads must divide " + std::to_string(hidden) + " and " + std::to_string(columns) +
             ", got " + std::to_string(heads));
    return columns / heads;
  };
  c.input_weights = static_cast<const float*>(
      contiguous(input_weights, "input_weights", {gates, c.input_size}, products));
  c.input_bias = floats_or_null(input_bias, "input_bias", {gates});
  c.recurrent_bias = floats_or_null(recurrent_bias, "recurrent_bias", {products_of_states});
  const auto matrices_of =
      each<const float*>(matrices, "matrices", kernel.matrix_count, [&](nb::handle one, index k) {
        return static_cast<const float*>(
            contiguous(one, "matrices", {rows_of(k), columns_of(k)}, products));
      });
  c.matrices = matrices_of.data();
  const index shared = kernel.vector_count * hidden;
  c.vectors = kernel.vector_count > 0 ? floats(vectors, "vectors", {shared}) : nullptr;

  // States, and what is laid out as they are.
  const auto state = [&](const char* what) {
    return [&c, &kernel, what](nb::handle one, index k) {
      return floats(one, what, {c.rows, c.size[static_cast<index>(kernel.states[k])]});
    };
  };
  const auto initial_of =
      each<const float*>(initial, "initial", kernel.state_count, state("initial"));
  const auto last_of = each<float*>(last, "last", kernel.state_count, state("last"));
  const auto anew_of = each<const float*>(anew, "anew", reset.is_none() ? 0 : kernel.state_count,
                                          state("anew"));
  c.initial = initial_of.data();
  c.last = last_of.data();
  c.anew = anew_of.data();

  const index output_size = c.size[static_cast<index>(kernel.states[0])];
  const index tape_width = width(c, kernel.tape, kernel.tape_count);
  c.output = sequence(output, "output", c.steps, c.rows, output_size);
  if (c.mode != Mode::inference) c.tape = sequence(tape, "tape", c.steps, c.rows, tape_width);
  if (static_cast<index>(rates.size()) != kernel.mask_count)
    refuse("rates has " + std::to_string(rates.size()) + " numbers, expected " +
           std::to_string(kernel.mask_count));
  c.rates = rates.data();
  c.drawing = drawing;
  c.seed = seed;
  c.first_step = first_step;

  std::vector<const float*> gradient_last_of;
  std::vector<float*> gradient_matrices_of, gradient_anew_of;
  if (c.mode == Mode::backward) {
    c.gradient = sequence_or_null(gradient, "gradient", c.steps, c.rows, output_size);
    c.gradient_tape = sequence_or_null(gradient_tape, "gradient_tape", c.steps, c.rows, tape_width);
    c.gradient_input =
        sequence_or_null(gradient_input, "gradient_input", c.steps, c.rows, c.input_size);
    gradient_last_of = each<const float*>(
        gradient_last, "gradient_last", kernel.state_count, [&](nb::handle one, index k) {
          return one.is_none() ? nullptr : state("gradient_last")(one, k);
        });
    c.gradient_input_weights =
        floats(gradient_input_weights, "gradient_input_weights", {gates, c.input_size});
    if (c.input_bias != nullptr)
      c.gradient_input_bias = floats(gradient_input_bias, "gradient_input_bias", {gates});
    if (c.recurrent_bias != nullptr)
      c.gradient_recurrent_bias =
          floats(gradient_recurrent_bias, "gradient_recurrent_bias", {products_of_states});
    gradient_matrices_of = each<float*>(
        gradient_matrices, "gradient_matrices", kernel.matrix_count, [&](nb::handle one, index k) {
          return floats(one, "gradient_matrices", {rows_of(k), columns_of(k)});
        });
    if (kernel.vector_count > 0)
      c.gradient_vectors = floats(gradient_vectors, "gradient_vectors", {shared});
    if (!reset.is_none())
      gradient_anew_of = each<float*>(gradient_anew, "gradient_anew", kernel.state_count,
                                      state("gradient_anew"));
    c.gradient_last = gradient_last_of.data();
    c.gradient_matrices = gradient_matrices_of.data();
    c.gradient_anew = gradient_anew_of.data();
  }
  bool done;
  {
    nb::gil_scoped_release release;
    done = engine.run(kernel, c);
  }
  if (!done) throw std::bad_alloc();
}

// Asks for large pages under memory that is about to be written for the first time: the kernel of
// the system then clears megabytes at once instead of stopping the loop every 4 KiB. It is a hint.
void advise(nb::handle array) {
#ifdef MADV_HUGEPAGE
  const Tensor found(array, Dtype::float32, kernels, "array");
  if (!found.is_contiguous() || found.data == nullptr) return;
  index bytes = sizeof(float);
  for (int d = 0; d < found.dimensions; ++d) bytes *= found.shape[d];
  constexpr std::uintptr_t page = 1 << 21;
  const auto begin = reinterpret_cast<std::uintptr_t>(found.data);
  const std::uintptr_t first = (begin + page - 1) / page * page, end = (begin + bytes) / page * page;
  if (first < end) madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
#else
  (void)array;
#endif
}

// Opens a library of one kernel, which stays open for ever, and makes the kernel known.
void add_kernel(const std::string& target, const std::string& name, const std::string& path,
                const std::string& symbol) {
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw std::runtime_error(dlerror());
  // By its symbol a library proves that it is what it is taken for.
  void* const function = dlsym(library, symbol.c_str());
  const auto* const kernel =
      function ? reinterpret_cast<const Kernel* (*)()>(function)() : nullptr;
  if (kernel == nullptr) {
    dlclose(library);
    throw std::runtime_error(path + " has no kernel " + symbol);
  }
  added()[{target, name}] = kernel;
}

}  // namespace unrolled

NB_MODULE(_cpu, m) {
  using namespace unrolled;
  m.doc() = "Kernels for recurrences on CPUs.";
  load_torch();
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
  m.def("add_kernel", &add_kernel, nb::arg("target"), nb::arg("name"), nb::arg("path"),
        nb::arg("symbol"), "Makes the kernel in a library known by name.");
  m.def("advise", &advise, nb::arg("array"),
        "Asks for large pages under an array that is about to be written for the first time.");
  m.def("release_memory", &release_workspaces,
        "Frees the memory that threads keep between calls; returns the bytes.");
  const nb::object nothing = nb::none();
  const nb::list none;
  m.def("call", &call, nb::arg("isa"), nb::arg("name"), nb::arg("mode"), nb::arg("bfloat16"),
        nb::arg("descending"), nb::arg("hidden"), nb::arg("projected"), nb::arg("heads"),
        nb::arg("threads"), nb::arg("slices"), nb::arg("lengths").none(), nb::arg("input"),
        nb::arg("exact_input").none(), nb::arg("input_weights"), nb::arg("input_bias").none(),
        nb::arg("recurrent_bias").none(), nb::arg("matrices"), nb::arg("vectors").none(),
        nb::arg("initial"), nb::arg("last"), nb::arg("output"), nb::arg("tape").none(),
        nb::arg("reset").none(), nb::arg("anew"), nb::arg("rates"), nb::arg("drawing"),
        nb::arg("seed"), nb::arg("first_step"), nb::arg("block") = 0,
        nb::arg("gradient").none() = nothing, nb::arg("gradient_last") = none,
        nb::arg("gradient_tape").none() = nothing, nb::arg("gradient_input").none() = nothing,
        nb::arg("gradient_input_weights").none() = nothing,
        nb::arg("gradient_input_bias").none() = nothing,
        nb::arg("gradient_recurrent_bias").none() = nothing, nb::arg("gradient_matrices") = none,
        nb::arg("gradient_vectors").none() = nothing, nb::arg("gradient_anew") = none,
        "Runs one direction of one layer over a whole sequence; see kernel.h.");
  bind_stream(m);
}
