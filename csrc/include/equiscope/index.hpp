// Index arithmetic of the packed layouts.
//   harmonics: for l: for m in -l..l                          -> harmonic_index(l, m)
//   D matrices: for l: for mp in -l..l: for m in -l..l        -> matrix_offset(l) + (mp + l)(2l + 1) + m + l
#pragma once

#include <cstdint>

#include "config.hpp"

namespace equiscope {

using Index = std::int64_t;

EQUISCOPE_HOST_DEVICE constexpr Index harmonic_count(Index lmax) { return (lmax + 1) * (lmax + 1); }

EQUISCOPE_HOST_DEVICE constexpr Index harmonic_index(Index l, Index m) { return l * l + l + m; }

// E(lmax) = sum_{l <= lmax} (2l + 1)^2
EQUISCOPE_HOST_DEVICE constexpr Index matrix_count(Index lmax) {
    return (lmax + 1) * (2 * lmax + 1) * (2 * lmax + 3) / 3;
}

// E(l - 1): where the matrix of degree l starts. In the type of l, so that small tiles are addressed by 32-bit numbers.
template <class Integer>
EQUISCOPE_HOST_DEVICE constexpr Integer matrix_offset(Integer l) {
    return l * (2 * l - 1) * (2 * l + 1) / 3;
}

// Where its element (0, 0) lies.
EQUISCOPE_HOST_DEVICE constexpr Index matrix_center(Index l) { return matrix_offset(l) + 2 * l * (l + 1); }

}  // namespace equiscope
