// How the rings of a grid share work. A ring R = Rz(a) Ry(b) Rz(c) enters through its angles alone: rings of equal b form a
// group, which needs one matrix D(Ry(b)); rings whose a and b differ by reflections of a and of b in the coordinate planes
// form an octant, in which even and odd sums are taken before anything is multiplied.
#pragma once

#include "grid/rings.hpp"

namespace equiscope {

struct Octant {
    double cos_a, sin_a;  // of the representative, both >= 0
    Index image[8];  // ring at (+-a, pi - +-a; b, pi - b), or -1: bit 0 is cos a < 0, bit 1 sin a < 0, bit 2 cos b < 0
};

struct RingGroup {
    double cos_b, sin_b;  // both >= 0
    Index first, last;    // octants
};

struct RingChunk {
    Index first, last;  // groups that are worked on together
};

// Pointers and numbers alone, since code made for one instruction set reads it.
struct RingPlan {
    const Octant* octants;
    const RingGroup* groups;
    const RingChunk* chunks;
    const double* turns;  // cos c, sin c of every ring
    Index group_count, chunk_count;
    Index octants_of_chunk, groups_of_chunk;  // largest numbers
    bool turned;                              // some c is not 0
    bool worthwhile;                          // less work than one D matrix for every ring
};

// Calls body(context, plan) with the plan of a grid, from a bounded cache, which is held as long as that takes.
void with_ring_plan(const Rings& rings, int lmax, void (*body)(const void* context, const RingPlan&),
                    const void* context);

// Kinds of tables: by the numbers they are of and by the instruction set that made them, so that what one gives does not
// depend on which came first.
constexpr int table_kinds = 6;

// The table of that kind that is kept with a plan, or null. It is there as long as the plan, for all threads; where several
// make one at once, the first is kept.
const void* kept_table(const RingPlan& plan, int kind);
void keep_table(const RingPlan& plan, int kind, const void* table, Index bytes);

// The same for a callable body(plan). A plain function pointer underneath, as in parallel_for.
template <class Body>
inline void with_ring_plan(const Rings& rings, int lmax, const Body& body) {
    const auto call = [](const void* context, const RingPlan& plan) { (*static_cast<const Body*>(context))(plan); };
    with_ring_plan(rings, lmax, call, &body);
}

}  // namespace equiscope
