// A ring grid: `points` rotations (3x3, float64) with weights, each with `gammas` equispaced turns on the right.
#pragma once

#include "equiscope/index.hpp"

namespace equiscope {

struct Rings {
    const double* rotations;
    const double* weights;
    Index points, gammas;
};

}  // namespace equiscope
