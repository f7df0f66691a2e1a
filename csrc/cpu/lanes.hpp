// SIMD lanes of one instruction set: EQUISCOPE_ISA names it, EQUISCOPE_LANES is its number of float64 lanes. Everything
// in csrc/cpu that includes this file lives in an unnamed namespace inside one named after the instruction set, and uses
// no containers of the standard library: code made for different processors must never carry the same linker symbol.
#pragma once

#include <cstdlib>
#include <cstring>
#include <new>
#include <type_traits>
#include <utility>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "equiscope/index.hpp"

namespace equiscope {
namespace EQUISCOPE_ISA {
namespace {

constexpr Index lanes = EQUISCOPE_LANES;
constexpr Index registers = lanes == 8 ? 32 : 16;  // for vectors, at least

// `count` numbers side by side, with element-wise arithmetic.
template <class T, Index count>
struct VectorOf {
    typedef T type __attribute__((vector_size(sizeof(T) * count)));
};

using Lanes = VectorOf<double, lanes>::type;

// As many float32 or float64, side by side.
template <class T>
using LanesOf = typename VectorOf<T, lanes>::type;

// Uninitialised memory on a cache line boundary.
template <class T>
class Scratch {
  public:
    explicit Scratch(Index count) {
        constexpr std::size_t line = 64;
        const std::size_t bytes = (static_cast<std::size_t>(count) * sizeof(T) + line - 1) / line * line;
        data_ = static_cast<T*>(std::aligned_alloc(line, bytes > 0 ? bytes : line));
        if (!data_) throw std::bad_alloc();
    }
    ~Scratch() { std::free(data_); }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    T* get() const { return data_; }

  private:
    T* data_;
};

inline void clear(Lanes* data, Index count) {
    for (Index i = 0; i < count; ++i) data[i] = Lanes{};
}

constexpr Index least(Index a, Index b) { return a < b ? a : b; }
constexpr Index most(Index a, Index b) { return a < b ? b : a; }
constexpr Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }

// Number of packs of lanes that hold n items.
constexpr Index packs(Index n) { return ceil_div(n, lanes); }

// As float64. GCC 12 makes five instructions of what is one.
inline Lanes widened(const LanesOf<float>& narrow) {
#if defined(__AVX512F__)
    // without a mask GCC warns of what is not there
    return reinterpret_cast<Lanes>(_mm512_maskz_cvtps_pd(0xff, reinterpret_cast<__m256>(narrow)));
#elif defined(__AVX2__)
    return reinterpret_cast<Lanes>(_mm256_cvtps_pd(reinterpret_cast<__m128>(narrow)));
#else
    return __builtin_convertvector(narrow, Lanes);
#endif
}

// `count` neighbours of a row as float64 or as V's element type, without regard to alignment.
template <class V, class T>
inline V load(const T* source) {
    constexpr Index count = sizeof(V) / sizeof(V{}[0]);
    typename VectorOf<T, count>::type narrow;
    std::memcpy(&narrow, source, sizeof narrow);
    if constexpr (std::is_same_v<V, Lanes> && std::is_same_v<T, float>)
        return widened(narrow);
    else
        return __builtin_convertvector(narrow, V);
}

template <class V, class T>
inline void store(const V& value, T* target) {
    constexpr Index count = sizeof(V) / sizeof(V{}[0]);
    const auto narrow = __builtin_convertvector(value, typename VectorOf<T, count>::type);
    std::memcpy(target, &narrow, sizeof narrow);
}

// The elements of a and b, counted through both, that `at` names.
template <Index... at, class V>
inline V shuffle(const V& a, const V& b) {
#if defined(__clang__) || __GNUC__ >= 12
    return __builtin_shufflevector(a, b, at...);
#else
    using Mask = typename VectorOf<std::conditional_t<sizeof(a[0]) == 8, long long, int>, sizeof...(at)>::type;
    constexpr Mask mask = {at...};
    return __builtin_shuffle(a, b, mask);
#endif
}

// Exchanges bit `step` of the index of the vector with the same bit of the element.
template <Index step, class V, std::size_t... at>
inline void exchange(V& a, V& b, std::index_sequence<at...>) {
    constexpr Index count = sizeof...(at);
    const V first = shuffle<((at & step) ? count + static_cast<Index>(at) - step : static_cast<Index>(at))...>(a, b);
    b = shuffle<((at & step) ? count + static_cast<Index>(at) : static_cast<Index>(at) + step)...>(a, b);
    a = first;
}

// v[k][i] and v[i][k], in every run of `count` elements.
template <Index count = lanes, Index step = 1, class V>
inline void transpose(V v[count]) {
    if constexpr (step < count) {
        for (Index i = 0; i < count; ++i)
            if (!(i & step)) exchange<step>(v[i], v[i + step], std::make_index_sequence<sizeof(V) / sizeof(v[0][0])>());
        transpose<count, 2 * step>(v);
    }
}

// out[lane * stride + i] = tile[i][lane] for i < size and the first `count` lanes.
template <class V, class T>
inline void lanes_to_rows(const V* tile, Index size, Index count, T* out, Index stride) {
    if (size < lanes) {
        for (Index lane = 0; lane < count; ++lane)
            for (Index i = 0; i < size; ++i) out[lane * stride + i] = static_cast<T>(tile[i][lane]);
        return;
    }
    for (Index start = 0; start < size; start += lanes) {
        // the last square overlaps the one before, so that no row is written past its end
        const Index i = least(start, size - lanes);
        V square[lanes];
        for (Index k = 0; k < lanes; ++k) square[k] = tile[i + k];
        transpose(square);
        if (count == lanes) {
            for (Index lane = 0; lane < lanes; ++lane) store(square[lane], out + lane * stride + i);
        } else {
            for (Index lane = 0; lane < count; ++lane) store(square[lane], out + lane * stride + i);
        }
    }
}

// tile[i][lane] = source[lane * stride + i] for i < size; lanes from `count` on are 0.
template <class T>
inline void rows_to_lanes(const T* source, Index size, Index count, Index stride, Lanes* tile) {
    if (size < lanes) {
        for (Index i = 0; i < size; ++i) {
            tile[i] = Lanes{};
            for (Index lane = 0; lane < count; ++lane) tile[i][lane] = static_cast<double>(source[lane * stride + i]);
        }
        return;
    }
    for (Index start = 0; start < size; start += lanes) {
        const Index i = least(start, size - lanes);
        Lanes square[lanes];
        if (count == lanes) {
            for (Index lane = 0; lane < lanes; ++lane) square[lane] = load<Lanes>(source + lane * stride + i);
        } else {
            for (Index lane = 0; lane < lanes; ++lane)
                square[lane] = lane < count ? load<Lanes>(source + lane * stride + i) : Lanes{};
        }
        transpose(square);
        for (Index k = 0; k < lanes; ++k) tile[i + k] = square[k];
    }
}

}  // namespace
}  // namespace EQUISCOPE_ISA
}  // namespace equiscope
