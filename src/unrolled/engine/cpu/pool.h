// Threads that help with calls.
//
// Most are ours and not an OpenMP runtime's, whose threads look for work in a loop for milliseconds
// where they should sleep, and whose callers wait for all that they asked for. Here a call waits a
// moment for those it has asked and goes on with who has come: on a busy machine a thread may get
// no processor for longer than the whole call takes. Helpers of one call are nobody else's: calls of
// several threads share what helpers there are.
#pragma once

namespace unrolled {

constexpr int most_members = 256;

// One member's part; members are numbered from 0, who is the caller.
using Part = void (*)(void* context, int member, int members);

// Calls part(context, member, members) for all members at the same time, so that they may wait for
// each other; returns when all have returned. There are `wanted` of them at most, and fewer where
// others have not come within `patience` nanoseconds or cannot be had.
void run_together(int wanted, long long patience, Part part, void* context);

// The same by the threads of the OpenMP runtime that is loaded, which are torch's: between torch's own
// operations they look for work without sleeping, on the processors that helpers would need. All of
// them are waited for. Only where there is such a runtime.
void run_by_openmp(int wanted, Part part, void* context);

// Whether there is one. Not in the child of a fork, which has none of its threads.
bool has_openmp();

// From now on no call gets more members; for tests.
void limit_members(int most);

}  // namespace unrolled
