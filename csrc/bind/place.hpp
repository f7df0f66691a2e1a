// Where a kernel runs: on threads of the host, or on a stream of a device beside tables that were copied there.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <vector>

#include "bind/buffer.hpp"
#include "cpu/dispatch.hpp"
#if defined(EQUISCOPE_WITH_CUDA)
#include "cuda/kernels.hpp"
#include "equiscope/tables.hpp"
#endif

namespace equiscope {

struct Threads {
    int count;
};

// The kernels of the host, by the type of their results.
inline const KernelsOf<float>& host_kernels(const float*) { return active_kernels().float32; }
inline const KernelsOf<double>& host_kernels(const double*) { return active_kernels().float64; }

#if defined(EQUISCOPE_WITH_CUDA)
struct Device {
    int index;
    Address stream;
    double tolerance;  // a matrix further from orthogonal has NaN for its results
    std::vector<Buffer> tables;

    cuda::Place place() const { return {index, reinterpret_cast<void*>(stream)}; }

    const Buffer& table(std::size_t which) const {
        require(
            which < tables.size(), "place", [&] { return std::to_string(which + 1) + " tables"; },
            static_cast<Index>(tables.size()));
        return tables[which];
    }

    // The recursions up to lmax are the first table.
    const double* recursions(Index lmax) const {
        return table(0).array<const double>("tables", {flat_tables(nullptr, lmax).size});
    }
};
#endif

}  // namespace equiscope

namespace pybind11::detail {

template <>
struct type_caster<equiscope::Threads> {
    PYBIND11_TYPE_CASTER(equiscope::Threads, const_name("int"));

    bool load(handle source, bool convert) {
        make_caster<int> count;
        if (!isinstance<int_>(source) || !count.load(source, convert)) return false;
        value = {count};
        equiscope::require(value.count >= 1, "threads", "a positive integer", value.count);
        return true;
    }
};

#if defined(EQUISCOPE_WITH_CUDA)
// From (index, stream, tolerance, tables).
template <>
struct type_caster<equiscope::Device> {
    PYBIND11_TYPE_CASTER(equiscope::Device, const_name("tuple[int, int, float, tuple]"));

    bool load(handle source, bool convert) {
        if (!isinstance<tuple>(source) || len(source) != 4) return false;
        const auto fields = reinterpret_borrow<tuple>(source);
        make_caster<int> index;
        make_caster<equiscope::Address> stream;
        make_caster<double> tolerance;
        make_caster<std::vector<equiscope::Buffer>> tables;
        if (!index.load(fields[0], convert) || !stream.load(fields[1], convert) ||
            !tolerance.load(fields[2], convert) || !tables.load(fields[3], convert))
            return false;
        value = {index, stream, tolerance, cast_op<std::vector<equiscope::Buffer>&&>(std::move(tables))};
        return true;
    }
};
#endif

}  // namespace pybind11::detail
