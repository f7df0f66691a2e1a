// What the host holds: recursion tables shared by all calls with the same lmax, and the choice of instruction set.
#pragma once

#include <memory>
#include <vector>

#include "cpu/kernels.hpp"

namespace equiscope {

// Bounded cache, thread-safe. The tables stay valid as long as the pointer is held.
std::shared_ptr<const Tables> tables_for(int lmax);

// Throws std::invalid_argument when EQUISCOPE_ISA asks for what is not compiled or not supported here.
const Kernels& active_kernels();

// The compiled variants that this processor can run, best last.
std::vector<const Kernels*> usable_kernels();

// Names of the compiled instruction sets, best last.
std::vector<const char*> compiled_isas();

}  // namespace equiscope
