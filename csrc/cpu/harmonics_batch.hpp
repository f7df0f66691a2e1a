// Spherical harmonics of many points: points in lanes, results transposed on the way out.
#pragma once

#include <cmath>

#include "cpu/wigner_batch.hpp"

namespace equiscope {
namespace EQUISCOPE_ISA {
namespace {

// Unit vectors in lanes. Returns false, with a zero vector in that lane, if a point has no direction.
template <class T>
inline bool load_directions(const T* source, Index count, Lanes v[3]) {
    double x[lanes] = {}, y[lanes] = {}, z[lanes] = {}, norm[lanes], largest[lanes];
    for (Index lane = 0; lane < count; ++lane) {
        x[lane] = static_cast<double>(source[3 * lane]);
        y[lane] = static_cast<double>(source[3 * lane + 1]);
        z[lane] = static_cast<double>(source[3 * lane + 2]);
    }
    bool all = true;
    for (Index lane = 0; lane < lanes; ++lane) {
        const double a = std::fabs(x[lane]), b = std::fabs(y[lane]), c = std::fabs(z[lane]);
        const double ab = a > b ? a : b, abc = ab > c ? ab : c;
        all = all && (abc > 0.0 || lane >= count);
        largest[lane] = abc > 0.0 ? abc : 1.0;
    }
    // scaled by the largest entry, so that squares neither overflow nor vanish
    for (Index lane = 0; lane < lanes; ++lane) {
        x[lane] /= largest[lane], y[lane] /= largest[lane], z[lane] /= largest[lane];
        const double square = x[lane] * x[lane] + y[lane] * y[lane] + z[lane] * z[lane];
        norm[lane] = std::sqrt(square > 0.0 ? square : 1.0);
    }
    const Lanes length = load<Lanes>(norm);
    v[0] = load<Lanes>(x) / length, v[1] = load<Lanes>(y) / length, v[2] = load<Lanes>(z) / length;
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
    const HarmonicTile<T> tile(tables);
    RowWriter<T> writer(1);
    for (Index pack = first; pack < last; ++pack) {
        const Index start = pack * lanes, count = least(lanes, n - start);
        const LanesOf<T>* y = tile.fill(xyz + 3 * start, count);
        if constexpr (RowWriter<T>::usable) {
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
    const bool streaming = n * harmonic_count(tables.lmax) * Index(sizeof(T)) > tables.cached_bytes;
    for_packs(n, threads, [=](Index first, Index last) {
        if (streaming)
            spherical_harmonics_packs<true>(tables, xyz, n, out, first, last);
        else
            spherical_harmonics_packs<false>(tables, xyz, n, out, first, last);
    });
}

template <class T>
void spherical_harmonics_torque(const Tables& tables, const T* xyz, Index n, const T* grad, T* out, int threads) {
    const Index size = harmonic_count(tables.lmax);
    for_packs(n, threads, [=](Index first, Index last) {
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
