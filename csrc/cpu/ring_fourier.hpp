// Samples to Fourier sums on rings: channels in lanes, a few vectors of channels at a time.
#pragma once

#include <cmath>

#include "cpu/kernels.hpp"
#include "cpu/lanes.hpp"
#include "cpu/pool.hpp"
#include "equiscope/projection.hpp"

namespace equiscope {
namespace EQUISCOPE_ISA {
namespace {

// Number type and count of a vector type.
template <class V>
struct Parts {
    using Real = std::remove_reference_t<decltype(std::declval<V&>()[0])>;
    static constexpr Index count = sizeof(V) / sizeof(Real);
};

// cos and sin of n gamma_k for n = 0 .. lmax and the angles up to pi, k = 0 .. gammas / 2: the others are their negatives.
template <class Real>
struct RingAngles {
    RingAngles(Index gammas, Index lmax)
        : folds(gammas / 2 + 1), half((gammas - 1) / 2), cosines((lmax + 1) * folds), sines((lmax + 1) * folds) {
        for (Index n = 0; n <= lmax; ++n)
            for (Index k = 0; k < folds; ++k) {
                const double angle = ring_angle(n, k, gammas);
                const bool flat = k == 0 || k > half;  // at 0 and pi
                cosines.get()[n * folds + k] =
                    flat ? Real(k > 0 && n % 2 ? -1 : 1) : static_cast<Real>(std::cos(angle));
                sines.get()[n * folds + k] = flat ? Real(0) : static_cast<Real>(std::sin(angle));
            }
    }
    const Real* cosine(Index n) const { return cosines.get() + n * folds; }
    const Real* sine(Index n) const { return sines.get() + n * folds; }

    Index folds;  // angles from 0 to pi
    Index half;   // those between them, each with a negative of its own
    Scratch<Real> cosines, sines;
};

// The channels of one task: `count` of at most `width` vectors.
template <class V, Index width>
struct Channels {
    static constexpr Index lanes_of_vector = Parts<V>::count, block = width * lanes_of_vector;
    Index total, first, count;

    // Asks for the cache lines of these channels.
    template <class T>
    void fetch(const T* sample) const {
        constexpr Index line = 64 / sizeof(T);
        for (Index i = 0; i < count; i += line) __builtin_prefetch(sample + first + i);
    }

    // Reads one number of every cache line of `together` channels.
    template <class T>
    void read(const T* sample, Index together) const {
        const Index end = least(first + together, total);
        constexpr Index line = 64 / sizeof(T);
        for (Index i = first; i < end; i += line) static_cast<void>(*static_cast<const volatile T*>(sample + i));
    }

    // target = v for the channels that are present.
    template <class T>
    void put(const V v[width], T* target) const {
        target += first;
        if (count == block) {
            for (Index j = 0; j < width; ++j) store(v[j], target + j * lanes_of_vector);
            return;
        }
        for (Index i = 0; i < count; ++i) target[i] = static_cast<T>(v[i / lanes_of_vector][i % lanes_of_vector]);
    }

    // target += v for the channels that are present.
    template <class T>
    void add(const V v[width], T* target) const {
        target += first;
        if (count == block) {
            for (Index j = 0; j < width; ++j) {
                T* own = target + j * lanes_of_vector;
                store(equiscope::EQUISCOPE_ISA::load<V>(own) + v[j], own);
            }
            return;
        }
        for (Index i = 0; i < count; ++i)
            target[i] = static_cast<T>(static_cast<double>(target[i]) +
                                       static_cast<double>(v[i / lanes_of_vector][i % lanes_of_vector]));
    }
};

// Calls body(channels) for every block of channels.
template <class V, Index width, class Body>
inline void for_channels(Index channels, int threads, const Body& body) {
    using Block = Channels<V, width>;
    parallel_for(ceil_div(channels, Block::block), threads, [&](Index task) {
        const Index first = task * Block::block;
        body(Block{channels, first, least(Block::block, channels - first)});
    });
}

// What the channels of one task have in `count` rows, which lie `step` apart, less a center, which may be null. Lanes
// without a channel hold anything, which never reaches a lane that has one.
template <class V, Index width, class T>
class Samples {
  public:
    // Rows of all channels.
    Samples(const Channels<V, width>& own, const T* rows, Index count, const double* center)
        : Samples(own, rows + own.first, own.total, rows + count * own.total, center) {}

    // From the first of these channels on; nothing is read from `end` on.
    Samples(const Channels<V, width>& own, const T* rows, Index step, const T* end, const double* center)
        : rows_(rows), end_(end), step_(step) {
        double padded[Channels<V, width>::block] = {};
        for (Index i = 0; center && i < own.count; ++i) padded[i] = center[own.first + i];
        for (Index j = 0; j < width; ++j) {
            using Wide = typename VectorOf<double, Channels<V, width>::lanes_of_vector>::type;
            const Wide whole = load<Wide>(padded + j * Channels<V, width>::lanes_of_vector);
            high_[j] = __builtin_convertvector(whole, V);
            if constexpr (split) low_[j] = __builtin_convertvector(whole - __builtin_convertvector(high_[j], Wide), V);
        }
    }

    // Whether all vectors of rows up to this one end where the samples do, or before.
    bool within(Index row) const { return rows_ + row * step_ + Channels<V, width>::block <= end_; }

