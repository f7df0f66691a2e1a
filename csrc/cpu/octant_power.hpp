// Power per irrep at once, on grids with structure: the coefficients of a few channels stay in cache.
#pragma once

#include "cpu/octant_projection.hpp"

namespace equiscope {
namespace EQUISCOPE_ISA {
namespace {

// sum (a + b)^2 and sum (a - b)^2 over `count` rows.
template <class V, Index width>
inline void joint_squares(const V* a, const V* b, Index count, V sum[width], V difference[width]) {
    for (Index j = 0; j < width; ++j) sum[j] = difference[j] = V{};
    for (Index row = 0; row < count; ++row, a += width, b += width)
        for (Index j = 0; j < width; ++j) {
            const V plus = a[j] + b[j], minus = a[j] - b[j];
            sum[j] += plus * plus, difference[j] += minus * minus;
        }
}

// B of (l, sigma) to power[lmax + 1][cosets][channels] from values[cosets][points][gammas][channels], centred on
// center[channels]; to moments[2][channels], if given, the means of the centred values and of their squares.
template <class V, Index width, class In, class Out>
void power_octants(const Tables& tables, const RingPlan& plan, const In* values, const Rings& rings, Index channels,
                   Index cosets, const double* center, Out* power, double* moments, int threads) {
    using Real = typename Parts<V>::Real;
    const Index size = matrix_count(tables.lmax), rows_of_coset = rings.points * rings.gammas;
    const RingAngles<Real> angles(rings.gammas, tables.lmax);
    const AlphaTable<Real> alphas(plan, tables.lmax);
    BetaTable<Real> betas(tables, plan);
    const OctantProjection<V, width, In> projection{tables, rings, plan, angles, alphas, betas};
    const SampleRows<V, width, In> rows(values, cosets * rows_of_coset, channels);
    betas.for_runs(threads, [&](Index first, Index last) {
        rows.for_blocks(threads, [&](const Channels<V, width>& own, const In* samples, Index step, const In* end) {
            const Scratch<V> both(2 * size * width);
            V *c = both.get(), *improper = c + size * width;
            for (Index i = 0; i < 2 * size * width; ++i) c[i] = V{};
            V squares[width] = {};
            for (Index coset = 0; coset < cosets; ++coset) {
                const Samples<V, width, In> of_coset(own, samples + coset * rows_of_coset * step, step, end, center);
                V* own_c = coset == 0 ? c : improper;
                if (moments)
                    projection.template run<true>(of_coset, first, last, own_c, squares);
                else
                    projection.run(of_coset, first, last, own_c);
            }
            if (moments) {
                V middle[width];
                for (Index j = 0; j < width; ++j) {
                    middle[j] = (c[j] + improper[j]) / Real(cosets);
                    squares[j] /= Real(cosets);
                }
                own.put(middle, moments);
                own.put(squares, moments + channels);
            }
            const Samples<V, width, double> given_back(own, center, 1, nullptr);
            for (Index j = 0; j < width; ++j) {
                c[j] += given_back.at(0, j);
                if (cosets == 2) improper[j] += given_back.at(0, j);
            }
            for (Index l = 0; l <= tables.lmax; ++l) {
                const Index rows = (2 * l + 1) * (2 * l + 1), start = matrix_offset(l) * width;
                V even[width], odd[width];
                joint_squares<V, width>(c + start, improper + start, rows, even, odd);
                const Real factor = Real(2 * l + 1) / Real(cosets * cosets);
                for (Index j = 0; j < width; ++j) even[j] *= factor, odd[j] *= factor;
                own.put(l % 2 && cosets == 2 ? odd : even, power + l * cosets * channels);
                if (cosets == 2) own.put(l % 2 ? even : odd, power + (2 * l + 1) * channels);
            }
        });
    });
}

// Whether `character_power` has a way: a grid with structure, whose tables fit at once.
template <class Real>
bool plan_at_once(const RingPlan& plan, int lmax) {
    return plan.worthwhile && BetaTable<Real>::at_once(plan, lmax);
}

template <class Real>
bool power_at_once(const Rings& rings, int lmax) {
    if (rings.points == 0) return false;
    bool found = false;
    with_ring_plan(rings, lmax, [&](const RingPlan& plan) { found = plan_at_once<Real>(plan, lmax); });
    return found;
}

// False, with nothing written, where there is no way.
template <class In, class Out>
bool character_power(const Tables& tables, const In* values, const Rings& rings, Index channels, Index cosets,
                     const double* center, Out* power, double* moments, int threads) {
    if (rings.points == 0) return false;
    threads = threads_for(cosets * rings.points * rings.gammas * channels, threads);
    using V = typename VectorOf<Out, Index(sizeof(Lanes) / sizeof(Out))>::type;
    bool done = false;
    with_ring_plan(rings, tables.lmax, [&](const RingPlan& plan) {
        done = plan_at_once<Out>(plan, tables.lmax);
        if (!done || channels == 0) return;
        if (channels <= Parts<V>::count)
            power_octants<V, 1>(tables, plan, values, rings, channels, cosets, center, power, moments, threads);
        else
            power_octants<V, vectors_of_task>(tables, plan, values, rings, channels, cosets, center, power, moments,
                                              threads);
    });
    return done;
}

}  // namespace
}  // namespace EQUISCOPE_ISA
}  // namespace equiscope
