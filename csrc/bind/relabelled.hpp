// What is given in the axes of the basis of e3nn, in those of the standard one.
#pragma once

#include <vector>

#include "equiscope/index.hpp"

namespace equiscope {

// Of n points or n matrices, `size` 3 or 9 numbers each: axis i is axis i + 1.
template <Index size, class T>
std::vector<T> relabelled(const T* given, Index n) {
    std::vector<T> found(static_cast<std::size_t>(size * n));
    for (Index at = 0; at < size * n; at += size)
        for (Index i = 0; i < size; ++i) found[at + 3 * ((i / 3 + 1) % (size / 3)) + (i + 1) % 3] = given[at + i];
    return found;
}

}  // namespace equiscope
