// The batch kernels of the CPU, one table of them per instruction set. Sizes and addresses are taken as checked.
#pragma once

#include "grid/irrep_block.hpp"
#include "grid/rings.hpp"
#include "grid/tables.hpp"

namespace equiscope {

template <class T>
struct KernelsOf {
    void (*wigner_D)(const Tables&, const T* rotations, Index n, T* out, int threads);
    void (*wigner_D_torque)(const Tables&, const T* rotations, Index n, const T* grad, T* out, int threads);
    void (*spherical_harmonics)(const Tables&, const T* xyz, Index n, T* out, int threads);
    void (*spherical_harmonics_torque)(const Tables&, const T* xyz, Index n, const T* grad, T* out, int threads);
    void (*rotate)(const Tables&, const T* x, bool shared, const T* rotations, Index batch, Index rows, Index dim,
                   const IrrepBlock* blocks, Index block_count, bool inverse, T* out, int threads);
    void (*rotate_tensors)(const T* x, bool shared, const T* rotations, Index batch, Index rows, int rank, bool pseudo,
                           bool inverse, T* out, int threads);
    void (*synthesize)(const Tables&, const T* coefficients, const Rings& rings, Index channels, T* out, int threads);
};

template <class In, class Out>
using ProjectKernel = void (*)(const Tables&, const In* values, const Rings& rings, Index channels,
                               const double* center, Out* out, int threads);

template <class In, class Out>
using PowerKernel = bool (*)(const Tables&, const In* values, const Rings& rings, Index channels, Index cosets,
                             const double* center, Out* power, double* moments, int threads);

template <class In, class Out>
struct ProjectionKernels {
    ProjectKernel<In, Out> project;
    PowerKernel<In, Out> character_power;
    bool (*power_at_once)(const Rings& rings, int lmax);
};

struct Kernels {
    const char* isa;
    KernelsOf<float> float32;
    KernelsOf<double> float64;
    // by the types of samples and result
    ProjectionKernels<float, float> float32_to_float32;
    ProjectionKernels<float, double> float32_to_float64;
    ProjectionKernels<double, double> float64_to_float64;
};

extern const Kernels baseline_kernels;
#if defined(EQUISCOPE_X86)
extern const Kernels avx2_kernels;
extern const Kernels avx512_kernels;
#endif

}  // namespace equiscope
