// D matrices of rotations and harmonics of points: a block owns a tile of entries, evaluates their recursions into shared
// memory and writes each run of the packed array in order.
#pragma once

#include <type_traits>

#include "cuda/family.hpp"
#include "cuda/tile.hpp"

namespace equiscope {
namespace cuda {

// Blocks that a multiprocessor holds at once, by their share of shared memory and of registers.
constexpr int evaluated_blocks = 3;

// `staged`: otherwise a tile does not fit into shared memory, and values are written where they belong.
template <class Family, class T, bool staged>
struct Evaluate {
    static constexpr int threads = 256, phases = 3, resident = evaluated_blocks;
    struct State {};

    Tables tables;
    const T* in;
    Index n;
    T* out;
    double tolerance;
    Tile<Family> tile;

    Index blocks() const { return (n + tile.entries - 1) / tile.entries; }
    Index shared_bytes() const { return scratch_bytes() + (staged ? tile.size() * Index(sizeof(T)) : 0); }
    EQUISCOPE_HOST_DEVICE Index scratch_bytes() const {
        return Index(tile.entries) * Family::scratch(tables.lmax) * Index(sizeof(double));
    }
    EQUISCOPE_HOST_DEVICE Index rounds(Index) const { return 1; }

    template <int phase>
    EQUISCOPE_HOST_DEVICE void run(Index block, int thread, Index, State&, void* shared) const {
        const Index start = block * tile.entries;
        const int count = static_cast<int>(n - start < tile.entries ? n - start : tile.entries);
        const int scratch = Family::scratch(tables.lmax);
        auto* prepared = static_cast<double*>(shared);
        auto* values = reinterpret_cast<T*>(prepared + tile.entries * scratch);
        if constexpr (phase == 0) {
            for (int entry = thread; entry < count; entry += threads)
                Family::prepare(in + (start + entry) * Family::inputs, tables.lmax, tolerance, true,
                                prepared + entry * scratch);
        } else if constexpr (phase == 1) {
            const int total = Family::items(tile.last, tile.entries);
            for (int i = thread; i < total; i += threads) {
                const Item item = Family::item(i, tile.last, tile.entries);
                if (item.entry >= count) continue;
                const Entry<Family, T, staged> target{tile, staged ? values : out, n, tables.lmax,
                                                      staged ? item.entry : start + item.entry};
                Family::fill(tables, item, tile.last, prepared + item.entry * scratch, target);
            }
        } else if constexpr (staged) {
            tile.for_values(n, tables.lmax, start, count, thread, threads,
                            [&](int from, Index to) { out[to] = values[from]; });
        }
    }
};

// torque_k = sum_l <grad^l, f^l X_k> per entry, with f recomputed: the gradient is all that is read.
template <class Family, class T>
struct Torque {
    static constexpr int threads = 256, phases = 4, resident = evaluated_blocks;
    struct State {};

    Tables tables;
    const double* halves;  // generator_half(l, m) at l (l - 1) / 2 + m - 1
    const T* in;
    Index n;
    const T* grad;
    T* out;
    double tolerance;
    Tile<Family> tile;
    bool staged;  // otherwise gradients are read where they lie
    bool add;     // to what earlier degrees gave

    Index blocks() const { return (n + tile.entries - 1) / tile.entries; }
    EQUISCOPE_HOST_DEVICE int prepared_size() const { return tile.entries * Family::scratch(tables.lmax); }
    EQUISCOPE_HOST_DEVICE int group() const { return threads / tile.entries; }
    Index shared_bytes() const {
        return (prepared_size() + 3 * threads) * Index(sizeof(double)) +
               (staged ? 2 : 1) * tile.size() * Index(sizeof(T));
    }
    EQUISCOPE_HOST_DEVICE Index rounds(Index) const { return 1; }

