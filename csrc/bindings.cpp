// Python module equiscope._C: checks that every buffer holds what the sizes say, releases the GIL, forwards. Buffers
// come as addresses with their number of elements; equiscope.ops is the only caller.

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "checks.hpp"
#include "cpu/dispatch.hpp"
#include "grid/tables.hpp"

namespace py = pybind11;

namespace equiscope {

#if defined(EQUISCOPE_WITH_CUDA)
void bind_cuda(py::module_& module);
#endif

namespace {

// Calls body(kernels of the element type that `dtype` names, a null pointer of that type), without the GIL: everything
// that belongs to Python has been read.
template <class Body>
void with_kernels(const std::string& dtype, const Body& body) {
    const Kernels& kernels = active_kernels();
    require(dtype == "float32" || dtype == "float64", "dtype", "float32 or float64", dtype);
    py::gil_scoped_release release;
    if (dtype == "float32")
        body(kernels.float32, static_cast<const float*>(nullptr));
    else
        body(kernels.float64, static_cast<const double*>(nullptr));
}

void wigner_D(Address rotations, Index n, Index lmax, Address out, Index out_size, const std::string& dtype,
              int threads) {
    require_size("rotations", rotations, product("rotations", {n, 9}), 9 * n);
    require_size("out", out, out_size, product("out", {n, matrix_count(checked_lmax(lmax))}));
    check_threads(threads);
    with_kernels(dtype, [&](const auto& kernels, auto type) {
        using T = element<decltype(type)>;
        kernels.wigner_D(*tables_for(checked_lmax(lmax)), input<T>(rotations), n, output<T>(out), threads);
    });
}

void wigner_D_torque(Address rotations, Index n, Index lmax, Address grad, Index grad_size, Address out,
                     const std::string& dtype, int threads) {
    require_size("rotations", rotations, product("rotations", {n, 9}), 9 * n);
    require_size("grad", grad, grad_size, product("grad", {n, matrix_count(checked_lmax(lmax))}));
    check_threads(threads);
    with_kernels(dtype, [&](const auto& kernels, auto type) {
        using T = element<decltype(type)>;
        kernels.wigner_D_torque(*tables_for(checked_lmax(lmax)), input<T>(rotations), n, input<T>(grad), output<T>(out),
                                threads);
    });
}

void spherical_harmonics(Address xyz, Index n, Index lmax, Address out, Index out_size, const std::string& dtype,
                         int threads) {
    require_size("xyz", xyz, product("xyz", {n, 3}), 3 * n);
    require_size("out", out, out_size, product("out", {n, harmonic_count(checked_lmax(lmax))}));
    check_threads(threads);
    with_kernels(dtype, [&](const auto& kernels, auto type) {
        using T = element<decltype(type)>;
        kernels.spherical_harmonics(*tables_for(checked_lmax(lmax)), input<T>(xyz), n, output<T>(out), threads);
    });
}

void spherical_harmonics_torque(Address xyz, Index n, Index lmax, Address grad, Index grad_size, Address out,
                                const std::string& dtype, int threads) {
    require_size("xyz", xyz, product("xyz", {n, 3}), 3 * n);
    require_size("grad", grad, grad_size, product("grad", {n, harmonic_count(checked_lmax(lmax))}));
    check_threads(threads);
    with_kernels(dtype, [&](const auto& kernels, auto type) {
        using T = element<decltype(type)>;
        kernels.spherical_harmonics_torque(*tables_for(checked_lmax(lmax)), input<T>(xyz), n, input<T>(grad),
                                           output<T>(out), threads);
    });
}

using BlockTuple = std::tuple<Index, Index, Index, Index, Index, bool>;

std::vector<IrrepBlock> checked_blocks(const std::vector<BlockTuple>& blocks, Index dim) {
    std::vector<IrrepBlock> checked;
    for (const auto& [l, mul, offset, stride_mul, stride_m, odd] : blocks) {
        checked_lmax(l);
        require(mul >= 1 && offset >= 0 && stride_mul >= 1 && stride_m >= 1, "blocks",
                "positive multiplicity and strides", "mul " + std::to_string(mul));
        const Index last = offset + product("blocks", {mul - 1, stride_mul}) + product("blocks", {2 * l, stride_m});
        require(last < dim, "blocks", "indices below " + std::to_string(dim), std::to_string(last));
        checked.push_back({l, mul, offset, stride_mul, stride_m, odd});
    }
    return checked;
}

void rotate(Address x, Index x_size, Address rotations, Index batch, Index rows, Index dim, bool x_shared,
            const std::vector<BlockTuple>& blocks, bool inverse, Address out, Index out_size, const std::string& dtype,
            int threads) {
    require_size("rotations", rotations, product("rotations", {batch, 9}), 9 * batch);
    require_size("x", x, x_size, product("x", {x_shared ? 1 : batch, rows, dim}));
    require_size("out", out, out_size, product("out", {batch, rows, dim}));
    const std::vector<IrrepBlock> checked = checked_blocks(blocks, dim);
    check_threads(threads);
    Index lmax = 0;
    for (const IrrepBlock& block : checked) lmax = std::max(lmax, block.l);
    with_kernels(dtype, [&](const auto& kernels, auto type) {
        using T = element<decltype(type)>;
        kernels.rotate(*tables_for(static_cast<int>(lmax)), input<T>(x), x_shared, input<T>(rotations), batch, rows,
                       dim, checked.data(), static_cast<Index>(checked.size()), inverse, output<T>(out), threads);
    });
}

// Calls body(kernels, null pointer of the type of the samples, of the result), without the GIL.
template <class Body>
void with_projection_kernels(const std::string& value_dtype, const std::string& out_dtype, const Body& body) {
    const Kernels& kernels = active_kernels();
    const bool in_float = value_dtype == "float32", out_float = out_dtype == "float32";
    require((in_float || value_dtype == "float64") && (out_float || out_dtype == "float64") && (in_float || !out_float),
            "dtype", "(float32, float32), (float32, float64) or (float64, float64)", value_dtype + ", " + out_dtype);
    const float* single = nullptr;
    const double* twice = nullptr;
    py::gil_scoped_release release;
    if (!in_float)
        body(kernels.float64_to_float64, twice, twice);
    else if (out_float)
        body(kernels.float32_to_float32, single, single);
    else
        body(kernels.float32_to_float64, single, twice);
}

Rings checked_rings(Address rings, Address weights, Index points, Index gammas) {
    require_size("rings", rings, product("rings", {points, 9}), 9 * points);
    require_size("weights", weights, product("weights", {points}), points);
    require(gammas >= 1 && gammas < (Index(1) << 20), "gammas", "1 to 2^20", std::to_string(gammas));
    return {input<double>(rings), input<double>(weights), points, gammas};
}

void project(Address values, Index values_size, Address rings, Address weights, Index points, Index gammas, Index lmax,
             Index channels, Address center, Address out, Index out_size, const std::string& value_dtype,
             const std::string& out_dtype, int threads) {
    require_size("values", values, values_size, product("values", {points, gammas, channels}));
    require_size("out", out, out_size, product("out", {matrix_count(checked_lmax(lmax)), channels}));
    const Rings grid = checked_rings(rings, weights, points, gammas);
    check_threads(threads);
    with_projection_kernels(value_dtype, out_dtype, [&](const auto& kernels, auto in, auto result) {
        kernels.project(*tables_for(checked_lmax(lmax)), input<element<decltype(in)>>(values), grid, channels,
                        input<double>(center), output<element<decltype(result)>>(out), threads);
    });
}

// Whether there was a fast way; if not, nothing was written.
bool character_power(Address values, Index values_size, Address rings, Address weights, Index points, Index gammas,
                     Index lmax, Index channels, Index cosets, Address center, Address out, Index out_size,
                     Address moments, const std::string& value_dtype, const std::string& out_dtype, int threads) {
    require(cosets == 1 || cosets == 2, "cosets", "1 or 2", std::to_string(cosets));
    require_size("values", values, values_size, product("values", {cosets, points, gammas, channels}));
    require_size("out", out, out_size, product("out", {checked_lmax(lmax) + 1, cosets, channels}));
    require_size("center", center, product("center", {channels}), channels);
    if (moments != 0) require_size("moments", moments, product("moments", {2, channels}), 2 * channels);
    const Rings grid = checked_rings(rings, weights, points, gammas);
    check_threads(threads);
    bool done = false;
    with_projection_kernels(value_dtype, out_dtype, [&](const auto& kernels, auto in, auto result) {
        done = kernels.character_power(*tables_for(checked_lmax(lmax)), input<element<decltype(in)>>(values), grid,
                                       channels, cosets, input<double>(center), output<element<decltype(result)>>(out),
                                       output<double>(moments), threads);
    });
    return done;
}

// Whether `character_power` with a result in float64 has a fast way.
bool power_at_once(Address rings, Address weights, Index points, Index gammas, Index lmax) {
    const Rings grid = checked_rings(rings, weights, points, gammas);
    return active_kernels().float64_to_float64.power_at_once(grid, checked_lmax(lmax));
}

void synthesize(Address coefficients, Index coefficients_size, Address rings, Address weights, Index points,
                Index gammas, Index lmax, Index channels, Address out, Index out_size, const std::string& dtype,
                int threads) {
    require_size("coefficients", coefficients, coefficients_size,
                 product("coefficients", {matrix_count(checked_lmax(lmax)), channels}));
    require_size("out", out, out_size, product("out", {points, gammas, channels}));
    const Rings grid = checked_rings(rings, weights, points, gammas);
    check_threads(threads);
    with_kernels(dtype, [&](const auto& kernels, auto type) {
        using T = element<decltype(type)>;
        kernels.synthesize(*tables_for(checked_lmax(lmax)), input<T>(coefficients), grid, channels, output<T>(out),
                           threads);
    });
}

// First rotation that is not finite or not orthogonal to `tolerance`: (row, max |R R^T - 1|, det); row -1 if none.
template <class T>
std::tuple<Index, double, double> first_bad_rotation(const T* rotations, Index n, double tolerance) {
    for (Index row = 0; row < n; ++row) {
        const T* r = rotations + 9 * row;
        double worst = 0.0;
        bool finite = true;
        for (int i = 0; i < 9; ++i) finite = finite && std::isfinite(r[i]);
        for (int i = 0; i < 3; ++i)
            for (int j = i; j < 3; ++j) {
                double dot = i == j ? -1.0 : 0.0;
                for (int k = 0; k < 3; ++k)
                    dot += static_cast<double>(r[3 * i + k]) * static_cast<double>(r[3 * j + k]);
                worst = std::fmax(worst, std::fabs(dot));
            }
        if (finite && worst <= tolerance) continue;
        const double det =
            static_cast<double>(r[0]) * (static_cast<double>(r[4]) * r[8] - static_cast<double>(r[5]) * r[7]) -
            static_cast<double>(r[1]) * (static_cast<double>(r[3]) * r[8] - static_cast<double>(r[5]) * r[6]) +
            static_cast<double>(r[2]) * (static_cast<double>(r[3]) * r[7] - static_cast<double>(r[4]) * r[6]);
        return {row, finite ? worst : std::nan(""), det};
    }
    return {-1, 0.0, 1.0};
}

std::tuple<Index, double, double> check_rotations(Address rotations, Index n, const std::string& dtype,
                                                  double tolerance, int) {
    require_size("rotations", rotations, product("rotations", {n, 9}), 9 * n);
    std::tuple<Index, double, double> found;
    with_kernels(dtype, [&](const auto&, auto type) {
        using T = element<decltype(type)>;
        found = first_bad_rotation(input<T>(rotations), n, tolerance);
    });
    return found;
}

// First rotation with a negative determinant; -1 if none.
Index first_improper(Address rotations, Index n, const std::string& dtype) {
    require_size("rotations", rotations, product("rotations", {n, 9}), 9 * n);
    Index row = 0;
    with_kernels(dtype, [&](const auto&, auto type) {
        const auto* r = input<element<decltype(type)>>(rotations);
        const auto determinant = [&](Index i) {
            const auto* m = r + 9 * i;
            return m[0] * (m[4] * m[8] - m[5] * m[7]) - m[1] * (m[3] * m[8] - m[5] * m[6]) +
                   m[2] * (m[3] * m[7] - m[4] * m[6]);
        };
        while (row < n && determinant(row) >= 0) ++row;
    });
    return row < n ? row : -1;
}

py::dict info() {
    py::dict found;
    found["version"] = EQUISCOPE_VERSION;
    found["isa"] = active_kernels().isa;
    found["isas"] = compiled_isas();
#if defined(EQUISCOPE_WITH_CUDA)
    found["cuda"] = true;
#else
    found["cuda"] = false;
#endif
    found["compiler"] = EQUISCOPE_COMPILER;
    found["threads_max"] = static_cast<int>(std::thread::hardware_concurrency());
    return found;
}

}  // namespace
}  // namespace equiscope

