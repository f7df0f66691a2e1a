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

// cos and sin of n gamma_k for n = 0 .. lmax and k = 1 .. half, the angles below pi.
template <class Real>
struct RingAngles {
    RingAngles(Index gammas, Index lmax)
        : half((gammas - 1) / 2),
          even(gammas > 1 && gammas % 2 == 0),
          cosines((lmax + 1) * half),
          sines((lmax + 1) * half) {
        for (Index n = 0; n <= lmax; ++n)
            for (Index k = 1; k <= half; ++k) {
                const double angle = ring_angle(n, k, gammas);
                cosines.get()[n * half + k - 1] = static_cast<Real>(std::cos(angle));
                sines.get()[n * half + k - 1] = static_cast<Real>(std::sin(angle));
            }
    }
    const Real* cosine(Index n) const { return cosines.get() + n * half; }
    const Real* sine(Index n) const { return sines.get() + n * half; }

    Index half;
    bool even;
    Scratch<Real> cosines, sines;
};

// The channels of one task: `count` of at most `width` vectors.
template <class V, Index width>
struct Channels {
    static constexpr Index lanes_of_vector = Parts<V>::count, block = width * lanes_of_vector;
    Index total, first, count;

    // Centred in float64 whatever V is: samples may be large beside their spread. Absent channels are 0.
    template <class T>
    void load(const T* sample, const double* center, V v[width]) const {
        using Wide = typename VectorOf<double, lanes_of_vector>::type;
        sample += first;
        if (count == block) {
            for (Index j = 0; j < width; ++j) {
                const T* own = sample + j * lanes_of_vector;
                v[j] = center ? __builtin_convertvector(
                                    equiscope::EQUISCOPE_ISA::load<Wide>(own) -
                                        equiscope::EQUISCOPE_ISA::load<Wide>(center + first + j * lanes_of_vector),
                                    V)
                              : equiscope::EQUISCOPE_ISA::load<V>(own);
            }
            return;
        }
        double padded[block] = {};
        for (Index i = 0; i < count; ++i)
            padded[i] = static_cast<double>(sample[i]) - (center ? center[first + i] : 0.0);
        for (Index j = 0; j < width; ++j) v[j] = equiscope::EQUISCOPE_ISA::load<V>(padded + j * lanes_of_vector);
    }

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

// Weighted Fourier sums f[n * step + {C, S} * width + j] of the ring of one point; `folded` is scratch for
// 2 half width vectors. Adds the weighted squares of the samples to squares[width], where `squared`.
template <bool squared = false, class V, Index width, class T>
inline void fourier_of_ring(const T* ring, Index gammas, double weight, const double* center,
                            const Channels<V, width>& channels, const RingAngles<typename Parts<V>::Real>& angles,
                            Index lmax, V* folded, V* f, Index step, V* squares = nullptr) {
    using Real = typename Parts<V>::Real;
    const Real scale = static_cast<Real>(weight);
    V first[width], middle[width] = {};
    channels.load(ring, center, first);
    if (angles.even) channels.load(ring + gammas / 2 * channels.total, center, middle);
    V* even = folded;
    V* odd = folded + angles.half * width;
    V power[width] = {};
    for (Index k = 1; k <= angles.half; ++k) {
        V a[width], b[width];
        channels.load(ring + k * channels.total, center, a);
        channels.load(ring + (gammas - k) * channels.total, center, b);
        for (Index j = 0; j < width; ++j) {
            even[(k - 1) * width + j] = (a[j] + b[j]) * scale;
            odd[(k - 1) * width + j] = (a[j] - b[j]) * scale;
            if constexpr (squared) power[j] += a[j] * a[j] + b[j] * b[j];
        }
    }
    if constexpr (squared)
        for (Index j = 0; j < width; ++j)
            squares[j] += (power[j] + first[j] * first[j] + middle[j] * middle[j]) * scale;
    constexpr int together = 4;
    for (Index j = 0; j < width; ++j) {
        const V start = first[j] * scale, half_way = middle[j] * scale;
        Index n = 0;
        for (; n + together <= lmax + 1; n += together)
            ring_fourier<together>(even + j, odd + j, width, angles.half, start, half_way, angles.cosine(n),
                                   angles.sine(n), n, f + n * step + j, f + n * step + width + j, step);
        for (; n <= lmax; ++n)
            ring_fourier<1>(even + j, odd + j, width, angles.half, start, half_way, angles.cosine(n), angles.sine(n), n,
                            f + n * step + j, f + n * step + width + j, step);
    }
}

}  // namespace
}  // namespace EQUISCOPE_ISA
}  // namespace equiscope
