// Generators X_k of the real irreps: d/dt D^l(exp(t L_k)) at t = 0, with L_k v = e_k x v and k = 0, 1, 2 for x, y, z.
// Antisymmetric, at most two nonzeros per row. From the ladder operators, in the basis without Condon-Shortley phase:
//   X_z couples m and -m by m, X_x and X_y couple |m| and |m| - 1 by sqrt(l(l+1) - m(m-1)) / 2.
#pragma once

#include <cmath>

#include "config.hpp"
#include "constants.hpp"
#include "index.hpp"

namespace equiscope {

EQUISCOPE_HOST_DEVICE inline double ladder(int l, int m) { return 0.5 * std::sqrt(l * (l + 1.0) - m * (m - 1.0)); }

// Calls entry(k, row, column, value) for every nonzero of the three generators, row and column in -l..l.
template <class Entry>
EQUISCOPE_HOST_DEVICE inline void generators(int l, Entry&& entry) {
    const auto pair = [&](int k, int row, int column, double value) {
        entry(k, row, column, value);
        entry(k, column, row, -value);
    };
    for (int m = 1; m <= l; ++m) {
        const int k = m - 1;
        pair(2, -m, m, m);
        if (k == 0) {
            pair(1, 1, 0, root2 * ladder(l, 1));
            pair(0, 0, -1, root2 * ladder(l, 1));
        } else {
            pair(1, m, k, ladder(l, m));
            pair(1, -m, -k, ladder(l, m));
            pair(0, m, -k, ladder(l, m));
            pair(0, k, -m, ladder(l, m));
        }
    }
}

// torque[k] += sum_i <g_i, d_i X_k> over `rows` row vectors of degree l: the derivative of sum_i <g_i, d_i> when each d_i
// is D_i and the rotation turns in the frame of the body. d and g are rows x (2l+1); half(m) is the entry of X_x and X_y
// that couples m and m - 1.
template <class S, class T, class Half>
EQUISCOPE_HOST_DEVICE inline void add_torque(int l, Index rows, const T* d, const T* g, S torque[3], const Half& half) {
    const Index size = 2 * l + 1;
    d += l, g += l;
    const S zero = torque[0] * 0.0;
    for (int m = 1; m <= l; ++m) {
        const int k = m - 1;
        S x = zero, y = zero, z = zero;
        for (Index i = 0; i < rows; ++i) {
            const T *a = d + i * size, *b = g + i * size;
            const S a_minus = static_cast<S>(a[-m]), a_plus = static_cast<S>(a[m]), a_k = static_cast<S>(a[k]);
            const S b_minus = static_cast<S>(b[-m]), b_plus = static_cast<S>(b[m]), b_k = static_cast<S>(b[k]);
            z += a_minus * b_plus - a_plus * b_minus;
            y += a_plus * b_k - a_k * b_plus;
            x += a_k * b_minus - a_minus * b_k;
            if (k > 0) {
                const S a_other = static_cast<S>(a[-k]), b_other = static_cast<S>(b[-k]);
                y += a_minus * b_other - a_other * b_minus;
                x += a_plus * b_other - a_other * b_plus;
            }
        }
        torque[0] += x * half(m);
        torque[1] += y * half(m);
        torque[2] += z * static_cast<double>(m);
    }
}

EQUISCOPE_HOST_DEVICE inline double generator_half(int l, int m) {
    return m == 1 ? root2 * ladder(l, 1) : ladder(l, m);
}

template <class S>
EQUISCOPE_HOST_DEVICE inline void add_torque(int l, Index rows, const S* d, const S* g, S torque[3]) {
    add_torque(l, rows, d, g, torque, [l](int m) { return generator_half(l, m); });
}

}  // namespace equiscope
