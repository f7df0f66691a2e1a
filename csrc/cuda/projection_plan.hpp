// What the projection kernels need to know of a grid (grid/ring_plan.hpp), as one buffer that is copied to the device once.
#pragma once

#include <vector>

#include "grid/rings.hpp"
#include "grid/tables.hpp"

namespace equiscope {
namespace cuda {

struct ProjectionShape {
    int lmax, gammas, points, octants, groups, units, full_units;
    bool turned;      // some ring has an angle c
    bool worthwhile;  // less work than one D matrix for every ring
};

// {cos, sin} or {p, q}: one load.
template <class Real>
struct alignas(2 * sizeof(Real)) Pair {
    Real first, second;
};

// cos m a and sin m a of an octant, and whether it is the last of its group: one load.
template <class Real>
struct alignas(16) Turn {
    Real cosine, sine;
    int ends_group;
};

// Up to 8 rings of one octant, which a thread turns into 4 patterns of signs: pattern s is sum_j (-1)^{bits of s & j}
// (weight_j v_j + weight_{j+4} v_{j+4}). An octant with all three reflections is two units, whose last 4 weights differ in
// sign; they come first. The others have 4 rings at most.
template <class Real>
struct alignas(16) Unit {
    Real weight[8];    // of the rule, divided by the number of gammas; 0 where there is no ring
    unsigned row[8];   // of the samples at gamma = 0; some row of the unit where there is no ring
    unsigned targets;  // bit 8 s + f: pattern s is plane f of its octant
    int octant;
};

// Planes of an octant: 4 (odd in z) + 2 (m odd) + (0 for cos m a, 1 for sin m a).
constexpr int planes = 8;

// Neighbouring n that lie next to each other in the table of p and q: what neighbouring threads ask for is one piece.
constexpr int quad = 4;

// Neighbouring n of one block of threads, at most.
constexpr int most_together = 9;

template <class Real>
struct ProjectionTables {
    const Pair<Real>* betas;   // p, q: for m: for n / quad: for group: for l from the lowest: for n % quad
    const Pair<Real>* angles;  // n gamma_k: for k in 1 .. half: for n < order_count
    const Turn<Real>* alphas;  // m a: for m: for octant
    const Pair<Real>* turns;   // n c: for unit: for n < order_count; none if no ring is turned
    const Unit<Real>* units;
    const int* rows;   // entries of betas, per group, before (m, n / quad)
    const int* group;  // of every octant
};

EQUISCOPE_HOST_DEVICE constexpr int quads(int lmax) { return lmax / quad + 1; }
// First row of (m, n) in the table of p and q: one below the first that is needed, since degrees are taken two at a time.
EQUISCOPE_HOST_DEVICE constexpr int lowest_degree(int m, int n) {
    const int needed = m > n / quad * quad ? m : n / quad * quad;
    return needed > 0 ? needed - 1 : 0;
}
// n of a block may go beyond lmax
EQUISCOPE_HOST_DEVICE constexpr int order_count(int lmax) { return lmax + most_together; }
EQUISCOPE_HOST_DEVICE constexpr int half_of(int gammas) { return (gammas - 1) / 2; }

inline Index beta_rows(int lmax) {
    Index rows = 0;
    for (int m = 0; m <= lmax; ++m)
        for (int n = 0; n <= lmax; n += quad) rows += lmax + 1 - lowest_degree(m, n);
    return rows;
}

// The tables inside `data`; `size` receives the number of doubles they take.
template <class Real>
ProjectionTables<Real> projection_tables(const ProjectionShape& shape, const double* data, Index* size = nullptr) {
    const int lmax = shape.lmax;
    Index at = 0;
    const auto take = [&](auto*& start, Index count) {
        using T = std::remove_reference_t<decltype(*start)>;
        start = data ? reinterpret_cast<T*>(data + at) : nullptr;
        at += (count * Index(sizeof(T)) + 15) / 16 * 2;
    };
    ProjectionTables<Real> tables;
    take(tables.betas, (beta_rows(lmax) * shape.groups + 1) * quad);  // and one row above the highest degree
    take(tables.angles, Index(half_of(shape.gammas)) * order_count(lmax));
    take(tables.alphas, Index(lmax + 1) * shape.octants);
    take(tables.turns, shape.turned ? Index(shape.units) * order_count(lmax) : 0);
    take(tables.units, shape.units);
    take(tables.rows, (lmax + 1) * quads(lmax));
    take(tables.group, shape.octants);
    if (size) *size = at;
    return tables;
}

struct ProjectionPlan {
    ProjectionShape shape;
    std::vector<double> data;
};

// For kernels that compute in `Real`, float or double. Takes lmax^3 / 3 pairs for every angle b of the grid.
template <class Real>
ProjectionPlan projection_plan(const Rings& rings, const Tables& recursions);

}  // namespace cuda
}  // namespace equiscope
