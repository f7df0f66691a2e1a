// The CUDA kernels behind an interface without CUDA headers. All pointers are device pointers, all work is queued on a
// stream, nothing is allocated and nothing waits. Sizes are taken as checked.
#pragma once

#include <string>

#include "cpu/kernels.hpp"

namespace equiscope {
namespace cuda {

struct Place {
    int device;
    void* stream;         // cudaStream_t
    Index shared_limit;   // bytes of shared memory that a block may ask for
};

}  // namespace cuda
}  // namespace equiscope