#if defined(PYBIND11_VERSION_HEX) && PYBIND11_VERSION_HEX >= 0x020D0000
PYBIND11_MODULE(_C, module, py::mod_gil_not_used()) {
#else
PYBIND11_MODULE(_C, module) {
#endif
    using namespace equiscope;
    using py::arg;
    module.def("wigner_D", &wigner_D, arg("rotations"), arg("n"), arg("lmax"), arg("out"), arg("out_size"),
               arg("dtype"), arg("threads"));
    module.def("wigner_D_torque", &wigner_D_torque, arg("rotations"), arg("n"), arg("lmax"), arg("grad"),
               arg("grad_size"), arg("out"), arg("dtype"), arg("threads"));
    module.def("spherical_harmonics", &spherical_harmonics, arg("xyz"), arg("n"), arg("lmax"), arg("out"),
               arg("out_size"), arg("dtype"), arg("threads"));
    module.def("spherical_harmonics_torque", &spherical_harmonics_torque, arg("xyz"), arg("n"), arg("lmax"),
               arg("grad"), arg("grad_size"), arg("out"), arg("dtype"), arg("threads"));
    module.def("rotate", &rotate, arg("x"), arg("x_size"), arg("rotations"), arg("batch"), arg("rows"), arg("dim"),
               arg("x_shared"), arg("blocks"), arg("inverse"), arg("out"), arg("out_size"), arg("dtype"),
               arg("threads"));
    module.def("project", &project, arg("values"), arg("values_size"), arg("rings"), arg("weights"), arg("points"),
               arg("gammas"), arg("lmax"), arg("channels"), arg("center"), arg("out"), arg("out_size"),
               arg("value_dtype"), arg("out_dtype"), arg("threads"));
    module.def("character_power", &character_power, arg("values"), arg("values_size"), arg("rings"), arg("weights"),
               arg("points"), arg("gammas"), arg("lmax"), arg("channels"), arg("cosets"), arg("center"), arg("out"),
               arg("out_size"), arg("moments"), arg("value_dtype"), arg("out_dtype"), arg("threads"));
    module.def("power_at_once", &power_at_once, arg("rings"), arg("weights"), arg("points"), arg("gammas"),
               arg("lmax"));
    module.def("synthesize", &synthesize, arg("coefficients"), arg("coefficients_size"), arg("rings"), arg("weights"),
               arg("points"), arg("gammas"), arg("lmax"), arg("channels"), arg("out"), arg("out_size"), arg("dtype"),
               arg("threads"));
    module.def("check_rotations", &check_rotations, arg("rotations"), arg("n"), arg("dtype"), arg("tolerance"),
               arg("threads"));
    module.def("first_improper", &first_improper, arg("rotations"), arg("n"), arg("dtype"));
    module.def("info", &info);
#if defined(EQUISCOPE_WITH_CUDA)
    bind_cuda(module);
#endif
}
