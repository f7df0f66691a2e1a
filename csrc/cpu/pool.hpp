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

// How many of `threads` pay for being woken, which takes about 30 us and milliseconds where another process has their core:
// one for every 2^17 values that are read or made, about 100 us of work.
inline int threads_for(std::int64_t values, int threads) {
    const std::int64_t paying = values >> 17;
    return paying < 1 ? 1 : paying < threads ? static_cast<int>(paying) : threads;
}

// `parallel_for` of a callable body(index). A plain function pointer underneath, since std::function would leave symbols of one
// instruction set in reach of another.
template <class Body>
inline void parallel_for(std::int64_t count, int threads, const Body& body) {
    const Task task = [](const void* context, std::int64_t index) { (*static_cast<const Body*>(context))(index); };
    parallel_for(count, threads, task, &body);
}

}  // namespace equiscope
