// What D of rotations and Y of points have in common: n entries of `width` numbers go in, values up to lmax or the three
// components of a torque come out.
#pragma once

#include "bind/place.hpp"

namespace equiscope {

struct Family {
    std::string name, entries;
    Index width;
    Index (*count)(Index lmax);
};

// values(place, lmax, entries, n, out) and torque(place, lmax, entries, n, grad, out), which says whether there was a way;
// if not, nothing was written.
template <class Place, class Values, class Torque>
void define_family(py::module_& module, const Family& family, const Values& values, const Torque& torque) {
    using py::arg;
    const auto by_values = [=](const Buffer& entries, Index lmax, const Buffer& out, const Place& place) {
        const Index n = entries.rows(family.entries, family.width), count = family.count(checked_lmax(lmax));
        with_type(out.dtype, [&](auto zero) {
            using T = decltype(zero);
            values(place, checked_lmax(lmax), entries.array<const T>(family.entries, {n, family.width}), n,
                   out.array<T>("out", {n, count}));
        });
    };
    const auto by_torque = [=](const Buffer& entries, const Buffer& grad, Index lmax, const Buffer& out,
                               const Place& place) {
        const Index n = entries.rows(family.entries, family.width), count = family.count(checked_lmax(lmax));
        return with_type(out.dtype, [&](auto zero) {
            using T = decltype(zero);
            return torque(place, checked_lmax(lmax), entries.array<const T>(family.entries, {n, family.width}), n,
                          grad.array<const T>("grad", {n, count}), out.array<T>("out", {n, 3}));
        });
    };
    const char* entries = family.entries.c_str();
    module.def(family.name.c_str(), by_values, arg(entries), arg("lmax"), arg("out"), arg("place"));
    module.def((family.name + "_torque").c_str(), by_torque, arg(entries), arg("grad"), arg("lmax"), arg("out"),
               arg("place"));
}

}  // namespace equiscope
