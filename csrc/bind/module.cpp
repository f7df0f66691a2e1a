// Python module equiscope._C. Its only callers are in equiscope.kernels.

#include "bind/register.hpp"

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
