#include "bind/family.hpp"

namespace equiscope {

void register_harmonics(py::module_& module) {
    const Family family{"spherical_harmonics", "xyz", 3, harmonic_count};
    define_family<Threads>(
        module, family,
        [](const Threads& place, int lmax, const auto* xyz, Index n, auto* out) {
            host_kernels(out).spherical_harmonics(*tables_for(lmax), xyz, n, out, place.count);
        },
        [](const Threads& place, int lmax, const auto* xyz, Index n, const auto* grad, auto* out) {
            host_kernels(out).spherical_harmonics_torque(*tables_for(lmax), xyz, n, grad, out, place.count);
            return true;
        });
#if defined(EQUISCOPE_WITH_CUDA)
    define_family<Device>(
        module, family,
        [](const Device& on, int lmax, const auto* xyz, Index n, auto* out) {
            cuda::spherical_harmonics(on.place(), on.recursions(lmax), lmax, xyz, n, out);
        },
        [](const Device& on, int lmax, const auto* xyz, Index n, const auto* grad, auto* out) {
            return cuda::spherical_harmonics_torque(on.place(), on.recursions(lmax), lmax, xyz, n, grad, out);
        });
#endif
}

}  // namespace equiscope
