// The Python side of the CPU engine: which instruction sets and kernels there are.
#include <dlfcn.h>
#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "amx.h"
#include "layer_module.h"
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
  m.def("release_memory", [] { return release_workspaces() + release_kept(); },
        "Frees the memory that threads and short calls keep between calls; returns the bytes.");
  bind_layer(m);
  bind_stream(m);
}
