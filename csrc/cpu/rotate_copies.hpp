// Rotation of features with many copies of each irrep: copies in lanes of the element type, D in scalars. Runs of copies
// overlap at the end of a block, so that every vector is full.
#pragma once

#include "cpu/kernels.hpp"
#include "cpu/lanes.hpp"
#include "cpu/row_writer.hpp"

namespace equiscope {
namespace EQUISCOPE_ISA {
namespace {

template <class T>
class CopyRotation {
  public:
    static constexpr Index count = sizeof(Lanes) / sizeof(T);
    using V = typename VectorOf<T, count>::type;

    // streaming: aligned vectors of the result pass by the caches.
    CopyRotation(const IrrepBlock* blocks, Index block_count, Index dim, bool inverse, bool streaming)
        : blocks_(blocks), end_(blocks + block_count), dim_(dim), inverse_(inverse), streaming_(streaming) {}

    // Blocks that follow one another, fill the row, and have enough copies.
    bool possible() const {
        Index covered = 0;
        for (const IrrepBlock* block = blocks_; block < end_; ++block) {
            const Index size = 2 * block->l + 1;
            const bool outer = block->stride_mul == size && block->stride_m == 1;
            const bool inner = block->stride_mul == 1 && block->stride_m == block->mul;
            if (block->offset != covered || !(outer || inner) || (size > 1 && block->mul < count)) return false;
            covered += size * block->mul;
        }
        return covered == dim_;
    }

    // Vectors of scratch that `row` needs.
    static constexpr Index scratch(Index lmax) { return 4 * most(2 * lmax + 1, count) + most(2 * lmax + 1, count) + 1; }

    // One row of features, d: the packed D of one rotation, det its determinant.
    void row(const T* d, T det, const T* x, T* y, V* scratch) const {
        for (const IrrepBlock* block = blocks_; block < end_; ++block) {
            const T sign = block->odd ? det : T(1);
            if (block->l == 0) {
                for (Index c = 0; c < block->mul; ++c) y[block->offset + c] = x[block->offset + c] * sign;
                continue;
            }
            // copies that lie side by side leave gaps that no prefetcher follows: the block after this one is asked for
            const Index ahead = block->offset + (2 * block->l + 1) * block->mul;
            if (block->stride_mul == 1)
                for (Index i = 0; i < (2 * block->l + 3) * block->mul; i += 64 / Index(sizeof(T))) {
                    __builtin_prefetch(x + ahead + i);
                    if (!streaming_) __builtin_prefetch(y + ahead + i, 1);
                }
            Index c = 0;
            for (; c + 2 * count <= block->mul; c += 2 * count) copies<2>(d, *block, sign, c, x, y, scratch);
            for (; c < block->mul; c += count) copies<1>(d, *block, sign, least(c, block->mul - count), x, y, scratch);
        }
    }

  private:
    template <int wide>
    void copies(const T* d, const IrrepBlock& block, T sign, Index first, const T* x, T* y, V* scratch) const {
        const Index size = 2 * block.l + 1, start = block.offset + first * block.stride_mul;
        d += matrix_offset(block.l);
        if (block.stride_mul == 1) {
            const bool aligned = reinterpret_cast<std::uintptr_t>(y + start) % sizeof(V) == 0 && block.mul % count == 0;
            if (streaming_ && aligned) return product<wide, true>(d, size, sign, x + start, y + start, block.stride_m);
            return product<wide>(d, size, sign, x + start, y + start, block.stride_m);
        }
        const Index reach = wide * most(size, count);
        V *from = scratch, *to = scratch + reach;
        T* spare = reinterpret_cast<T*>(to + reach);
        for (int part = 0; part < wide; ++part)
            gather<wide>(x + start + part * count * size, x + dim_, size, spare, from + part);
        product<wide>(d, size, sign, reinterpret_cast<const T*>(from), reinterpret_cast<T*>(to), wide * count);
        for (int part = 0; part < wide; ++part)
            scatter<wide>(to + part, y + dim_, size, spare, y + start + part * count * size);
    }

    // y = sign D x for wide * count copies that lie side by side; the elements of a copy lie `step` apart.
    template <int wide, bool streaming = false>
    void product(const T* d, Index size, T sign, const T* x, T* y, Index step) const {
        Index i = 0;
        for (; i + 4 <= size; i += 4) rows<4, wide, streaming>(d, size, i, sign, x, y, step);
        if (size % 4 == 3)
            rows<3, wide, streaming>(d, size, i, sign, x, y, step);
        else
            rows<1, wide, streaming>(d, size, i, sign, x, y, step);
    }

    template <int height, int wide, bool streaming>
    void rows(const T* d, Index size, Index i, T sign, const T* x, T* y, Index step) const {
        const Index row = inverse_ ? 1 : size, column = inverse_ ? size : 1;
        d += i * row;
        V sum[height][wide];
        for (int k = 0; k < height; ++k)
            for (int part = 0; part < wide; ++part) sum[k][part] = V{};  // "= {}" would go through memory
        for (Index j = 0; j < size; ++j, x += step, d += column)
            for (int part = 0; part < wide; ++part)
                for (int k = 0; k < height; ++k) sum[k][part] += load<V>(x + part * count) * d[k * row];
        y += i * step;
        for (int k = 0; k < height; ++k)
            for (int part = 0; part < wide; ++part) {
                T* target = y + k * step + part * count;
                if constexpr (streaming)
                    stream(sum[k][part] * sign, target);
                else
                    store(sum[k][part] * sign, target);
            }
    }

    // v[m * wide] = element m of `count` copies. Where short copies end too near to the end of the row to be read by whole
    // vectors, they are read from `spare`.
    template <int wide>
    static void gather(const T* source, const T* end, Index size, T* spare, V* v) {
        const Index filled = least(size, count);
        if (source + (count - 1) * size + most(size, count) > end) {
            std::memcpy(spare, source, static_cast<std::size_t>(count * size) * sizeof(T));
            source = spare;
        }
        for (Index start = 0; start < size; start += count) {
            const Index m = most(0, least(start, size - count));
            V square[count];
            for (Index c = 0; c < count; ++c) square[c] = load<V>(source + c * size + m);
            transpose<count>(square);
            for (Index k = 0; k < filled; ++k) v[(m + k) * wide] = square[k];
        }
    }

    // The reverse of `gather`. What is written behind short copies is written again by those that follow.
    template <int wide>
    static void scatter(const V* v, const T* end, Index size, T* spare, T* target) {
        const bool near = target + (count - 1) * size + most(size, count) > end;
        T* rows = near ? spare : target;
        for (Index start = 0; start < size; start += count) {
            const Index m = most(0, least(start, size - count));
            V square[count];
            // behind the last element of short copies: any scratch
            for (Index k = 0; k < count; ++k) square[k] = v[(m + k) * wide];
            transpose<count>(square);
            for (Index c = 0; c < count; ++c) store(square[c], rows + c * size + m);
        }
        if (near) std::memcpy(target, spare, static_cast<std::size_t>(count * size) * sizeof(T));
    }

    const IrrepBlock *blocks_, *end_;
    Index dim_;
    bool inverse_, streaming_;
};

}  // namespace
}  // namespace EQUISCOPE_ISA
}  // namespace equiscope
