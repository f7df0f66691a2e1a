#include "bind/family.hpp"
#include "cpu/check_rotations.hpp"

namespace equiscope {
namespace {

Faults check(const Buffer& rotations, double tolerance) {
    const Index n = rotations.rows("rotations", 9);
    return with_type(rotations.dtype, [&](auto zero) {
        return in_order(check_rotations(rotations.array<const decltype(zero)>("rotations", {n, 9}), n, tolerance));
    });
}

}  // namespace

void register_wigner(py::module_& module) {
    const Family family{"wigner_D", "rotations", 9, matrix_count};
    define_family<Threads>(
        module, family,
        [](const Threads& place, int lmax, const auto* rotations, Index n, auto* out) {
            host_kernels(out).wigner_D(*tables_for(lmax), rotations, n, out, place.count);
        },
        [](const Threads& place, int lmax, const auto* rotations, Index n, const auto* grad, auto* out) {
            host_kernels(out).wigner_D_torque(*tables_for(lmax), rotations, n, grad, out, place.count);
            return true;
        });
#if defined(EQUISCOPE_WITH_CUDA)
    define_family<Device>(
        module, family,
        [](const Device& on, int lmax, const auto* rotations, Index n, auto* out) {
            cuda::wigner_D(on.place(), on.recursions(lmax), lmax, rotations, n, out, on.tolerance);
        },
        [](const Device& on, int lmax, const auto* rotations, Index n, const auto* grad, auto* out) {
            return cuda::wigner_D_torque(on.place(), on.recursions(lmax), lmax, rotations, n, grad, out, on.tolerance);
        });
#endif
    module.def("check_rotations", &check, py::arg("rotations"), py::arg("tolerance"));
}

}  // namespace equiscope
