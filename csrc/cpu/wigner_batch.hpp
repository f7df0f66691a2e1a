// D matrices of many rotations: rotations in lanes, results transposed on the way out.
#pragma once

#include "cpu/cached_bytes.hpp"
#include "cpu/kernels.hpp"
#include "cpu/lanes.hpp"
#include "cpu/pool.hpp"
#include "cpu/row_writer.hpp"
#include "equiscope/generators.hpp"
#include "equiscope/rotation.hpp"

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
    const Lanes zero = {}, one = zero + 1.0;
    const Lanes det = determinant(r) < zero ? -one : one;
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
        for (Index l = 0; l <= tables.lmax; ++l) centers_.get()[l] = matrix_center(l) * Index(sizeof(LanesOf<T>));
    }

    template <class Between = Nothing>
    const LanesOf<T>* fill(const Lanes r[9], const Between& between = {}) const {
        fill_into(r, tile_.get(), between);
        return tile_.get();
    }

    template <class Between = Nothing>
    void fill_into(const Lanes r[9], LanesOf<T>* tile, const Between& between = {}) const {
        const Index* centers = centers_.get();
        wigner(
            r, tables_.lmax, tables_.wigner, powers_.get(),
            [=](Index l, Index row, Index column, const Lanes& value) {
                // in bytes: there is no address of 64 times a register
                char* center = reinterpret_cast<char*>(tile) + centers[l];
                const Index at = (row * (2 * l + 1) + column) * Index(sizeof(LanesOf<T>));
                *reinterpret_cast<LanesOf<T>*>(center + at) = __builtin_convertvector(value, LanesOf<T>);
            },
            between);
    }

  private:
    Tables tables_;
    Scratch<Index> centers_;  // of the matrices, in bytes
    Scratch<Complex<Lanes>> powers_;
    Scratch<LanesOf<T>> tile_;
};

// Calls body(first pack, last pack) over packs of n items: a few tasks for each thread, so that small batches are shared
// out too and scratch is made rarely.
template <class Body>
inline void for_packs(Index n, int threads, const Body& body) {
    constexpr Index largest = 128;
    const Index count = packs(n), grain = threads > 1 ? least(largest, ceil_div(count, 4 * threads)) : most(1, count);
    parallel_for(ceil_div(count, most(1, grain)), threads,
                 [&](Index task) { body(task * grain, least(count, (task + 1) * grain)); });
}

// The matrices of one pack on their way from a tile to memory.
template <bool streaming, class T>
class WignerRows {
  public:
    WignerRows(int lmax, Index n, T* out) : lmax_(lmax), l_(lmax + 1), n_(n), out_(out), writer_(lmax + 1) {}

    void begin(const LanesOf<T>* tile, Index pack, bool first, bool last) {
        tile_ = tile, start_ = pack * lanes, count_ = least(lanes, n_ - start_);
        first_ = first, last_ = last || start_ + 2 * lanes > n_;
        l_ = 0;
        begin_matrix();
    }

    // Writes about `entries` entries of every lane.
    void advance(Index entries) {
        for (Index columns = ceil_div(entries, RowWriter<T>::unit); columns > 0 && l_ <= lmax_; columns -= at_once) {
            if constexpr (RowWriter<T>::usable)
                if (!writer_.template advance<streaming>(at_once)) continue;
            ++l_;
            begin_matrix();
        }
    }

    void finish() {
        while (l_ <= lmax_) advance(matrix_count(lmax_));
    }

  private:
    static constexpr Index at_once = 4;

    void begin_matrix() {
        for (; l_ <= lmax_; ++l_) {
            const Index size = (2 * l_ + 1) * (2 * l_ + 1);
            const LanesOf<T>* tile = tile_ + matrix_offset(l_);
            T* target = out_ + n_ * matrix_offset(l_) + start_ * size;
            if constexpr (RowWriter<T>::usable) {
                if (count_ == lanes && size >= writer_.unit)
                    return writer_.begin(tile, size, target, l_, first_, last_);
            }
            lanes_to_rows(tile, size, count_, target, size);
        }
    }

    Index lmax_, l_, n_, start_ = 0, count_ = 0;
    T* out_;
    const LanesOf<T>* tile_ = nullptr;
    RowWriter<T> writer_;
    bool first_ = false, last_ = false;
};

// While a pack is computed, the one before it is written: memory and arithmetic are busy at the same time.
template <bool streaming, class T>
void wigner_D_packs(const Tables& tables, const T* rotations, Index n, T* out, Index first, Index last) {
    const bool overlapped = tables.lmax >= 8;  // below, taking turns costs more than it hides
    const WignerTile<T> even(tables), odd(tables);
    WignerRows<streaming, T> rows(tables.lmax, n, out);
    for (Index pack = first; pack < last; ++pack) {
        const Index start = pack * lanes;
        Lanes r[9];
        load_rotations(rotations + 9 * start, least(lanes, n - start), r);
        const LanesOf<T>* d = (pack % 2 ? odd : even).fill(r, [&](int mp, int m) {
            if (overlapped) rows.advance((tables.lmax - mp + 1) * (m == mp ? 4 : 8));
        });
        rows.finish();
        rows.begin(d, pack, pack == first, pack + 1 == last);
    }
    rows.finish();
    if (streaming) stream_fence();
}

template <class T>
void wigner_D(const Tables& tables, const T* rotations, Index n, T* out, int threads) {
    const bool streaming = n * matrix_count(tables.lmax) * Index(sizeof(T)) > cached_bytes();
    for_packs(n, threads_for(n * matrix_count(tables.lmax), threads), [=](Index first, Index last) {
        if (streaming)
            wigner_D_packs<true>(tables, rotations, n, out, first, last);
        else
            wigner_D_packs<false>(tables, rotations, n, out, first, last);
    });
}

template <class T>
void wigner_D_torque(const Tables& tables, const T* rotations, Index n, const T* grad, T* out, int threads) {
    for_packs(n, threads_for(n * matrix_count(tables.lmax), threads), [=](Index first, Index last) {
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
