#include "cpu/cached_bytes.hpp"

#include <unistd.h>

namespace equiscope {
namespace {

// A quarter of the last cache: what is written next, or by other threads, needs room too. Of a large cache that many
// cores share, no more than a core can count on.
Index quarter_of_cache() {
    Index last = Index(32) << 20;
#if defined(_SC_LEVEL3_CACHE_SIZE)
    const long found = sysconf(_SC_LEVEL3_CACHE_SIZE);
    if (found > 0 && found < last) last = found;
#endif
    return last / 4;
}

const Index found = quarter_of_cache();

}  // namespace

Index cached_bytes() { return found; }

}  // namespace equiscope
