// What makes a 3x3 matrix, row by row in r[9], a rotation: its determinant and R R^T.
#pragma once

#include <cmath>

#include "config.hpp"

namespace equiscope {

template <class Real>
EQUISCOPE_HOST_DEVICE inline Real determinant(const Real* r) {
    return r[0] * (r[4] * r[8] - r[5] * r[7]) - r[1] * (r[3] * r[8] - r[5] * r[6]) + r[2] * (r[3] * r[7] - r[4] * r[6]);
}

// Largest entry of |R R^T - 1|, in float64; NaN or infinite where an entry of R is.
template <class T>
EQUISCOPE_HOST_DEVICE inline double deviation_from_orthogonal(const T* r) {
    double worst = 0.0;
    for (int i = 0; i < 3; ++i)
        for (int j = i; j < 3; ++j) {
            double dot = i == j ? -1.0 : 0.0;
            for (int k = 0; k < 3; ++k) dot += static_cast<double>(r[3 * i + k]) * static_cast<double>(r[3 * j + k]);
            const double size = std::fabs(dot);
            // a NaN that was found stays
            if (size > worst || size != size) worst = size;
        }
    return worst;
}

}  // namespace equiscope
