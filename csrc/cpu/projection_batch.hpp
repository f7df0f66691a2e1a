// Projection of samples on ring grids onto matrix elements, channels in lanes, and its adjoint. D is made at gamma = 0
// only, for bounded chunks of points; each task owns a block of channels and walks over all points in order, so that
// sums do not depend on the number of threads.
#pragma once

#include "cpu/octant_projection.hpp"
#include "cpu/octant_synthesis.hpp"
#include "cpu/ring_fourier.hpp"
#include "cpu/wigner_batch.hpp"

namespace equiscope {
namespace EQUISCOPE_ISA {
namespace {

constexpr Index table_bytes = Index(32) << 20;  // D of one chunk of points; larger chunks save nothing
constexpr Index width = 2;                      // vectors of channels held in registers
using ChannelBlock = Channels<Lanes, width>;

// D at gamma = 0 for blocks of `lanes` points, a point in each lane: block b holds E(lmax) packs.
class RingTable {
  public:
    RingTable(const Tables& tables, const Rings& rings)
        : tables_(tables),
          rings_(rings),
          size_(matrix_count(tables.lmax)),
          capacity_(least(packs(rings.points), most(1, table_bytes / (size_ * Index(sizeof(Lanes)))))),
          table_(capacity_ * size_) {}

    // Calls body(first, last) for chunks of blocks, with their D at hand.
    template <class Body>
    void for_chunks(int threads, const Body& body) {
        const Index blocks = packs(rings_.points);
        for (first_ = 0; first_ < blocks; first_ += capacity_) {
            const Index last = least(blocks, first_ + capacity_);
            parallel_for(last - first_, threads, [&](Index task) { fill(first_ + task); });
            body(first_, last);
        }
    }

    const Lanes* block(Index index) const { return table_.get() + (index - first_) * size_; }

  private:
    void fill(Index index) {
        const Index start = index * lanes;
        Lanes r[9];
        load_rotations(rings_.rotations + 9 * start, least(lanes, rings_.points - start), r);
        WignerTile<>(tables_).fill_into(r, table_.get() + (index - first_) * size_);
    }

