// The choice of instruction set.
#pragma once

#include <vector>

#include "cpu/kernels.hpp"

namespace equiscope {

// Throws std::invalid_argument when EQUISCOPE_ISA asks for what is not compiled or not supported here.
const Kernels& active_kernels();

// The compiled variants that this processor can run, best last.
std::vector<const Kernels*> usable_kernels();

// Names of the compiled instruction sets, best last.
std::vector<const char*> compiled_isas();

}  // namespace equiscope
