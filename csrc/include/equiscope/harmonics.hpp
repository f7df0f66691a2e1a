// Real spherical harmonics of a unit vector: order m = -l..l, no Condon-Shortley phase, integral normalisation.
//   Y_lm = P_l^|m|(z) Re (x + i y)^|m|  for m >= 0,  Im for m < 0,
// with P normalised and advanced in l at fixed m by a three-term recursion, so that nothing is divided by sin(theta).
#pragma once

#include "config.hpp"
#include "index.hpp"

namespace equiscope {

// P_l = a z P_{l-1} - b P_{l-2}
struct HarmonicStep {
    double a, b;
};

struct HarmonicTables {
    const HarmonicStep* steps;  // for m: for l in m + 1 .. lmax
    const double* seeds;        // P_m^m for every m, with sqrt(2) for m > 0
};

EQUISCOPE_HOST_DEVICE constexpr Index harmonic_step_count(Index lmax) { return lmax * (lmax + 1) / 2; }

// Calls out(l, m, value) once for every harmonic.
template <class S, class Out>
EQUISCOPE_HOST_DEVICE inline void harmonics(const S& x, const S& y, const S& z, int lmax,
                                            const HarmonicTables& tables, Out&& out) {
    const S zero = z * 0.0;
    S cosine = zero + 1.0, sine = zero;
    const HarmonicStep* step = tables.steps;
    for (int m = 0; m <= lmax; ++m) {
        S current = zero + tables.seeds[m], before = zero;
        for (int l = m;; ++l) {
            out(l, m, current * cosine);
            if (m > 0) out(l, -m, current * sine);
            if (l == lmax) break;
            const S next = z * current * step->a - before * step->b;
            before = current, current = next;
            ++step;
        }
        const S turned = x * cosine - y * sine;
        sine = x * sine + y * cosine;
        cosine = turned;
    }
}

}  // namespace equiscope
