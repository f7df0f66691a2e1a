// Stands in for device.cu where the kernels run on the host.
#include "cuda/kernels.hpp"

namespace equiscope {
namespace cuda {

std::string architectures() { return "host"; }

int toolkit_version() { return 0; }

DeviceInfo device_info(int) { return {"host", 0, 0, Index(100) << 10, 2}; }

}  // namespace cuda
}  // namespace equiscope
