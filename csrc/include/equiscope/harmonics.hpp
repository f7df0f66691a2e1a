// Real spherical harmonics of a unit vector: order m = -l..l, no Condon-Shortley phase, integral normalisation.
//   Y_lm = P_l^|m|(z) Re (x + i y)^|m|  for m >= 0,  Im for m < 0,
// with P normalised and advanced in l at fixed m by a three-term recursion, so that nothing is divided by sin(theta).
#pragma once

#include "config.hpp"
#include "degree.hpp"
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

EQUISCOPE_HOST_DEVICE constexpr Index harmonic_step_offset(Index lmax, Index m) { return m * lmax - m * (m - 1) / 2; }

// Calls out(l, m, value) and out(l, -m, value) for all l in m .. last, with cosine + i sine = (x + i y)^m.
template <class S, class Out>
EQUISCOPE_HOST_DEVICE inline void harmonic_order(int m, int last, const S& z, const S& cosine, const S& sine,
                                                 const HarmonicStep* step, double seed, Out&& out) {
    S current = z * 0.0 + seed, before = z * 0.0;
    for (int l = m;; ++l) {
        const auto at = degree_of(out, l, 0);
        at(m, current * cosine);
        if (m > 0) at(-m, current * sine);
        if (l == last) break;
        const S next = z * step->a * current - before * step->b;  // one multiply-add waits for `current`
        before = current, current = next;
        ++step;
    }
}

// Calls out(l, m, value) once for every harmonic.
template <class S, class Out>
EQUISCOPE_HOST_DEVICE inline void harmonics(const S& x, const S& y, const S& z, int lmax, const HarmonicTables& tables,
                                            Out&& out) {
    S cosine = z * 0.0 + 1.0, sine = z * 0.0;
    for (int m = 0; m <= lmax; ++m) {
        harmonic_order(m, lmax, z, cosine, sine, tables.steps + harmonic_step_offset(lmax, m), tables.seeds[m], out);
        const S turned = x * cosine - y * sine;
        sine = x * sine + y * cosine;
        cosine = turned;
    }
}

}  // namespace equiscope
