// Wavefronts in shared memory (warps.hpp) of one block of a kernel: wavefronts KERNEL [NUMBERS] prints, for each phase,
// those of loads and of stores, the least there can be, and the steps of the slowest warp, after the number of entries of
// the block.
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>

#include "cuda/evaluate.hpp"
#include "cuda/projection.hpp"
#include "cuda/rotate.hpp"
#include "equiscope/tables.hpp"
#include "warps.hpp"

using namespace equiscope;
using namespace equiscope::cuda;

namespace {

using Vector = std::vector<double>;

constexpr Index shared_limit = Index(227) << 10;  // of capability 9.0

template <class Body>
void print(const Body& body, Index entries) {
    std::cout << entries << "\n";
    for (const warps::Wavefronts& phase : warps::count(body))
        std::cout << phase.loads << " " << phase.stores << " " << phase.least << " " << phase.steps << "\n";
}

// Thread i reads `bytes` at i `stride` bytes, as often as `times` or, one way of two, half of that; then writes there.
struct Strided {
    static constexpr int threads = 64, phases = 1;
    struct State {};
    struct Wide {
        double value[2];
    };

    int bytes, stride, times;

    Index shared_bytes() const { return threads * stride + 16; }
    Index rounds(Index) const { return 1; }

    template <int>
    void run(Index, int thread, Index, State&, void* shared) const {
        auto* own = static_cast<unsigned char*>(shared) + thread * stride;
        for (int outer = 0; outer < 2; ++outer) {
            const int turns = (thread + outer) % 2 ? times : times / 2;
            for (int i = 0; i < turns; ++i) {
                if (bytes == 4)
                    read<float>(own);
                else
                    read<double>(own);
            }
            if (bytes == 4)
                *reinterpret_cast<volatile float*>(own) = 1.0f;
            else
                *reinterpret_cast<volatile double*>(own) = 1.0;
        }
    }

    template <class T>
    static void read(const unsigned char* from) {
        (void)*reinterpret_cast<const volatile T*>(from);
    }
};

class DeviceTables {
  public:
    explicit DeviceTables(int lmax) : data_(static_cast<std::size_t>(flat_tables(nullptr, lmax).size)), lmax_(lmax) {
        fill_flat_tables(lmax, data_.data());
    }
    Tables tables() const {
        const FlatTables flat = flat_tables(data_.data(), lmax_);
        return {lmax_, flat.wigner, flat.harmonic};
    }
    const double* halves() const { return flat_tables(data_.data(), lmax_).halves; }

  private:
    Vector data_;
    int lmax_;
};

// Rz(a) Ry(b)
void append_rotation(double cos_a, double sin_a, double cos_b, double sin_b, Vector& r) {
    for (double entry : {cos_a * cos_b, -sin_a, cos_a * sin_b, sin_a * cos_b, cos_a, sin_a * sin_b, -sin_b, 0.0, cos_b})
        r.push_back(entry);
}

std::vector<float> rotations(Index n) {
    Vector r;
    for (Index i = 0; i < n; ++i) {
        const double a = 0.1 + 0.7 * static_cast<double>(i),
                     b = 0.05 + 3.0 * static_cast<double>(i) / static_cast<double>(n);
        append_rotation(std::cos(a), std::sin(a), std::cos(b), std::sin(b), r);
    }
    return {r.begin(), r.end()};
}

template <class Family>
void evaluate(int lmax) {
    const DeviceTables device(lmax);
    const Index n = 64;
    const std::vector<float> in = rotations(n);
    std::vector<float> out(static_cast<std::size_t>(n * matrix_count(lmax)));
    for_degrees<Family>(
        lmax, shared_limit,
        [&](const Tile<Family>& tile, auto staged) {
            return Evaluate<Family, float, decltype(staged)::value>{device.tables(), in.data(), n,
                                                                    out.data(),      1e-4,      tile};
        },
        [&](const auto& body) { print(body, body.tile.entries); });
}

template <class Family>
void torque(int lmax) {
    const DeviceTables device(lmax);
    const Index n = 64;
    const std::vector<float> in = rotations(n), grad(static_cast<std::size_t>(n * matrix_count(lmax)), 1.0f);
    std::vector<float> out(static_cast<std::size_t>(3 * n));
    for_degrees<Family>(
        lmax, shared_limit,
        [&](const Tile<Family>& tile, bool staged) {
            return Torque<Family, float>{
                device.tables(), device.halves(), in.data(), n, grad.data(), out.data(), 1e-4, tile, staged, false};
        },
        [&](const auto& body) { print(body, body.tile.entries); });
}

// `mul` copies of every l, one row for each rotation.
void rotate(int lmax, int mul) {
    const DeviceTables device(lmax);
    std::vector<IrrepCopy> copies;
    int dim = 0;
    for (int l = 0; l <= lmax; ++l)
        for (int i = 0; i < mul; ++i, dim += 2 * l + 1) copies.push_back({l, dim, 1, l % 2});
    const Index batch = 64;
    const std::vector<float> r = rotations(batch), x(static_cast<std::size_t>(batch * dim), 1.0f);
    std::vector<float> out(x.size());
    Rotate<float> body{
        device.tables(), x.data(),   false, r.data(), batch, 1, dim, copies.data(), static_cast<Index>(copies.size()),
        false,           out.data(), 1e-4,  0,        0,     0, 0};
    if (!choose_tile(body, shared_limit)) std::exit(3);
    print(body, body.tile);
}

// Both cosets of 112 rings in 14 octants: about as many as the grid of degree 16 has.
void character_power(int lmax) {
    const DeviceTables device(lmax);
    const Index gammas = 2 * lmax + 1;
    Vector r;
    for (int octant = 0; octant < 14; ++octant)
        for (int image = 0; image < 8; ++image) {
            const double a = 0.1 + 0.1 * octant, b = 0.2 + 0.3 * (octant % 5);
            append_rotation((image & 1 ? -1 : 1) * std::cos(a), (image & 2 ? -1 : 1) * std::sin(a),
                            (image & 4 ? -1 : 1) * std::cos(b), std::sin(b), r);
        }
    const Index points = static_cast<Index>(r.size()) / 9;
    const Vector weights(static_cast<std::size_t>(points), 1.0 / static_cast<double>(points));
    const ProjectionPlan plan = projection_plan<float>({r.data(), weights.data(), points, gammas}, device.tables());
    constexpr int width = row_bytes / 4, together = 9;
    const std::vector<float> values(static_cast<std::size_t>(2 * points * gammas * width), 1.0f);
    std::vector<float> power(static_cast<std::size_t>((lmax + 1) * 2 * width));
    Project<float, float, together, true> body{};
    body.shape = plan.shape, body.tables = projection_tables<float>(plan.shape, plan.data.data());
    body.values = values.data(), body.channels = width, body.power = power.data();
    body.last_octant = plan.shape.octants;
    print(body, width);
}

}  // namespace

int main(int argc, char** argv) {
    const std::string kernel = argc > 1 ? argv[1] : "";
    const auto number = [=](int i) { return i + 2 < argc ? std::atoi(argv[i + 2]) : 0; };
    if (kernel == "strided")
        print(Strided{number(0), number(1), number(2)}, 1);
    else if (kernel == "wigner_D")
        evaluate<WignerFamily>(number(0));
    else if (kernel == "wigner_D_torque")
        torque<WignerFamily>(number(0));
    else if (kernel == "spherical_harmonics")
        evaluate<HarmonicFamily>(number(0));
    else if (kernel == "rotate")
        rotate(number(0), number(1));
    else if (kernel == "character_power")
        character_power(number(0));
    else
        return 2;
}
