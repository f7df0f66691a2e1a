// How the rings of a grid share work. A ring R = Rz(a) Ry(b) Rz(c) enters through its angles alone: rings of equal b form a
// group, which needs one matrix D(Ry(b)); rings whose a and b differ by reflections of a and of b in the coordinate planes
// form an octant, in which even and odd sums are taken before anything is multiplied.
#pragma once

#include "cpu/kernels.hpp"

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

struct RingSharing {
    const Octant* octants;
    const RingGroup* groups;
    const RingChunk* chunks;
    const double* turns;  // cos c, sin c of every ring
    Index group_count, chunk_count;
    Index octants_of_chunk, groups_of_chunk;  // largest numbers
    bool turned;                              // some c is not 0
    bool worthwhile;                          // less work than one D matrix for every ring
};

// The plan of a grid, from a bounded cache: thread-safe, and valid as long as the object lives.
class RingPlan : public RingSharing {
  public:
    RingPlan(const Rings& rings, int lmax);
    ~RingPlan();
    RingPlan(const RingPlan&) = delete;
    RingPlan& operator=(const RingPlan&) = delete;

  private:
    const void* held_;
};

}  // namespace equiscope
