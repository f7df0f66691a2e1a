#include "bind/family.hpp"
#include "bind/relabelled.hpp"
#include "cpu/check_rotations.hpp"

namespace equiscope {
namespace {

Faults check(const Buffer& rotations, double tolerance) {
    const Index n = rotations.rows("rotations", 9);
    return with_type(rotations.dtype, [&](auto zero) {
        return in_order(check_rotations(rotations.array<const decltype(zero)>("rotations", {n, 9}), n, tolerance));
    });
}

// D of matrices that nobody has checked: says as `check_rotations` which are no proper rotations, and if any is, nothing was
// written. `cycled`: their axes are those of the basis of e3nn.
Faults wigner_D(const Buffer& rotations, Index lmax, bool cycled, const Buffer& out, double tolerance,
                const Threads& place) {
    const Index n = rotations.rows("rotations", 9), count = matrix_count(checked_lmax(lmax));
    return with_type(out.dtype, [&](auto zero) {
        using T = decltype(zero);
        const T* r = rotations.array<const T>("rotations", {n, 9});
        T* d = out.array<T>("out", {n, count});
        const RotationFaults found = check_rotations(r, n, tolerance);
        if (found.bad < 0 && found.improper < 0) {
            const auto turned = relabelled<9>(r, cycled ? n : 0);
            host_kernels(d).wigner_D(*tables_for(static_cast<int>(lmax)), cycled ? turned.data() : r, n, d,
                                     place.count);
        }
        return in_order(found);
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
    using py::arg;
    module.def("wigner_D_checked", &wigner_D, arg("rotations"), arg("lmax"), arg("cycled"), arg("out"),
               arg("tolerance"), arg("place"));
    module.def("check_rotations", &check, arg("rotations"), arg("tolerance"));
}

}  // namespace equiscope
