// The projection kernels behind an interface without CUDA headers, as kernels.hpp. `plan` is the data of a ProjectionPlan
// for Compute, on the device.
#pragma once

#include "cuda/kernels.hpp"
#include "cuda/projection_plan.hpp"

namespace equiscope {
namespace cuda {

enum class Sample { float16, bfloat16, float32, float64 };

// How many partial sums `character_power` writes for so many channels; 0 where the octants of the grid do not fit into
// shared memory: then `project` and the squares of what it gives.
template <class Compute>
int power_parts(const Place& place, const ProjectionShape& shape, Index channels);

// parts[part][l][sigma][channel], to be summed over the parts: B of values[coset][point][gamma][channel], one or two cosets
// on the same rings. Centred on `center` (any number near the samples, for each channel), or the first sample where it is
// null. Compute is float, or double for float and double samples. moments[2][channel], unless it is null, of double alone:
// means of the values less what they were centred on, and of its square.
template <class Compute>
void character_power(const Place& place, const ProjectionShape& shape, const double* plan, const void* values,
                     Sample sample, int cosets, Index channels, const double* center, Compute* parts, double* moments);

// out[(l, m, n)][channel] += coefficients of values[point][gamma][channel] less `center`, unless that is null.
template <class Compute>
void project(const Place& place, const ProjectionShape& shape, const double* plan, const void* values, Sample sample,
             Index channels, const double* center, Compute* out);

}  // namespace cuda
}  // namespace equiscope
