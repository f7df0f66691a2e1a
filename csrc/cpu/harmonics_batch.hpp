// Spherical harmonics of many points: points in lanes, results transposed on the way out.
#pragma once

#include <cmath>

#include "cpu/wigner_batch.hpp"

namespace equiscope {
namespace EQUISCOPE_ISA {
namespace {

// Every third element of 3 * lanes, from `first` on.
template <Index first, std::size_t... lane>
inline Lanes every_third(const Lanes source[3], std::index_sequence<lane...>) {
    const Lanes front = shuffle<(3 * static_cast<Index>(lane) + first) % (2 * lanes)...>(source[0], source[1]);
    return shuffle<(3 * static_cast<Index>(lane) + first < 2 * lanes
                        ? static_cast<Index>(lane)
                        : 3 * static_cast<Index>(lane) + first - lanes)...>(front, source[2]);
}

inline Lanes magnitude(const Lanes& x) { return x < Lanes{} ? -x : x; }

template <class Mask>
inline bool any(const Mask& mask) {
    long long found = 0;
    for (Index lane = 0; lane < lanes; ++lane) found |= mask[lane];
    return found != 0;
}

// Unit vectors in lanes. Returns false, with a zero vector in that lane, if a point has no direction.
template <class T>
inline bool load_directions(const T* source, Index count, Lanes v[3]) {
    T padded[3 * lanes];
    if (count < lanes) {
        for (Index i = 0; i < 3 * lanes; ++i) padded[i] = i < 3 * count ? source[i] : T(1);
        source = padded;
    }
    Lanes packed[3];
    for (Index i = 0; i < 3; ++i) packed[i] = load<Lanes>(source + i * lanes);
    constexpr auto each = std::make_index_sequence<lanes>();
    v[0] = every_third<0>(packed, each), v[1] = every_third<1>(packed, each), v[2] = every_third<2>(packed, each);
    const Lanes zero = {}, one = zero + 1.0;
    const Lanes a = magnitude(v[0]), b = magnitude(v[1]), c = magnitude(v[2]), ab = a > b ? a : b;
    const Lanes largest = ab > c ? ab : c;
    bool all = true;
    // where squares would overflow or vanish, that lane alone is scaled by its largest entry
    const auto extreme = (largest < zero + 1e-120) | (largest > zero + 1e120);
    if (any(extreme)) {
        all = !any(largest == zero);
        const Lanes scale = extreme ? (largest > zero ? largest : one) : one;
        for (int i = 0; i < 3; ++i) v[i] /= scale;
    }
    const Lanes square = v[0] * v[0] + v[1] * v[1] + v[2] * v[2];
    double norms[lanes];
    store(square, norms);
    for (Index lane = 0; lane < lanes; ++lane) norms[lane] = std::sqrt(norms[lane]);
    Lanes length = load<Lanes>(norms);
    if (!all) length = square > zero ? length : one;
    for (int i = 0; i < 3; ++i) v[i] /= length;
    return all;
}

// Y of a pack of directions into tile[(lmax + 1)^2]; a zero vector keeps Y_00 alone, its only equivariant value.
template <class Entry = double>
class HarmonicTile {
  public:
    explicit HarmonicTile(const Tables& tables)
        : tables_(tables), tile_(harmonic_count(tables.lmax) + RowWriter<Entry>::margin) {}

    template <class T>
    const LanesOf<Entry>* fill(const T* xyz, Index count) const {
        Lanes v[3];
        LanesOf<Entry>* tile = tile_.get();
        const bool all = load_directions(xyz, count, v);
        harmonics(v[0], v[1], v[2], tables_.lmax, tables_.harmonic, [=](Index l, Index m, const Lanes& value) {
            tile[harmonic_index(l, m)] = __builtin_convertvector(value, LanesOf<Entry>);
        });
        if (!all) {
            const Lanes zero = {}, one = zero + 1.0;
            const Lanes square = v[0] * v[0] + v[1] * v[1] + v[2] * v[2];
            const auto present = __builtin_convertvector(square > zero ? one : zero, LanesOf<Entry>);
            for (Index i = 1; i < harmonic_count(tables_.lmax); ++i) tile[i] *= present;
        }
        return tile;
    }

  private:
    Tables tables_;
    Scratch<LanesOf<Entry>> tile_;
};

template <bool streaming, class T>
void spherical_harmonics_packs(const Tables& tables, const T* xyz, Index n, T* out, Index first, Index last) {
    const Index size = harmonic_count(tables.lmax);
    // where an aligned vector is half of a cache line, to store at any address takes less than to permute
    constexpr bool aligned = RowWriter<T>::usable && (streaming || lanes == 8);
    const HarmonicTile<T> tile(tables);
    RowWriter<T> writer(1);
    for (Index pack = first; pack < last; ++pack) {
        const Index start = pack * lanes, count = least(lanes, n - start);
        const LanesOf<T>* y = tile.fill(xyz + 3 * start, count);
        if constexpr (aligned) {
            if (count == lanes && size >= writer.unit) {
                writer.begin(y, size, out + start * size, 0, pack == first, pack + 1 == last || start + 2 * lanes > n);
                while (!writer.template advance<streaming>(size)) {}
                continue;
            }
        }
        lanes_to_rows(y, size, count, out + start * size, size);
    }
    if (streaming) stream_fence();
}

template <class T>
void spherical_harmonics(const Tables& tables, const T* xyz, Index n, T* out, int threads) {
    const bool streaming = n * harmonic_count(tables.lmax) * Index(sizeof(T)) > cached_bytes();
    for_packs(n, threads_for(n * harmonic_count(tables.lmax), threads), [=](Index first, Index last) {
        if (streaming)
            spherical_harmonics_packs<true>(tables, xyz, n, out, first, last);
        else
            spherical_harmonics_packs<false>(tables, xyz, n, out, first, last);
    });
}

template <class T>
void spherical_harmonics_torque(const Tables& tables, const T* xyz, Index n, const T* grad, T* out, int threads) {
    const Index size = harmonic_count(tables.lmax);
    for_packs(n, threads_for(n * size, threads), [=](Index first, Index last) {
        const HarmonicTile<> tile(tables);
        const Scratch<Lanes> wanted(size);
        for (Index pack = first; pack < last; ++pack) {
            const Index start = pack * lanes, count = least(lanes, n - start);
            const Lanes* y = tile.fill(xyz + 3 * start, count);
            rows_to_lanes(grad + start * size, size, count, size, wanted.get());
            Lanes torque[3] = {};
            for (int l = 0; l <= tables.lmax; ++l)
                add_torque(l, 1, wanted.get() + harmonic_index(l, -l), y + harmonic_index(l, -l), torque);
            lanes_to_rows(torque, 3, count, out + 3 * start, 3);
        }
    });
}

}  // namespace
}  // namespace EQUISCOPE_ISA
}  // namespace equiscope
