// Synthesis on grids with structure: the adjoint of octant_projection.hpp, step by step in reverse. Coefficients meet
// D(Ry(b)) of each group, then the angles a, then the reflections of an octant, then the angles gamma of its rings.
#pragma once

#include "cpu/octant_projection.hpp"

namespace equiscope {
namespace EQUISCOPE_ISA {
namespace {

template <class V, Index width, class T>
struct OctantSynthesis {
    using Real = typename Parts<V>::Real;
    static constexpr Index pair = 2 * width;  // {C, S}
    static constexpr Index quad = 2 * pair;   // {cos C, cos S, sin C, sin S}

    const Tables& tables;
    const Rings& rings;
    const RingPlan& plan;
    const RingAngles<Real>& angles;
    const AlphaTable<Real>& alphas;
    const BetaTable<Real>& betas;

    // x[(group * 2 + odd) * quad] from c[l, +-m, +-n] of all l, one (m, n); returns where the table goes on.
    const Real* spread_degrees(Index groups, Index m, Index n, const V* c, const Real* beta, V* x) const {
        for (Index i = 0; i < groups * 2 * quad; ++i) x[i] = V{};
        for (Index l = most(m, n); l <= tables.lmax; ++l, beta += 2 * groups) {
            V* like = x + ((l + m + n) % 2) * quad;
            V* unlike = x + ((l + m + n + 1) % 2) * quad;
            const V* middle = c + matrix_center(l) * width;
            const Index row = m * (2 * l + 1);
            V own[4][width];
            for (Index j = 0; j < width; ++j) {
                own[0][j] = middle[(row + n) * width + j];
                own[1][j] = n > 0 ? middle[(row - n) * width + j] : V{};
                own[2][j] = m > 0 ? middle[(n - row) * width + j] : V{};
                own[3][j] = m > 0 && n > 0 ? middle[(-row - n) * width + j] : V{};
            }
            for (Index g = 0; g < groups; ++g) {
                const Real p = beta[2 * g], q = beta[2 * g + 1];
                V *a = like + g * 2 * quad, *b = unlike + g * 2 * quad;
                for (Index j = 0; j < width; ++j) {
                    a[j] += own[0][j] * p;
                    b[pair + width + j] -= own[0][j] * q;
                    a[width + j] -= own[1][j] * p;
                    b[pair + j] -= own[1][j] * q;
                    a[pair + j] += own[2][j] * p;
                    b[width + j] += own[2][j] * q;
                    a[pair + width + j] -= own[3][j] * p;
                    b[j] += own[3][j] * q;
                }
            }
        }
        return beta;
    }

    // sums[octant][{even, odd} in b][quad] += the groups, turned by the angles a.
    void spread_groups(const RingChunk& chunk, const V* x, const Real* alpha, V* sums) const {
        const Index first = plan.groups[chunk.first].first;
        for (Index g = chunk.first; g < chunk.last; ++g, x += 2 * quad)
            for (Index o = plan.groups[g].first; o < plan.groups[g].last; ++o) {
                const Real cosine = alpha[2 * o], sine = alpha[2 * o + 1];
                V* own = sums + (o - first) * 2 * quad;
                for (int z = 0; z < 2; ++z)
                    for (Index k = 0; k < pair; ++k) {
                        own[z * quad + k] += x[z * quad + k] * cosine;
                        own[z * quad + pair + k] += x[z * quad + pair + k] * sine;
                    }
            }
    }

    // Fourier coefficients of the eight images of an octant: images[(i * (lmax + 1) + n) * pair].
    void unfold_octant(const V* sums, V* images) const {
        const Index next = (tables.lmax + 1) * pair;
        for (Index n = 0; n <= tables.lmax; ++n)
            for (Index k = 0; k < pair; ++k) {
                const V* even_m = sums + n * 2 * plan.octants_of_chunk * 2 * quad + k;
                const V* odd_m = even_m + plan.octants_of_chunk * 2 * quad;
                V v[8];
                for (int z = 0; z < 2; ++z) {
                    v[4 * z] = even_m[z * quad], v[4 * z + 3] = even_m[z * quad + pair];
                    v[4 * z + 1] = odd_m[z * quad], v[4 * z + 2] = odd_m[z * quad + pair];
                }
                reflect(v);
                for (int i = 0; i < 8; ++i) images[i * next + n * pair + k] = v[i];
            }
    }

