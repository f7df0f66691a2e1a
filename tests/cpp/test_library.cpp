// The public functions: what they refuse, and what they give beside the kernels that they call. Needs an installed copy alone.
#include <functional>
#include <limits>
#include <stdexcept>

#include "checks.hpp"
#include "equiscope/equiscope.hpp"

using namespace equiscope;

namespace {

const char* isa = instruction_set();
const double one[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
const double nan_value = std::numeric_limits<double>::quiet_NaN();

std::string refusal_of(const std::function<void()>& call) {
    try {
        call();
    } catch (const std::invalid_argument& error) {
        return error.what();
    }
    return "nothing";
}

void is_refused(const std::string& expected, const std::function<void()>& call) {
    const std::string said = refusal_of(call);
    check(said.rfind(expected, 0) == 0, "'" + said + "' begins with '" + expected + "'", isa);
}

void wrong_arguments_are_refused_and_nothing_is_written() {
    Vector out(2000, -7.0), r(one, one + 9);
    is_refused("lmax: expected 0 to 131, got -1", [&] { wigner_D(one, 1, -1, out.data()); });
    is_refused("lmax: expected 0 to 131, got 132", [&] { spherical_harmonics(one, 1, 132, out.data()); });
    is_refused("rotations: expected a size of 0 or more, got -1", [&] { wigner_D(one, -1, 2, out.data()); });
    is_refused("rotations: expected an address, got null",
               [&] { wigner_D(static_cast<double*>(nullptr), 1, 2, out.data()); });
    is_refused("out: expected an address, got null", [&] { wigner_D(one, 1, 2, nullptr); });
    is_refused("out: expected fewer than 2^48 elements", [&] { wigner_D(one, Index(1) << 44, 131, out.data()); });
    is_refused("threads: expected 0 or more, got -3", [&] { wigner_D(one, 1, 2, out.data(), -3); });
    r[4] = nan_value;
    is_refused("rotations: expected orthogonal", [&] { wigner_D(r.data(), 1, 2, out.data()); });
    r[4] = 1.0 + 1e-7;
    is_refused("rotations: expected orthogonal", [&] { wigner_D(r.data(), 1, 2, out.data()); });
    r[4] = -1.0;
    is_refused("rotations: expected proper rotations, got row 0", [&] { wigner_D(r.data(), 1, 2, out.data()); });
    const double points[6] = {1, 2, 3, 4, nan_value, 6};
    is_refused("xyz: expected finite coordinates, got NaN or infinity in row 1",
               [&] { spherical_harmonics(points, 2, 2, out.data()); });

    is_refused("degree: expected 0 to 131, got 200", [] { quadrature(200); });
    is_refused("cosets: expected 1 or 2, got 3", [] { quadrature(4, 3); });
    const Grid grid = quadrature(4);
    Vector values(static_cast<std::size_t>(grid.size()), 1.0);
    is_refused("lmax: expected 0 to half the degree of the grid, 2",
               [&] { character_power(values.data(), grid, 3, 1, out.data()); });
    is_refused("values: expected a size of 0 or more",
               [&] { character_power(values.data(), grid, 2, -1, out.data()); });
    values[7] = nan_value;
    is_refused("values: expected finite values, got NaN or infinity at grid element 7",
               [&] { character_power(values.data(), grid, 2, 1, out.data()); });
    values[7] = 1.0;
    const auto with = [&](const std::function<void(Grid&)>& change) {
        Grid changed = grid;
        change(changed);
        return [&values, &out, changed] { character_power(values.data(), changed, 2, 1, out.data()); };
    };
    is_refused("grid: expected 9 numbers in rings", with([](Grid& g) { g.rings.pop_back(); }));
    is_refused("grid: expected weights with a sum of 1", with([](Grid& g) { g.weights[0] += 0.1; }));
    is_refused("grid: expected orthogonal", with([](Grid& g) { g.rings[1] += 0.1; }));
    is_refused("grid: expected 1 or 2 cosets", with([](Grid& g) { g.cosets = 0; }));
    is_refused("grid: expected 1 to 2^20 gammas", with([](Grid& g) { g.gammas = 0; }));
    check(largest_difference(out, Vector(2000, -7.0)) == 0.0, "nothing is written by what is refused", isa);
}

void a_grid_averages_matrix_elements_exactly_up_to_its_degree() {
    for (int degree : {0, 1, 7, 20}) {
        const Grid grid = quadrature(degree, 1);
        const Vector elements = grid.elements();
        Vector D(static_cast<std::size_t>(grid.size() * matrix_count(degree)));
        wigner_D(elements.data(), grid.size(), degree, D.data());
        double worst = 0.0;
        for (Index l = 0; l <= degree; ++l) {
            const Index size = (2 * l + 1) * (2 * l + 1);
            for (Index k = 0; k < size; ++k) {
                double mean = 0.0;
                for (Index i = 0; i < grid.size(); ++i)
                    mean +=
                        grid.weights[i / grid.gammas] / grid.gammas * D[grid.size() * matrix_offset(l) + i * size + k];
                worst = std::fmax(worst, std::fabs(mean - (l == 0 ? 1.0 : 0.0)));
            }
        }
        check(worst < 1e-13, "the average of D is 1 for l = 0 and 0 above", isa, worst);
    }
}

// The power of sums of matrix elements is known: D^l_mn of O(3) has 1 / (2l + 1), in (l, +) if it is odd under inversion as (-1)^l.
template <class T>
void power_is_that_of_matrix_elements(Grid grid, bool structured, double bound) {
    if (!structured) {
        // one more turn about z for every ring: right as well, and no two rings share work
        for (Index i = 0; i < grid.points(); ++i) {
            const double c = std::cos(0.1 * i), s = std::sin(0.1 * i);
            for (int row = 0; row < 3; ++row) {
                double* r = grid.rings.data() + 9 * i + 3 * row;
                const double first = r[0], second = r[1];
                r[0] = c * first + s * second, r[1] = c * second - s * first;
            }
        }
    }
    const int lmax = 3;
    const Vector elements = grid.elements();
    Vector proper(elements);
    for (std::size_t i = proper.size() / grid.cosets; i < proper.size(); ++i) proper[i] = -proper[i];
    Vector D(static_cast<std::size_t>(grid.size() * matrix_count(lmax)));
    wigner_D(proper.data(), grid.size(), lmax, D.data());
    // channel l is 5 + D^l_00 of a proper irrep: times (-1)^l in the second coset
    std::vector<T> values;
    for (Index i = 0; i < grid.size(); ++i)
        for (Index l = 0; l <= lmax; ++l) {
            const Index size = (2 * l + 1) * (2 * l + 1);
            const double sign = i < grid.size() / grid.cosets || l % 2 == 0 ? 1.0 : -1.0;
            values.push_back(static_cast<T>(5.0 + sign * D[grid.size() * matrix_offset(l) + i * size + size / 2]));
        }
    for (int threads : {0, 1, 3}) {
        std::vector<T> power((lmax + 1) * grid.cosets * (lmax + 1), T(-1));
        character_power(values.data(), grid, lmax, lmax + 1, power.data(), threads);
        double worst = 0.0;
        for (Index l = 0; l <= lmax; ++l)
            for (int pseudo = 0; pseudo < grid.cosets; ++pseudo)
                for (Index channel = 0; channel <= lmax; ++channel) {
                    double expected = l == channel && !pseudo ? 1.0 / (2 * l + 1) : 0.0;
                    if (l == 0 && !pseudo) expected = channel == 0 ? 36.0 : 25.0;
                    worst = std::fmax(worst,
                                      std::fabs(power[(l * grid.cosets + pseudo) * (lmax + 1) + channel] - expected));
                }
        check(worst < bound, "power of matrix elements is 1 / (2l + 1)", isa, worst);
    }
}

void single_precision_is_double_rounded() {
    const Index n = 50;
    const Vector r = random_rotations(n, 3);
    const std::vector<float> rounded(r.begin(), r.end());
    const Vector wide(rounded.begin(), rounded.end());
    std::vector<float> D(static_cast<std::size_t>(n * matrix_count(6)));
    Vector expected(D.size());
    wigner_D(rounded.data(), n, 6, D.data(), 2);
    wigner_D(r.data(), n, 6, expected.data());
    check(largest_difference(Vector(D.begin(), D.end()), expected) < 1e-6, "D in float is D in double, rounded", isa);
    std::vector<float> Y(static_cast<std::size_t>(3 * n * harmonic_count(6)));
    Vector exact(Y.size());
    spherical_harmonics(rounded.data(), 3 * n, 6, Y.data());
    spherical_harmonics(wide.data(), 3 * n, 6, exact.data());
    check(largest_difference(Vector(Y.begin(), Y.end()), exact) < 1e-6, "Y in float is Y in double, rounded", isa);
}

void nothing_at_all_is_fine() {
    wigner_D(static_cast<double*>(nullptr), 0, 5, nullptr);
    spherical_harmonics(static_cast<float*>(nullptr), 0, 5, nullptr);
    character_power(static_cast<double*>(nullptr), quadrature(4), 2, 0, nullptr);
}

}  // namespace

int main() {
    wrong_arguments_are_refused_and_nothing_is_written();
    a_grid_averages_matrix_elements_exactly_up_to_its_degree();
    for (bool structured : {true, false})
        for (int cosets : {1, 2}) {
            power_is_that_of_matrix_elements<double>(quadrature(6, cosets), structured, 1e-12);
            power_is_that_of_matrix_elements<float>(quadrature(7, cosets), structured, 1e-4);
        }
    single_precision_is_double_rounded();
    nothing_at_all_is_fine();
    std::printf("%s, %d failures\n", isa, failures);
    return failures == 0 ? 0 : 1;
}
