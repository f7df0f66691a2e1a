// What the driver says, in words.
#include "cuda/launch.cuh"

#include <mutex>
#include <stdexcept>
#include <vector>

namespace equiscope {
namespace cuda {
namespace {

std::string version(int number) { return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10); }

}  // namespace

std::string architectures() { return EQUISCOPE_CUDA_ARCHITECTURES; }

int toolkit_version() { return CUDART_VERSION; }

void require_success(cudaError_t status, int device) {
    if (status == cudaSuccess) return;
    cudaGetLastError();  // which a good launch does not reset: the next one would report this error again
    const std::string name = "device: ", got = ", got ";
    if (status == cudaErrorInsufficientDriver || status == cudaErrorCompatNotSupportedOnDevice) {
        int driver = 0;
        cudaDriverGetVersion(&driver);
        throw std::runtime_error(name + "expected a driver for CUDA " + version(CUDART_VERSION) +
                                 " or newer, for which equiscope was built" + got +
                                 (driver > 0 ? "one for CUDA " + version(driver) : std::string("none")));
    }
    if (status == cudaErrorNoKernelImageForDevice || status == cudaErrorUnsupportedPtxVersion) {
        int major = 0, minor = 0;
        cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
        cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
        throw std::runtime_error(
            name + "expected a compute capability that equiscope was built for (" + architectures() + ")" + got +
            std::to_string(major) + "." + std::to_string(minor) +
            "; build it again with -DCMAKE_CUDA_ARCHITECTURES=" + std::to_string(10 * major + minor));
    }
    throw std::runtime_error(name + "expected work to be queued on device " + std::to_string(device) + got +
                             cudaGetErrorName(status) + " (" + cudaGetErrorString(status) + ")");
}

DeviceGuard::DeviceGuard(int device) : before_(device) {
    require_success(cudaGetDevice(&before_), device);
    if (before_ != device) require_success(cudaSetDevice(device), device);
    device_ = device;
}

DeviceGuard::~DeviceGuard() {
    if (before_ != device_) cudaSetDevice(before_);
}

DeviceInfo device_info(int device) {
    static std::mutex mutex;
    static std::vector<DeviceInfo> known;
    const std::lock_guard<std::mutex> lock(mutex);
    if (device < static_cast<int>(known.size()) && known[static_cast<std::size_t>(device)].major > 0)
        return known[static_cast<std::size_t>(device)];
    int count = 0;
    require_success(cudaGetDeviceCount(&count), device);
    if (device < 0 || device >= count)
        throw std::runtime_error("device: expected a number below " + std::to_string(count) + ", got " +
                                 std::to_string(device));
    known.resize(static_cast<std::size_t>(count));
    cudaDeviceProp properties;
    require_success(cudaGetDeviceProperties(&properties, device), device);
    DeviceInfo& found = known[static_cast<std::size_t>(device)];
    found = {properties.name, properties.major, properties.minor, static_cast<Index>(properties.sharedMemPerBlockOptin),
             properties.multiProcessorCount};
    return found;
}

}  // namespace cuda
}  // namespace equiscope
