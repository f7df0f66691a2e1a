// One function per family of kernels: it defines what the family does on the host and, in a build with CUDA, on a device,
// under one name and with one signature, which differ in the place alone.
#pragma once

#include <pybind11/pybind11.h>

namespace equiscope {

void register_wigner(pybind11::module_& module);
void register_harmonics(pybind11::module_& module);
void register_rotate(pybind11::module_& module);
void register_projection(pybind11::module_& module);
void register_info(pybind11::module_& module);

}  // namespace equiscope
