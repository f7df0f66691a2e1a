// Runs a body (block.hpp) on the device, or on the host in a build that is made to test all but the device
// (EQUISCOPE_CUDA=HOST).
#pragma once

#include "cuda/block.hpp"
#include "cuda/kernels.hpp"

#if defined(EQUISCOPE_CUDA_ON_HOST)

namespace equiscope {
namespace cuda {

template <class Body>
void launch(const Place&, const Body& body) {
    run_on_host(body, body.blocks());
}

}  // namespace cuda
}  // namespace equiscope

#else

#include <cuda_runtime.h>

#include <atomic>
#include <cstdint>

namespace equiscope {
namespace cuda {

template <class Body, class State, int... phase>
__device__ __forceinline__ void run_phases(const Body& body, Index block, int thread, Index round, State& state,
                                           void* shared, std::integer_sequence<int, phase...>) {
    ((body.template run<phase>(block, thread, round, state, shared), __syncthreads()), ...);
}

// Blocks that a multiprocessor is to hold at once, at least: what a body asks for as `resident`, so that registers suffice.
template <class Body>
constexpr int resident_blocks(...) {
    return 1;
}
template <class Body, int resident = Body::resident>
constexpr int resident_blocks(int) {
    return resident;
}

template <class Body>
__global__ void __launch_bounds__(Body::threads, resident_blocks<Body>(0)) run_on_device(const Body body) {
    extern __shared__ __align__(16) double shared[];
    typename Body::State state{};
    const Index block = blockIdx.x, rounds = body.rounds(block);
    for (Index round = 0; round < rounds; ++round)
        run_phases(body, block, static_cast<int>(threadIdx.x), round, state, shared,
                   std::make_integer_sequence<int, Body::phases>());
}

// Throws std::runtime_error that says what to do.
void require_success(cudaError_t status, int device);

// Makes a device current and puts the former one back.
class DeviceGuard {
  public:
    explicit DeviceGuard(int device);
    ~DeviceGuard();
    DeviceGuard(const DeviceGuard&) = delete;
    DeviceGuard& operator=(const DeviceGuard&) = delete;

  private:
    int before_, device_;
};

// Lets the blocks of a kernel ask for as much shared memory as the device has: always the same number, since a smaller one
// would take from what a launch on another thread needs.
template <class Body>
void allow_shared_memory(int device) {
    static std::atomic<std::uint64_t> allowed{0};  // a bit for each of the first devices
    const std::uint64_t bit = device < 64 ? std::uint64_t(1) << device : 0;
    if (allowed.load() & bit) return;
    require_success(cudaFuncSetAttribute(run_on_device<Body>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                         static_cast<int>(device_info(device).shared_limit)),
                    device);
    allowed.fetch_or(bit);
}

// Asynchronous, on the stream of `place`.
template <class Body>
void launch(const Place& place, const Body& body) {
    const Index blocks = body.blocks();
    if (blocks == 0) return;
    const DeviceGuard guard(place.device);
    const auto bytes = static_cast<std::size_t>(body.shared_bytes());
    if (bytes > 48 * 1024) allow_shared_memory<Body>(place.device);
    run_on_device<Body>
        <<<static_cast<unsigned>(blocks), Body::threads, bytes, static_cast<cudaStream_t>(place.stream)>>>(body);
    require_success(cudaGetLastError(), place.device);
}

}  // namespace cuda
}  // namespace equiscope

#endif
