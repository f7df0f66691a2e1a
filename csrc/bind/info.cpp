#include "bind/place.hpp"
#include "cpu/huge_pages.hpp"

namespace equiscope {
namespace {

py::dict info() {
    py::dict found;
    found["isa"] = active_kernels().isa;
    found["isas"] = compiled_isas();
    found["compiler"] = EQUISCOPE_COMPILER;
#if defined(EQUISCOPE_WITH_CUDA)
    const int toolkit = cuda::toolkit_version();
    found["cuda"] = true;
    found["toolkit"] = std::to_string(toolkit / 1000) + "." + std::to_string(toolkit % 1000 / 10);
    found["architectures"] = cuda::architectures();
#else
    found["cuda"] = false;
#endif
    return found;
}

void prefer_huge_pages_of(const Buffer& out) {
    const Index bytes = out.elements * (out.dtype == DType::float64 ? 8 : 4);
    prefer_huge_pages(out.memory("out", {out.elements}), static_cast<std::size_t>(bytes));
}

#if defined(EQUISCOPE_WITH_CUDA)
py::dict device_info(int index) {
    const cuda::DeviceInfo found = cuda::device_info(index);
    py::dict out;
    out["name"] = found.name;
    out["compute_capability"] = std::to_string(found.major) + "." + std::to_string(found.minor);
    out["shared_limit"] = found.shared_limit;
    out["multiprocessors"] = found.multiprocessors;
    return out;
}

// The recursions up to lmax as a device takes them.
Index table_size(Index lmax) { return flat_tables(nullptr, checked_lmax(lmax)).size; }

void fill_tables(Index lmax, const Buffer& out) {
    fill_flat_tables(lmax, out.array<double>("out", {table_size(lmax)}));
}
#endif

}  // namespace

void register_info(py::module_& module) {
    module.def("info", &info);
    module.def("prefer_huge_pages", &prefer_huge_pages_of, py::arg("out"));
#if defined(EQUISCOPE_WITH_CUDA)
    module.def("device_info", &device_info, py::arg("index"));
    module.def("table_size", &table_size, py::arg("lmax"));
    module.def("fill_tables", &fill_tables, py::arg("lmax"), py::arg("out"));
#endif
}

}  // namespace equiscope
