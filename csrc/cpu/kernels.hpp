// The batch kernels of the CPU, one table of them per instruction set.
#pragma once

#include <vector>

#include "equiscope/harmonics.hpp"
#include "equiscope/index.hpp"
#include "equiscope/wigner.hpp"

namespace equiscope {

// One run of irreps along an axis: element (c, m) of the run lies at offset + c stride_mul + (m + l) stride_m.
struct IrrepBlock {
    Index l, mul, offset, stride_mul, stride_m;
    bool odd;  // the inversion acts as -1
};

// A ring grid: `points` rotations (3x3, float64) with weights, each with `gammas` equispaced turns on the right.
struct Rings {
    const double* rotations;
    const double* weights;
    Index points, gammas;
};

template <class T>
struct KernelsOf {
    void (*wigner_D)(const T* rotations, Index n, int lmax, T* out, int threads);
    void (*wigner_D_torque)(const T* rotations, Index n, int lmax, const T* grad, T* out, int threads);
    void (*spherical_harmonics)(const T* xyz, Index n, int lmax, T* out, int threads);
    void (*spherical_harmonics_torque)(const T* xyz, Index n, int lmax, const T* grad, T* out, int threads);
    void (*rotate)(const T* x, bool shared, const T* rotations, Index batch, Index rows, Index dim,
                   const std::vector<IrrepBlock>& blocks, bool inverse, T* out, int threads);
    void (*synthesize)(const T* coefficients, const Rings& rings, int lmax, Index channels, T* out, int threads);
};

template <class In, class Out>
using ProjectKernel = void (*)(const In* values, const Rings& rings, int lmax, Index channels,
                               const double* center, Out* out, int threads);

struct Kernels {
    const char* isa;
    KernelsOf<float> single;
    KernelsOf<double> twice;
    ProjectKernel<float, float> project_ff;
    ProjectKernel<float, double> project_fd;
    ProjectKernel<double, double> project_dd;
};

// Tables of the recursions, kept for the lmax used last.
struct Tables {
    explicit Tables(int lmax);
    WignerTables wigner() const { return {wigner_steps.data(), wigner_seeds.data()}; }
    HarmonicTables harmonic() const { return {harmonic_steps.data(), harmonic_seeds.data()}; }

    std::vector<WignerStep> wigner_steps;
    std::vector<double> wigner_seeds;
    std::vector<HarmonicStep> harmonic_steps;
    std::vector<double> harmonic_seeds;
};

extern const Kernels baseline_kernels;
#if defined(EQUISCOPE_X86)
extern const Kernels avx2_kernels;
extern const Kernels avx512_kernels;
#endif

}  // namespace equiscope
