// Generators X_k of the real irreps: d/dt D^l(exp(t L_k)) at t = 0, with L_k v = e_k x v and k = 0, 1, 2 for x, y, z.
// Antisymmetric, at most two nonzeros per row. From the ladder operators: X_x = i L_x, X_y = i L_y, X_z = i L_z, in the
// basis without Condon-Shortley phase.
#pragma once

#include <cmath>

#include "config.hpp"

namespace equiscope {

// Calls entry(k, row, column, value) for every nonzero of the three generators, row and column in -l..l.
template <class Entry>
EQUISCOPE_HOST_DEVICE inline void generators(int l, Entry&& entry) {
    const double casimir = l * (l + 1.0), root2 = 1.4142135623730951;
    for (int m = 1; m <= l; ++m) {
        entry(2, m, -m, -static_cast<double>(m));
        entry(2, -m, m, static_cast<double>(m));
        // couples |m| and |m| - 1
        const double half = 0.5 * std::sqrt(casimir - m * (m - 1.0));
        if (m == 1) {
            entry(1, 1, 0, half * root2);
            entry(1, 0, 1, -half * root2);
            entry(0, -1, 0, -half * root2);
            entry(0, 0, -1, half * root2);
        } else {
            const int k = m - 1;
            entry(1, m, k, half);
            entry(1, k, m, -half);
            entry(1, -m, -k, half);
            entry(1, -k, -m, -half);
            entry(0, m, -k, half);
            entry(0, -k, m, -half);
            entry(0, -m, k, -half);
            entry(0, k, -m, half);
        }
    }
}

}  // namespace equiscope
