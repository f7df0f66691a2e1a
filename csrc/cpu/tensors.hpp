// Rotation of Cartesian tensors, whose bits are those of every other instruction set: so it is compiled apart, without
// fused products and sums, which only some processors have.
#pragma once

#include "equiscope/index.hpp"

namespace equiscope {
namespace EQUISCOPE_ISA {

// x (batch, rows, 3^rank), or (rows, 3^rank) where `shared`, every index turned by the rotations (batch, 9), or by their
// transposes where `inverse`; times their determinants where `pseudo`. Sums are made in float64 and rounded once.
template <class T>
void rotate_tensors(const T* x, bool shared, const T* rotations, Index batch, Index rows, int rank, bool pseudo,
                    bool inverse, T* out, int threads);

extern template void rotate_tensors(const float*, bool, const float*, Index, Index, int, bool, bool, float*, int);
extern template void rotate_tensors(const double*, bool, const double*, Index, Index, int, bool, bool, double*, int);

}  // namespace EQUISCOPE_ISA
}  // namespace equiscope
