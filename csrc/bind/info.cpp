#include "bind/place.hpp"

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
#if defined(EQUISCOPE_WITH_CUDA)
    using py::arg;
    module.def("device_info", &device_info, arg("index"));
    module.def("table_size", &table_size, arg("lmax"));
    module.def("fill_tables", &fill_tables, arg("lmax"), arg("out"));
#endif
}

}  // namespace equiscope