    // Vector j of a row. Samples may be large beside their spread: the first difference is as good as exact.
    template <bool inside = false>
    V at(Index row, Index j) const {
        V v = vector<inside>(rows_ + row * step_ + j * Channels<V, width>::lanes_of_vector) - high_[j];
        if constexpr (split) v -= low_[j];
        return v;
    }

    // Asks for the cache lines of a row.
    void fetch(Index row) const {
        for (Index i = 0; i < Channels<V, width>::block; i += 64 / Index(sizeof(T)))
            __builtin_prefetch(rows_ + row * step_ + i);
    }

  private:
    static constexpr bool split = sizeof(typename Parts<V>::Real) < sizeof(double);

    template <bool inside>
    V vector(const T* source) const {
        constexpr Index count = Parts<V>::count;
        if (inside || source + count <= end_) return load<V>(source);
        T padded[count] = {};
        for (Index i = 0; source + i < end_; ++i) padded[i] = source[i];
        return load<V>(padded);
    }

    const T *rows_, *end_;
    Index step_;
    V high_[width], low_[split ? width : 1];
};

// Sums of the samples v_k of one ring at gamma_k and -gamma_k, and their differences, times a weight: even[k * step] for
// k = 0 .. gammas / 2 and odd[k * step] where both are there. Adds the weighted squares to squares[width], where `squared`.
template <bool squared, bool inside = false, class V, Index width, class T>
inline void fold_ring(const Samples<V, width, T>& samples, Index first, Index gammas, double weight, V* even, V* odd,
                      Index step, V* squares) {
    if constexpr (!inside)
        if (samples.within(first + gammas - 1))
            return fold_ring<squared, true>(samples, first, gammas, weight, even, odd, step, squares);
    using Real = typename Parts<V>::Real;
    const Real scale = static_cast<Real>(weight);
    for (Index j = 0; j < width; ++j) {
        const auto alone = [&](Index k) {
            const V v = samples.template at<inside>(first + k, j);
            even[k * step + j] = v * scale;
            return v * v;
        };
        V power = alone(0);
        if (gammas % 2 == 0) power += alone(gammas / 2);
        for (Index k = 1; 2 * k < gammas; ++k) {
            const V a = samples.template at<inside>(first + k, j),
                    b = samples.template at<inside>(first + gammas - k, j);
            even[k * step + j] = (a + b) * scale;
            odd[k * step + j] = (a - b) * scale;
            if constexpr (squared) power += a * a + b * b;
        }
        if constexpr (squared) squares[j] += power * scale;
    }
}

// out[i * out_step + c] = sum over k < count of table[i * table_step + k] rows[k * row + c], for `degrees` i and
// `columns` neighbouring c, whose sums are all in registers.
template <Index degrees, Index columns, class V, class Real>
inline void table_tile(const Real* table, Index table_step, const V* rows, Index row, Index count, V* out,
                       Index out_step) {
    V sum[degrees][columns];
#pragma GCC unroll 16
    for (Index i = 0; i < degrees; ++i)
#pragma GCC unroll 16
        for (Index c = 0; c < columns; ++c) sum[i][c] = V{};
    for (Index k = 0; k < count; ++k, rows += row)
#pragma GCC unroll 16
        for (Index c = 0; c < columns; ++c) {
            const V v = rows[c];
#pragma GCC unroll 16
            for (Index i = 0; i < degrees; ++i) sum[i][c] += v * table[i * table_step + k];
        }
#pragma GCC unroll 16
    for (Index i = 0; i < degrees; ++i)
#pragma GCC unroll 16
        for (Index c = 0; c < columns; ++c) out[i * out_step + c] = sum[i][c];
}

template <Index degrees, Index columns, class V, class Real>
inline void table_columns(const Real* table, Index table_step, const V* rows, Index row, Index count, V* out,
                          Index out_step, Index all) {
    Index c = 0;
    for (; c + columns <= all; c += columns)
        table_tile<degrees, columns>(table, table_step, rows + c, row, count, out + c, out_step);
    if constexpr (columns > 1)
        if (c < all)
            table_columns<degrees, columns / 2>(table, table_step, rows + c, row, count, out + c, out_step, all - c);
}

// Fourier sums C_n = sum_k cos(n gamma_k) even_k and S_n = sum_k sin(n gamma_k) odd_k of `columns` columns at once, where
// k = 0 .. gammas / 2 and rows lie `row` apart: to f[n * step + c] and f[n * step + sine + c].
template <class V, class Real>
inline void fourier_sums(const RingAngles<Real>& angles, Index lmax, const V* even, const V* odd, Index row,
                         Index columns, V* f, Index step, Index sine) {
    constexpr Index together = 3, most_columns = registers == 32 ? 8 : 4;
    const auto some = [&](auto degrees, Index n) {
        constexpr Index count = decltype(degrees)::value;
        table_columns<count, most_columns>(angles.cosine(n), angles.folds, even, row, angles.folds, f + n * step, step,
                                           columns);
        table_columns<count, most_columns>(angles.sine(n) + 1, angles.folds, odd + row, row, angles.half,
                                           f + n * step + sine, step, columns);
    };
    Index n = 0;
    for (; n + together <= lmax + 1; n += together) some(std::integral_constant<Index, together>(), n);
    for (; n <= lmax; ++n) some(std::integral_constant<Index, 1>(), n);
}

}  // namespace
}  // namespace EQUISCOPE_ISA
}  // namespace equiscope
