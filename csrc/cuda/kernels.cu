#include "cuda/evaluate.hpp"
#include "cuda/launch.cuh"
#include "cuda/rotate.hpp"
#include "equiscope/tables.hpp"

namespace equiscope {
namespace cuda {
namespace {

Tables tables_at(const double* data, int lmax) {
    const FlatTables flat = flat_tables(data, lmax);
    return {lmax, flat.wigner, flat.harmonic};
}

template <class Family, class T>
void evaluate(const Place& place, const double* data, int lmax, const T* in, Index n, T* out, double tolerance) {
    for_degrees<Family>(
        lmax, device_info(place.device).shared_limit,
        [&](const Tile<Family>& tile, auto staged) {
            return Evaluate<Family, T, decltype(staged)::value>{tables_at(data, lmax), in, n, out, tolerance, tile};
        },
        [&](const auto& body) { launch(place, body); });
}

template <class Family, class T>
bool torque(const Place& place, const double* data, int lmax, const T* in, Index n, const T* grad, T* out,
            double tolerance) {
    const Index limit = device_info(place.device).shared_limit;
    const auto body = [&](const Tile<Family>& tile, bool staged) {
        return Torque<Family, T>{
            tables_at(data, lmax), flat_tables(data, lmax).halves, in, n, grad, out, tolerance, tile, staged,
            tile.first > 0};
    };
    if (body(Tile<Family>{1, lmax, lmax}, false).shared_bytes() > limit) return false;
    for_degrees<Family>(lmax, limit, body, [&](const Torque<Family, T>& own) { launch(place, own); });
    return true;
}

}  // namespace

template <class T>
void wigner_D(const Place& place, const double* tables, int lmax, const T* rotations, Index n, T* out,
              double tolerance) {
    evaluate<WignerFamily>(place, tables, lmax, rotations, n, out, tolerance);
}

template <class T>
void spherical_harmonics(const Place& place, const double* tables, int lmax, const T* xyz, Index n, T* out) {
    evaluate<HarmonicFamily>(place, tables, lmax, xyz, n, out, 0.0);
}

template <class T>
bool wigner_D_torque(const Place& place, const double* tables, int lmax, const T* rotations, Index n, const T* grad,
                     T* out, double tolerance) {
    return torque<WignerFamily>(place, tables, lmax, rotations, n, grad, out, tolerance);
}

template <class T>
bool spherical_harmonics_torque(const Place& place, const double* tables, int lmax, const T* xyz, Index n,
                                const T* grad, T* out) {
    return torque<HarmonicFamily>(place, tables, lmax, xyz, n, grad, out, 0.0);
}

template <class T>
bool rotate(const Place& place, const double* tables, int lmax, const T* x, bool shared_x, const T* rotations,
            Index batch, Index rows, Index dim, const void* copies, Index copy_count, bool inverse, T* out,
            double tolerance) {
    Rotate<T> body{tables_at(tables, lmax),
                   x,
                   shared_x,
                   rotations,
                   batch,
                   rows,
                   dim,
                   static_cast<const IrrepCopy*>(copies),
                   copy_count,
                   inverse,
                   out,
                   tolerance,
                   0,
                   0,
                   0,
                   0};
    if (!choose_tile(body, device_info(place.device).shared_limit)) return false;
    launch(place, body);
    return true;
}

#define EQUISCOPE_INSTANTIATE(T)                                                                                       \
    template void wigner_D(const Place&, const double*, int, const T*, Index, T*, double);                             \
    template void spherical_harmonics(const Place&, const double*, int, const T*, Index, T*);                          \
    template bool wigner_D_torque(const Place&, const double*, int, const T*, Index, const T*, T*, double);            \
    template bool spherical_harmonics_torque(const Place&, const double*, int, const T*, Index, const T*, T*);         \
    template bool rotate(const Place&, const double*, int, const T*, bool, const T*, Index, Index, Index, const void*, \
                         Index, bool, T*, double);

EQUISCOPE_INSTANTIATE(float)
EQUISCOPE_INSTANTIATE(double)

}  // namespace cuda
}  // namespace equiscope
