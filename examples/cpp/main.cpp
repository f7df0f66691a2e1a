// Wigner matrices, spherical harmonics and a spectrum without Python, each compared with what is known of it.
#include <cmath>
#include <cstdio>
#include <equiscope/constants.hpp>
#include <equiscope/equiscope.hpp>
#include <stdexcept>
#include <string>
#include <vector>

using equiscope::Index;

static int failures = 0;

static void expect(bool holds, const char* claim) {
    std::printf("%s  %s\n", holds ? "ok  " : "FAIL", claim);
    failures += !holds;
}

static bool near(double got, double expected, double bound = 1e-13) { return std::fabs(got - expected) <= bound; }

// Y_l(R r) = D^l(R) Y_l(r) for one rotation and one point.
static bool harmonics_turn_by_D(int lmax) {
    // about (1, 2, 2) / 3 by 0.9: R = cos 1 + sin [n]x + (1 - cos) n n^T
    const double n[3] = {1.0 / 3, 2.0 / 3, 2.0 / 3}, c = std::cos(0.9), s = std::sin(0.9), r[3] = {0.3, -1.1, 0.7};
    const double cross[9] = {0, -n[2], n[1], n[2], 0, -n[0], -n[1], n[0], 0};
    double R[9], turned[3] = {0, 0, 0};
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j) {
            R[3 * i + j] = (i == j ? c : 0.0) + s * cross[3 * i + j] + (1 - c) * n[i] * n[j];
            turned[i] += R[3 * i + j] * r[j];
        }

    std::vector<double> D(equiscope::matrix_count(lmax)), before(equiscope::harmonic_count(lmax)), after(before.size());
    equiscope::wigner_D(R, 1, lmax, D.data());
    equiscope::spherical_harmonics(r, 1, lmax, before.data());
    equiscope::spherical_harmonics(turned, 1, lmax, after.data());

    double worst = 0.0;
    for (Index l = 0; l <= lmax; ++l)
        for (Index mp = -l; mp <= l; ++mp) {
            double sum = 0.0;
            for (Index m = -l; m <= l; ++m)
                sum += D[equiscope::matrix_offset(l) + (mp + l) * (2 * l + 1) + m + l] * before[equiscope::harmonic_index(l, m)];
            worst = std::fmax(worst, std::fabs(sum - after[equiscope::harmonic_index(l, mp)]));
        }
    return worst < 1e-13;
}

// Of a turned unit vector, 1, z, xy and xyz lie each in one irrep, l = 0..3 and proper, with power 1, 1/3, 1/15, 1/105.
template <class T>
static bool polynomials_lie_in_their_irreps(int degree, int cosets, double bound) {
    const equiscope::Grid grid = equiscope::quadrature(degree, cosets);
    const std::vector<double> g = grid.elements();
    std::vector<T> values;
    for (Index i = 0; i < grid.size(); ++i) {
        const double x = g[9 * i + 2], y = g[9 * i + 5], z = g[9 * i + 8];
        for (double value : {1.0, z, x * y, x * y * z}) values.push_back(static_cast<T>(value));
    }
    const int lmax = 3;
    std::vector<T> power((lmax + 1) * cosets * 4);
    equiscope::character_power(values.data(), grid, lmax, 4, power.data());

    const double known[4] = {1.0, 1.0 / 3, 1.0 / 15, 1.0 / 105};
    bool right = true;
    for (int l = 0; l <= lmax; ++l)
        for (int pseudo = 0; pseudo < cosets; ++pseudo)
            for (int channel = 0; channel < 4; ++channel) {
                const double expected = l == channel && !pseudo ? known[l] : 0.0;
                right = right && near(power[(l * cosets + pseudo) * 4 + channel], expected, bound);
            }
    return right;
}

static bool is_refused_with(const double* R, const char* beginning) {
    double out[10];
    try {
        equiscope::wigner_D(R, 1, 1, out);
    } catch (const std::invalid_argument& error) {
        return std::string(error.what()).rfind(beginning, 0) == 0;
    }
    return false;
}

int main() {
    std::printf("instruction set: %s\n", equiscope::instruction_set());

    const double one[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    std::vector<double> D(equiscope::matrix_count(4));
    equiscope::wigner_D(one, 1, 4, D.data());
    bool identity = true;
    for (Index l = 0; l <= 4; ++l)
        for (Index i = 0; i < (2 * l + 1) * (2 * l + 1); ++i)
            identity = identity && D[equiscope::matrix_offset(l) + i] == (i % (2 * l + 2) == 0 ? 1.0 : 0.0);
    expect(identity, "D of the identity is the identity");

    const double pole[3] = {0, 0, 5};
    std::vector<double> Y(equiscope::harmonic_count(8));
    equiscope::spherical_harmonics(pole, 1, 8, Y.data());
    bool at_the_pole = true;
    for (Index l = 0; l <= 8; ++l)
        for (Index m = -l; m <= l; ++m)
            at_the_pole = at_the_pole &&
                          near(Y[equiscope::harmonic_index(l, m)], m ? 0.0 : std::sqrt((2 * l + 1) / (4 * equiscope::pi)));
    expect(at_the_pole, "Y along z is sqrt((2l+1)/4pi) for m = 0 and 0 else");

    expect(harmonics_turn_by_D(12), "Y(R r) = D(R) Y(r)");
    expect(polynomials_lie_in_their_irreps<double>(6, 2, 1e-13), "1, z, xy, xyz have power 1, 1/3, 1/15, 1/105 in O(3)");
    expect(polynomials_lie_in_their_irreps<float>(9, 1, 1e-6), "and in SO(3), in single precision");

    const double mirror[9] = {1, 0, 0, 0, 1, 0, 0, 0, -1};
    const double doubled[9] = {2, 0, 0, 0, 2, 0, 0, 0, 2};
    expect(is_refused_with(mirror, "rotations: expected proper"), "a mirror is no rotation");
    expect(is_refused_with(doubled, "rotations: expected orthogonal"), "twice the identity is no rotation");
    return failures;
}
