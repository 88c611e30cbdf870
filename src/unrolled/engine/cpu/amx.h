// Whether this process may use AMX: the processor has it, and the system lends its registers.
#pragma once

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace unrolled {

struct Bfloat16Support {
  bool vectors = false, tiles = false;
};

// Asks the system for the tile registers, which a process has to do once.
inline Bfloat16Support bfloat16_support() {
  Bfloat16Support found;
#if defined(__x86_64__) && defined(__linux__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid_count(7, 1, &a, &b, &c, &d)) return found;
  found.vectors = a >> 5 & 1;
  __get_cpuid_count(7, 0, &a, &b, &c, &d);
  const bool amx = (d >> 22 & 1) && (d >> 24 & 1);
  constexpr long request_permission = 0x1023, tile_data = 18;
  found.tiles = amx && found.vectors && syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#endif
  return found;
}

}  // namespace unrolled
