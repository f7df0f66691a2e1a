// Rotation of features. D is made for a pack of rotations in scratch and used at once. Lanes hold copies of an irrep where
// there are many (rotate_copies.hpp), otherwise rotations (few rows each) or rows (of one rotation); these two need the
// same small products, with D a vector or a number.
#pragma once

#include "cpu/rotate_copies.hpp"
#include "cpu/wigner_batch.hpp"

namespace equiscope {
namespace EQUISCOPE_ISA {
namespace {

// Entry (i, j) lies at data[i row + j column]: the transpose exchanges the strides.
template <class Element>
struct MatrixView {
    const Element* data;
    Index row, column;
};

// y[c, i] = sign sum_j D[i, j] x[c, j] for `height` rows i and `copies` copies c.
template <int height, int copies, class Element>
inline void multiply(const MatrixView<Element>& d, Index size, const Lanes* x, Lanes* y, const IrrepBlock& block,
                     const Lanes& sign) {
    Lanes sum[height][copies] = {};
    for (Index j = 0; j < size; ++j)
        for (int c = 0; c < copies; ++c) {
            const Lanes& own = x[c * block.stride_mul + j * block.stride_m];
            for (int i = 0; i < height; ++i) sum[i][c] += own * d.data[i * d.row + j * d.column];
        }
    for (int c = 0; c < copies; ++c)
        for (int i = 0; i < height; ++i) y[c * block.stride_mul + i * block.stride_m] = sum[i][c] * sign;
}

template <int height, int copies, class Element>
inline Index multiply_rows(MatrixView<Element> d, Index first, Index size, const Lanes* x, Lanes* y,
                           const IrrepBlock& block, const Lanes& sign) {
    Index i = first;
    for (; i + height <= size; i += height)
        multiply<height, copies>(MatrixView<Element>{d.data + i * d.row, d.row, d.column}, size, x,
                                 y + i * block.stride_m, block, sign);
    return i;
}

// All copies of one block; x and y hold a whole row of features, one vector per feature.
template <class Element>
inline void rotate_block(const MatrixView<Element>& d, const IrrepBlock& block, const Lanes* x, Lanes* y,
                         const Lanes& sign) {
    const Index size = 2 * block.l + 1;
    x += block.offset, y += block.offset;
    Index c = 0;
    for (; c + 4 <= block.mul; c += 4, x += 4 * block.stride_mul, y += 4 * block.stride_mul) {
        const Index done = multiply_rows<3, 4>(d, 0, size, x, y, block, sign);
        multiply_rows<1, 4>(d, done, size, x, y, block, sign);
    }
    for (; c < block.mul; ++c, x += block.stride_mul, y += block.stride_mul) {
        const Index done = multiply_rows<4, 1>(d, 0, size, x, y, block, sign);
        multiply_rows<1, 1>(d, done, size, x, y, block, sign);
    }
}

template <class Element>
inline void rotate_blocks(const Element* d, const IrrepBlock* blocks, Index block_count, bool inverse, const Lanes& det,
                          const Lanes* x, Lanes* y) {
    const Lanes one = Lanes{} + 1.0;
    for (const IrrepBlock* block = blocks; block < blocks + block_count; ++block) {
        const Index size = 2 * block->l + 1;
        rotate_block(MatrixView<Element>{d + matrix_offset(block->l), inverse ? 1 : size, inverse ? size : 1}, *block,
                     x, y, block->odd ? det : one);
    }
}

// Copies in lanes. D of each rotation is rounded to T after it is made in float64.
template <class T>
void rotate_copies(const CopyRotation<T>& rotation, const Tables& tables, const T* x, bool shared, const T* rotations,
                   Index batch, Index rows, Index dim, T* out, int threads) {
    const Index size = matrix_count(tables.lmax);
    const Index grain = most(1, 16384 / most(1, dim)), tasks = ceil_div(rows, grain);
    const bool split_rows = tasks > 1 && packs(batch) < 4 * Index(threads);
    const auto some_packs = [=](Index first, Index last) {
        const WignerTile<> tile(tables);
        const Scratch<T> dense(lanes * size + CopyRotation<T>::count);
        Results<T> shared_results(2 * tables.lmax + 1, rotation.streaming());
        for (Index pack = first; pack < last; ++pack) {
            const Index start = pack * lanes, count = least(lanes, batch - start);
            Lanes r[9];
            const Lanes det = load_rotations(rotations + 9 * start, count, r);
            if (rotation.transposed())
                for (int i = 0; i < 3; ++i)
                    for (int j = 0; j < i; ++j) {
                        const Lanes lower = r[3 * i + j];
                        r[3 * i + j] = r[3 * j + i], r[3 * j + i] = lower;
                    }
            lanes_to_rows(tile.fill(r), size, count, dense.get(), size);
            const auto some_rows = [&](Index task, Results<T>& results) {
                const Index lane = task / tasks, first_row = task % tasks * grain;
                for (Index row = first_row; row < least(rows, first_row + grain); ++row)
                    rotation.row(dense.get() + lane * size, static_cast<T>(det[lane]),
                                 x + ((shared ? 0 : (start + lane) * rows) + row) * dim,
                                 out + ((start + lane) * rows + row) * dim, results);
            };
            if (split_rows)
                parallel_for(count * tasks, threads, [&](Index task) {
                    Results<T> results(2 * tables.lmax + 1, rotation.streaming());
                    some_rows(task, results);
                    results.finish();
                    stream_fence();
                });
            else
                for (Index task = 0; task < count * tasks; ++task) some_rows(task, shared_results);
        }
        shared_results.finish();
        stream_fence();
    };
    if (split_rows)
        some_packs(0, packs(batch));
    else
        for_packs(batch, threads, some_packs);
}

inline bool fills_row(const IrrepBlock* blocks, Index block_count, Index dim) {
    Index covered = 0;
    for (Index i = 0; i < block_count; ++i) covered += blocks[i].mul;
    return covered == dim;
}

// Irreps of l = 0, which fill the rows: nothing is to be known of a rotation but the sign of its determinant.
template <class T>
void rotate_scalars(const T* x, bool shared, const T* rotations, Index batch, Index rows, Index dim,
                    const IrrepBlock* blocks, Index block_count, T* out, int threads) {
    threads = threads_for(batch * rows * dim, threads);
    const Index grain = ceil_div(batch, 4 * Index(threads));
    parallel_for(ceil_div(batch, most(1, grain)), threads, [&](Index task) {
        for (Index g = task * grain; g < least(batch, (task + 1) * grain); ++g) {
            const bool turned = determinant(rotations + 9 * g) < 0;
            for (Index row = 0; row < rows; ++row) {
                const T* from = x + ((shared ? 0 : g * rows) + row) * dim;
                T* to = out + (g * rows + row) * dim;
                std::memcpy(to, from, static_cast<std::size_t>(dim) * sizeof(T));
                for (const IrrepBlock* block = blocks; turned && block < blocks + block_count; ++block)
                    for (Index i = block->offset; block->odd && i < block->offset + block->mul; ++i) to[i] = -from[i];
            }
        }
    });
}

template <class T>
void rotate(const Tables& tables, const T* x, bool shared, const T* rotations, Index batch, Index rows, Index dim,
            const IrrepBlock* blocks, Index block_count, bool inverse, T* out, int threads) {
    if (tables.lmax == 0 && fills_row(blocks, block_count, dim))
        return rotate_scalars(x, shared, rotations, batch, rows, dim, blocks, block_count, out, threads);
    threads = threads_for(batch * (rows * dim + matrix_count(tables.lmax)), threads);
    const CopyRotation<T> by_copies(blocks, block_count, dim, inverse,
                                    batch * rows * dim * Index(sizeof(T)) > cached_bytes());
    if (by_copies.possible())
        return rotate_copies(by_copies, tables, x, shared, rotations, batch, rows, dim, out, threads);
    const Index size = matrix_count(tables.lmax);
    // lanes are filled by rows where each rotation has many, otherwise by rotations
    const bool rows_in_lanes = rows >= 2 * lanes;
    // tasks of rows are as large as packs of rotations would be small
    const Index row_packs = packs(rows), row_grain = most(1, 1024 / most(1, dim));
    const bool split_rows = rows_in_lanes && packs(batch) < 4 * Index(threads);
    const auto some_packs = [=](Index first, Index last) {
        const WignerTile<> tile(tables);
        const Scratch<double> dense(rows_in_lanes ? lanes * size : 0);
        for (Index pack = first; pack < last; ++pack) {
            const Index start = pack * lanes, count = least(lanes, batch - start);
            Lanes r[9];
            const Lanes det = load_rotations(rotations + 9 * start, count, r);
            const Lanes* d = tile.fill(r);
            if (rows_in_lanes) {
                lanes_to_rows(d, size, count, dense.get(), size);
                const Index row_tasks = ceil_div(row_packs, row_grain);
                parallel_for(count * row_tasks, split_rows ? threads : 1, [&](Index task) {
                    const Scratch<Lanes> scratch(2 * dim);
                    Lanes *from = scratch.get(), *to = from + dim;
                    for (Index i = 0; i < dim; ++i) to[i] = Lanes{};
                    const Index lane = task / row_tasks, first_pack = task % row_tasks * row_grain;
                    const T* source = x + (shared ? 0 : (start + lane) * rows * dim);
                    T* target = out + (start + lane) * rows * dim;
                    const Lanes sign = Lanes{} + det[lane];
                    for (Index p = first_pack; p < least(row_packs, first_pack + row_grain); ++p) {
                        const Index row = p * lanes, row_count = least(lanes, rows - row);
                        rows_to_lanes(source + row * dim, dim, row_count, dim, from);
                        rotate_blocks(dense.get() + lane * size, blocks, block_count, inverse, sign, from, to);
                        lanes_to_rows(to, dim, row_count, target + row * dim, dim);
                    }
                });
            } else {
                const Scratch<Lanes> scratch(2 * dim);
                Lanes *from = scratch.get(), *to = from + dim;
                for (Index i = 0; i < dim; ++i) to[i] = Lanes{};
                for (Index row = 0; row < rows; ++row) {
                    const Index offset = start * rows * dim + row * dim;
                    rows_to_lanes(x + (shared ? row * dim : offset), dim, count, shared ? 0 : rows * dim, from);
                    rotate_blocks(d, blocks, block_count, inverse, det, from, to);
                    lanes_to_rows(to, dim, count, out + offset, rows * dim);
                }
            }
        }
    };
    if (split_rows)
        some_packs(0, packs(batch));
    else
        for_packs(batch, threads, some_packs);
}

}  // namespace
}  // namespace EQUISCOPE_ISA
}  // namespace equiscope
