// Which matrices are no rotations, found in one pass.
#pragma once

#include <tuple>

#include "equiscope/index.hpp"
#include "equiscope/rotation.hpp"

namespace equiscope {

// Rows; -1 where there is none.
struct RotationFaults {
    Index bad;         // the first that is not finite or not orthogonal to the tolerance
    double deviation;  // its |R R^T - 1|
    Index improper;    // the first before it whose determinant is negative
};

// As Python takes them.
using Faults = std::tuple<Index, double, Index>;

inline Faults in_order(const RotationFaults& found) { return {found.bad, found.deviation, found.improper}; }

template <class T>
RotationFaults check_rotations(const T* rotations, Index n, double tolerance) {
    Index improper = -1;
    for (Index row = 0; row < n; ++row) {
        const T* r = rotations + 9 * row;
        const double deviation = deviation_from_orthogonal(r);
        if (!(deviation <= tolerance)) return {row, deviation, improper};
        if (improper < 0 && determinant(r) < 0) improper = row;
    }
    return {-1, 0.0, improper};
}

}  // namespace equiscope
