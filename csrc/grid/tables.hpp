// The recursions up to lmax, shared by all calls with the same lmax.
#pragma once

#include <memory>

#include "equiscope/harmonics.hpp"
#include "equiscope/wigner.hpp"

namespace equiscope {

struct Tables {
    int lmax;
    WignerTables wigner;
    HarmonicTables harmonic;
};

// From a bounded cache; they stay valid as long as the pointer is held.
std::shared_ptr<const Tables> tables_for(int lmax);

}  // namespace equiscope
