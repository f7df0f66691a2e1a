#include <cmath>
#include <cstdio>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>

#include "cpu/check_rotations.hpp"
#include "cpu/dispatch.hpp"
#include "equiscope/constants.hpp"
#include "equiscope/equiscope.hpp"

namespace equiscope {
namespace {

constexpr Index size_limit = Index(1) << 48;  // no address space holds more elements

void require(bool condition, const char* argument, const std::string& expected, const std::string& got) {
    if (!condition) throw std::invalid_argument(std::string(argument) + ": expected " + expected + ", got " + got);
}

std::string text(double number) {
    char digits[32];
    std::snprintf(digits, sizeof digits, "%g", number);
    return digits;
}

void check_lmax(int lmax, int limit, const char* limit_words) {
    require(lmax >= 0 && lmax <= limit, "lmax", "0 to " + std::string(limit_words) + std::to_string(limit),
            std::to_string(lmax));
}

// An array of that shape can be there.
void check_array(const void* array, const char* argument, std::initializer_list<Index> shape) {
    Index size = 1;
    for (Index extent : shape) {
        require(extent >= 0, argument, "a size of 0 or more", std::to_string(extent));
        require(extent == 0 || size <= size_limit / extent, argument, "fewer than 2^48 elements", "more");
        size *= extent;
    }
    require(array || size == 0, argument, "an address", "null");
}

int checked_threads(int threads) {
    require(threads >= 0, "threads", "0 or more", std::to_string(threads));
    if (threads > 0) return threads;
    const unsigned found = std::thread::hardware_concurrency();
    return found > 0 ? static_cast<int>(found) : 1;
}

template <class T>
void check_proper(const T* rotations, Index n, const char* argument) {
    const double limit = std::is_same_v<T, float> ? 1e-4 : 1e-8;
    const RotationFaults found = check_rotations(rotations, n, limit);
    require(found.bad < 0, argument, "orthogonal 3x3 matrices (|R R^T - 1| <= " + text(limit) + ")",
            "row " + std::to_string(found.bad) + " with |R R^T - 1| = " + text(found.deviation));
    require(found.improper < 0, argument, "proper rotations",
            "row " + std::to_string(found.improper) + " with determinant -1");
}

template <class T>
Index first_not_finite(const T* values, Index n) {
    for (Index i = 0; i < n; ++i)
        if (!std::isfinite(values[i])) return i;
    return -1;
}

const KernelsOf<float>& kernels_of(const float*) { return active_kernels().float32; }
const KernelsOf<double>& kernels_of(const double*) { return active_kernels().float64; }
const ProjectionKernels<float, float>& projection_of(const float*) { return active_kernels().float32_to_float32; }
const ProjectionKernels<double, double>& projection_of(const double*) { return active_kernels().float64_to_float64; }

template <class T>
void write_D(const T* rotations, Index n, int lmax, T* out, int threads) {
    check_lmax(lmax, maximum_lmax, "");
    check_array(rotations, "rotations", {n, 9});
    check_array(out, "out", {n, matrix_count(lmax)});
    const int count = checked_threads(threads);
    check_proper(rotations, n, "rotations");
    kernels_of(out).wigner_D(*tables_for(lmax), rotations, n, out, count);
}

template <class T>
void write_Y(const T* xyz, Index n, int lmax, T* out, int threads) {
    check_lmax(lmax, maximum_lmax, "");
    check_array(xyz, "xyz", {n, 3});
    check_array(out, "out", {n, harmonic_count(lmax)});
    const int count = checked_threads(threads);
    const Index bad = first_not_finite(xyz, 3 * n);
    require(bad < 0, "xyz", "finite coordinates", "NaN or infinity in row " + std::to_string(bad / 3));
    kernels_of(out).spherical_harmonics(*tables_for(lmax), xyz, n, out, count);
}

Rings checked_rings(const Grid& grid) {
    const Index points = grid.points();
    require(grid.degree >= 0 && grid.degree <= maximum_lmax, "grid", "a degree of 0 to " + std::to_string(maximum_lmax),
            std::to_string(grid.degree));
    require(grid.cosets == 1 || grid.cosets == 2, "grid", "1 or 2 cosets", std::to_string(grid.cosets));
    require(grid.gammas >= 1 && grid.gammas < (Index(1) << 20), "grid", "1 to 2^20 gammas",
            std::to_string(grid.gammas));
    require(points > 0 && static_cast<Index>(grid.rings.size()) == 9 * points, "grid",
            "9 numbers in rings for each weight", std::to_string(grid.rings.size()) + " for " + std::to_string(points));
    check_proper(grid.rings.data(), points, "grid");
    double sum = 0.0;
    for (double weight : grid.weights) sum += weight;
    require(std::fabs(sum - 1.0) <= 1e-12 * static_cast<double>(points), "grid", "weights with a sum of 1", text(sum));
    return {grid.rings.data(), grid.weights.data(), points, grid.gammas};
}

// B from the coefficients of each coset, (E(lmax), channels), of values of which `center` was taken off: that is all in l = 0.
template <class T>
void write_squares(std::vector<T>* coefficients, const double* center, int lmax, int cosets, Index channels, T* out) {
    for (int coset = 0; coset < cosets; ++coset)
        for (Index c = 0; c < channels; ++c) coefficients[coset][c] += static_cast<T>(center[c]);
    for (Index l = 0; l <= lmax; ++l)
        for (Index c = 0; c < channels; ++c) {
            T power[2] = {0, 0};
            for (Index row = matrix_offset(l); row < matrix_offset(l + 1); ++row) {
                const T proper = coefficients[0][row * channels + c];
                const T improper = cosets == 2 ? coefficients[1][row * channels + c] : T(0);
                for (int pseudo = 0; pseudo < 2; ++pseudo) {
                    const T sum = (l + pseudo) % 2 ? proper - improper : proper + improper;
                    power[pseudo] += sum * sum;
                }
            }
            for (int pseudo = 0; pseudo < cosets; ++pseudo)
                out[(l * cosets + pseudo) * channels + c] =
                    static_cast<T>(2 * l + 1) / static_cast<T>(cosets * cosets) * power[pseudo];
        }
}

template <class T>
void write_power(const T* values, const Grid& grid, int lmax, Index channels, T* out, int threads) {
    const Rings rings = checked_rings(grid);
    check_lmax(lmax, grid.degree / 2, "half the degree of the grid, ");
    check_array(values, "values", {grid.size(), channels});
    check_array(out, "out", {lmax + 1, grid.cosets, channels});
    const int count = checked_threads(threads);
    const Index bad = first_not_finite(values, grid.size() * channels);
    require(bad < 0, "values", "finite values",
            "NaN or infinity at grid element " + std::to_string(channels ? bad / channels : 0));
    if (channels == 0) return;
    const std::vector<double> center(values, values + channels);
    const auto tables = tables_for(lmax);
    const auto& kernels = projection_of(out);
    if (kernels.character_power(*tables, values, rings, channels, grid.cosets, center.data(), out, nullptr, count))
        return;
    std::vector<T> coefficients[2];
    const Index per_coset = rings.points * rings.gammas * channels;
    for (int coset = 0; coset < grid.cosets; ++coset) {
        coefficients[coset].assign(static_cast<std::size_t>(matrix_count(lmax) * channels), T(0));
        kernels.project(*tables, values + coset * per_coset, rings, channels, center.data(), coefficients[coset].data(),
                        count);
    }
    write_squares(coefficients, center.data(), lmax, grid.cosets, channels, out);
}

// The Gauss-Legendre rule of n points on -1..1: Newton steps from the points of Chebyshev, which lie near; weights of sum 1.
void gauss_legendre(int n, std::vector<double>& points, std::vector<double>& weights) {
    for (int i = 0; i < n; ++i) {
        double x = std::cos(pi * (i + 0.75) / (n + 0.5)), slope = 0.0;
        for (int step = 0; step < 8; ++step) {
            double before = 1.0, here = x;
            for (int k = 2; k <= n; ++k) {
                const double next = ((2 * k - 1) * x * here - (k - 1) * before) / k;
                before = here, here = next;
            }
            slope = n * (x * here - before) / (x * x - 1.0);
            x -= here / slope;
        }
        points.push_back(x);
        weights.push_back(1.0 / ((1.0 - x * x) * slope * slope));
    }
}

}  // namespace

void wigner_D(const double* rotations, Index n, int lmax, double* out, int threads) {
    write_D(rotations, n, lmax, out, threads);
}

void wigner_D(const float* rotations, Index n, int lmax, float* out, int threads) {
    write_D(rotations, n, lmax, out, threads);
}

void spherical_harmonics(const double* xyz, Index n, int lmax, double* out, int threads) {
    write_Y(xyz, n, lmax, out, threads);
}

void spherical_harmonics(const float* xyz, Index n, int lmax, float* out, int threads) {
    write_Y(xyz, n, lmax, out, threads);
}

std::vector<double> Grid::elements() const {
    std::vector<double> found;
    found.reserve(static_cast<std::size_t>(9 * size()));
    for (int coset = 0; coset < cosets; ++coset)
        for (Index point = 0; point < points(); ++point)
            for (Index gamma = 0; gamma < gammas; ++gamma) {
                const double angle = 2.0 * pi * static_cast<double>(gamma) / static_cast<double>(gammas);
                const double c = std::cos(angle), s = std::sin(angle), sign = coset == 0 ? 1.0 : -1.0;
                for (int row = 0; row < 3; ++row) {
                    const double* r = rings.data() + 9 * point + 3 * row;
                    for (double entry : {c * r[0] + s * r[1], c * r[1] - s * r[0], r[2]}) found.push_back(sign * entry);
                }
            }
    return found;
}

Grid quadrature(int degree, int cosets) {
    require(degree >= 0 && degree <= maximum_lmax, "degree", "0 to " + std::to_string(maximum_lmax),
            std::to_string(degree));
    require(cosets == 1 || cosets == 2, "cosets", "1 or 2", std::to_string(cosets));
    std::vector<double> heights, shares;
    gauss_legendre(degree / 2 + 1, heights, shares);
    const int alphas = degree + 1;
    Grid grid{degree, degree + 1, cosets, {}, {}};
    double sum = 0.0;
    for (double share : shares) sum += share;
    for (std::size_t i = 0; i < heights.size(); ++i)
        for (int alpha = 0; alpha < alphas; ++alpha) {
            const double angle = 2.0 * pi * alpha / alphas, c = std::cos(angle), s = std::sin(angle);
            const double z = heights[i], in_plane = std::sqrt((1.0 - z) * (1.0 + z));
            // Rz(alpha) Ry(beta)
            for (double entry : {c * z, -s, c * in_plane, s * z, c, s * in_plane, -in_plane, 0.0, z})
                grid.rings.push_back(entry);
            grid.weights.push_back(shares[i] / sum / alphas);
        }
    return grid;
}

void character_power(const double* values, const Grid& grid, int lmax, Index channels, double* out, int threads) {
    write_power(values, grid, lmax, channels, out, threads);
}

void character_power(const float* values, const Grid& grid, int lmax, Index channels, float* out, int threads) {
    write_power(values, grid, lmax, channels, out, threads);
}

const char* instruction_set() { return active_kernels().isa; }

}  // namespace equiscope
