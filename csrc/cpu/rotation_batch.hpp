// Rotation of features. D is made for a pack of rotations at a time, in scratch, and applied at once.
#pragma once

#include "cpu/wigner_batch.hpp"

namespace equiscope {
namespace EQUISCOPE_ISA {

// y = sign D x, or sign D^T x, for one row and one run of irreps.
template <class T>
void rotate_block(const double* d, const IrrepBlock& block, bool inverse, double sign, const T* x, T* y) {
    const Index size = 2 * block.l + 1;
    const Index row_step = inverse ? 1 : size, column_step = inverse ? size : 1;
    x += block.offset, y += block.offset;
    if (block.stride_mul == 1) {  // copies lie side by side: the inner loop runs over them
        for (Index i = 0; i < size; ++i) {
            T* target = y + i * block.stride_m;
            std::fill(target, target + block.mul, T(0));
            for (Index j = 0; j < size; ++j) {
                const T factor = static_cast<T>(sign * d[i * row_step + j * column_step]);
                const T* source = x + j * block.stride_m;
                for (Index c = 0; c < block.mul; ++c) target[c] += factor * source[c];
            }
        }
        return;
    }
    for (Index c = 0; c < block.mul; ++c) {
        for (Index i = 0; i < size; ++i) {
            double sum = 0.0;
            for (Index j = 0; j < size; ++j)
                sum += d[i * row_step + j * column_step] *
                       static_cast<double>(x[c * block.stride_mul + j * block.stride_m]);
            y[c * block.stride_mul + i * block.stride_m] = static_cast<T>(sign * sum);
        }
    }
}

// Everything one call of `rotate` needs to know.
template <class T>
struct Rotation {
    const T* x;
    bool shared;
    const T* rotations;
    Index batch, rows, dim;
    const std::vector<IrrepBlock>& blocks;
    bool inverse;
    T* out;

    Index row_grain() const { return std::max<Index>(1, 4096 / std::max<Index>(1, dim)); }

    // Rotations first .. last of one pack each; the rows of each rotation are shared among `row_threads`.
    void apply(Index first, Index last, int row_threads) const {
        Index lmax = 0;
        for (const IrrepBlock& block : blocks) lmax = std::max(lmax, block.l);
        const Index size = matrix_count(lmax);
        WignerTile tile(static_cast<int>(lmax));
        std::vector<double> d(static_cast<std::size_t>(lanes * size));
        for (Index pack = first; pack < last; ++pack) {
            const Index start = pack * lanes, count = std::min(lanes, batch - start);
            Lanes r[9];
            double det[lanes];
            load_rotations(rotations + 9 * start, count, r, det);
            scatter_lanes(tile.fill(r), size, count, d.data(), size);
            for (Index lane = 0; lane < count; ++lane)
                parallel_for((rows + row_grain() - 1) / row_grain(), row_threads, [&](long task) {
                    const Index end = std::min(rows, (task + 1) * row_grain());
                    for (Index row = task * row_grain(); row < end; ++row)
                        one_row(d.data() + lane * size, det[lane], start + lane, row);
                });
        }
    }

    void one_row(const double* d, double det, Index rotation, Index row) const {
        const T* source = x + ((shared ? 0 : rotation * rows) + row) * dim;
        for (const IrrepBlock& block : blocks)
            rotate_block(d + matrix_offset(block.l), block, inverse, block.odd ? det : 1.0, source,
                         out + (rotation * rows + row) * dim);
    }
};

template <class T>
void rotate(const T* x, bool shared, const T* rotations, Index batch, Index rows, Index dim,
            const std::vector<IrrepBlock>& blocks, bool inverse, T* out, int threads) {
    const Rotation<T> rotation{x, shared, rotations, batch, rows, dim, blocks, inverse, out};
    // many rows: threads share the rows of each rotation; otherwise they share the rotations
    if (rows > rotation.row_grain())
        rotation.apply(0, packs(batch), threads);
    else
        for_packs(batch, threads, [&](Index first, Index last) { rotation.apply(first, last, 1); });
}

}  // namespace EQUISCOPE_ISA
}  // namespace equiscope