    Tables tables_;
    Rings rings_;
    Index size_, capacity_, first_ = 0;
    Scratch<Lanes> table_;
};

// Rows m .. m + rows - 1 of one (l, n): `rows` rows share the loads of the samples.
template <Index rows>
inline void accumulate_rows(const Lanes* d, const Lanes* samples, Index row_size, Index center, Index n, Lanes* sums) {
    constexpr Index pair = 2 * width;
    Lanes plus[rows][width] = {}, minus[rows][width] = {};
    for (Index p = 0; p < lanes; ++p)
        for (Index m = 0; m < rows; ++m) {
            const double plus_d = reinterpret_cast<const double*>(d + center + m * row_size + n)[p];
            const double minus_d = reinterpret_cast<const double*>(d + center + m * row_size - n)[p];
            for (Index j = 0; j < width; ++j) {
                const Lanes &cosine = samples[p * pair + j], &sine = samples[p * pair + width + j];
                plus[m][j] += cosine * plus_d + sine * minus_d;
                minus[m][j] += cosine * minus_d - sine * plus_d;
            }
        }
    for (Index m = 0; m < rows; ++m)
        for (Index j = 0; j < width; ++j) {
            sums[(center + m * row_size + n) * width + j] += plus[m][j];
            if (n > 0) sums[(center + m * row_size - n) * width + j] += minus[m][j];
        }
}

// sums[l, m, +-n] += sum over the points of a block of D(l, m, n) cosine_n + D(l, m, -n) sine_n, and for -n
// D(l, m, -n) cosine_n - D(l, m, n) sine_n. f[n][point][{cosine, sine}][width].
inline void accumulate_block(const Lanes* d, const Lanes* f, int lmax, Lanes* sums) {
    constexpr Index together = 3;
    for (Index l = 0; l <= lmax; ++l) {
        const Index row_size = 2 * l + 1;
        for (Index n = 0; n <= l; ++n) {
            const Lanes* samples = f + n * lanes * 2 * width;
            Index m = 0, center = matrix_offset(l) + l;
            for (; m + together <= row_size; m += together, center += together * row_size)
                accumulate_rows<together>(d, samples, row_size, center, n, sums);
            for (; m < row_size; ++m, center += row_size) accumulate_rows<1>(d, samples, row_size, center, n, sums);
        }
    }
}

// Any grid: one D matrix for every ring.
template <class In, class Out>
void project_rings(const Tables& tables, const In* values, const Rings& rings, Index channels, const double* center,
                   Out* out, int threads) {
    const int lmax = tables.lmax;
    const Index size = matrix_count(lmax), pair = 2 * width;
    const RingAngles<double> angles(rings.gammas, lmax);
    RingTable table(tables, rings);
    table.for_chunks(threads, [&](Index first, Index last) {
        for_channels<Lanes, width>(channels, threads, [&](const ChannelBlock& own) {
            const Scratch<Lanes> sums(size * width), folded(2 * angles.folds * width),
                fourier((lmax + 1) * lanes * pair);
            Lanes *even = folded.get(), *odd = even + angles.folds * width;
            const Samples<Lanes, width, In> samples(own, values, rings.points * rings.gammas, center);
            clear(sums.get(), size * width);
            for (Index block = first; block < last; ++block) {
                clear(fourier.get(), (lmax + 1) * lanes * pair);
                for (Index point = block * lanes; point < least(rings.points, (block + 1) * lanes); ++point) {
                    fold_ring<false>(samples, point * rings.gammas, rings.gammas,
                                     rings.weights[point] / static_cast<double>(rings.gammas), even, odd, width,
                                     static_cast<Lanes*>(nullptr));
                    fourier_sums(angles, lmax, even, odd, width, width, fourier.get() + point % lanes * pair,
                                 lanes * pair, width);
                }
                accumulate_block(table.block(block), fourier.get(), lmax, sums.get());
            }
            for (Index row = 0; row < size; ++row) own.add(sums.get() + row * width, out + row * channels);
        });
    });
}

template <class In, class Out>
void project(const Tables& tables, const In* values, const Rings& rings, Index channels, const double* center, Out* out,
             int threads) {
    if (rings.points == 0 || channels == 0) return;
    threads = threads_for(rings.points * (rings.gammas * channels + matrix_count(tables.lmax)), threads);
    // float32 throughout only where the result is float32
    using V = typename VectorOf<Out, Index(sizeof(Lanes) / sizeof(Out))>::type;
    with_ring_plan(rings, tables.lmax, [&](const RingPlan& plan) {
        if (!plan.worthwhile)
            project_rings(tables, values, rings, channels, center, out, threads);
        else if (channels <= Parts<V>::count)
            project_octants<V, 1>(tables, plan, values, rings, channels, center, out, threads);
        else
            project_octants<V, vectors_of_task>(tables, plan, values, rings, channels, center, out, threads);
    });
}

// Fourier coefficients f[n][{cosine, sine}][width] of the function on one ring, from c[E(lmax)][width].
inline void fourier_of_coefficients(const double* d, const Lanes* c, int lmax, Lanes* f) {
    clear(f, (lmax + 1) * 2 * width);
    for (Index l = 0; l <= lmax; ++l)
        for (Index m = 0; m <= 2 * l; ++m) {
            const Index center = matrix_offset(l) + m * (2 * l + 1) + l;
            for (Index j = 0; j < width; ++j) f[j] += c[center * width + j] * d[center * lanes];
            for (Index n = 1; n <= l; ++n) {
                const double plus_d = d[(center + n) * lanes], minus_d = d[(center - n) * lanes];
                for (Index j = 0; j < width; ++j) {
                    const Lanes plus = c[(center + n) * width + j], minus = c[(center - n) * width + j];
                    f[2 * n * width + j] += plus * plus_d + minus * minus_d;
                    f[(2 * n + 1) * width + j] += plus * minus_d - minus * plus_d;
                }
            }
        }
}

// The function at angle k of its ring.
inline void value_on_ring(const Lanes* f, Index k, Index gammas, const RingAngles<double>& angles, int lmax,
                          Lanes v[width]) {
    const Index folded = least(k, gammas - k);  // gamma_{K-k} = -gamma_k: the sine changes sign
    for (Index j = 0; j < width; ++j) v[j] = f[j];
    for (Index n = 1; n <= lmax; ++n) {
        const double cosine = angles.cosine(n)[folded], sine = angles.sine(n)[folded] * (folded == k ? 1.0 : -1.0);
        for (Index j = 0; j < width; ++j) v[j] += f[2 * n * width + j] * cosine + f[(2 * n + 1) * width + j] * sine;
    }
}

// Any grid: one D matrix for every ring.
template <class T>
void synthesize_rings(const Tables& tables, const T* coefficients, const Rings& rings, Index channels, T* out,
                      int threads) {
    const int lmax = tables.lmax;
    const Index size = matrix_count(lmax), gammas = rings.gammas;
    const RingAngles<double> angles(gammas, lmax);
    RingTable table(tables, rings);
    table.for_chunks(threads, [&](Index first, Index last) {
        for_channels<Lanes, width>(channels, threads, [&](const ChannelBlock& own) {
            const Scratch<Lanes> c(size * width), fourier((lmax + 1) * 2 * width);
            const Samples<Lanes, width, T> rows(own, coefficients, size, nullptr);
            for (Index i = 0; i < size * width; ++i) c.get()[i] = rows.at(i / width, i % width);
            for (Index point = first * lanes; point < least(rings.points, last * lanes); ++point) {
                const double* d = reinterpret_cast<const double*>(table.block(point / lanes)) + point % lanes;
                fourier_of_coefficients(d, c.get(), lmax, fourier.get());
                const double weight = rings.weights[point] / static_cast<double>(gammas);
                for (Index k = 0; k < gammas; ++k) {
                    Lanes v[width];
                    value_on_ring(fourier.get(), k, gammas, angles, lmax, v);
                    T* target = out + (point * gammas + k) * channels + own.first;
                    for (Index i = 0; i < own.count; ++i) target[i] = static_cast<T>(weight * v[i / lanes][i % lanes]);
                }
            }
        });
    });
}

template <class T>
void synthesize(const Tables& tables, const T* coefficients, const Rings& rings, Index channels, T* out, int threads) {
    if (rings.points == 0 || channels == 0) return;
    threads = threads_for(rings.points * (rings.gammas * channels + matrix_count(tables.lmax)), threads);
    using V = typename VectorOf<T, Index(sizeof(Lanes) / sizeof(T))>::type;
    with_ring_plan(rings, tables.lmax, [&](const RingPlan& plan) {
        if (!plan.worthwhile)
            synthesize_rings(tables, coefficients, rings, channels, out, threads);
        else if (channels <= Parts<V>::count)
            synthesize_octants<V, 1>(tables, plan, coefficients, rings, channels, out, threads);
        else
            synthesize_octants<V, 2>(tables, plan, coefficients, rings, channels, out, threads);
    });
}

}  // namespace
}  // namespace EQUISCOPE_ISA
}  // namespace equiscope
