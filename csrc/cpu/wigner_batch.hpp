// D matrices of many rotations: rotations in lanes, results transposed on the way out.
#pragma once

#include "cpu/kernels.hpp"
#include "cpu/lanes.hpp"
#include "cpu/pool.hpp"
#include "cpu/row_writer.hpp"
#include "equiscope/generators.hpp"

namespace equiscope {
namespace EQUISCOPE_ISA {
namespace {

// Rotations in lanes, brought to the nearest proper rotation; returns the determinant, +-1. Lanes from `count` on hold
// the identity.
template <class T>
inline Lanes load_rotations(const T* source, Index count, Lanes r[9]) {
    rows_to_lanes(source, 9, count, 9, r);
    for (Index lane = count; lane < lanes; ++lane)
        for (int i = 0; i < 9; i += 4) r[i][lane] = 1.0;
    const Lanes d = r[0] * (r[4] * r[8] - r[5] * r[7]) - r[1] * (r[3] * r[8] - r[5] * r[6]) +
                    r[2] * (r[3] * r[7] - r[4] * r[6]);
    const Lanes zero = {}, one = zero + 1.0;
    const Lanes det = d < zero ? -one : one;
    for (int i = 0; i < 9; ++i) r[i] *= det;
    orthonormalize(r);
    return det;
}

// D of a pack of rotations into tile[E(lmax)], in the packed order.
template <class T = double>
class WignerTile {
  public:
    explicit WignerTile(const Tables& tables)
        : tables_(tables),
          centers_(tables.lmax + 1),
          powers_(2 * (tables.lmax + 1)),
          tile_(matrix_count(tables.lmax) + RowWriter<T>::margin) {
        for (Index l = 0; l <= tables.lmax; ++l) centers_.get()[l] = matrix_offset(l) + 2 * l * (l + 1);
    }

    const LanesOf<T>* fill(const Lanes r[9]) const {
        fill_into(r, tile_.get());
        return tile_.get();
    }

    void fill_into(const Lanes r[9], LanesOf<T>* tile) const {
        const Index* centers = centers_.get();
        wigner(r, tables_.lmax, tables_.wigner, powers_.get(),
               [=](Index l, Index row, Index column, const Lanes& value) {
                   tile[centers[l] + row * (2 * l + 1) + column] = __builtin_convertvector(value, LanesOf<T>);
               });
    }

  private:
    Tables tables_;
    Scratch<Index> centers_;
    Scratch<Complex<Lanes>> powers_;
    Scratch<LanesOf<T>> tile_;
};

// Packs per task: enough to hide the cost of handing a task out.
constexpr Index grain = 16;

// Calls body(first pack, last pack) over packs of n items.
template <class Body>
inline void for_packs(Index n, int threads, const Body& body) {
    const Index count = packs(n);
    parallel_for(ceil_div(count, grain), threads,
                 [&](Index task) { body(task * grain, least(count, (task + 1) * grain)); });
}

template <bool streaming, class T>
void wigner_D_packs(const Tables& tables, const T* rotations, Index n, T* out, Index first, Index last) {
    const WignerTile<T> tile(tables);
    RowWriter<T> writer(tables.lmax + 1);
    for (Index pack = first; pack < last; ++pack) {
        const Index start = pack * lanes, count = least(lanes, n - start);
        Lanes r[9];
        load_rotations(rotations + 9 * start, count, r);
        const LanesOf<T>* d = tile.fill(r);
        for (Index l = 0; l <= tables.lmax; ++l) {
            const Index size = (2 * l + 1) * (2 * l + 1);
            T* target = out + n * matrix_offset(l) + start * size;
            const LanesOf<T>* own = d + matrix_offset(l);
            if (count == lanes && writer.usable(size))
                writer.template write<streaming>(own, size, target, l, pack == first, (pack + 2) * lanes > n || pack + 1 == last);
            else
                lanes_to_rows(own, size, count, target, size);
        }
    }
    if (streaming) stream_fence();
}

template <class T>
void wigner_D(const Tables& tables, const T* rotations, Index n, T* out, int threads) {
    const bool streaming = n * matrix_count(tables.lmax) * Index(sizeof(T)) > tables.cached_bytes;
    for_packs(n, threads, [=](Index first, Index last) {
        if (streaming)
            wigner_D_packs<true>(tables, rotations, n, out, first, last);
        else
            wigner_D_packs<false>(tables, rotations, n, out, first, last);
    });
}

template <class T>
void wigner_D_torque(const Tables& tables, const T* rotations, Index n, const T* grad, T* out, int threads) {
    for_packs(n, threads, [=](Index first, Index last) {
        const Index widest = 2 * tables.lmax + 1;
        const WignerTile<> tile(tables);
        const Scratch<Lanes> wanted(widest * widest);
        for (Index pack = first; pack < last; ++pack) {
            const Index start = pack * lanes, count = least(lanes, n - start);
            Lanes r[9], torque[3] = {};
            load_rotations(rotations + 9 * start, count, r);
            const Lanes* d = tile.fill(r);
            for (int l = 0; l <= tables.lmax; ++l) {
                const Index size = Index(2 * l + 1) * (2 * l + 1);
                rows_to_lanes(grad + n * matrix_offset(l) + start * size, size, count, size, wanted.get());
                add_torque(l, 2 * l + 1, d + matrix_offset(l), wanted.get(), torque);
            }
            lanes_to_rows(torque, 3, count, out + 3 * start, 3);
        }
    });
}

}  // namespace
}  // namespace EQUISCOPE_ISA
}  // namespace equiscope
