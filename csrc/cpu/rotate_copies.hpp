// Rotation of features with many copies of each irrep, in vectors of the element type. Where copies lie side by side
// (ir_mul) lanes hold copies and D is numbers; where the components of a copy do (mul_ir) lanes hold components, D is
// the vectors of its columns and x is numbers. So nothing is transposed.
#pragma once

#include "cpu/kernels.hpp"
#include "cpu/lanes.hpp"
#include "cpu/row_writer.hpp"

namespace equiscope {
namespace EQUISCOPE_ISA {
namespace {

// Results on their way to memory: they are put there little by little while the next ones are made, so that neither the
// arithmetic nor the memory waits for the other.
template <class T>
class Results {
  public:
    static constexpr Index unit = sizeof(Lanes) / sizeof(T);
    static constexpr Index room = 8192 / sizeof(T);  // elements made at once, or 8 copies where these are more

    // size: the most components of a copy.
    Results(Index size, bool streaming)
        : half_((most(room, 8 * size) / unit + 2) * unit),
          data_(2 * half_ + (size + 1) * (size + unit)),
          streaming_(streaming) {}
    ~Results() { finish(); }

    // Room for the next results, and for a vector behind them.
    T* next() { return data_.get() + (odd_ ? half_ : 0); }

    // Room for the columns of D, each padded to whole vectors.
    T* columns() { return data_.get() + 2 * half_; }

    // `next` holds n results, which times `sign` belong to `target`.
    void done(Index n, T sign, T* target) {
        finish();
        from_ = next(), to_ = target, left_ = n, sign_ = sign, odd_ = !odd_;
        const Index skew = static_cast<Index>(reinterpret_cast<std::uintptr_t>(target) / sizeof(T)) % unit;
        if (streaming_ && skew > 0) put_singly(least(n, unit - skew));
    }

    // Puts n or somewhat more of the results of before.
    void advance(Index n) {
        const Index whole = least(ceil_div(n, unit), left_ / unit) * unit;
        const T *from = from_, sign = sign_;
        T* to = to_;
        if (streaming_)
            for (Index i = 0; i < whole; i += unit) stream(load<V>(from + i) * sign, to + i);
        else
            for (Index i = 0; i < whole; i += unit) store(load<V>(from + i) * sign, to + i);
        from_ += whole, to_ += whole, left_ -= whole;
    }

    void finish() {
        advance(left_);
        put_singly(left_);
    }

  private:
    using V = typename VectorOf<T, unit>::type;

    void put_singly(Index n) {
        for (left_ -= n; n > 0; --n) *to_++ = *from_++ * sign_;
    }

    Index half_;
    Scratch<T> data_;
    bool streaming_, odd_ = false;
    const T* from_ = nullptr;
    T* to_ = nullptr;
    Index left_ = 0;
    T sign_ = 1;
};

template <class T>
class CopyRotation {
  public:
    static constexpr Index count = sizeof(Lanes) / sizeof(T);
    using V = typename VectorOf<T, count>::type;

    // streaming: aligned vectors of the result pass by the caches.
    CopyRotation(const IrrepBlock* blocks, Index block_count, Index dim, bool inverse, bool streaming)
        : blocks_(blocks), end_(blocks + block_count), dim_(dim), inverse_(inverse), streaming_(streaming) {
        for (const IrrepBlock* block = blocks_; block < end_; ++block)
            by_columns_ = by_columns_ || (block->l > 0 && block->stride_m == 1);
    }

    // Blocks that follow one another, fill the row, have enough copies, and are all of one layout.
    bool possible() const {
        Index covered = 0;
        for (const IrrepBlock* block = blocks_; block < end_; ++block) {
            const Index size = 2 * block->l + 1;
            const bool outer = block->stride_mul == size && block->stride_m == 1;
            const bool inner = block->stride_mul == 1 && block->stride_m == block->mul;
            const bool fits = (by_columns_ ? outer : inner) && block->mul >= count;
            if (block->offset != covered || !(fits || size == 1)) return false;
            covered += size * block->mul;
        }
        return covered == dim_;
    }

