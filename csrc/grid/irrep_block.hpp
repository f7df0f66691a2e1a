// One run of irreps along an axis: element (c, m) of the run lies at offset + c stride_mul + (m + l) stride_m.
#pragma once

#include "equiscope/index.hpp"

namespace equiscope {

struct IrrepBlock {
    Index l, mul, offset, stride_mul, stride_m;
    bool odd;  // the inversion acts as -1
};

}  // namespace equiscope
