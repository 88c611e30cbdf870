// Binding of the loop over time.
#pragma once

#include <nanobind/nanobind.h>

#include <string>

#include "kernel.h"

namespace unrolled {

const Engine& engine_of(const std::string& name);
const Kernel& find(const Engine& engine, const std::string& name);
void bind_layer(nanobind::module_& m);

}  // namespace unrolled
