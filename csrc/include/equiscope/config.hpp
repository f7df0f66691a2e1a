// Marks functions that run on host and device; empty for a host compiler.
#pragma once

#if defined(__CUDACC__)
#define EQUISCOPE_HOST_DEVICE __host__ __device__
#else
#define EQUISCOPE_HOST_DEVICE
#endif
