// Python module equiscope._C.cuda: the CUDA kernels on addresses of device memory. Everything is queued on the stream that
// is handed over; nothing waits. equiscope.ops is the only caller.

#include <pybind11/pybind11.h>

#include "checks.hpp"
#include "cuda/kernels.hpp"
#include "cuda/projection_kernels.hpp"
#include "equiscope/tables.hpp"
#include "grid/tables.hpp"

namespace py = pybind11;

namespace equiscope {
namespace {

using cuda::Place;

// Calls body(null pointer of the element type) without the GIL.
template <class Body>
auto with_type(const std::string& dtype, const Body& body) {
    require(dtype == "float32" || dtype == "float64", "dtype", "float32 or float64", dtype);
    const py::gil_scoped_release release;
    return dtype == "float32" ? body(static_cast<const float*>(nullptr)) : body(static_cast<const double*>(nullptr));
}

Place place_of(int device, Address stream) { return {device, reinterpret_cast<void*>(stream)}; }

Index table_size(Index lmax) { return flat_tables(nullptr, checked_lmax(lmax)).size; }

void fill_tables(Index lmax, Address out, Index out_size) {
    require_size("out", out, out_size, table_size(lmax));
    fill_flat_tables(lmax, output<double>(out));
}

const double* checked_tables(Address tables, Index tables_size, Index lmax) {
    require_size("tables", tables, tables_size, table_size(lmax));
    return input<double>(tables);
}

void wigner_D(int device, Address stream, Address tables, Index tables_size, Address rotations, Index n, Index lmax,
              Address out, Index out_size, const std::string& dtype, double tolerance) {
    const double* own = checked_tables(tables, tables_size, lmax);
    require_size("rotations", rotations, product("rotations", {n, 9}), 9 * n);
    require_size("out", out, out_size, product("out", {n, matrix_count(lmax)}));
    with_type(dtype, [&](auto type) {
        using T = element<decltype(type)>;
        cuda::wigner_D(place_of(device, stream), own, checked_lmax(lmax), input<T>(rotations), n, output<T>(out),
                       tolerance);
    });
}

bool wigner_D_torque(int device, Address stream, Address tables, Index tables_size, Address rotations, Index n,
                     Index lmax, Address grad, Index grad_size, Address out, const std::string& dtype,
                     double tolerance) {
    const double* own = checked_tables(tables, tables_size, lmax);
    require_size("rotations", rotations, product("rotations", {n, 9}), 9 * n);
    require_size("grad", grad, grad_size, product("grad", {n, matrix_count(lmax)}));
    return with_type(dtype, [&](auto type) {
        using T = element<decltype(type)>;
        return cuda::wigner_D_torque(place_of(device, stream), own, checked_lmax(lmax), input<T>(rotations), n,
                                     input<T>(grad), output<T>(out), tolerance);
    });
}

void spherical_harmonics(int device, Address stream, Address tables, Index tables_size, Address xyz, Index n,
                         Index lmax, Address out, Index out_size, const std::string& dtype) {
    const double* own = checked_tables(tables, tables_size, lmax);
    require_size("xyz", xyz, product("xyz", {n, 3}), 3 * n);
    require_size("out", out, out_size, product("out", {n, harmonic_count(lmax)}));
    with_type(dtype, [&](auto type) {
        using T = element<decltype(type)>;
        cuda::spherical_harmonics(place_of(device, stream), own, checked_lmax(lmax), input<T>(xyz), n, output<T>(out));
    });
}

bool spherical_harmonics_torque(int device, Address stream, Address tables, Index tables_size, Address xyz, Index n,
                                Index lmax, Address grad, Index grad_size, Address out, const std::string& dtype) {
    const double* own = checked_tables(tables, tables_size, lmax);
    require_size("xyz", xyz, product("xyz", {n, 3}), 3 * n);
    require_size("grad", grad, grad_size, product("grad", {n, harmonic_count(lmax)}));
    return with_type(dtype, [&](auto type) {
        using T = element<decltype(type)>;
        return cuda::spherical_harmonics_torque(place_of(device, stream), own, checked_lmax(lmax), input<T>(xyz), n,
                                                input<T>(grad), output<T>(out));
    });
}

bool rotate(int device, Address stream, Address tables, Index tables_size, Index lmax, Address x, Index x_size,
            Address rotations, Index batch, Index rows, Index dim, bool x_shared, Address copies, Index copy_count,
            bool inverse, Address out, Index out_size, const std::string& dtype, double tolerance) {
    const double* own = checked_tables(tables, tables_size, lmax);
    require_size("rotations", rotations, product("rotations", {batch, 9}), 9 * batch);
    require_size("x", x, x_size, product("x", {x_shared ? 1 : batch, rows, dim}));
    require_size("out", out, out_size, product("out", {batch, rows, dim}));
    require_size("copies", copies, product("copies", {copy_count}), copy_count);
    require(dim < (Index(1) << 31), "x", "fewer than 2^31 components", std::to_string(dim));
    return with_type(dtype, [&](auto type) {
        using T = element<decltype(type)>;
        return cuda::rotate(place_of(device, stream), own, checked_lmax(lmax), input<T>(x), x_shared,
                            input<T>(rotations), batch, rows, dim, input<void>(copies), copy_count, inverse,
                            output<T>(out), tolerance);
    });
}

// The host's part of a projection: the shape of a grid, and tables that go to the device.
cuda::ProjectionPlan plan(Address rings, Address weights, Index points, Index gammas, Index lmax,
                          const std::string& dtype) {
    require_size("rings", rings, product("rings", {points, 9}), 9 * points);
    require_size("weights", weights, product("weights", {points}), points);
    require(gammas >= 1 && gammas < (Index(1) << 20), "gammas", "1 to 2^20", std::to_string(gammas));
    const Rings grid{input<double>(rings), input<double>(weights), points, gammas};
    return with_type(dtype, [&](auto type) {
        return cuda::projection_plan<element<decltype(type)>>(grid, *tables_for(checked_lmax(lmax)));
    });
}

void copy_plan(const cuda::ProjectionPlan& own, Address out, Index out_size) {
    require_size("out", out, out_size, static_cast<Index>(own.data.size()));
    std::copy(own.data.begin(), own.data.end(), output<double>(out));
}

cuda::Sample sample_of(const std::string& dtype, const std::string& compute) {
    const bool single = compute == "float32";
    if (dtype == "float32") return cuda::Sample::float32;
    if (dtype == "float64" && !single) return cuda::Sample::float64;
    if (dtype == "float16" && single) return cuda::Sample::float16;
    require(dtype == "bfloat16" && single, "dtype", "samples no wider than " + compute + ", 16-bit ones for float32",
            dtype);
    return cuda::Sample::bfloat16;
}

Index power_parts(int device, const cuda::ProjectionPlan& own, Index channels, const std::string& compute) {
    return with_type(compute, [&](auto type) {
        return Index(cuda::power_parts<element<decltype(type)>>(place_of(device, 0), own.shape, channels));
    });
}

void character_power(int device, Address stream, const cuda::ProjectionPlan& own, Address plan_data, Index plan_size,
                     Address values, Index values_size, const std::string& dtype, int cosets, Index channels,
                     Address parts, Index parts_size, const std::string& compute) {
    const cuda::ProjectionShape& shape = own.shape;
    require(cosets == 1 || cosets == 2, "cosets", "1 or 2", std::to_string(cosets));
    require_size("plan", plan_data, plan_size, static_cast<Index>(own.data.size()));
    require_size("values", values, values_size, product("values", {cosets, shape.points, shape.gammas, channels}));
    require_size("parts", parts, parts_size,
                 product("parts", {power_parts(device, own, channels, compute), shape.lmax + 1, cosets, channels}));
    const cuda::Sample sample = sample_of(dtype, compute);
    with_type(compute, [&](auto type) {
        cuda::character_power(place_of(device, stream), shape, input<double>(plan_data), input<void>(values), sample,
                              cosets, channels, nullptr, output<element<decltype(type)>>(parts));
    });
}

void project(int device, Address stream, const cuda::ProjectionPlan& own, Address plan_data, Index plan_size,
             Address values, Index values_size, const std::string& dtype, Index channels, Address center, Address out,
             Index out_size, const std::string& compute) {
    const cuda::ProjectionShape& shape = own.shape;
    require_size("plan", plan_data, plan_size, static_cast<Index>(own.data.size()));
    require_size("values", values, values_size, product("values", {shape.points, shape.gammas, channels}));
    require_size("out", out, out_size, product("out", {matrix_count(shape.lmax), channels}));
    const cuda::Sample sample = sample_of(dtype, compute);
    with_type(compute, [&](auto type) {
        cuda::project(place_of(device, stream), shape, input<double>(plan_data), input<void>(values), sample, channels,
                      input<double>(center), output<element<decltype(type)>>(out));
    });
}

py::dict device(int index) {
    const cuda::DeviceInfo found = cuda::device_info(index);
    py::dict out;
    out["name"] = found.name;
    out["compute_capability"] = std::to_string(found.major) + "." + std::to_string(found.minor);
    out["shared_limit"] = found.shared_limit;
    out["multiprocessors"] = found.multiprocessors;
    return out;
}

}  // namespace

void bind_cuda(py::module_& parent) {
    using py::arg;
    py::module_ module = parent.def_submodule("cuda");
    module.attr("architectures") = cuda::architectures();
    module.attr("toolkit") = cuda::toolkit_version();
    module.def("device", &device, arg("index"));
    module.def("table_size", &table_size, arg("lmax"));
    module.def("fill_tables", &fill_tables, arg("lmax"), arg("out"), arg("out_size"));
    module.def("wigner_D", &wigner_D, arg("device"), arg("stream"), arg("tables"), arg("tables_size"), arg("rotations"),
               arg("n"), arg("lmax"), arg("out"), arg("out_size"), arg("dtype"), arg("tolerance"));
    module.def("wigner_D_torque", &wigner_D_torque, arg("device"), arg("stream"), arg("tables"), arg("tables_size"),
               arg("rotations"), arg("n"), arg("lmax"), arg("grad"), arg("grad_size"), arg("out"), arg("dtype"),
               arg("tolerance"));
    module.def("spherical_harmonics", &spherical_harmonics, arg("device"), arg("stream"), arg("tables"),
               arg("tables_size"), arg("xyz"), arg("n"), arg("lmax"), arg("out"), arg("out_size"), arg("dtype"));
    module.def("spherical_harmonics_torque", &spherical_harmonics_torque, arg("device"), arg("stream"), arg("tables"),
               arg("tables_size"), arg("xyz"), arg("n"), arg("lmax"), arg("grad"), arg("grad_size"), arg("out"),
               arg("dtype"));
    module.def("rotate", &rotate, arg("device"), arg("stream"), arg("tables"), arg("tables_size"), arg("lmax"),
               arg("x"), arg("x_size"), arg("rotations"), arg("batch"), arg("rows"), arg("dim"), arg("x_shared"),
               arg("copies"), arg("copy_count"), arg("inverse"), arg("out"), arg("out_size"), arg("dtype"),
               arg("tolerance"));
    py::class_<cuda::ProjectionPlan>(module, "Plan")
        .def_property_readonly("size", [](const cuda::ProjectionPlan& own) { return own.data.size(); })
        .def_property_readonly("worthwhile", [](const cuda::ProjectionPlan& own) { return own.shape.worthwhile; })
        .def("copy", &copy_plan, arg("out"), arg("out_size"));
    module.def("plan", &plan, arg("rings"), arg("weights"), arg("points"), arg("gammas"), arg("lmax"), arg("dtype"));
    module.def("power_parts", &power_parts, arg("device"), arg("plan"), arg("channels"), arg("compute"));
    module.def("character_power", &character_power, arg("device"), arg("stream"), arg("plan"), arg("plan_data"),
               arg("plan_size"), arg("values"), arg("values_size"), arg("dtype"), arg("cosets"), arg("channels"),
               arg("parts"), arg("parts_size"), arg("compute"));
    module.def("project", &project, arg("device"), arg("stream"), arg("plan"), arg("plan_data"), arg("plan_size"),
               arg("values"), arg("values_size"), arg("dtype"), arg("channels"), arg("center"), arg("out"),
               arg("out_size"), arg("compute"));
}

}  // namespace equiscope
