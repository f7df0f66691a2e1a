// Which point is not finite.
#pragma once

#include <cmath>

#include "equiscope/index.hpp"

namespace equiscope {

// The first of n points; -1 where all are finite.
template <class T>
Index first_not_finite(const T* xyz, Index n) {
    for (Index row = 0; row < n; ++row, xyz += 3)
        if (!(std::isfinite(xyz[0]) && std::isfinite(xyz[1]) && std::isfinite(xyz[2]))) return row;
    return -1;
}

}  // namespace equiscope
