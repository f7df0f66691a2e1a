// Cartesian tensors: 3^rank entries, each index of which turns as a vector.
#pragma once

#include "config.hpp"
#include "index.hpp"

namespace equiscope {

constexpr int highest_rank = 6;

EQUISCOPE_HOST_DEVICE constexpr Index tensor_size(Index rank) { return rank > 0 ? 3 * tensor_size(rank - 1) : 1; }

// t_..i.. = sum_a m_ia t_..a.. for one index, of `before` entries of the indices before it and `after` of those behind it. The
// order of the sums is fixed; where no product is fused with a sum, so are the bits.
template <class Entry, class Real>
EQUISCOPE_HOST_DEVICE inline void rotate_index(const Entry* m, Index before, Index after, Real* t) {
    for (Index i = 0; i < before; ++i, t += 3 * after)
        for (Index j = 0; j < after; ++j) {
            const Real x = t[j], y = t[after + j], z = t[2 * after + j];
            for (int row = 0; row < 3; ++row)
                t[row * after + j] = x * m[3 * row] + y * m[3 * row + 1] + z * m[3 * row + 2];
        }
}

// All indices, the last one first; that one by `last`, which is m, or -m where the tensor changes sign beside.
template <class Entry, class Real>
EQUISCOPE_HOST_DEVICE inline void rotate_tensor(const Entry* m, const Entry* last, int rank, Real* t) {
    rotate_index(last, tensor_size(rank - 1), 1, t);
    for (int index = rank - 2; index >= 0; --index)
        rotate_index(m, tensor_size(index), tensor_size(rank - 1 - index), t);
}

}  // namespace equiscope
