// The values of a few entries in shared memory: where each of them lies, and how they get into a packed array.
#pragma once

#include "equiscope/index.hpp"

namespace equiscope {
namespace cuda {

// Where the values of one degree of an entry go: (row, column) lies `down` and `right` from the middle. Values of degrees
// that are not wanted are dropped.
template <class T>
struct Position {
    T* middle;
    int down, right;
    bool wanted;

    EQUISCOPE_HOST_DEVICE void operator()(int row, int column, double value) const {
        if (wanted) middle[row * down + column * right] = static_cast<T>(value);
    }
    // of harmonics, which have one row
    EQUISCOPE_HOST_DEVICE void operator()(int column, double value) const { (*this)(0, column, value); }
};

// A tile of `entries` entries in shared memory, degrees first .. last of a family.
template <class Family>
struct Tile {
    int entries, first, last;

    EQUISCOPE_HOST_DEVICE int values_per_entry() const { return Family::offset(last + 1) - Family::offset(first); }
    // odd, so that neighbouring entries lie in different banks
    EQUISCOPE_HOST_DEVICE int pitch(int l) const {
        return Family::run_per_degree ? Family::offset(l + 1) - Family::offset(l) : values_per_entry() | 1;
    }
    EQUISCOPE_HOST_DEVICE int size() const {
        return entries * (Family::run_per_degree ? values_per_entry() : values_per_entry() | 1);
    }
    // where degree l of an entry starts
    EQUISCOPE_HOST_DEVICE int at(int entry, int l) const {
        const int before = Family::offset(l) - Family::offset(first);
        return Family::run_per_degree ? entries * before + entry * pitch(l) : entry * pitch(l) + before;
    }
    // where (row, column) = (0, 0) of degree l lies in what starts with the degree
    EQUISCOPE_HOST_DEVICE static int middle(int l) { return Family::rows(l) / 2 * (2 * l + 1) + l; }
    // where degree l of an entry of `n` starts in the packed array
    EQUISCOPE_HOST_DEVICE static Index packed(Index n, int lmax, Index entry, int l) {
        return Family::run_per_degree ? n * Family::offset(l) + entry * (Family::offset(l + 1) - Family::offset(l))
                                      : entry * Family::offset(lmax + 1) + Family::offset(l);
    }

    // Calls move(position in the tile, position in the packed array) for all values of entries start .. start + count,
    // neighbouring threads at neighbouring places of the packed array.
    template <class Move>
    EQUISCOPE_HOST_DEVICE void for_values(Index n, int lmax, Index start, int count, int thread, int threads,
                                          const Move& move) const {
        const auto in_order = [&](int from, Index to, int total) {
            constexpr int line = 32;  // a warp begins where a line of memory does, for values of 4 bytes
            for (int i = thread - static_cast<int>(to % line); i < total; i += threads)
                if (i >= 0) move(from + i, to + i);
        };
        if (Family::run_per_degree) {
            for (int l = first; l <= last; ++l) in_order(at(0, l), packed(n, lmax, start, l), count * pitch(l));
            return;
        }
        const int width = values_per_entry(), stride = pitch(first), total = count * width;
        const Index to = packed(n, lmax, start, first);
        if (width == stride && width == Family::offset(lmax + 1)) {
            in_order(0, to, total);
            return;
        }
        const int whole = threads / width, rest = threads % width;
        int entry = thread / width, within = thread % width;
        for (int i = thread; i < total; i += threads) {
            move(entry * stride + within, to + Index(entry) * Family::offset(lmax + 1) + within);
            const bool next = within + rest >= width;
            entry += whole + next, within += rest - (next ? width : 0);
        }
    }
};

// The values of one entry on their way into a tile, or, if it is not `staged` there, straight into the packed array.
template <class Family, class T, bool staged>
struct Entry {
    Tile<Family> tile;
    T* values;  // of the tile, or the packed array of n entries
    Index n;
    int lmax;
    Index entry;  // in the tile, or of n

    EQUISCOPE_HOST_DEVICE Position<T> degree(int l) const {
        T* start = values;
        if constexpr (staged)
            start += tile.at(static_cast<int>(entry), l);
        else
            start += Tile<Family>::packed(n, lmax, entry, l);
        return {start + Tile<Family>::middle(l), 2 * l + 1, 1, l >= tile.first};
    }
};

}  // namespace cuda
}  // namespace equiscope
