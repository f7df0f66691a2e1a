// What the bindings check before anything is read: that every buffer holds what the sizes say.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "equiscope/index.hpp"

namespace equiscope {

using Address = std::uintptr_t;

constexpr int lmax_limit = 256;               // the seeds of the recursions overflow near 1000
constexpr Index size_limit = Index(1) << 48;  // no address space holds more elements

inline void require(bool condition, const std::string& argument, const std::string& expected, const std::string& got) {
    if (!condition) throw std::invalid_argument(argument + ": expected " + expected + ", got " + got);
}

inline void require_count(const char* argument, Index value) {
    require(value >= 0 && value < size_limit, argument, "a size from 0 to 2^48", std::to_string(value));
}

inline int checked_lmax(Index lmax) {
    require(lmax >= 0 && lmax <= lmax_limit, "lmax", "0 to " + std::to_string(lmax_limit), std::to_string(lmax));
    return static_cast<int>(lmax);
}

inline Index product(const char* argument, std::initializer_list<Index> factors) {
    Index size = 1;
    for (Index factor : factors) {
        require_count(argument, factor);
        require(factor == 0 || size <= size_limit / factor, argument, "fewer than 2^48 elements", "more");
        size *= factor;
    }
    return size;
}

inline void require_size(const char* argument, Address address, Index size, Index needed) {
    require(size == needed, argument, std::to_string(needed) + " elements", std::to_string(size));
    require(address != 0 || needed == 0, argument, "an address", "null");
}

inline void check_threads(int threads) {
    require(threads >= 1, "threads", "a positive integer", std::to_string(threads));
}

template <class T>
const T* input(Address address) {
    return reinterpret_cast<const T*>(address);
}

template <class T>
T* output(Address address) {
    return reinterpret_cast<T*>(address);
}

template <class T>
using element = std::remove_cv_t<std::remove_pointer_t<T>>;

}  // namespace equiscope