    // Whether D is wanted by its columns, one after the other, which are the rows of D of the inverse rotation.
    bool transposed() const { return by_columns_ && !inverse_; }

    bool streaming() const { return streaming_; }

    // One row of features; d: the packed D of one rotation, or of its inverse where `transposed`; det: its determinant.
    void row(const T* d, T det, const T* x, T* y, Results<T>& results) const {
        for (const IrrepBlock* block = blocks_; block < end_; ++block) {
            const T sign = block->odd ? det : T(1);
            if (by_columns_ || block->l == 0) {
                columns(d + matrix_offset(block->l), *block, sign, x + block->offset, y + block->offset, results);
                continue;
            }
            // copies that lie side by side leave gaps that no prefetcher follows: the block after this one is asked for,
            // in parts, since only so many fetches can be under way
            Index ahead = block->offset + (2 * block->l + 1) * block->mul;
            const auto fetch = [&](Index copies) {
                const Index end = ahead + (2 * block->l + 3) * copies;
                for (; ahead < end; ahead += 64 / Index(sizeof(T))) {
                    __builtin_prefetch(x + ahead);
                    if (!streaming_) __builtin_prefetch(y + ahead, 1);
                }
            };
            Index c = 0;
            for (; c + 2 * count <= block->mul; c += 2 * count) {
                fetch(2 * count);
                copies<2>(d, *block, sign, c, x, y);
            }
            fetch(block->mul - c);
            for (; c < block->mul; c += count) copies<1>(d, *block, sign, least(c, block->mul - count), x, y);
        }
    }

  private:
    template <int wide>
    void copies(const T* d, const IrrepBlock& block, T sign, Index first, const T* x, T* y) const {
        const Index size = 2 * block.l + 1, start = block.offset + first;
        d += matrix_offset(block.l);
        const bool aligned = reinterpret_cast<std::uintptr_t>(y + start) % sizeof(V) == 0 && block.mul % count == 0;
        if (streaming_ && aligned) return product<wide, true>(d, size, sign, x + start, y + start, block.stride_m);
        product<wide>(d, size, sign, x + start, y + start, block.stride_m);
    }

