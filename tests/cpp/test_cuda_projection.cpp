// The fused projection kernel of the GPU, executed on the host thread by thread:
//   g++ -std=c++17 -O1 -g -fsanitize=address,undefined -Icsrc -Icsrc/include tests/cpp/test_cuda_projection.cpp
//       csrc/cuda/projection_plan.cpp csrc/grid/ring_plan.cpp -o test_cuda_projection

#include <algorithm>
#include <array>
#include <cstring>

#include "checks.hpp"
#include "cuda/block.hpp"
#include "cuda/projection.hpp"
#include "equiscope/tables.hpp"

using namespace equiscope;
using namespace equiscope::cuda;

namespace {

// As bfloat16: converts to float alone.
struct Narrow {
    std::uint16_t bits;
    explicit Narrow(double x) {
        const float single = static_cast<float>(x);
        std::uint32_t word;
        std::memcpy(&word, &single, 4);
        bits = static_cast<std::uint16_t>(word >> 16);
    }
    explicit operator float() const {
        const std::uint32_t word = std::uint32_t(bits) << 16;
        float single;
        std::memcpy(&single, &word, 4);
        return single;
    }
};

template <class In>
double number(const In& x) {
    return static_cast<double>(static_cast<std::conditional_t<std::is_arithmetic<In>::value, In, float>>(x));
}

struct Recursions {
    explicit Recursions(int lmax)
        : steps(static_cast<std::size_t>(wigner_step_count(lmax))),
          seeds(static_cast<std::size_t>(wigner_pair_count(lmax))) {
        fill_wigner_tables(lmax, steps.data(), seeds.data());
        tables = {lmax, {steps.data(), seeds.data()}, {nullptr, nullptr}};
    }
    std::vector<WignerStep> steps;
    std::vector<double> seeds;
    Tables tables;
};

Vector product(const Vector& a, const Vector& b) {
    Vector c(9);
    for (std::size_t i = 0; i < 3; ++i)
        for (std::size_t j = 0; j < 3; ++j)
            for (std::size_t k = 0; k < 3; ++k) c[3 * i + j] += a[3 * i + k] * b[3 * k + j];
    return c;
}

Vector about_z(double t) { return {std::cos(t), -std::sin(t), 0, std::sin(t), std::cos(t), 0, 0, 0, 1}; }
Vector about_y(double t) { return {std::cos(t), 0, std::sin(t), 0, 1, 0, -std::sin(t), 0, std::cos(t)}; }

// R = Rz(a) Ry(b) Rz(c) of points on the sphere.
Vector rings_at(const Vector& points, double c) {
    Vector rings;
    for (std::size_t i = 0; i < points.size(); i += 3) {
        const double x = points[i], y = points[i + 1], z = points[i + 2];
        const Vector ring =
            product(product(about_z(std::atan2(y, x)), about_y(std::atan2(std::hypot(x, y), z))), about_z(c));
        rings.insert(rings.end(), ring.begin(), ring.end());
    }
    return rings;
}

// The orbits of the Lebedev rules: all permutations and signs of (1,0,0), (1,1,1), (l,l,m), (p,q,0), and one general one.
Vector octahedral_points() {
    Vector points;
    for (Vector v :
         {Vector{0, 0, 1}, Vector{1, 1, 1}, Vector{0.3, 0.3, 0.9}, Vector{0, 0.5, 0.8}, Vector{0.2, 0.4, 0.7}}) {
        std::sort(v.begin(), v.end());
        const double norm = std::sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
        do {
            for (int signs = 0; signs < 8; ++signs) {
                bool repeated = false;
                for (int i = 0; i < 3; ++i)
                    repeated = repeated || (v[static_cast<std::size_t>(i)] == 0.0 && (signs >> i & 1));
                if (repeated) continue;
                for (int i = 0; i < 3; ++i)
                    points.push_back(v[static_cast<std::size_t>(i)] / norm * (signs >> i & 1 ? -1 : 1));
            }
        } while (std::next_permutation(v.begin(), v.end()));
    }
    return points;
}

struct Grid {
    const char* name;
    Vector rings, weights;
    Rings view(Index gammas) const {
        return {rings.data(), weights.data(), static_cast<Index>(weights.size()), gammas};
    }
};

std::vector<Grid> grids() {
    const Vector points = octahedral_points();
    std::vector<Grid> all = {{"octahedral", rings_at(points, 0.0), {}},
                             {"turned", rings_at(points, 0.7), {}},
                             {"random", random_rotations(9, 3), {}},
                             {"defective", rings_at(points, 0.0), {}}};
    // octants with absent rings, and some whose rings differ in c
    Vector& defective = all[3].rings;
    for (std::size_t p = 0; p < defective.size() / 9; p += 3) {
        const auto at = defective.begin() + static_cast<std::ptrdiff_t>(9 * p);
        const Vector turned = product(Vector(at, at + 9), about_z(0.4));
        std::copy(turned.begin(), turned.end(), at);
    }
    defective.erase(defective.begin() + 9 * 40, defective.begin() + 9 * 47);
    for (Grid& grid : all) {
        // all different: the kernel may not rely on equal weights in an octant
        grid.weights = random_values(static_cast<Index>(grid.rings.size() / 9), 4);
        double sum = 0;
        for (double& w : grid.weights) sum += w = 1.0 + 0.2 * w;
        for (double& w : grid.weights) w /= sum;
    }
    return all;
}

// c^l_mn of every channel by the sum over the grid.
Vector direct_sum(const Recursions& recursions, const Rings& rings, const double* values, Index channels) {
    const int lmax = recursions.tables.lmax;
    std::vector<Complex<double>> powers(static_cast<std::size_t>(2 * (lmax + 1)));
    Vector c(static_cast<std::size_t>(matrix_count(lmax) * channels));
    for (Index p = 0; p < rings.points; ++p)
        for (Index k = 0; k < rings.gammas; ++k) {
            const Vector ring(rings.rotations + 9 * p, rings.rotations + 9 * (p + 1));
            Vector r = product(ring, about_z(2 * pi * static_cast<double>(k) / static_cast<double>(rings.gammas)));
            orthonormalize(r.data());
            const double weight = rings.weights[p] / static_cast<double>(rings.gammas);
            const double* sample = values + (p * rings.gammas + k) * channels;
            wigner(r.data(), lmax, recursions.tables.wigner, powers.data(),
                   [&](Index l, Index row, Index column, double d) {
                       double* target = c.data() + (matrix_offset(l) + (row + l) * (2 * l + 1) + column + l) * channels;
                       for (Index f = 0; f < channels; ++f) target[f] += weight * d * sample[f];
                   });
        }
    return c;
}

// B from the coefficients of both cosets, or of one where `improper` is empty.
Vector power_of(int lmax, const Vector& proper, const Vector& improper, Index channels) {
    const Index sectors = improper.empty() ? 1 : 2;
    Vector power(static_cast<std::size_t>((lmax + 1) * sectors * channels));
    for (Index l = 0; l <= lmax; ++l)
        for (Index row = matrix_offset(l); row < matrix_offset(l + 1); ++row)
            for (Index s = 0; s < sectors; ++s)
                for (Index f = 0; f < channels; ++f) {
                    const std::size_t at = static_cast<std::size_t>(row * channels + f);
                    const double sign = (l + s) % 2 ? -1.0 : 1.0, scale = static_cast<double>(2 * l + 1);
                    const double c = improper.empty() ? proper[at] : proper[at] + sign * improper[at];
                    power[static_cast<std::size_t>((l * sectors + s) * channels + f)] +=
                        scale / (sectors == 2 ? 4 : 1) * c * c;
                }
    return power;
}

double largest(const Vector& a) {
    double most = 0;
    for (double x : a) most = std::max(most, std::fabs(x));
    return most;
}

template <class T>
Vector widened(const std::vector<T>& x) {
    return Vector(x.begin(), x.end());
}

// What the kernel leaves in `size` numbers, forwards and backwards.
template <class Body, class Compute>
std::vector<Compute> result_of(Body body, Compute* Body::* out, std::size_t size, Compute start,
                               const std::string& what) {
    std::vector<Compute> forwards(size, start), backwards(size, start);
    body.*out = forwards.data();
    run_on_host(body, body.blocks());
    body.*out = backwards.data();
    run_on_host(body, body.blocks(), true);
    check(std::memcmp(forwards.data(), backwards.data(), size * sizeof(Compute)) == 0, what + ": equal bits backwards",
          "");
    return forwards;
}

// Means over all samples of what is left of them without `center`, and of its square.
template <class In>
Vector moments_of(const Rings& rings, const std::vector<In>& values, int cosets, const double* center, Index channels) {
    Vector moments(static_cast<std::size_t>(2 * channels));
    const Index rows = rings.points * rings.gammas;
    for (Index i = 0; i < cosets * rows * channels; ++i) {
        const Index f = i % channels, point = i / channels % rows / rings.gammas;
        const double left = number(values[static_cast<std::size_t>(i)]) -
                            (center ? center[f] : number(values[static_cast<std::size_t>(f)]));
        const double weight = rings.weights[point] / static_cast<double>(rings.gammas * cosets);
        moments[static_cast<std::size_t>(f)] += weight * left;
        moments[static_cast<std::size_t>(channels + f)] += weight * left * left;
    }
    return moments;
}

template <class In, class Compute, int together, bool both>
void power_is_right(const Grid& grid, const ProjectionPlan& plan, const std::vector<In>& values, const double* center,
                    Index channels, const Vector& expected, const std::string& what) {
    Project<In, Compute, together, both> body{};
    body.shape = plan.shape;
    body.tables = projection_tables<Compute>(plan.shape, plan.data.data());
    body.values = values.data();
    body.channels = channels;
    body.center = center;
    body.last_octant = plan.shape.octants;
    const std::size_t size = expected.size(), parts = static_cast<std::size_t>(body.chunks());
    if (sizeof(Compute) == 8) {
        const Vector wanted = moments_of(grid.view(plan.shape.gammas), values, both ? 2 : 1, center, channels);
        Vector power(parts * size);
        decltype(body) own = body;
        own.power = reinterpret_cast<Compute*>(power.data());
        const Vector moments = result_of(own, &decltype(body)::moments, wanted.size(), double(NAN), what + ", moments");
        const double error = largest_difference(moments, wanted) / largest(wanted);
        check(error < 1e-13, what + ": moments", grid.name, error);
    }
    const std::vector<Compute> found = result_of(body, &decltype(body)::power, parts * size, Compute(NAN), what);
    Vector sum(size);
    for (std::size_t part = 0; part < parts; ++part)
        for (std::size_t i = 0; i < size; ++i) sum[i] += static_cast<double>(found[part * size + i]);
    const double error = largest_difference(sum, expected) / largest(expected);
    check(error < (sizeof(Compute) == 8 ? 1e-13 : 1e-5), what + ": power", grid.name, error);
}

template <class In, class Compute, int together>
void coefficients_are_right(const Grid& grid, const Recursions& recursions, const ProjectionPlan& plan,
                            const std::vector<In>& values, const Vector& center, Index channels,
                            const std::string& what) {
    const Rings rings = grid.view(plan.shape.gammas);
    Vector centred;
    for (std::size_t i = 0; i < values.size() / 2; ++i)
        centred.push_back(number(values[i]) - (center.empty() ? 0.0 : center[i % static_cast<std::size_t>(channels)]));
    Vector expected = direct_sum(recursions, rings, centred.data(), channels);
    const double most = largest(expected);
    for (double& x : expected) x += 1.0;
    Project<In, Compute, together, false> body{};
    body.shape = plan.shape;
    body.tables = projection_tables<Compute>(plan.shape, plan.data.data());
    body.values = values.data();
    body.channels = channels;
    body.center = center.empty() ? nullptr : center.data();
    for (int pieces : {1, 3}) {
        std::vector<Compute> start(expected.size(), Compute(1));
        for (int piece = 0; piece < pieces; ++piece) {
            body.first_octant = plan.shape.octants * piece / pieces;
            body.last_octant = plan.shape.octants * (piece + 1) / pieces;
            if (body.first_octant == body.last_octant) continue;
            const std::vector<Compute> more =
                result_of(body, &decltype(body)::coefficients, start.size(), Compute(0), what);
            for (std::size_t i = 0; i < start.size(); ++i) start[i] += more[i];
        }
        const double error = largest_difference(widened(start), expected) / (1 + most);
        check(error < (sizeof(Compute) == 8 ? 1e-13 : 1e-5), what + ": coefficients", grid.name, error);
    }
}

// In kernels for every number of n together, or for one of them alone.
template <class In, class Compute, bool every = true>
void projection(const Grid& grid, int lmax, Index gammas, Index channels) {
    const Rings rings = grid.view(gammas);
    const Recursions recursions(lmax);
    const ProjectionPlan plan = projection_plan<Compute>(rings, recursions.tables);
    const Index size = rings.points * gammas * channels;
    // a large constant, of which nothing may be left elsewhere
    const double constant = std::is_same<In, Narrow>::value ? 4.0 : 1000.0;
    std::vector<In> values;
    for (double x : random_values(2 * size, 7)) values.push_back(static_cast<In>(x + constant));
    Vector wide, center = random_values(channels, 8);
    for (const In& x : values) wide.push_back(number(x));
    for (double& x : center) x += constant;
    const std::string what = "lmax " + std::to_string(lmax) + ", K " + std::to_string(gammas) + ", " +
                             std::to_string(channels) + " channels, " + std::to_string(sizeof(In)) + " -> " +
                             std::to_string(sizeof(Compute)) + " bytes";
    const auto all = [&](const double* own_center, bool both) {
        // as the kernel: the constant that is taken away is given back to l = 0
        Vector centred(wide), taken;
        for (Index f = 0; f < channels; ++f)
            taken.push_back(static_cast<double>(own_center ? static_cast<Compute>(own_center[f])
                                                           : static_cast<Compute>(wide[static_cast<std::size_t>(f)])));
        for (std::size_t i = 0; i < wide.size(); ++i) centred[i] -= taken[i % static_cast<std::size_t>(channels)];
        Vector c[2];
        for (Index coset = 0; coset < (both ? 2 : 1); ++coset) {
            c[coset] = direct_sum(recursions, rings, centred.data() + coset * size, channels);
            for (Index f = 0; f < channels; ++f)
                c[coset][static_cast<std::size_t>(f)] += taken[static_cast<std::size_t>(f)];
        }
        return power_of(lmax, c[0], c[1], channels);
    };
    for (const double* own : {static_cast<const double*>(nullptr), static_cast<const double*>(center.data())}) {
        const Vector two = all(own, true), one = all(own, false);
        power_is_right<In, Compute, 9, true>(grid, plan, values, own, channels, two, what + ", 9 together");
        power_is_right<In, Compute, 9, false>(grid, plan, values, own, channels, one, what + ", one coset");
        if constexpr (every) {
            power_is_right<In, Compute, 6, true>(grid, plan, values, own, channels, two, what + ", 6 together");
            power_is_right<In, Compute, 3, true>(grid, plan, values, own, channels, two, what + ", 3 together");
            power_is_right<In, Compute, 1, true>(grid, plan, values, own, channels, two, what + ", 1 together");
            power_is_right<In, Compute, 1, false>(grid, plan, values, own, channels, one, what + ", one coset, 1");
        }
    }
    for (const Vector& own : {Vector(), center}) {
        if (own.empty() && sizeof(Compute) == 4) continue;  // 1000 in float32
        coefficients_are_right<In, Compute, 9>(grid, recursions, plan, values, own, channels, what);
        if constexpr (every) {
            coefficients_are_right<In, Compute, 3>(grid, recursions, plan, values, own, channels, what);
            coefficients_are_right<In, Compute, 1>(grid, recursions, plan, values, own, channels, what);
        }
    }
}

void what_fits_is_chosen() {
    check(choose_together(8, 19, 1000, 227 * 1024, 132) == 9, "all n at once at lmax 8", "choice");
    check(choose_together(2, 5, 1000, 227 * 1024, 132) == 3, "no more than there are", "choice");
    check(choose_together(8, 19, 2, 227 * 1024, 132) == 1, "few channels: more blocks", "choice");
    check(choose_together(16, 64, 1000, 227 * 1024, 132) == 6, "lmax 16", "choice");
    check(choose_together(16, 64, 1000, 99 * 1024, 132) == 1, "lmax 16 in 99 KiB", "choice");
    check(choose_together(8, 4000, 1000, 227 * 1024, 132) == 0, "what does not fit is refused", "choice");
}

}  // namespace

int main() {
    what_fits_is_chosen();
    for (const Grid& grid : grids()) {
        for (const auto& [lmax, gammas, channels] :
             {std::array<int, 3>{0, 1, 1}, {1, 2, 7}, {3, 5, 16}, {8, 9, 7}, {10, 6, 5}, {5, 4, 37}}) {
            projection<double, double>(grid, lmax, gammas, channels);
            // kernels that differ from one of these in the conversion of a sample alone
            projection<float, double, false>(grid, lmax, gammas, channels);
            projection<float, float, false>(grid, lmax, gammas, channels);
            projection<Narrow, float>(grid, lmax, gammas, channels);
        }
    }
    projection<double, double>(grids()[3], 20, 3, 2);  // three blocks of degrees
    std::printf("CUDA projection on the host, %d failures\n", failures);
    return failures == 0 ? 0 : 1;
}