    // The function on the ring of one point from its Fourier coefficients f[n][{C, S}][width], which are turned by -c.
    void ring_of_fourier(const Channels<V, width>& channels, Index point, V* f, T* out) const {
        if (plan.turned)
            turn_fourier<V, width>(plan.turns[2 * point], -plan.turns[2 * point + 1], tables.lmax, f, pair, width);
        const Real weight = static_cast<Real>(rings.weights[point] / static_cast<double>(rings.gammas));
        T* ring = out + point * rings.gammas * channels.total;
        for (Index k = 0; k < angles.folds; ++k) {
            V even[width], odd[width], sum[width];
            for (Index j = 0; j < width; ++j) even[j] = odd[j] = V{};
            for (Index n = 0; n <= tables.lmax; ++n) {
                const Real cosine = angles.cosine(n)[k], sine = angles.sine(n)[k];
                for (Index j = 0; j < width; ++j) {
                    even[j] += f[n * pair + j] * cosine;
                    odd[j] += f[n * pair + width + j] * sine;
                }
            }
            for (Index j = 0; j < width; ++j) sum[j] = (even[j] + odd[j]) * weight;
            channels.put(sum, ring + k * channels.total);
            if (k == 0 || k > angles.half) continue;
            for (Index j = 0; j < width; ++j) sum[j] = (even[j] - odd[j]) * weight;
            channels.put(sum, ring + (rings.gammas - k) * channels.total);
        }
    }

    // The rings of chunks first .. last from c[E(lmax)][width].
    void run(const Channels<V, width>& channels, Index first, Index last, const V* c, T* out) const {
        const Index lmax = tables.lmax, sums_of_n = plan.octants_of_chunk * 2 * quad;
        const Scratch<V> images(8 * (lmax + 1) * pair), sums((lmax + 1) * 2 * sums_of_n),
            x(plan.groups_of_chunk * 2 * quad);
        for (Index index = first; index < last; ++index) {
            const RingChunk& chunk = plan.chunks[index];
            const Real* beta = betas.chunk(index);
            for (Index i = 0; i < (lmax + 1) * 2 * sums_of_n; ++i) sums.get()[i] = V{};
            for (Index n = 0; n <= lmax; ++n)
                for_rows(lmax, [&](Index m) {
                    beta = spread_degrees(chunk.last - chunk.first, m, n, c, beta, x.get());
                    spread_groups(chunk, x.get(), alphas.row(m), sums.get() + (n * 2 + m % 2) * sums_of_n);
                });
            const Index first_octant = plan.groups[chunk.first].first, end = plan.groups[chunk.last - 1].last;
            for (Index o = first_octant; o < end; ++o) {
                unfold_octant(sums.get() + (o - first_octant) * 2 * quad, images.get());
                for (int i = 0; i < 8; ++i)
                    if (plan.octants[o].image[i] >= 0)
                        ring_of_fourier(channels, plan.octants[o].image[i], images.get() + i * (lmax + 1) * pair, out);
            }
        }
    }
};

template <class V, Index width, class T>
void synthesize_octants(const Tables& tables, const RingPlan& plan, const T* coefficients, const Rings& rings,
                        Index channels, T* out, int threads) {
    using Real = typename Parts<V>::Real;
    const Index size = matrix_count(tables.lmax);
    const RingAngles<Real> angles(rings.gammas, tables.lmax);
    const AlphaTable<Real> alphas(plan, tables.lmax);
    BetaTable<Real> betas(tables, plan);
    const OctantSynthesis<V, width, T> synthesis{tables, rings, plan, angles, alphas, betas};
    betas.for_runs(threads, [&](Index first, Index last) {
        for_channels<V, width>(channels, threads, [&](const Channels<V, width>& own) {
            const Scratch<V> c(size * width);
            const Samples<V, width, T> rows(own, coefficients, size, nullptr);
            for (Index i = 0; i < size * width; ++i) c.get()[i] = rows.at(i / width, i % width);
            synthesis.run(own, first, last, c.get(), out);
        });
    });
}

}  // namespace
}  // namespace EQUISCOPE_ISA
}  // namespace equiscope
