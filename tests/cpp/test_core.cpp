// The C++ kernels without Python, for every instruction set this machine runs; made to be built with sanitizers:
//   cmake -S . -B build -DEQUISCOPE_PYTHON=OFF -DEQUISCOPE_TESTS=ON -DEQUISCOPE_SANITIZE=address,undefined

#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "checks.hpp"
#include "cpu/cached_bytes.hpp"
#include "cpu/dispatch.hpp"
#include "cpu/pool.hpp"
#include "equiscope/constants.hpp"
#include "grid/tables.hpp"

using namespace equiscope;

namespace {

Vector wigner_of(const Kernels& kernels, const Vector& r, int lmax, int threads = 1) {
    const Index n = static_cast<Index>(r.size()) / 9;
    Vector out(static_cast<std::size_t>(n * matrix_count(lmax)), std::nan(""));
    kernels.float64.wigner_D(*tables_for(lmax), r.data(), n, out.data(), threads);
    return out;
}

void values_agree_with_extended_precision(const Kernels& kernels) {
    const int lmax = 48;
    const Index n = 13;
    Vector r = random_rotations(n, 1);
    const double turn[9] = {-1, 0, 0, 0, 1, 0, 0, 0, -1}, near[9] = {1, 0, 0, 0, 1, -1e-9, 0, 1e-9, 1};
    std::copy(turn, turn + 9, r.begin());
    std::copy(near, near + 9, r.begin() + 9);
    const Vector out = wigner_of(kernels, r, lmax);
    const auto tables = tables_for(lmax);
    std::vector<Complex<long double>> powers(2 * (lmax + 1));
    for (Index i = 0; i < n; ++i) {
        long double exact[9];
        for (int k = 0; k < 9; ++k) exact[k] = r[static_cast<std::size_t>(9 * i + k)];
        orthonormalize(exact);
        wigner(exact, lmax, tables->wigner, powers.data(), [&](Index l, Index row, Index column, long double value) {
            const Index size = 2 * l + 1;
            const Index at = n * matrix_offset(l) + i * size * size + (row + l) * size + column + l;
            const double error = std::fabs(static_cast<double>(value) - out[static_cast<std::size_t>(at)]);
            check(error <= 16 * (l + 1) * 2.3e-16, "D agrees with extended precision", kernels.isa, error);
        });
    }
}

void identity_is_exact(const Kernels& kernels) {
    const Vector out = wigner_of(kernels, {1, 0, 0, 0, 1, 0, 0, 0, 1}, 64);
    for (Index l = 0; l <= 64; ++l)
        for (Index i = 0; i < (2 * l + 1) * (2 * l + 1); ++i)
            check(out[static_cast<std::size_t>(matrix_offset(l) + i)] == (i % (2 * l + 2) == 0 ? 1.0 : 0.0),
                  "D(1) = 1 to the last bit", kernels.isa, static_cast<double>(l));
}

void harmonics_rotate_with_D(const Kernels& kernels) {
    const int lmax = 10;
    const Index n = 7, size = harmonic_count(lmax);
    const Vector r = random_rotations(n, 2), xyz = random_values(3 * n, 3), d = wigner_of(kernels, r, lmax);
    Vector turned(xyz.size()), y(static_cast<std::size_t>(n * size)), rotated(y.size()), expected(y.size());
    for (Index i = 0; i < n; ++i)
        for (int a = 0; a < 3; ++a)
            for (int b = 0; b < 3; ++b)
                turned[static_cast<std::size_t>(3 * i + a)] +=
                    r[static_cast<std::size_t>(9 * i + 3 * a + b)] * xyz[static_cast<std::size_t>(3 * i + b)];
    kernels.float64.spherical_harmonics(*tables_for(lmax), xyz.data(), n, y.data(), 1);
    kernels.float64.spherical_harmonics(*tables_for(lmax), turned.data(), n, rotated.data(), 1);
    for (Index i = 0; i < n; ++i)
        for (Index l = 0; l <= lmax; ++l)
            for (Index row = 0; row <= 2 * l; ++row)
                for (Index column = 0; column <= 2 * l; ++column)
                    expected[static_cast<std::size_t>(i * size + l * l + row)] +=
                        d[static_cast<std::size_t>(n * matrix_offset(l) + (i * (2 * l + 1) + row) * (2 * l + 1) +
                                                   column)] *
                        y[static_cast<std::size_t>(i * size + l * l + column)];
    check(largest_difference(rotated, expected) < 1e-13, "Y(R r) = D(R) Y(r)", kernels.isa);
}

void lengths_of_points_do_not_matter(const Kernels& kernels) {
    const int lmax = 6;
    const Index n = 9, size = harmonic_count(lmax);
    const Vector xyz = random_values(3 * n, 25);
    Vector scaled(xyz), y(static_cast<std::size_t>(n * size)), again(y.size());
    kernels.float64.spherical_harmonics(*tables_for(lmax), xyz.data(), n, y.data(), 1);
    for (double scale : {1e-160, 1e160}) {
        for (std::size_t i = 0; i < xyz.size(); ++i) scaled[i] = scale * xyz[i];
        kernels.float64.spherical_harmonics(*tables_for(lmax), scaled.data(), n, again.data(), 1);
        check(largest_difference(y, again) < 16 * (lmax + 1) * 2.3e-16, "Y of very short and very long vectors",
              kernels.isa, scale);
    }
}

void nearly_orthogonal_matrices_are_mended(const Kernels& kernels) {
    // two Newton steps take the deviation to its fourth power, one only to its square
    const int lmax = 4;
    const Index n = 7;
    const Vector noise = random_values(9 * n, 26);
    Vector r = random_rotations(n, 27);
    for (std::size_t i = 0; i < r.size(); ++i) r[i] += 3e-5 * noise[i];
    const Vector d = wigner_of(kernels, r, lmax);
    for (Index l = 0; l <= lmax; ++l)
        for (Index i = 0; i < n; ++i) {
            const Index size = 2 * l + 1;
            const double* own = d.data() + n * matrix_offset(l) + i * size * size;
            for (Index row = 0; row < size; ++row)
                for (Index other = 0; other < size; ++other) {
                    double dot = row == other ? -1.0 : 0.0;
                    for (Index m = 0; m < size; ++m) dot += own[row * size + m] * own[other * size + m];
                    check(std::fabs(dot) < 1e-13, "D of a nearly orthogonal matrix is orthogonal", kernels.isa, dot);
                }
        }
}

void rotation_of_blocks_is_D(const Kernels& kernels) {
    // "2x1o + 1x2e", copies outermost, then innermost
    const Index dim = 11, rows = 3, n = 5;
    const Vector r = random_rotations(n, 4), x = random_values(n * rows * dim, 5), d = wigner_of(kernels, r, 2);
    Vector minus(r);
    for (double& entry : minus) entry = -entry;
    for (bool inner : {false, true}) {
        const std::vector<IrrepBlock> blocks = {
            {1, 2, 0, inner ? Index(1) : Index(3), inner ? Index(2) : Index(1), true}, {2, 1, 6, 5, 1, false}};
        Vector out(x.size(), std::nan("")), back(x.size()), inverted(x.size()), expected(x.size());
        kernels.float64.rotate(*tables_for(2), x.data(), false, r.data(), n, rows, dim, blocks.data(), 2, false,
                               out.data(), 1);
        kernels.float64.rotate(*tables_for(2), out.data(), false, r.data(), n, rows, dim, blocks.data(), 2, true,
                               back.data(), 1);
        kernels.float64.rotate(*tables_for(2), x.data(), false, minus.data(), n, rows, dim, blocks.data(), 2, false,
                               inverted.data(), 1);
        for (Index i = 0; i < n * rows; ++i)
            for (const IrrepBlock& b : blocks)
                for (Index c = 0; c < b.mul; ++c)
                    for (Index row = 0; row <= 2 * b.l; ++row)
                        for (Index column = 0; column <= 2 * b.l; ++column)
                            expected[static_cast<std::size_t>(i * dim + b.offset + c * b.stride_mul +
                                                              row * b.stride_m)] +=
                                d[static_cast<std::size_t>(n * matrix_offset(b.l) +
                                                           (i / rows * (2 * b.l + 1) + row) * (2 * b.l + 1) + column)] *
                                x[static_cast<std::size_t>(i * dim + b.offset + c * b.stride_mul +
                                                           column * b.stride_m)];
        check(largest_difference(out, expected) < 1e-14, "rotation of a block is D", kernels.isa);
        check(largest_difference(back, x) < 1e-14, "inverse undoes the rotation", kernels.isa);
        for (Index i = 0; i < n * rows; ++i)
            for (Index k = 0; k < 6; ++k) inverted[static_cast<std::size_t>(i * dim + k)] *= -1.0;
        check(largest_difference(out, inverted) < 1e-14, "inversion turns odd blocks alone", kernels.isa);
    }
}

// Results of many copies wait while the next ones are made, longer than it takes to copy scalars: each has its own sign.
void inversion_turns_odd_copies_alone(const Kernels& kernels) {
    const Index n = 9, dim = 64, odd = 48;
    const Vector r = random_rotations(n, 28), x = random_values(n * dim, 29);
    Vector minus(r), out(x.size()), inverted(x.size());
    for (double& entry : minus) entry = -entry;
    const std::vector<IrrepBlock> blocks = {{1, 16, 0, 3, 1, true}, {0, 16, odd, 1, 1, false}};
    kernels.float64.rotate(*tables_for(1), x.data(), false, r.data(), n, 1, dim, blocks.data(), 2, false, out.data(),
                           1);
    kernels.float64.rotate(*tables_for(1), x.data(), false, minus.data(), n, 1, dim, blocks.data(), 2, false,
                           inverted.data(), 1);
    for (std::size_t i = 0; i < out.size(); ++i)
        if (i % dim < odd) out[i] = -out[i];
    check(out == inverted, "inversion turns odd copies alone", kernels.isa);
}

Vector about(int axis, double angle) {
    Vector r(9);
    const int i = (axis + 1) % 3, j = (axis + 2) % 3;
    r[static_cast<std::size_t>(4 * axis)] = 1.0;
    r[static_cast<std::size_t>(4 * i)] = r[static_cast<std::size_t>(4 * j)] = std::cos(angle);
    r[static_cast<std::size_t>(3 * j + i)] = std::sin(angle), r[static_cast<std::size_t>(3 * i + j)] = -std::sin(angle);
    return r;
}

Vector times(const Vector& a, const Vector& b) {
    Vector c(9);
    for (std::size_t i = 0; i < 3; ++i)
        for (std::size_t j = 0; j < 3; ++j)
            for (std::size_t k = 0; k < 3; ++k) c[3 * i + j] += a[3 * i + k] * b[3 * k + j];
    return c;
}

// Rings with the reflections of a quadrature rule, poles and coordinate planes included, and a turn c about z.
Vector structured_rings(double c, const Vector& betas = {0.0, 0.3, 1.1, pi / 2},
                        const Vector& alphas = {0.0, 0.4, pi / 4, pi / 2}) {
    Vector rings;
    for (double b : betas)
        for (double a : alphas)
            for (double mirrored_b : {b, pi - b})
                for (double mirrored_a : {a, -a, pi - a, pi + a}) {
                    if ((b == 0.0 && (a != 0.0 || mirrored_a != 0.0)) || (a == 0.4 && mirrored_a == pi - a)) continue;
                    const Vector ring = times(times(about(2, mirrored_a), about(1, mirrored_b)), about(2, c));
                    rings.insert(rings.end(), ring.begin(), ring.end());
                }
    return rings;
}

void projection_is_the_sum_over_the_grid(const Kernels& kernels, const Vector& rings, Index gammas, int lmax,
                                         Index channels) {
    const Index points = static_cast<Index>(rings.size()) / 9, size = matrix_count(lmax);
    const Vector weights = random_values(points, 20), values = random_values(points * gammas * channels, 21);
    const Vector center = random_values(channels, 22);
    Vector expected(static_cast<std::size_t>(size * channels), 1.0), found(expected);
    for (Index p = 0; p < points; ++p)
        for (Index k = 0; k < gammas; ++k) {
            const Vector ring(rings.begin() + 9 * p, rings.begin() + 9 * (p + 1));
            const double gamma = 2 * pi * static_cast<double>(k) / static_cast<double>(gammas);
            const Vector d = wigner_of(kernels, times(ring, about(2, gamma)), lmax);
            for (Index row = 0; row < size; ++row)
                for (Index f = 0; f < channels; ++f)
                    expected[static_cast<std::size_t>(row * channels + f)] +=
                        weights[static_cast<std::size_t>(p)] / static_cast<double>(gammas) *
                        d[static_cast<std::size_t>(row)] *
                        (values[static_cast<std::size_t>((p * gammas + k) * channels + f)] -
                         center[static_cast<std::size_t>(f)]);
        }
    const Rings grid{rings.data(), weights.data(), points, gammas};
    kernels.float64_to_float64.project(*tables_for(lmax), values.data(), grid, channels, center.data(), found.data(),
                                       2);
    check(largest_difference(found, expected) < 1e-12, "projection is the sum over the grid", kernels.isa,
          largest_difference(found, expected));
    const std::vector<float> narrow(values.begin(), values.end());
    std::vector<float> single(expected.size(), 1.0f);
    kernels.float32_to_float32.project(*tables_for(lmax), narrow.data(), grid, channels, center.data(), single.data(),
                                       1);
    check(largest_difference(Vector(single.begin(), single.end()), expected) < 1e-5, "the same in float32",
          kernels.isa);
}

// Tables that hold only a part of the rings at once are filled again for the others.
void projection_is_the_sum_over_parts_of_the_grid(const Kernels& kernels, const Vector& rings, int lmax) {
    const Index points = static_cast<Index>(rings.size()) / 9, first = points / 2, gammas = 2;
    const Vector weights = random_values(points, 30), values = random_values(points * gammas, 31);
    Vector whole(static_cast<std::size_t>(matrix_count(lmax))), parts(whole);
    const auto tables = tables_for(lmax);
    const auto add = [&](Index start, Index count, Vector& out) {
        kernels.float64_to_float64.project(*tables, values.data() + start * gammas,
                                           {rings.data() + 9 * start, weights.data() + start, count, gammas}, 1,
                                           nullptr, out.data(), 1);
    };
    add(0, points, whole);
    add(0, first, parts), add(first, points - first, parts);
    check(largest_difference(whole, parts) < 1e-11, "projection is the sum over parts of the grid", kernels.isa,
          largest_difference(whole, parts));
}

void tables_beyond_their_limit_are_filled_in_turns(const Kernels& kernels) {
    Vector betas;  // one table entry for each
    for (int i = 0; i < 120; ++i) betas.push_back(0.05 + 0.0125 * i);
    projection_is_the_sum_over_parts_of_the_grid(kernels, structured_rings(0.0, betas, {0.7}), 40);
    projection_is_the_sum_over_parts_of_the_grid(kernels, random_rotations(450, 32), 20);
}

// Power and moments in one pass, against projections of both cosets and plain sums.
void power_is_the_square_of_the_projection(const Kernels& kernels, Index channels) {
    const int lmax = 4;
    const Index gammas = 6, size = matrix_count(lmax);
    const Vector rings = structured_rings(0.0);
    const Index points = static_cast<Index>(rings.size()) / 9;
    const Vector weights(static_cast<std::size_t>(points), 1.0 / static_cast<double>(points));
    const Vector values = random_values(2 * points * gammas * channels, 23), center = random_values(channels, 24);
    const Rings grid{rings.data(), weights.data(), points, gammas};
    Vector c(static_cast<std::size_t>(2 * size * channels)), power(static_cast<std::size_t>(2 * (lmax + 1) * channels)),
        expected(power.size()), moments(static_cast<std::size_t>(2 * channels)), sums(moments.size());
    for (Index coset = 0; coset < 2; ++coset)
        kernels.float64_to_float64.project(*tables_for(lmax), values.data() + coset * points * gammas * channels, grid,
                                           channels, center.data(), c.data() + coset * size * channels, 1);
    for (Index f = 0; f < channels; ++f) {
        for (Index l = 0; l <= lmax; ++l)
            for (Index row = matrix_offset(l); row < matrix_offset(l + 1); ++row) {
                const double shift = row == 0 ? center[static_cast<std::size_t>(f)] : 0.0;
                const double a = c[static_cast<std::size_t>(row * channels + f)] + shift;
                const double b = c[static_cast<std::size_t>((size + row) * channels + f)] + shift;
                for (Index odd = 0; odd < 2; ++odd) {
                    const double sum = a + ((l + odd) % 2 ? -b : b);
                    expected[static_cast<std::size_t>((2 * l + odd) * channels + f)] +=
                        static_cast<double>(2 * l + 1) / 4 * sum * sum;
                }
            }
        for (Index i = 0; i < 2 * points * gammas; ++i) {
            const double v = values[static_cast<std::size_t>(i * channels + f)] - center[static_cast<std::size_t>(f)];
            const double weight = 1.0 / static_cast<double>(2 * points * gammas);
            sums[static_cast<std::size_t>(f)] += weight * v,
                sums[static_cast<std::size_t>(channels + f)] += weight * v * v;
        }
    }
    const bool done = kernels.float64_to_float64.character_power(*tables_for(lmax), values.data(), grid, channels, 2,
                                                                 center.data(), power.data(), moments.data(), 3);
    check(done && kernels.float64_to_float64.power_at_once(grid, lmax), "power has a fast way on such rings",
          kernels.isa);
    check(largest_difference(power, expected) < 1e-13, "power is the square of the projection", kernels.isa,
          largest_difference(power, expected));
    check(largest_difference(moments, sums) < 1e-14, "moments are sums over the grid", kernels.isa,
          largest_difference(moments, sums));
    const std::vector<float> narrow(values.begin(), values.end());
    kernels.float32_to_float64.character_power(*tables_for(lmax), narrow.data(), grid, channels, 2, center.data(),
                                               power.data(), moments.data(), 1);
    check(largest_difference(power, expected) < 1e-6, "the same from float32", kernels.isa);
}

void synthesis_is_the_adjoint_of_projection(const Kernels& kernels) {
    for (Index gammas : {1, 2, 5, 8}) {
        const int lmax = 3;
        // enough for several threads where rings are long
        const Index points = 11, channels = gammas == 8 ? 3001 : 37, size = matrix_count(lmax);
        const Vector r = random_rotations(points, 6),
                     weights(static_cast<std::size_t>(points), 1.0 / static_cast<double>(points));
        const Rings rings{r.data(), weights.data(), points, gammas};
        const Vector values = random_values(points * gammas * channels, 7), c = random_values(size * channels, 8);
        Vector projected(c.size()), again(c.size()), synthesized(values.size(), std::nan(""));
        kernels.float64_to_float64.project(*tables_for(lmax), values.data(), rings, channels, nullptr, projected.data(),
                                           1);
        kernels.float64_to_float64.project(*tables_for(lmax), values.data(), rings, channels, nullptr, again.data(), 7);
        kernels.float64.synthesize(*tables_for(lmax), c.data(), rings, channels, synthesized.data(), 1);
        double left = 0, right = 0;
        for (std::size_t i = 0; i < c.size(); ++i) left += projected[i] * c[i];
        for (std::size_t i = 0; i < values.size(); ++i) right += synthesized[i] * values[i];
        check(std::fabs(left - right) < 1e-12 * (1 + std::fabs(left)), "<P v, c> = <v, P^T c>", kernels.isa,
              left - right);
        check(projected == again, "projection has equal bits on 1 and 7 threads", kernels.isa);
    }
}

void torque_is_the_derivative(const Kernels& kernels) {
    // against a rotation by a small angle about each axis, on the right
    const int lmax = 4;
    const double t = 1e-6;
    const Vector r = random_rotations(1, 9), grad = random_values(matrix_count(lmax), 10);
    double torque[3];
    kernels.float64.wigner_D_torque(*tables_for(lmax), r.data(), 1, grad.data(), torque, 1);
    for (int k = 0; k < 3; ++k) {
        const int i = (k + 1) % 3, j = (k + 2) % 3;
        double change = 0;
        for (double sign : {1.0, -1.0}) {
            Vector turned(9);
            for (int row = 0; row < 3; ++row) {
                const double a = r[static_cast<std::size_t>(3 * row + i)], b = r[static_cast<std::size_t>(3 * row + j)];
                turned[static_cast<std::size_t>(3 * row + k)] = r[static_cast<std::size_t>(3 * row + k)];
                turned[static_cast<std::size_t>(3 * row + i)] = a * std::cos(t) + sign * b * std::sin(t);
                turned[static_cast<std::size_t>(3 * row + j)] = b * std::cos(t) - sign * a * std::sin(t);
            }
            const Vector d = wigner_of(kernels, turned, lmax);
            for (std::size_t e = 0; e < d.size(); ++e) change += sign * d[e] * grad[e] / (2 * t);
        }
        check(std::fabs(change - torque[k]) < 1e-7, "torque is the derivative of D", kernels.isa, change - torque[k]);
    }
}

void sizes_and_threads_do_not_matter(const Kernels& kernels) {
    for (Index n : {0, 1, 2, 7, 8, 9, 1000}) {
        const Vector r = random_rotations(n, 11), xyz = random_values(3 * n, 12);
        const Vector one = wigner_of(kernels, r, 5), seven = wigner_of(kernels, r, 5, 7);
        check(one == seven, "D has equal bits on 1 and 7 threads", kernels.isa, static_cast<double>(n));
        for (double value : one) check(std::isfinite(value), "every element is written", kernels.isa);
        std::vector<float> few(xyz.begin(), xyz.end()), y(static_cast<std::size_t>(36 * n), std::nanf(""));
        kernels.float32.spherical_harmonics(*tables_for(5), few.data(), n, y.data(), 3);
        for (float value : y) check(std::isfinite(value), "every harmonic is written", kernels.isa);
    }
}

// Large results pass by the caches; wherever they begin, they have the bits of small ones and touch nothing around them.
void large_results_equal_small_ones(const Kernels& kernels) {
    const Index n = 1203, part = 401, shift = 3;
    const int lmax = 8;
    const Vector r = random_rotations(n, 14);
    const auto tables = tables_for(lmax);
    const std::size_t size = static_cast<std::size_t>(n * matrix_count(lmax));
    Vector large(size + 2 * shift, 77.0);
    kernels.float64.wigner_D(*tables, r.data(), n, large.data() + shift, 3);
    check(n * matrix_count(lmax) * 8 > cached_bytes(), "the result is large", kernels.isa);
    for (Index i = 0; i < shift; ++i)
        check(large[static_cast<std::size_t>(i)] == 77.0 && large[size + shift + static_cast<std::size_t>(i)] == 77.0,
              "nothing around a result is written", kernels.isa);
    for (Index start = 0; start < n; start += part) {
        const Vector small = wigner_of(kernels, Vector(r.begin() + 9 * start, r.begin() + 9 * (start + part)), lmax);
        bool equal = true;
        for (Index l = 0; l <= lmax; ++l) {
            const Index width = (2 * l + 1) * (2 * l + 1);
            for (Index i = 0; i < part * width; ++i)
                equal &= large[static_cast<std::size_t>(shift + n * matrix_offset(l) + start * width + i)] ==
                         small[static_cast<std::size_t>(part * matrix_offset(l) + i)];
        }
        check(equal, "a large result has the bits of small ones", kernels.isa, static_cast<double>(start));
    }
}

// Enough copies for lanes of copies, and a number that fills no vector.
void copies_are_rotated_like_one(const Kernels& kernels) {
    const Index n = 9, mul = 19;
    for (Index l : {1, 2, 8})
        for (bool inner : {false, true}) {
            const Index width = 2 * l + 1, dim = mul * width;
            const Vector r = random_rotations(n, 15), x = random_values(n * dim, 16);
            const IrrepBlock all = {l, mul, 0, inner ? Index(1) : width, inner ? mul : Index(1), false};
            Vector together(x.size(), std::nan("")), alone(x.size());
            const auto tables = tables_for(static_cast<int>(l));
            kernels.float64.rotate(*tables, x.data(), false, r.data(), n, 1, dim, &all, 1, false, together.data(), 1);
            for (Index c = 0; c < mul; ++c) {
                const IrrepBlock one = {l, 1, c * all.stride_mul, width, all.stride_m, false};
                Vector out(x.size());
                kernels.float64.rotate(*tables, x.data(), false, r.data(), n, 1, dim, &one, 1, false, out.data(), 1);
                for (std::size_t i = 0; i < out.size(); ++i) alone[i] += out[i];
            }
            check(largest_difference(together, alone) < 1e-14, "copies are rotated like one", kernels.isa);
        }
}

// Where copies lie side by side and fill no whole vectors, a large result has places that no vector may be streamed to.
void large_results_of_odd_copies_equal_small_ones(const Kernels& kernels) {
    const Index mul = 17, dim = 3 * mul, parts = 3, rows = cached_bytes() / (parts * dim * Index(sizeof(double))) + 1;
    const Vector r = random_rotations(1, 33), x = random_values(parts * rows * dim, 34);
    const IrrepBlock block = {1, mul, 0, 1, mul, false};
    Vector large(x.size()), small(x.size());
    const auto tables = tables_for(1);
    const auto rotate = [&](Index start, Index count, Vector& out) {
        kernels.float64.rotate(*tables, x.data() + start * dim, false, r.data(), 1, count, dim, &block, 1, false,
                               out.data() + start * dim, 1);
    };
    rotate(0, parts * rows, large);
    for (Index part = 0; part < parts; ++part) rotate(part * rows, rows, small);
    check(large == small, "a large result of odd copies has the bits of small ones", kernels.isa);
}

void callers_may_be_many_and_may_fork(const Kernels& kernels) {
    const Vector r = random_rotations(600, 13), expected = wigner_of(kernels, r, 6);
    std::vector<std::thread> callers;
    std::vector<int> right(8, 0);
    for (std::size_t i = 0; i < right.size(); ++i)
        callers.emplace_back([&, i] {
            right[i] = 1;
            for (int repeat = 0; repeat < 20; ++repeat) right[i] &= wigner_of(kernels, r, 6, 3) == expected;
        });
    for (std::thread& caller : callers) caller.join();
    for (int ok : right) check(ok == 1, "callers on many threads get equal bits", kernels.isa);
#if !defined(__SANITIZE_THREAD__)  // ThreadSanitizer does not follow threads into a child
    const pid_t child = fork();
    if (child == 0) _exit(wigner_of(kernels, r, 6, 3) == expected ? 0 : 1);
    int status = -1;
    waitpid(child, &status, 0);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a forked child gets equal bits", kernels.isa);
#endif
}

void errors_of_a_task_reach_the_caller() {
    bool thrown = false;
    try {
        parallel_for(100, 4, [](Index i) {
            if (i == 57) throw std::runtime_error("57");
        });
    } catch (const std::runtime_error&) {
        thrown = true;
    }
    check(thrown, "an exception in a task reaches the caller", "pool");
}

}  // namespace

