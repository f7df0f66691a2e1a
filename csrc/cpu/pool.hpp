// The one thread pool of the library. Not OpenMP: torch brings its own run time, and two in a process collide.
#pragma once

#include <cstdint>

namespace equiscope {

using Task = void (*)(const void* context, std::int64_t index);

// Calls task(context, 0), ..., task(context, count - 1), each once, on at most `threads` threads including the caller,
// and returns when all are done. Which thread takes which task is left open, so results must not depend on it. A caller
// that finds the pool busy (another Python thread, or a nested call) runs its tasks itself. A forked child starts a pool
// of its own. The first exception of a task is thrown on to the caller.
void parallel_for(std::int64_t count, int threads, Task task, const void* context);

// The same for a callable body(index). A plain function pointer underneath, since std::function would leave symbols of one
// instruction set in reach of another.
template <class Body>
inline void parallel_for(std::int64_t count, int threads, const Body& body) {
    const Task task = [](const void* context, std::int64_t index) { (*static_cast<const Body*>(context))(index); };
    parallel_for(count, threads, task, &body);
}

}  // namespace equiscope
