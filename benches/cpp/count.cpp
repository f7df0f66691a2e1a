// Calls one kernel a given number of times, for a profiler that counts: count KERNEL REPEATS.
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

#include "cpu/dispatch.hpp"
#include "grid/tables.hpp"

using namespace equiscope;

namespace {

using Vector = std::vector<double>;

Vector numbers(Index n) {
    Vector x(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(1.0 + 0.7 * static_cast<double>(i));
    return x;
}

// About z, then about y: Rz(a) Ry(b).
Vector rotations(Index n) {
    Vector r(static_cast<std::size_t>(9 * n));
    for (Index i = 0; i < n; ++i) {
        const double a = 0.1 + 0.7 * static_cast<double>(i),
                     b = 0.05 + 3.0 * static_cast<double>(i) / static_cast<double>(n);
        const double ca = std::cos(a), sa = std::sin(a), cb = std::cos(b), sb = std::sin(b);
        const double own[9] = {ca * cb, -sa, ca * sb, sa * cb, ca, sa * sb, -sb, 0.0, cb};
        std::memcpy(r.data() + 9 * i, own, sizeof own);
    }
    return r;
}

void rotate(const Kernels& kernels, bool outer, int repeats) {
    const Index n = 96, mul = 64;
    std::vector<IrrepBlock> blocks;
    Index dim = 0;
    for (Index l = 0; l <= 4; ++l) {
        const Index size = 2 * l + 1;
        blocks.push_back({l, mul, dim, outer ? size : 1, outer ? 1 : mul, l % 2 == 1});
        dim += mul * size;
    }
    const Vector r = rotations(n), x = numbers(n * dim);
    Vector y(x.size());
    for (int i = 0; i < repeats; ++i)
        kernels.float64.rotate(*tables_for(4), x.data(), false, r.data(), n, 1, dim, blocks.data(),
                               static_cast<Index>(blocks.size()), false, y.data(), 1);
}

void rotate_tensors(const Kernels& kernels, int rank, int repeats) {
    const Index n = 96, rows = 64, size = rank == 1 ? 3 : 9;
    const Vector r = rotations(n), x = numbers(n * rows * size);
    Vector y(x.size());
    for (int i = 0; i < repeats; ++i)
        kernels.float64.rotate_tensors(x.data(), false, r.data(), n, rows, rank, false, false, y.data(), 1);
}

// 24 rings: images of three under sign flips.
void character_power(const Kernels& kernels, int repeats) {
    const Index gammas = 17, channels = 64;
    Vector r;
    for (const double b : {0.4, 0.9, 1.2})
        for (int image = 0; image < 8; ++image) {
            const double a = 0.3 + b, ca = (image & 1 ? -1 : 1) * std::cos(a), sa = (image & 2 ? -1 : 1) * std::sin(a);
            const double cb = (image & 4 ? -1 : 1) * std::cos(b), sb = std::sin(b);
            for (const double entry : {ca * cb, -sa, ca * sb, sa * cb, ca, sa * sb, -sb, 0.0, cb}) r.push_back(entry);
        }
    const Index points = static_cast<Index>(r.size()) / 9;
    const Vector weights(static_cast<std::size_t>(points), 1.0 / static_cast<double>(points));
    const Vector values = numbers(2 * points * gammas * channels), center(channels, 0.5);
    Vector power(9 * 2 * channels);
    for (int i = 0; i < repeats; ++i)
        if (!kernels.float64_to_float64.character_power(*tables_for(8), values.data(),
                                                        {r.data(), weights.data(), points, gammas}, channels, 2,
                                                        center.data(), power.data(), nullptr, 1))
            std::exit(3);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    const std::string kernel = argv[1];
    const int repeats = std::atoi(argv[2]);
#if defined(EQUISCOPE_X86)
    const Kernels& kernels = avx2_kernels;
#else
    const Kernels& kernels = baseline_kernels;
#endif
    const Index n = 400;
    const Vector r = rotations(n), xyz = numbers(3 * 4000), grad = numbers(n * 969);
    Vector out(static_cast<std::size_t>(n * 969)), torque(3 * n);
    if (kernel == "rotate_mul_ir") rotate(kernels, true, repeats);
    if (kernel == "rotate_ir_mul") rotate(kernels, false, repeats);
    if (kernel == "rotate_vectors") rotate_tensors(kernels, 1, repeats);
    if (kernel == "rotate_tensors") rotate_tensors(kernels, 2, repeats);
    if (kernel == "character_power") character_power(kernels, repeats);
    for (int i = 0; i < repeats; ++i) {
        if (kernel == "wigner_D") kernels.float64.wigner_D(*tables_for(8), r.data(), n, out.data(), 1);
        if (kernel == "wigner_D_torque")
            kernels.float64.wigner_D_torque(*tables_for(8), r.data(), n, grad.data(), torque.data(), 1);
        if (kernel == "spherical_harmonics")
            kernels.float64.spherical_harmonics(*tables_for(8), xyz.data(), 4000, out.data(), 1);
    }
    std::cout << out[0] + torque[0] << "\n";
}
