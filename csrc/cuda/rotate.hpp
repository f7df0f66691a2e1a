// Rotation of features: a block makes D of a few rotations in shared memory and applies it to the rows of features that
// belong to them, or to one share of the rows of a single rotation.
#pragma once

#include <cstdint>

#include "cuda/family.hpp"
#include "cuda/tile.hpp"

namespace equiscope {
namespace cuda {

// One copy of an irrep in a row of features: component i lies at offset + i stride.
struct IrrepCopy {
    int l, offset, stride, odd;
};

template <class T>
struct Rotate {
    static constexpr int threads = 256, phases = 4, height = 4, resident = 4;
    struct State {};
    struct alignas(16) Column {
        T value[height];
    };

    // The D of one rotation as columns, or its transposes.
    struct Matrices {
        Column* columns_of_all;
        const int* starts;
        bool inverse;

        EQUISCOPE_HOST_DEVICE Position<T> degree(int l) const {
            const int pitch = columns(l) * height;
            T* first = columns_of_all[starts[l]].value;
            return {first + l * (pitch + 1), inverse ? pitch : 1, inverse ? 1 : pitch, true};
        }
    };

    Tables tables;
    const T* x;
    bool shared_x;  // one x for all rotations
    const T* rotations;
    Index batch, rows, dim;
    const IrrepCopy* copies;
    Index copy_count;
    bool inverse;
    T* out;
    double tolerance;
    // the rest is filled in by choose_tile
    Index matrices;      // columns of all D of one rotation
    Index tile;          // rotations per block; more than one only where a block has all their rows
    Index rows_at_once;  // of each of them
    Index rounds_per_block;

    EQUISCOPE_HOST_DEVICE Index rows_per_block() const { return rows_at_once * rounds_per_block; }
    EQUISCOPE_HOST_DEVICE Index row_blocks() const { return (rows + rows_per_block() - 1) / rows_per_block(); }
    Index blocks() const { return (batch + tile - 1) / tile * row_blocks(); }
    // Columns of D^l in blocks of `height` rows, or of its transpose.
    EQUISCOPE_HOST_DEVICE static int columns(int l) { return (2 * l + height) / height; }
    EQUISCOPE_HOST_DEVICE static int matrix_start(int l) {
        int sum = 0;
        for (int k = 0; k < l; ++k) sum += (2 * k + 1) * columns(k);
        return sum;
    }
    // a multiple of 16 bytes
    EQUISCOPE_HOST_DEVICE Index features() const { return (tile * rows_at_once * dim + 3) / 4 * 4; }
    EQUISCOPE_HOST_DEVICE Index prepared_size() const { return tile * WignerFamily::scratch(tables.lmax); }
    EQUISCOPE_HOST_DEVICE Index starts_size() const {
        return (tables.lmax + 4) / 4 * 2;
    }  // doubles that hold 4-byte starts
    Index shared_bytes() const {
        return (starts_size() + prepared_size()) * Index(sizeof(double)) + tile * matrices * Index(sizeof(Column)) +
               2 * features() * Index(sizeof(T));
    }
    EQUISCOPE_HOST_DEVICE Index rounds(Index block) const {
        const Index first = block % row_blocks() * rows_per_block(), left = rows - first;
        return left < rows_per_block() ? (left + rows_at_once - 1) / rows_at_once : rounds_per_block;
    }

