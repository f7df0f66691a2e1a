// Recursion tables of the host, shared by all calls with the same lmax.
#pragma once

#include <memory>

#include "cpu/kernels.hpp"

namespace equiscope {

// Bounded cache; thread-safe. The tables stay valid as long as the pointer is held.
std::shared_ptr<const Tables> tables_for(int lmax);

// Throws std::invalid_argument when EQUISCOPE_ISA asks for what is not compiled or not supported here.
const Kernels& active_kernels();

// Names of the compiled instruction sets, best last.
std::vector<const char*> compiled_isas();

}  // namespace equiscope
