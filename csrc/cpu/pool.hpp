// The one thread pool of the library. Not OpenMP: torch brings its own run time, and two in a process collide.
#pragma once

#include <functional>

namespace equiscope {

// Calls task(0), ..., task(count - 1), each once, on at most `threads` threads including the caller, and returns when
// all are done. Which thread takes which task is left open, so tasks must not depend on it. A caller that finds the
// pool busy (another Python thread, or a nested call) runs its tasks itself. A forked child starts a pool of its own.
void parallel_for(long count, int threads, const std::function<void(long)>& task);

}  // namespace equiscope