    // y = sign D x for wide * count copies that lie side by side; the elements of a copy lie `step` apart.
    template <int wide, bool streaming = false>
    void product(const T* d, Index size, T sign, const T* x, T* y, Index step) const {
        // one row by itself would take as long as four
        Index i = size % 4 == 1 ? 5 : 3;
        if (i == 5)
            rows<5, wide, streaming>(d, size, 0, sign, x, y, step);
        else
            rows<3, wide, streaming>(d, size, 0, sign, x, y, step);
        for (; i < size; i += 4) rows<4, wide, streaming>(d, size, i, sign, x, y, step);
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

    // y = sign D x for the copies of one block, which follow one another; d: the columns of D.
    static void columns(const T* d, const IrrepBlock& block, T sign, const T* x, T* y, Results<T>& results) {
        const Index size = 2 * block.l + 1, some = most(8, Results<T>::room / size / 8 * 8);
        // short columns fill no vector of all lanes
        const Index bytes = size * Index(sizeof(T));
        const Index unit = least(bytes <= 16 ? 16 : bytes <= 32 ? 32 : 64, sizeof(Lanes));
        const Index step = ceil_div(bytes, unit) * unit / Index(sizeof(T));
        // by vectors, because vectors are read at once; what follows a column is of no account
        T* padded = results.columns();
        for (Index j = 0; j < size; ++j, padded += step, d += size)
            for (Index i = 0; i < step; i += count) store(load<V>(d + i), padded + i);
        for (Index c = 0; c < block.mul; c += some, x += some * size, y += some * size) {
            const Index copies = least(some, block.mul - c);
            if (size == 1)
                std::memcpy(results.next(), x, static_cast<std::size_t>(copies) * sizeof(T));
            else if (lanes == 8 && step <= count && copies >= 16)
                groups<16>(size, step, copies, x, results);
            else if (lanes == 8 && step <= 2 * count)
                groups<8>(size, step, copies, x, results);
            else
                groups<4>(size, step, copies, x, results);
            results.done(copies * size, sign, y);
        }
    }

    // Copies in groups, the last of which overlaps the one before. What a vector writes behind a copy is written again
    // by the next one.
    template <int together>
    static void groups(Index size, Index step, Index copies, const T* x, Results<T>& results) {
        constexpr Index ahead = 4096 / sizeof(T);  // farther than the prefetcher of the processor looks
        T* y = results.next();
        if (copies < together)
            for (Index c = 0; c < copies; ++c) group<1>(results.columns(), size, step, x + c * size, y + c * size);
        else
            for (Index c = 0; c < copies; c += together) {
                const Index first = least(c, copies - together) * size;
                for (Index i = 0; i < together * size; i += 64 / Index(sizeof(T)))
                    __builtin_prefetch(x + first + ahead + i);
                group<together>(results.columns(), size, step, x + first, y + first);
                results.advance(together * size);
            }
    }

    // The last vectors first: so they write behind a copy before the next one is written.
    template <int copies>
    static void group(const T* d, Index size, Index step, const T* x, T* y) {
        using Quarter = typename VectorOf<T, 16 / sizeof(T)>::type;
        using Half = typename VectorOf<T, least(32, sizeof(Lanes)) / sizeof(T)>::type;
        constexpr int most_vectors = lanes == 8 && copies == 4 ? 4 : 2;
        const Index bytes = step * Index(sizeof(T));
        if (bytes == sizeof(Quarter)) return some_vectors<copies, 1, Quarter>(d, size, step, x, y);
        if (bytes == sizeof(Half)) return some_vectors<copies, 1, Half>(d, size, step, x, y);
        Index left = step / count;
        for (Index own = (left - 1) % most_vectors + 1; left > 0; own = most_vectors) {
            left -= own;
            const T* from = d + left * count;
            T* to = y + left * count;
            if (own == 1) some_vectors<copies, 1, V>(from, size, step, x, to);
            if (own == 2) some_vectors<copies, 2, V>(from, size, step, x, to);
            if constexpr (most_vectors == 4) {
                if (own == 3) some_vectors<copies, 3, V>(from, size, step, x, to);
                if (own == 4) some_vectors<copies, 4, V>(from, size, step, x, to);
            }
        }
    }

    // y[c, ...] = sum_j d[j, ...] x[c, j]; the rows of d lie `step` apart, those of x and y `size`.
    template <int copies, int vectors, class W>
    static void some_vectors(const T* d, Index size, Index step, const T* x, T* y) {
        constexpr Index width = sizeof(W) / sizeof(T);
        W sum[copies][vectors];
#pragma GCC unroll 16
        for (int c = 0; c < copies; ++c)
#pragma GCC unroll 16
            for (int v = 0; v < vectors; ++v) sum[c][v] = W{};
        for (Index j = 0; j < size; ++j, d += step)
#pragma GCC unroll 16
            for (int c = 0; c < copies; ++c)
#pragma GCC unroll 16
                for (int v = 0; v < vectors; ++v) sum[c][v] += load<W>(d + v * width) * x[c * size + j];
#pragma GCC unroll 16
        for (int c = 0; c < copies; ++c)
#pragma GCC unroll 16
            for (int v = 0; v < vectors; ++v) store(sum[c][v], y + c * size + v * width);
    }

    const IrrepBlock *blocks_, *end_;
    Index dim_;
    bool inverse_, streaming_, by_columns_ = false;  // the components of a copy lie side by side
};

}  // namespace
}  // namespace EQUISCOPE_ISA
}  // namespace equiscope
