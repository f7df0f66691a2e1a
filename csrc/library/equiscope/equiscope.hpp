// The kernels of the CPU as a library: batches on raw pointers, with AVX2 or AVX-512 where the processor has them, on threads.
// Link equiscope::cpu. Conventions are those of the Python package:
//   real spherical harmonics, m = -l..l, no Condon-Shortley phase, normalised over the sphere: Y_1 is as (y, z, x);
//   active rotations, 3x3 row by row: Y_l(R r) = D^l(R) Y_l(r), so D(R1 R2) = D(R1) D(R2) and D(R^-1) = D(R)^T.
//
// Arrays are dense, of float or double, and any alignment of their type; results are of the type of the arguments and must
// not overlap them. Sizes may be 0. What is wrong throws std::invalid_argument before anything is written, in the words
// "argument: expected ..., got ...": a null pointer, a size or lmax out of range, a matrix that is not finite or not a
// rotation (|R R^T - 1| <= 1e-4 in float, 1e-8 in double), a point that is not finite. Memory that runs out throws
// std::bad_alloc. Functions may be called from any number of threads; results are the same bits for any `threads`, which is
// the number to work on: 0 for as many as the processor has.
#pragma once

#include <vector>

#include "equiscope/index.hpp"

namespace equiscope {

constexpr int maximum_lmax = 131;

// D^l(R) for l = 0..lmax. rotations: (n, 3, 3), determinant +1. out: n * matrix_count(lmax) values,
//   for l in 0..lmax: for rotation in 0..n-1: for mp in -l..l: for m in -l..l
// so that the matrices of degree l begin at n * matrix_offset(l).
void wigner_D(const double* rotations, Index n, int lmax, double* out, int threads = 0);
void wigner_D(const float* rotations, Index n, int lmax, float* out, int threads = 0);

// Y of the directions of points. xyz: (n, 3); a zero vector has Y_00 alone. out: (n, harmonic_count(lmax)),
//   for point: for l in 0..lmax: for m in -l..l
void spherical_harmonics(const double* xyz, Index n, int lmax, double* out, int threads = 0);
void spherical_harmonics(const float* xyz, Index n, int lmax, float* out, int threads = 0);

// Elements g = +R or -R of O(3), and weights, whose sums are averages over the group. In order,
//   for coset (+, then -): for point: for gamma: +-rings[point] Rz(2 pi gamma / gammas)
struct Grid {
    int degree;                   // products D^l D^l' with l + l' <= degree are averaged exactly
    Index gammas;                 // turns of each ring
    int cosets;                   // 2 for O(3), 1 for SO(3): +R alone
    std::vector<double> rings;    // (points, 3, 3)
    std::vector<double> weights;  // (points,), sum 1: an element has weights[point] / (gammas * cosets)

    Index points() const { return static_cast<Index>(weights.size()); }
    Index size() const { return cosets * points() * gammas; }
    std::vector<double> elements() const;  // (size(), 3, 3)
};

// A grid of any degree from 0 to maximum_lmax: Gauss-Legendre in cos beta, degree + 1 equispaced angles alpha and gamma. One
// with fewer points (Lebedev) may be filled in by hand.
Grid quadrature(int degree, int cosets = 2);

// Power of functions on O(3) in every irrep (l, sigma). With u(g) the values and c^l_mn(s) the average of D^l_mn(R) u(s R),
//   B(l, sigma) = (2l + 1) / 4 sum_mn |c^l_mn(+) + sigma (-1)^l c^l_mn(-)|^2
// whose sum over all (l, sigma) is the average of u^2; on SO(3), (2l + 1) sum_mn |c^l_mn|^2. lmax is at most half the degree:
// content l' leaks into l where l + l' is above the degree.
// values: (grid.size(), channels), all finite. out: (lmax + 1, cosets, channels), sigma = +1, then -1.
void character_power(const double* values, const Grid& grid, int lmax, Index channels, double* out, int threads = 0);
void character_power(const float* values, const Grid& grid, int lmax, Index channels, float* out, int threads = 0);

// The instruction set that is used: "baseline", "avx2" or "avx512". The variable EQUISCOPE_ISA of the environment chooses
// another that the processor has.
const char* instruction_set();

}  // namespace equiscope
