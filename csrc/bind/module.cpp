// Python module equiscope._C. Its only callers are in equiscope.kernels.

#include <pybind11/pybind11.h>

namespace equiscope {

// One for each family of kernels, in the file of its name: it defines what the family does on the host and, in a build with
// CUDA, on a device, under one name and with one signature; the place alone tells them apart.
void register_wigner(pybind11::module_& module);
void register_harmonics(pybind11::module_& module);
void register_rotate(pybind11::module_& module);
void register_projection(pybind11::module_& module);
void register_info(pybind11::module_& module);

}  // namespace equiscope

#if defined(PYBIND11_VERSION_HEX) && PYBIND11_VERSION_HEX >= 0x020D0000
PYBIND11_MODULE(_C, module, pybind11::mod_gil_not_used()) {
#else
PYBIND11_MODULE(_C, module) {
#endif
    equiscope::register_wigner(module);
    equiscope::register_harmonics(module);
    equiscope::register_rotate(module);
    equiscope::register_projection(module);
    equiscope::register_info(module);
}
