// Tiles, with an item in each lane, written as rows that follow one another in memory. Whole aligned vectors are put
// together in registers across the borders of the rows, so that large results can pass by the caches: an ordinary store
// reads every line before it writes it.
#pragma once

#if defined(EQUISCOPE_X86)
#include <immintrin.h>
#endif

#include <cstdint>

#include "cpu/lanes.hpp"

namespace equiscope {
namespace EQUISCOPE_ISA {
namespace {

// Stores past the caches to an aligned address. Other threads see them only after `stream_fence`.
template <class V>
inline void stream(const V& value, void* target) {
#if defined(__AVX512F__)
    if constexpr (sizeof(V) == 64) return _mm512_stream_si512(static_cast<__m512i*>(target), reinterpret_cast<__m512i>(value));
#endif
#if defined(__AVX__)
    if constexpr (sizeof(V) == 32) return _mm256_stream_si256(static_cast<__m256i*>(target), reinterpret_cast<__m256i>(value));
#endif
    std::memcpy(target, &value, sizeof value);
}

inline void stream_fence() {
#if defined(EQUISCOPE_X86)
    _mm_sfence();
#endif
}

// Rows of `size` elements of a run of packs. One writer serves the packs of one task in order.
template <class T>
class RowWriter {
  public:
    static constexpr Index unit = sizeof(Lanes) / sizeof(T);  // elements of a vector
    static constexpr Index margin = unit;                     // entries that may be read behind a tile

    // SSE2 has no shuffle by a variable.
    static constexpr bool usable(Index size) { return lanes >= 4 && size >= unit; }

    explicit RowWriter(Index runs) : carried_(runs) {
        for (Index shift = 0; shift < unit; ++shift)
            for (Index at = 0; at < unit; ++at)
                shifts_[shift][at] = at < shift ? place(unit + at - shift) : unit + place(at - shift);
        for (Index at = 0; at < unit; ++at) slots_[at] = at;
    }

    // Rows of one pack of tile[size + margin] to out[lanes * size]. Packs of one run follow one another in memory: what
    // is left over at the end of one is written with the next one, unless it is the last.
    template <bool streaming>
    void write(const LanesOf<T>* tile, Index size, T* out, Index run, bool first, bool last) {
        const Index whole = size / unit, rest = size % unit;
        const Index skew = static_cast<Index>(reinterpret_cast<std::uintptr_t>(out) / sizeof(T)) % unit;
        Index shift[lanes + 1];  // where each row starts in its vector
        T* line[lanes];          // that vector
        V before[lanes], heads[lanes];
        for (Index lane = 0; lane <= lanes; ++lane) shift[lane] = (skew + lane * rest) % unit;
        for (Index lane = 0; lane < lanes; ++lane) line[lane] = out + lane * size - shift[lane];
        load(tile, before);
        for (Index lane = 0; lane < lanes; ++lane)
            heads[lane] = __builtin_shuffle(before[lane], before[lane], shifts_[shift[lane]]);
        for (Index u = 1; u < whole; ++u) {
            V now[lanes];
            load(tile + u * unit, now);
            for (Index lane = 0; lane < lanes; ++lane) {
                put<streaming>(__builtin_shuffle(before[lane], now[lane], shifts_[shift[lane]]), line[lane] + u * unit);
                before[lane] = now[lane];
            }
        }
        V now[lanes];
        load(tile + whole * unit, now);
        if (first)
            put_part(heads[0], out - skew, skew, unit);
        else
            put<streaming>(join(carried_.get()[run], heads[0], skew), out - skew);
        for (Index lane = 0; lane < lanes; ++lane) {
            V tail = __builtin_shuffle(before[lane], now[lane], shifts_[shift[lane]]);
            T* target = line[lane] + whole * unit;
            if (shift[lane] + rest >= unit) {
                put<streaming>(tail, target);
                tail = __builtin_shuffle(now[lane], now[lane], shifts_[shift[lane]]);
                target += unit;
            }
            if (lane + 1 < lanes)
                put<streaming>(join(tail, heads[lane + 1], shift[lane + 1]), target);
            else if (last)
                put_part(tail, target, 0, shift[lanes]);
            else
                carried_.get()[run] = tail;
        }
    }

  private:
    using V = typename VectorOf<T, unit>::type;
    using Slots = typename VectorOf<std::conditional_t<sizeof(T) == 8, long long, int>, unit>::type;

    // Where the entries of a vector of one lane lie after `load`: float32 reads two entries of the tile at once.
    static constexpr Index place(Index entry) { return entry / (unit / lanes) + entry % (unit / lanes) * lanes; }

    // v[lane][place(i)] = tile[i][lane].
    static void load(const LanesOf<T>* tile, V v[lanes]) {
        for (Index k = 0; k < lanes; ++k) std::memcpy(&v[k], tile + k * (unit / lanes), sizeof(V));
        transpose(v);
    }

    // The first `count` elements of a and the others of b.
    V join(const V& a, const V& b, Index count) const {
        return slots_ < static_cast<std::remove_reference_t<decltype(slots_[0])>>(count) ? a : b;
    }

    template <bool streaming>
    static void put(const V& value, T* target) {
        if constexpr (streaming)
            stream(value, target);
        else
            std::memcpy(target, &value, sizeof value);
    }

    static void put_part(const V& value, T* target, Index first, Index last) {
        for (Index at = first; at < last; ++at) target[at] = value[at];
    }

    Slots shifts_[unit], slots_;
    Scratch<V> carried_;
};

}  // namespace
}  // namespace EQUISCOPE_ISA
}  // namespace equiscope