    template <int phase>
    EQUISCOPE_HOST_DEVICE void run(Index block, int thread, Index round, State&, void* shared) const {
        const Index start = block / row_blocks() * tile, left = batch - start, count = left < tile ? left : tile;
        const Index row = block % row_blocks() * rows_per_block() + round * rows_at_once, rows_left = rows - row;
        const Index own_rows = rows_left < rows_at_once ? rows_left : rows_at_once;
        const Index scratch = WignerFamily::scratch(tables.lmax);
        auto* starts = static_cast<int*>(shared);
        double* prepared = static_cast<double*>(shared) + starts_size();
        auto* d = reinterpret_cast<Column*>(prepared + prepared_size());
        T* from = reinterpret_cast<T*>(d + tile * matrices);
        T* to = from + features();
        const Index per_rotation = own_rows * dim;
        if constexpr (phase == 0) {
            if (round == 0) {
                for (int l = thread; l <= tables.lmax; l += threads) starts[l] = matrix_start(l);
                for (Index i = thread; i < count; i += threads)
                    WignerFamily::prepare(rotations + 9 * (start + i), tables.lmax, tolerance, false,
                                          prepared + i * scratch);
            }
            if (shared_x && tile > 1) {
                const int size = static_cast<int>(per_rotation), total = static_cast<int>(count) * size;
                for (int i = thread; i < total; i += threads) from[i] = x[row * dim + i % size];
            } else {
                copy(x + ((shared_x ? 0 : start * rows) + row) * dim, from, count * per_rotation, thread);
            }
        } else if constexpr (phase == 1) {
            if (round > 0) return;
            const int entries = static_cast<int>(tile), total = WignerFamily::items(tables.lmax, entries);
            for (int i = thread; i < total; i += threads) {
                const Item item = WignerFamily::item(i, tables.lmax, entries);
                if (item.entry >= count) continue;
                WignerFamily::fill(tables, item, tables.lmax, prepared + item.entry * scratch,
                                   Matrices{d + item.entry * matrices, starts, inverse});
            }
        } else if constexpr (phase == 2) {
            const int total = static_cast<int>(count * own_rows * copy_count), many = static_cast<int>(copy_count);
            for (int i = thread; i < total; i += threads) {
                const int which = i / many, entry = which / static_cast<int>(own_rows);
                const IrrepCopy own = copies[i - which * many];
                const T sign = own.odd && prepared[entry * scratch + 10] < 0.0 ? T(-1) : T(1);
                apply(d + entry * matrices + starts[own.l], own, sign, from + which * dim + own.offset,
                      to + which * dim + own.offset);
            }
        } else {
            copy(to, out + (start * rows + row) * dim, count * per_rotation, thread);
        }
    }

  private:
    EQUISCOPE_HOST_DEVICE static void apply(const Column* d, const IrrepCopy& own, T sign, const T* from, T* to) {
        const int size = 2 * own.l + 1, groups = columns(own.l);
        for (int group = 0; group < groups; ++group) {
            T sum[height] = {};
            for (int j = 0; j < size; ++j) {
                const Column column = d[j * groups + group];
                const T value = from[j * own.stride];
                for (int i = 0; i < height; ++i) sum[i] += column.value[i] * value;
            }
            for (int i = 0; i < height; ++i)
                if (group * height + i < size) to[(group * height + i) * own.stride] = sum[i] * sign;
        }
    }

    // `count` values by all threads of a block, 16 bytes at a time where both sides allow it.
    EQUISCOPE_HOST_DEVICE static void copy(const T* source, T* target, Index count, int thread) {
        const bool aligned =
            (reinterpret_cast<std::uintptr_t>(source) | reinterpret_cast<std::uintptr_t>(target)) % 16 == 0;
        constexpr Index width = Index(16 / sizeof(T));
        struct alignas(16) Wide {
            T value[width];
        };
        const Index whole = aligned ? count / width : 0;
        for (Index i = thread; i < whole; i += threads)
            reinterpret_cast<Wide*>(target)[i] = reinterpret_cast<const Wide*>(source)[i];
        for (Index i = whole * width + thread; i < count; i += threads) target[i] = source[i];
    }
};

// Fills in tile, rows_at_once and rounds_per_block; false if not even one row of one rotation fits into shared memory.
template <class T>
inline bool choose_tile(Rotate<T>& body, Index shared_limit) {
    constexpr Index bytes_at_once = 16 * 1024;  // of features, in and out each
    body.matrices = Rotate<T>::matrix_start(body.tables.lmax + 1);
    const Index row_bytes = body.dim * Index(sizeof(T)), all = body.rows * row_bytes;
    const auto fits = [&](Index tile, Index rows, Index limit) {
        body.tile = tile, body.rows_at_once = rows, body.rounds_per_block = 1;
        return body.shared_bytes() <= limit;
    };
    Index tile = 1, rows = 1;
    if (body.rows == 0 || body.dim == 0 || body.batch == 0) return fits(1, 1, shared_limit);
    if (all <= bytes_at_once / 2) {
        rows = body.rows;
        while (2 * tile <= 32 && 2 * tile * all <= bytes_at_once && fits(2 * tile, rows, shared_limit / 3)) tile *= 2;
    } else {
        rows = row_bytes < bytes_at_once ? bytes_at_once / row_bytes : 1;
        rows = rows < body.rows ? rows : body.rows;
        while (rows > 1 && !fits(1, rows, shared_limit / 3)) rows = (rows + 1) / 2;
    }
    if (!fits(tile, rows, shared_limit)) return false;
    // D costs about as much as eight values of features per element: rounds make it a small part
    const Index wanted = 8 * matrix_count(body.tables.lmax) / (rows * body.dim) + 1,
                most = (body.rows + rows - 1) / rows;
    body.rounds_per_block = tile > 1 ? 1 : (wanted < most ? wanted : most);
    return true;
}

}  // namespace cuda
}  // namespace equiscope