    template <int phase>
    EQUISCOPE_HOST_DEVICE void run(Index block, int thread, Index, State&, void* shared) const {
        const Index start = block * tile.entries;
        const int count = static_cast<int>(n - start < tile.entries ? n - start : tile.entries);
        const int scratch = Family::scratch(tables.lmax);
        auto* prepared = static_cast<double*>(shared);
        double* partial = prepared + prepared_size();
        auto* values = reinterpret_cast<T*>(partial + 3 * threads);
        T* gradients = values + tile.size();
        const int size = group();
        if constexpr (phase == 0) {
            for (int entry = thread; entry < count; entry += threads)
                Family::prepare(in + (start + entry) * Family::inputs, tables.lmax, tolerance, true,
                                prepared + entry * scratch);
            if (staged)
                tile.for_values(n, tables.lmax, start, count, thread, threads,
                                [&](int to, Index from) { gradients[to] = grad[from]; });
        } else if constexpr (phase == 1) {
            const int total = Family::items(tile.last, tile.entries);
            for (int i = thread; i < total; i += threads) {
                const Item item = Family::item(i, tile.last, tile.entries);
                if (item.entry >= count) continue;
                Family::fill(tables, item, tile.last, prepared + item.entry * scratch,
                             Entry<Family, T, true>{tile, values, n, tables.lmax, item.entry});
            }
        } else if constexpr (phase == 2) {
            // each entry has `size` threads, each of them every size-th row
            const int entry = thread / size;
            double torque[3] = {0.0, 0.0, 0.0};
            if (entry < count) {
                const int end = Family::rows_before(tile.last + 1);
                for (int row = Family::rows_before(tile.first) + thread % size; row < end; row += size) {
                    const int l = Family::degree_of_row(row);
                    const int within = (row - Family::rows_before(l)) * (2 * l + 1), at = tile.at(entry, l) + within;
                    const T* own = staged ? gradients + at
                                          : grad + Tile<Family>::packed(n, tables.lmax, start + entry, l) + within;
                    const double* half = halves + l * (l - 1) / 2 - 1;
                    const auto half_of = [=](int m) { return half[m]; };
                    // harmonics are columns: f^l X_k of a row is minus X_k f^l of a column
                    if (Family::run_per_degree)
                        add_torque(l, 1, values + at, own, torque, half_of);
                    else
                        add_torque(l, 1, own, values + at, torque, half_of);
                }
            }
            for (int k = 0; k < 3; ++k) partial[3 * thread + k] = torque[k];
        } else {
            for (int i = thread; i < 3 * count; i += threads) {
                const int entry = i / 3, k = i % 3;
                double sum = 0.0;
                for (int j = 0; j < size; ++j) sum += partial[3 * (entry * size + j) + k];
                T& target = out[3 * start + i];
                target = static_cast<T>(add ? static_cast<double>(target) + sum : sum);
            }
        }
    }
};

// Entries per tile and last degree such that `bytes(tile)` stays within the share of shared memory of one block, or
// within all of it where that takes a single degree of a single entry.
template <class Bytes>
inline int entries_within(Index limit, int most_entries, const Bytes& bytes) {
    for (int entries = most_entries; entries > 1; entries /= 2)
        if (bytes(entries) <= limit / evaluated_blocks) return entries;
    return 1;
}

template <class Bytes>
inline int last_degree_within(Index limit, int first, int lmax, const Bytes& bytes) {
    if (bytes(lmax) <= limit) return lmax;
    int last = first;
    while (last < lmax && bytes(last + 1) <= limit / evaluated_blocks) ++last;
    return last;
}

// Calls launch(body) for runs of degrees that cover 0 .. lmax; make(tile, staged) gives a body, with `staged` of the type
// std::true_type or std::false_type.
template <class Family, class Make, class Launch>
inline void for_degrees(int lmax, Index shared_limit, const Make& make, const Launch& launch) {
    constexpr int most_entries = 64;
    for (int first = 0, last = 0; first <= lmax; first = last + 1) {
        const auto bytes = [&](int entries, int until, auto staged) {
            return make(Tile<Family>{entries, first, until}, staged).shared_bytes();
        };
        last =
            last_degree_within(shared_limit, first, lmax, [&](int until) { return bytes(1, until, std::true_type()); });
        const auto start = [&](auto staged) {
            const int entries =
                entries_within(shared_limit, most_entries, [&](int count) { return bytes(count, last, staged); });
            launch(make(Tile<Family>{entries, first, last}, staged));
        };
        if (bytes(1, last, std::true_type()) <= shared_limit)
            start(std::true_type());
        else
            start(std::false_type());
    }
}

}  // namespace cuda
}  // namespace equiscope
