// The table of kernels of one instruction set; compiled once for each.

#include "cpu/harmonics_batch.hpp"
#include "cpu/projection_batch.hpp"
#include "cpu/rotation_batch.hpp"
#include "cpu/wigner_batch.hpp"

#define EQUISCOPE_JOIN_(a, b) a##b
#define EQUISCOPE_JOIN(a, b) EQUISCOPE_JOIN_(a, b)
#define EQUISCOPE_TEXT_(a) #a
#define EQUISCOPE_TEXT(a) EQUISCOPE_TEXT_(a)

namespace equiscope {
namespace EQUISCOPE_ISA {

template <class T>
constexpr KernelsOf<T> kernels_of() {
    return {wigner_D<T>,
            wigner_D_torque<T>,
            spherical_harmonics<T>,
            spherical_harmonics_torque<T>,
            rotate<T>,
            synthesize<T>};
}

}  // namespace EQUISCOPE_ISA

const Kernels EQUISCOPE_JOIN(EQUISCOPE_ISA, _kernels) = {
    EQUISCOPE_TEXT(EQUISCOPE_ISA),
    EQUISCOPE_ISA::kernels_of<float>(),
    EQUISCOPE_ISA::kernels_of<double>(),
    EQUISCOPE_ISA::project<float, float>,
    EQUISCOPE_ISA::project<float, double>,
    EQUISCOPE_ISA::project<double, double>,
};

}  // namespace equiscope
