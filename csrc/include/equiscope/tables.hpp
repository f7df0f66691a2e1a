// Coefficients of the recursions, computed once per lmax on the host in float64.
#pragma once

#include <cmath>

#include "constants.hpp"
#include "generators.hpp"
#include "harmonics.hpp"
#include "index.hpp"
#include "wigner.hpp"

namespace equiscope {

// Fills steps[wigner_step_count(lmax)] and seeds[wigner_pair_count(lmax)].
inline void fill_wigner_tables(Index lmax, WignerStep* steps, double* seeds) {
    for (Index mp = 0; mp <= lmax; ++mp) {
        for (Index m = 0; m <= mp; ++m) {
            // K^2 = binomial(2 mp, mp - m)
            double square = 1.0;
            for (Index i = 1; i <= mp - m; ++i) square *= static_cast<double>(mp + m + i) / static_cast<double>(i);
            *seeds++ = std::sqrt(square);
            for (Index l = mp; l < lmax; ++l) {
                if (l == 0) {
                    *steps++ = {1.0, 0.0, 0.0};
                    continue;
                }
                const double k = static_cast<double>(l), n = k + 1.0;
                const double p = static_cast<double>(mp), q = static_cast<double>(m);
                const double scale = std::sqrt((n - p) * (n + p) * ((n - q) * (n + q)));
                const double a = n * (2.0 * k + 1.0) / scale;
                const double b = a * p * q / (k * n);
                const double c = n * std::sqrt((k - p) * (k + p) * ((k - q) * (k + q))) / (k * scale);
                *steps++ = {a, b, c};
            }
        }
    }
}

// Fills steps[harmonic_step_count(lmax)] and seeds[lmax + 1].
inline void fill_harmonic_tables(Index lmax, HarmonicStep* steps, double* seeds) {
    double square = 1.0 / (4.0 * pi);
    for (Index m = 0; m <= lmax; ++m) {
        const double q = static_cast<double>(m);
        if (m > 0) square *= (2.0 * q + 1.0) / (2.0 * q);
        seeds[m] = std::sqrt(m > 0 ? 2.0 * square : square);
        for (Index l = m + 1; l <= lmax; ++l) {
            const double k = static_cast<double>(l), n = k - 1.0;
            const double a = std::sqrt((4.0 * k * k - 1.0) / ((k - q) * (k + q)));
            *steps++ = {a, a * std::sqrt((n - q) * (n + q) / (4.0 * n * n - 1.0))};
        }
    }
}

// All of it in one array of doubles, to be copied to a device.
struct FlatTables {
    WignerTables wigner;
    HarmonicTables harmonic;
    const double* halves;  // generator_half(l, m) at l (l - 1) / 2 + m - 1
    Index size;
};

inline FlatTables flat_tables(const double* data, Index lmax) {
    static_assert(sizeof(WignerStep) == 3 * sizeof(double) && sizeof(HarmonicStep) == 2 * sizeof(double));
    const double* wigner_seeds = data + 3 * wigner_step_count(lmax);
    const double* harmonic_steps = wigner_seeds + wigner_pair_count(lmax);
    const double* harmonic_seeds = harmonic_steps + 2 * harmonic_step_count(lmax);
    const double* halves = harmonic_seeds + lmax + 1;
    return {{reinterpret_cast<const WignerStep*>(data), wigner_seeds},
            {reinterpret_cast<const HarmonicStep*>(harmonic_steps), harmonic_seeds},
            halves,
            halves - data + lmax * (lmax + 1) / 2};
}

inline void fill_flat_tables(Index lmax, double* data) {
    const FlatTables parts = flat_tables(data, lmax);
    fill_wigner_tables(lmax, const_cast<WignerStep*>(parts.wigner.steps), const_cast<double*>(parts.wigner.seeds));
    fill_harmonic_tables(lmax, const_cast<HarmonicStep*>(parts.harmonic.steps),
                         const_cast<double*>(parts.harmonic.seeds));
    auto* half = const_cast<double*>(parts.halves);
    for (int l = 1; l <= lmax; ++l)
        for (int m = 1; m <= l; ++m) *half++ = generator_half(l, m);
}

}  // namespace equiscope
