// Binding of Stream.
#pragma once

#include <nanobind/nanobind.h>

#include <string>

#include "kernel.h"

namespace unrolled {

const Engine& engine_of(const std::string& name);
const Kernel& find(const Engine& engine, const std::string& name);
// Frees the packed weights that short calls keep; returns the bytes.
std::size_t release_kept();
void bind_stream(nanobind::module_& m);

}  // namespace unrolled
