// Character projection on rings R Rz(gamma_k), gamma_k = 2 pi k / K. The samples of a ring enter through their Fourier
// sums C_n = sum_k cos(n gamma_k) v_k and S_n = sum_k sin(n gamma_k) v_k, since
//   D^l_{m,n}(R Rz(g))  = D^l_{m,n}(R) cos(n g) + D^l_{m,-n}(R) sin(n g)      n >= 0
//   D^l_{m,-n}(R Rz(g)) = D^l_{m,-n}(R) cos(n g) - D^l_{m,n}(R) sin(n g).
// With R = Rz(a) Ry(b) Rz(c), Rz(c) turns (C_n, S_n), Rz(a) mixes the rows m and -m in the same way, and D(Ry(b)) does not
// mix m >= 0 with m < 0: it has the entries p = D_{m,n}(Ry(b)) and q = D_{-m,-n}(Ry(b)) alone. With CC = sum cos(m a) C_n,
// CS = sum cos(m a) S_n, SC = sum sin(m a) C_n, SS = sum sin(m a) S_n over the rings of equal b, the coefficients are
//   c_{m,n} = p CC - q SS,  c_{m,-n} = -p CS - q SC,  c_{-m,n} = p SC + q CS,  c_{-m,-n} = -p SS + q CC.
// At pi - b, p takes the sign (-1)^{l+m+n} and q its opposite.
#pragma once

#include <cmath>

#include "config.hpp"
#include "constants.hpp"
#include "index.hpp"

namespace equiscope {

// n gamma_k, reduced to one turn before the multiplication by pi, where it is exact.
inline double ring_angle(Index n, Index k, Index gammas) {
    return 2.0 * pi * static_cast<double>(n * k % gammas) / static_cast<double>(gammas);
}

// Angles closer than this are one angle: a few roundings of a matrix entry, and an error in D of l times that.
constexpr double same_angle = 2e-15;

// R = Rz(a) Ry(b) Rz(c), sin b >= 0. Where b = 0 or pi, a is 0.
struct RingAxes {
    double cos_a, sin_a, cos_b, sin_b, cos_c, sin_c;
};

EQUISCOPE_HOST_DEVICE inline RingAxes ring_axes(const double r[9]) {
    const double horizontal = std::sqrt(r[2] * r[2] + r[5] * r[5]);
    const double cos_a = horizontal > 0 ? r[2] / horizontal : 1.0, sin_a = horizontal > 0 ? r[5] / horizontal : 0.0;
    // the middle row of Rz(-a) R is (sin c, cos c, 0), also where a is ill determined
    const double sin_c = cos_a * r[3] - sin_a * r[0], cos_c = cos_a * r[4] - sin_a * r[1];
    const double rounding = 1e-15;
    if (cos_c > 0 && std::fabs(sin_c) < rounding) return {cos_a, sin_a, r[8], horizontal, 1.0, 0.0};
    return {cos_a, sin_a, r[8], horizontal, cos_c, sin_c};
}

}  // namespace equiscope
