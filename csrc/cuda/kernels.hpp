// The CUDA kernels behind an interface without CUDA headers. Pointers are device pointers, work is queued on a stream,
// nothing is allocated and nothing waits. Sizes are taken as checked; values are checked on the device, where what is
// refused elsewhere gives NaN.
#pragma once

#include <string>

#include "equiscope/index.hpp"

namespace equiscope {
namespace cuda {

struct Place {
    int device;
    void* stream;  // cudaStream_t
};

struct DeviceInfo {
    std::string name;
    int major, minor;    // compute capability
    Index shared_limit;  // bytes of shared memory that a block may ask for
    int multiprocessors;
};

// Compute capabilities this build has machine code for, and the toolkit it was built with.
std::string architectures();
int toolkit_version();

// Throws std::runtime_error where the driver is too old for the toolkit or the build lacks the architecture.
DeviceInfo device_info(int device);

// `tables` is what fill_flat_tables fills, on the device.
template <class T>
void wigner_D(const Place& place, const double* tables, int lmax, const T* rotations, Index n, T* out,
              double tolerance);

template <class T>
void spherical_harmonics(const Place& place, const double* tables, int lmax, const T* xyz, Index n, T* out);

// False, with nothing done, where a degree of one entry does not fit into shared memory.
template <class T>
bool wigner_D_torque(const Place& place, const double* tables, int lmax, const T* rotations, Index n, const T* grad,
                     T* out, double tolerance);

template <class T>
bool spherical_harmonics_torque(const Place& place, const double* tables, int lmax, const T* xyz, Index n,
                                const T* grad, T* out);

// `copies` is on the device: {l, offset, stride, odd} of every copy. False, with nothing done, where D of one rotation and
// one row do not fit into shared memory.
template <class T>
bool rotate(const Place& place, const double* tables, int lmax, const T* x, bool shared_x, const T* rotations,
            Index batch, Index rows, Index dim, const void* copies, Index copy_count, bool inverse, T* out,
            double tolerance);

}  // namespace cuda
}  // namespace equiscope
