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
    if constexpr (sizeof(V) == 64)
        return _mm512_stream_si512(static_cast<__m512i*>(target), reinterpret_cast<__m512i>(value));
#endif
#if defined(__AVX__)
    if constexpr (sizeof(V) == 32)
        return _mm256_stream_si256(static_cast<__m256i*>(target), reinterpret_cast<__m256i>(value));
#endif
    std::memcpy(target, &value, sizeof value);
}

inline void stream_fence() {
#if defined(EQUISCOPE_X86)
    _mm_sfence();
#endif
}

// A choice of elements of two vectors that is only known at run time; SSE2 has no way to make it.
template <class T>
class Choice {
  public:
    static constexpr Index unit = sizeof(Lanes) / sizeof(T);  // elements of a vector
    using V = typename VectorOf<T, unit>::type;

    // Element `at` of the result is element `slot` of a and b, counted through both.
    void name(Index at, Index slot) {
        for (Index piece = 0; piece < pieces; ++piece)
            slots_[at * pieces + piece] = static_cast<Slot>(slot % unit * pieces + piece) | (slot < unit ? 0 : of_b);
    }

#if defined(__AVX512F__)
    V of(const V& a, const V& b) const {
        const __m512i slots = reinterpret_cast<__m512i>(slots_);
        if constexpr (sizeof(T) == 8)
            return _mm512_permutex2var_pd(a, slots, b);
        else
            return _mm512_permutex2var_ps(a, slots, b);
    }
#elif defined(__AVX2__)
    V of(const V& a, const V& b) const {
        const __m256i slots = reinterpret_cast<__m256i>(slots_);
        const __m256 from_a = _mm256_permutevar8x32_ps(reinterpret_cast<__m256>(a), slots);
        const __m256 from_b = _mm256_permutevar8x32_ps(reinterpret_cast<__m256>(b), slots);
        return reinterpret_cast<V>(_mm256_blendv_ps(from_a, from_b, reinterpret_cast<__m256>(slots)));
    }
#endif

  private:
    // AVX-512 counts elements through both vectors; AVX2 permutes pieces of 4 bytes of one, and joins two by sign bits
    static constexpr Index pieces = lanes == 8 ? 1 : sizeof(T) / 4;
    using Slot = std::conditional_t<sizeof(T) / pieces == 8, long long, int>;
    static constexpr Slot of_b = lanes == 8 ? Slot(unit) : Slot(INT32_MIN);
    typename VectorOf<Slot, unit * pieces>::type slots_;
};

// Rows of `size` elements of a run of packs. One writer serves the packs of one task in order.
template <class T>
class RowWriter {
  public:
    static constexpr Index unit = sizeof(Lanes) / sizeof(T);  // elements of a vector
    static constexpr Index margin = unit;                     // entries that may be read behind a tile

    static constexpr bool usable = lanes >= 4;  // where a `Choice` can be made

    explicit RowWriter(Index runs) : carried_(runs) {
        for (Index shift = 0; shift < unit; ++shift)
            for (Index at = 0; at < unit; ++at)
                shifts_[shift].name(at, at < shift ? place(unit + at - shift) : unit + place(at - shift));
        for (Index at = 0; at < unit; ++at) slots_[at] = at;
    }

    // Takes up rows of one pack, tile[size + margin] to out[lanes * size], size >= unit. Packs of one run follow one another in memory:
    // what is left over at the end of one is written with the next one, unless it is the last.
    void begin(const LanesOf<T>* tile, Index size, T* out, Index run, bool first, bool last) {
        tile_ = tile, out_ = out, run_ = run, first_ = first, last_ = last;
        whole_ = size / unit, rest_ = size % unit, column_ = 1;
        const Index skew = static_cast<Index>(reinterpret_cast<std::uintptr_t>(out) / sizeof(T)) % unit;
        for (Index lane = 0; lane <= lanes; ++lane) shift_[lane] = (skew + lane * rest_) % unit;
        for (Index lane = 0; lane < lanes; ++lane) line_[lane] = out + lane * size - shift_[lane];
        load(tile, before_);
        for (Index lane = 0; lane < lanes; ++lane)
            heads_[lane] = shifts_[shift_[lane]].of(before_[lane], before_[lane]);
    }

    // Writes `columns` vectors of each row, or what there is. Returns whether the rows are done.
    template <bool streaming>
    bool advance(Index columns) {
        const Index stop = least(whole_, column_ + columns);
        V before[lanes];
        for (Index lane = 0; lane < lanes; ++lane) before[lane] = before_[lane];
        for (Index u = column_; u < stop; ++u) {
            V now[lanes];
            load(tile_ + u * unit, now);
            for (Index lane = 0; lane < lanes; ++lane) {
                put<streaming>(shifts_[shift_[lane]].of(before[lane], now[lane]), line_[lane] + u * unit);
                before[lane] = now[lane];
            }
        }
        for (Index lane = 0; lane < lanes; ++lane) before_[lane] = before[lane];
        column_ = stop;
        if (stop < whole_) return false;
        finish<streaming>();
        return true;
    }

  private:
    using V = typename VectorOf<T, unit>::type;
    typedef V Aliased __attribute__((may_alias, aligned(sizeof(LanesOf<T>))));
    using Slots = typename VectorOf<std::conditional_t<sizeof(T) == 8, long long, int>, unit>::type;

    template <bool streaming>
    void finish() {
        V now[lanes];
        load(tile_ + whole_ * unit, now);
        const Index skew = shift_[0];
        if (first_)
            put_part(heads_[0], out_ - skew, skew, unit);
        else
            put<streaming>(join(carried_.get()[run_], heads_[0], skew), out_ - skew);
        for (Index lane = 0; lane < lanes; ++lane) {
            V tail = shifts_[shift_[lane]].of(before_[lane], now[lane]);
            T* target = line_[lane] + whole_ * unit;
            if (shift_[lane] + rest_ >= unit) {
                put<streaming>(tail, target);
                tail = shifts_[shift_[lane]].of(now[lane], now[lane]);
                target += unit;
            }
            if (lane + 1 < lanes)
                put<streaming>(join(tail, heads_[lane + 1], shift_[lane + 1]), target);
            else if (last_)
                put_part(tail, target, 0, shift_[lanes]);
            else
                carried_.get()[run_] = tail;
        }
    }

    // Where the entries of a vector of one lane lie after `load`: float32 reads two entries of the tile at once.
    static constexpr Index place(Index entry) { return entry / (unit / lanes) + entry % (unit / lanes) * lanes; }

    // v[lane][place(i)] = tile[i][lane].
    static void load(const LanesOf<T>* tile, V v[lanes]) {
        // as a value: copied from memory to memory, it would pass in halves, for which the next load has to wait
        for (Index k = 0; k < lanes; ++k) v[k] = *reinterpret_cast<const Aliased*>(tile + k * (unit / lanes));
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

    Choice<T> shifts_[unit];
    Slots slots_;
    Scratch<V> carried_;
    const LanesOf<T>* tile_ = nullptr;
    T *out_ = nullptr, *line_[lanes] = {};  // the vector in which each row starts
    V before_[lanes], heads_[lanes];
    Index shift_[lanes + 1] = {};  // where in that vector
    Index run_ = 0, whole_ = 0, rest_ = 0, column_ = 0;
    bool first_ = false, last_ = false;
};

}  // namespace
}  // namespace EQUISCOPE_ISA
}  // namespace equiscope
