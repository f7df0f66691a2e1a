#include <algorithm>
#include <array>
#include <tuple>

#include "bind/place.hpp"
#if defined(EQUISCOPE_WITH_CUDA)
#include "cuda/projection_kernels.hpp"
#endif

namespace equiscope {
namespace {

// (rings, weights, gammas) in the memory of the host
using Grid = std::tuple<Buffer, Buffer, Index>;

Rings checked_rings(const Grid& grid) {
    const auto& [rings, weights, gammas] = grid;
    const Index points = rings.rows("rings", 9);
    require(gammas >= 1 && gammas < (Index(1) << 20), "gammas", "1 to 2^20", gammas);
    return {rings.array<const double>("rings", {points, 9}), weights.array<const double>("weights", {points}), points,
            gammas};
}

// Calls body(kernels, zero of the type of the samples, of the result), without the GIL.
template <class Body>
void with_projection_kernels(DType samples, DType result, const Body& body) {
    const Kernels& kernels = active_kernels();
    const bool in_float = samples == DType::float32, out_float = result == DType::float32;
    require(
        (in_float || samples == DType::float64) && (out_float || result == DType::float64) && (in_float || !out_float),
        "dtype", "(float32, float32), (float32, float64) or (float64, float64)",
        [&] { return std::string(name_of(samples)) + ", " + std::string(name_of(result)); });
    const py::gil_scoped_release release;
    if (!in_float)
        body(kernels.float64_to_float64, double(), double());
    else if (out_float)
        body(kernels.float32_to_float32, float(), float());
    else
        body(kernels.float32_to_float64, float(), double());
}

void project(const Buffer& values, const Grid& grid, Index lmax, Index channels, const std::optional<Buffer>& center,
             const Buffer& out, const Threads& place) {
    const Rings rings = checked_rings(grid);
    const int highest = checked_lmax(lmax);
    const auto* middle = array_or_null<const double>(center, "center", {channels});
    with_projection_kernels(values.dtype, out.dtype, [&](const auto& kernels, auto in, auto result) {
        const auto* samples = values.array<const decltype(in)>("values", {rings.points, rings.gammas, channels});
        auto* sums = out.array<decltype(result)>("out", {matrix_count(lmax), channels});
        kernels.project(*tables_for(highest), samples, rings, channels, middle, sums, place.count);
    });
}

// Whether there was a fast way; if not, nothing was written.
bool character_power(const Buffer& values, const Grid& grid, Index lmax, Index cosets, Index channels,
                     const std::optional<Buffer>& center, const Buffer& out, const std::optional<Buffer>& moments,
                     const Threads& place) {
    const Rings rings = checked_rings(grid);
    const int highest = checked_lmax(lmax);
    require(cosets == 1 || cosets == 2, "cosets", "1 or 2", cosets);
    require(center.has_value(), "center", "a buffer", "None");
    const auto* middle = array_or_null<const double>(center, "center", {channels});
    auto* means = array_or_null<double>(moments, "moments", {2, channels});
    bool done = false;
    with_projection_kernels(values.dtype, out.dtype, [&](const auto& kernels, auto in, auto result) {
        const auto* samples =
            values.array<const decltype(in)>("values", {cosets, rings.points, rings.gammas, channels});
        auto* power = out.array<decltype(result)>("out", {lmax + 1, cosets, channels});
        done = kernels.character_power(*tables_for(highest), samples, rings, channels, cosets, middle, power, means,
                                       place.count);
    });
    return done;
}

// Whether `character_power` with a result in float64 has a fast way.
bool power_at_once(const Grid& grid, Index lmax) {
    const Rings rings = checked_rings(grid);
    return active_kernels().float64_to_float64.power_at_once(rings, checked_lmax(lmax));
}

void synthesize(const Buffer& coefficients, const Grid& grid, Index lmax, Index channels, const Buffer& out,
                const Threads& place) {
    const Rings rings = checked_rings(grid);
    const int highest = checked_lmax(lmax);
    with_type(out.dtype, [&](auto zero) {
        using T = decltype(zero);
        const T* sums = coefficients.array<const T>("coefficients", {matrix_count(lmax), channels});
        T* samples = out.array<T>("out", {rings.points, rings.gammas, channels});
        host_kernels(samples).synthesize(*tables_for(highest), sums, rings, channels, samples, place.count);
    });
}

#if defined(EQUISCOPE_WITH_CUDA)
using cuda::ProjectionPlan;

// What stands for a grid on a device: its shape, and tables that are to be copied there.
ProjectionPlan plan(const Grid& grid, Index lmax, DType compute) {
    const Rings rings = checked_rings(grid);
    const int highest = checked_lmax(lmax);
    return with_type(compute,
                     [&](auto zero) { return cuda::projection_plan<decltype(zero)>(rings, *tables_for(highest)); });
}

void copy_plan(const ProjectionPlan& plan, const Buffer& out) {
    std::copy(plan.data.begin(), plan.data.end(), out.array<double>("out", {static_cast<Index>(plan.data.size())}));
}

const double* checked_plan(const ProjectionPlan& plan, Index lmax, const Device& place) {
    require(
        lmax == plan.shape.lmax, "lmax", [&] { return std::to_string(plan.shape.lmax) + ", that of the plan"; }, lmax);
    return place.table(0).array<const double>("plan", {static_cast<Index>(plan.data.size())});
}

cuda::Sample sample_of(DType samples, DType compute) {
    const bool single = compute == DType::float32;
    if (samples == DType::float32) return cuda::Sample::float32;
    if (samples == DType::float64 && !single) return cuda::Sample::float64;
    if (samples == DType::float16 && single) return cuda::Sample::float16;
    require(
        samples == DType::bfloat16 && single, "dtype",
        [&] { return "samples no wider than " + std::string(name_of(compute)) + ", 16-bit ones for float32"; },
        name_of(samples));
    return cuda::Sample::bfloat16;
}

// A kernel steps from row to row by 32-bit numbers of bytes.
const void* checked_samples(const Buffer& values, const std::array<Index, 4>& shape) {
    constexpr Index most = Index(1) << 29;
    require(shape[3] < most, "channels", "fewer than 2^29", shape[3]);
    return values.memory("values", {shape[0], shape[1], shape[2], shape[3]});
}

void project(const Buffer& values, const ProjectionPlan& plan, Index lmax, Index channels,
             const std::optional<Buffer>& center, const Buffer& out, const Device& place) {
    const cuda::ProjectionShape& shape = plan.shape;
    const double* data = checked_plan(plan, lmax, place);
    const cuda::Sample sample = sample_of(values.dtype, out.dtype);
    const void* samples = checked_samples(values, {1, shape.points, shape.gammas, channels});
    const auto* middle = array_or_null<const double>(center, "center", {channels});
    with_type(out.dtype, [&](auto zero) {
        auto* sums = out.array<decltype(zero)>("out", {matrix_count(lmax), channels});
        cuda::project(place.place(), shape, data, samples, sample, channels, middle, sums);
    });
}

// How many partial sums `character_power` writes for so many channels; 0 where there is no fast way.
Index power_parts(const ProjectionPlan& plan, Index channels, DType compute, const Device& place) {
    return with_type(compute, [&](auto zero) {
        return Index(cuda::power_parts<decltype(zero)>(place.place(), plan.shape, channels));
    });
}

// out: partial sums, one after the other.
bool character_power(const Buffer& values, const ProjectionPlan& plan, Index lmax, Index cosets, Index channels,
                     const std::optional<Buffer>& center, const Buffer& out, const std::optional<Buffer>& moments,
                     const Device& place) {
    const cuda::ProjectionShape& shape = plan.shape;
    const double* data = checked_plan(plan, lmax, place);
    require(cosets == 1 || cosets == 2, "cosets", "1 or 2", cosets);
    const cuda::Sample sample = sample_of(values.dtype, out.dtype);
    const void* samples = checked_samples(values, {cosets, shape.points, shape.gammas, channels});
    const auto* middle = array_or_null<const double>(center, "center", {channels});
    require(!moments || out.dtype == DType::float64, "moments", "None unless the result is float64", "a buffer");
    auto* means = array_or_null<double>(moments, "moments", {2, channels});
    const Index parts = power_parts(plan, channels, out.dtype, place);
    return parts > 0 && with_type(out.dtype, [&](auto zero) {
               auto* sums = out.array<decltype(zero)>("out", {parts, lmax + 1, cosets, channels});
               cuda::character_power(place.place(), shape, data, samples, sample, static_cast<int>(cosets), channels,
                                     middle, sums, means);
               return true;
           });
}
#endif

template <class Place, class GridOfPlace>
void define(py::module_& module) {
    using py::arg;
    using Center = const std::optional<Buffer>&;
    using Project = void (*)(const Buffer&, const GridOfPlace&, Index, Index, Center, const Buffer&, const Place&);
    using Power = bool (*)(const Buffer&, const GridOfPlace&, Index, Index, Index, Center, const Buffer&,
                           const std::optional<Buffer>&, const Place&);
    module.def("project", static_cast<Project>(&project), arg("values"), arg("grid"), arg("lmax"), arg("channels"),
               arg("center"), arg("out"), arg("place"));
    module.def("character_power", static_cast<Power>(&character_power), arg("values"), arg("grid"), arg("lmax"),
               arg("cosets"), arg("channels"), arg("center"), arg("out"), arg("moments"), arg("place"));
}

}  // namespace

void register_projection(py::module_& module) {
    using py::arg;
    define<Threads, Grid>(module);
    module.def("power_at_once", &power_at_once, arg("grid"), arg("lmax"));
    module.def("synthesize", &synthesize, arg("coefficients"), arg("grid"), arg("lmax"), arg("channels"), arg("out"),
               arg("place"));
#if defined(EQUISCOPE_WITH_CUDA)
    py::class_<ProjectionPlan>(module, "Plan")
        .def_property_readonly("size", [](const ProjectionPlan& own) { return own.data.size(); })
        .def_property_readonly("worthwhile", [](const ProjectionPlan& own) { return own.shape.worthwhile; })
        .def("copy", &copy_plan, arg("out"));
    define<Device, ProjectionPlan>(module);
    module.def("plan", &plan, arg("grid"), arg("lmax"), arg("dtype"));
    module.def("power_parts", &power_parts, arg("plan"), arg("channels"), arg("dtype"), arg("place"));
#endif
}

}  // namespace equiscope