int main() {
    const std::vector<const Kernels*> all = usable_kernels();
    for (const Kernels* kernels : all) {
        values_agree_with_extended_precision(*kernels);
        identity_is_exact(*kernels);
        harmonics_rotate_with_D(*kernels);
        lengths_of_points_do_not_matter(*kernels);
        nearly_orthogonal_matrices_are_mended(*kernels);
        rotation_of_blocks_is_D(*kernels);
        inversion_turns_odd_copies_alone(*kernels);
        for (double c : {0.0, 0.7})
            for (Index channels : {1, 16, 37})
                projection_is_the_sum_over_the_grid(*kernels, structured_rings(c), 5 + channels % 2, 6, channels);
        projection_is_the_sum_over_the_grid(*kernels, random_rotations(11, 23), 4, 5, 9);
        projection_is_the_sum_over_the_grid(*kernels, structured_rings(0.0, {0.3, 0.3 + 1e-9}), 5, 6, 3);
        tables_beyond_their_limit_are_filled_in_turns(*kernels);
        for (Index channels : {1, 16, 37}) power_is_the_square_of_the_projection(*kernels, channels);
        synthesis_is_the_adjoint_of_projection(*kernels);
        torque_is_the_derivative(*kernels);
        sizes_and_threads_do_not_matter(*kernels);
        large_results_equal_small_ones(*kernels);
        copies_are_rotated_like_one(*kernels);
        large_results_of_odd_copies_equal_small_ones(*kernels);
        callers_may_be_many_and_may_fork(*kernels);
    }
    errors_of_a_task_reach_the_caller();
    std::printf("%zu instruction sets, %d failures\n", all.size(), failures);
    return failures == 0 ? 0 : 1;
}
