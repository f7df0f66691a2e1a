#include "bind/family.hpp"
#include "bind/relabelled.hpp"
#include "cpu/check_points.hpp"

namespace equiscope {
namespace {

// Y of points that nobody has checked: the first row that is not finite, with nothing written, or -1. `cycled`: their axes
// are those of the basis of e3nn.
Index spherical_harmonics(const Buffer& xyz, Index lmax, bool cycled, const Buffer& out, const Threads& place) {
    const Index n = xyz.rows("xyz", 3), count = harmonic_count(checked_lmax(lmax));
    return with_type(out.dtype, [&](auto zero) {
        using T = decltype(zero);
        const T* points = xyz.array<const T>("xyz", {n, 3});
        T* y = out.array<T>("out", {n, count});
        const Index bad = first_not_finite(points, n);
        if (bad >= 0) return bad;
        const auto turned = relabelled<3>(points, cycled ? n : 0);
        host_kernels(y).spherical_harmonics(*tables_for(static_cast<int>(lmax)), cycled ? turned.data() : points, n, y,
                                            place.count);
        return bad;
    });
}

}  // namespace

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
    using py::arg;
    module.def("spherical_harmonics_checked", &spherical_harmonics, arg("xyz"), arg("lmax"), arg("cycled"), arg("out"),
               arg("place"));
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
