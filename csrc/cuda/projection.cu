#if !defined(EQUISCOPE_CUDA_ON_HOST)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

#include "cuda/launch.cuh"
#include "cuda/projection.hpp"
#include "cuda/projection_kernels.hpp"

#include <cstdint>
#include <cstring>

namespace equiscope {
namespace cuda {
namespace {

#if defined(EQUISCOPE_CUDA_ON_HOST)
using __half = _Float16;
struct __nv_bfloat16 {
    std::uint16_t bits;
    explicit operator float() const {
        const std::uint32_t wide = static_cast<std::uint32_t>(bits) << 16;
        float value;
        std::memcpy(&value, &wide, sizeof value);
        return value;
    }
};
#endif

template <int count>
using Together = std::integral_constant<int, count>;

template <class Body>
void with_together(int together, const Body& body) {
    if (together == 9) body(Together<9>());
    if (together == 6) body(Together<6>());
    if (together == 3) body(Together<3>());
    if (together == 1) body(Together<1>());
}

// Calls body with a null pointer to the type of the samples.
template <class Compute, class Body>
void with_samples(Sample sample, const Body& body) {
    if constexpr (std::is_same<Compute, float>::value) {
        if (sample == Sample::float16) body(static_cast<const __half*>(nullptr));
        if (sample == Sample::bfloat16) body(static_cast<const __nv_bfloat16*>(nullptr));
    } else {
        if (sample == Sample::float64) body(static_cast<const double*>(nullptr));
    }
    if (sample == Sample::float32) body(static_cast<const float*>(nullptr));
}

template <class Compute>
Index channel_blocks(Index channels) {
    return (channels * Index(sizeof(Compute)) + row_bytes - 1) / row_bytes;
}

int choose(const Place& place, const ProjectionShape& shape, Index octants, Index blocks) {
    const DeviceInfo info = device_info(place.device);
    return choose_together(shape.lmax, octants, blocks, info.shared_limit, info.multiprocessors);
}

template <class Compute, class In, int together, bool both>
Project<In, Compute, together, both> body_of(const ProjectionShape& shape, const double* plan, const void* values,
                                             Index channels, const double* center) {
    return {shape,
            projection_tables<Compute>(shape, plan),
            static_cast<const In*>(values),
            channels,
            center,
            nullptr,
            nullptr,
            0,
            shape.octants};
}

}  // namespace

template <class Compute>
int power_parts(const Place& place, const ProjectionShape& shape, Index channels) {
    const int together = choose(place, shape, shape.octants, channel_blocks<Compute>(channels));
    return together == 0 ? 0 : (shape.lmax + together) / together;
}

template <class Compute>
void character_power(const Place& place, const ProjectionShape& shape, const double* plan, const void* values,
                     Sample sample, int cosets, Index channels, const double* center, Compute* parts, double* moments) {
    with_together(choose(place, shape, shape.octants, channel_blocks<Compute>(channels)), [&](auto together) {
        with_samples<Compute>(sample, [&](auto* none) {
            using In = std::remove_const_t<std::remove_pointer_t<decltype(none)>>;
            const auto start = [&](auto both) {
                auto body = body_of<Compute, In, decltype(together)::value, decltype(both)::value>(shape, plan, values,
                                                                                                   channels, center);
                body.power = parts;
                body.moments = moments;
                launch(place, body);
            };
            cosets == 2 ? start(std::true_type()) : start(std::false_type());
        });
    });
}

template <class Compute>
void project(const Place& place, const ProjectionShape& shape, const double* plan, const void* values, Sample sample,
             Index channels, const double* center, Compute* out) {
    // as many octants at a time as fit with all n, unless all of them fit with fewer n
    const Index limit = device_info(place.device).shared_limit, blocks = channel_blocks<Compute>(channels);
    Index octants = shape.octants;
    int together = choose(place, shape, octants, blocks);
    while (together == 0) {
        octants = (octants + 1) / 2;
        if (projection_shared(octants, most_together) <= limit) together = choose(place, shape, octants, blocks);
    }
    with_together(together, [&](auto count) {
        with_samples<Compute>(sample, [&](auto* none) {
            using In = std::remove_const_t<std::remove_pointer_t<decltype(none)>>;
            auto body = body_of<Compute, In, decltype(count)::value, false>(shape, plan, values, channels, center);
            body.coefficients = out;
            for (Index first = 0; first < shape.octants; first += octants) {
                body.first_octant = static_cast<int>(first);
                body.last_octant = static_cast<int>(first + octants < shape.octants ? first + octants : shape.octants);
                launch(place, body);
            }
        });
    });
}

#define EQUISCOPE_INSTANTIATE(Compute)                                                                           \
    template int power_parts<Compute>(const Place&, const ProjectionShape&, Index);                              \
    template void character_power(const Place&, const ProjectionShape&, const double*, const void*, Sample, int, \
                                  Index, const double*, Compute*, double*);                                      \
    template void project(const Place&, const ProjectionShape&, const double*, const void*, Sample, Index,       \
                          const double*, Compute*);

EQUISCOPE_INSTANTIATE(float)
EQUISCOPE_INSTANTIATE(double)

}  // namespace cuda
}  // namespace equiscope
