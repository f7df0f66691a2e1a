// All batch kernels for one instruction set: compiled once for each, with EQUISCOPE_ISA and EQUISCOPE_LANES set.
#include "cpu/harmonics_batch.hpp"
#include "cpu/octant_power.hpp"
#include "cpu/projection_batch.hpp"
#include "cpu/rotate_batch.hpp"
#include "cpu/tensors.hpp"
#include "cpu/wigner_batch.hpp"

namespace equiscope {
namespace EQUISCOPE_ISA {
namespace {

template <class T>
constexpr KernelsOf<T> kernels_of() {
    return {wigner_D<T>, wigner_D_torque<T>, spherical_harmonics<T>, spherical_harmonics_torque<T>,
            rotate<T>,   rotate_tensors<T>,  synthesize<T>};
}

template <class In, class Out>
constexpr ProjectionKernels<In, Out> projection_kernels() {
    return {project<In, Out>, character_power<In, Out>, power_at_once<Out>};
}

}  // namespace
}  // namespace EQUISCOPE_ISA

#define EQUISCOPE_JOIN_(a, b) a##b
#define EQUISCOPE_JOIN(a, b) EQUISCOPE_JOIN_(a, b)
#define EQUISCOPE_TEXT_(a) #a
#define EQUISCOPE_TEXT(a) EQUISCOPE_TEXT_(a)

const Kernels EQUISCOPE_JOIN(EQUISCOPE_ISA, _kernels) = {
    EQUISCOPE_TEXT(EQUISCOPE_ISA),
    EQUISCOPE_ISA::kernels_of<float>(),
    EQUISCOPE_ISA::kernels_of<double>(),
    EQUISCOPE_ISA::projection_kernels<float, float>(),
    EQUISCOPE_ISA::projection_kernels<float, double>(),
    EQUISCOPE_ISA::projection_kernels<double, double>(),
};

}  // namespace equiscope
