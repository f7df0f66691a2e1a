// The CUDA kernels on the host: every body of csrc/cuda is run block by block and thread by thread, in ascending and in
// descending order, and compared with the CPU kernels.

#include <algorithm>

#include "checks.hpp"
#include "cpu/dispatch.hpp"
#include "cuda/block.hpp"
#include "cuda/evaluate.hpp"
#include "cuda/rotate.hpp"
#include "equiscope/tables.hpp"
#include "grid/tables.hpp"

using namespace equiscope;
using namespace equiscope::cuda;

namespace {

constexpr double tolerance = 1e-4;
constexpr Index limits[] = {227 << 10, 64 << 10,
                            6 << 10};  // of shared memory: the last one holds no tile of D at lmax 13

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

template <class T>
std::vector<T> narrowed(const Vector& values) {
    return std::vector<T>(values.begin(), values.end());
}

template <class T>
Vector widened(const std::vector<T>& values) {
    return Vector(values.begin(), values.end());
}

template <class T>
const KernelsOf<T>& cpu() {
    if constexpr (sizeof(T) == 4)
        return active_kernels().float32;
    else
        return active_kernels().float64;
}

template <class T>
double bound(int lmax) {
    return sizeof(T) == 4 ? 2e-7 : 64 * (lmax + 1) * 2.3e-16;
}

// run(backwards) fills a result; it must be the same in both orders of threads, and near `expected` relative to its size.
template <class T, class Run>
void compare(const std::vector<T>& expected, const std::string& what, double scale, const Run& run) {
    const std::vector<T> found = run(false), again = run(true);
    double size = 1.0;
    for (T value : expected) size = std::fmax(size, std::fabs(static_cast<double>(value)));
    const double difference = largest_difference(widened(found), widened(expected));
    check(difference <= scale * size, what + " agrees with the CPU", sizeof(T) == 4 ? "float32" : "float64",
          difference);
    check(found == again, what + " does not depend on the order of threads", sizeof(T) == 4 ? "float32" : "float64");
}

template <class Family, class T>
std::vector<T> evaluated(const DeviceTables& device, const std::vector<T>& in, Index n, std::size_t size, Index limit,
                         bool backwards) {
    std::vector<T> out(size, std::nanf(""));
    for_degrees<Family>(
        device.tables().lmax, limit,
        [&](const Tile<Family>& tile, auto staged) {
            return Evaluate<Family, T, decltype(staged)::value>{device.tables(), in.data(), n,
                                                                out.data(),      tolerance, tile};
        },
        [&](const auto& body) { run_on_host(body, body.blocks(), backwards); });
    return out;
}

template <class Family, class T>
std::vector<T> torque_of(const DeviceTables& device, const std::vector<T>& in, Index n, const std::vector<T>& grad,
                         Index limit, bool backwards) {
    std::vector<T> out(static_cast<std::size_t>(3 * n), std::nanf(""));
    for_degrees<Family>(
        device.tables().lmax, limit,
        [&](const Tile<Family>& tile, bool staged) {
            return Torque<Family, T>{device.tables(), device.halves(), in.data(), n,      grad.data(),
                                     out.data(),      tolerance,       tile,      staged, tile.first > 0};
        },
        [&](const auto& body) { run_on_host(body, body.blocks(), backwards); });
    return out;
}

template <class T>
void matrices_and_harmonics(int lmax, Index n) {
    const DeviceTables device(lmax);
    const auto tables = tables_for(lmax);
    const std::vector<T> r = narrowed<T>(random_rotations(n, 1)), xyz = narrowed<T>(random_values(3 * n, 2));
    std::vector<T> d(static_cast<std::size_t>(n * matrix_count(lmax))),
        y(static_cast<std::size_t>(n * harmonic_count(lmax)));
    std::vector<T> turn(static_cast<std::size_t>(3 * n)), swing(turn.size());
    const std::vector<T> by_d = narrowed<T>(random_values(static_cast<Index>(d.size()), 3));
    const std::vector<T> by_y = narrowed<T>(random_values(static_cast<Index>(y.size()), 4));
    cpu<T>().wigner_D(*tables, r.data(), n, d.data(), 1);
    cpu<T>().spherical_harmonics(*tables, xyz.data(), n, y.data(), 1);
    cpu<T>().wigner_D_torque(*tables, r.data(), n, by_d.data(), turn.data(), 1);
    cpu<T>().spherical_harmonics_torque(*tables, xyz.data(), n, by_y.data(), swing.data(), 1);
    for (Index limit : limits) {
        const std::string where =
            " (lmax " + std::to_string(lmax) + ", n " + std::to_string(n) + ", " + std::to_string(limit) + " bytes)";
        const double scale = bound<T>(lmax);
        compare(d, "D" + where, scale,
                [&](bool backwards) { return evaluated<WignerFamily>(device, r, n, d.size(), limit, backwards); });
        compare(y, "Y" + where, 4 * scale,
                [&](bool backwards) { return evaluated<HarmonicFamily>(device, xyz, n, y.size(), limit, backwards); });
        compare(turn, "torque of D" + where, 8 * scale,
                [&](bool backwards) { return torque_of<WignerFamily>(device, r, n, by_d, limit, backwards); });
        compare(swing, "torque of Y" + where, 8 * scale,
                [&](bool backwards) { return torque_of<HarmonicFamily>(device, xyz, n, by_y, limit, backwards); });
    }
}

// What is refused on the host gives NaN for its own entry, and for no other.
void bad_entries_are_nan() {
    const int lmax = 3;
    const Index n = 5, size = matrix_count(lmax);
    const DeviceTables device(lmax);
    Vector r = random_rotations(n, 5);
    r[9] *= 1.01;
    for (std::size_t i = 18; i < 27; ++i) r[i] = -r[i];
    r[27] = std::nan("");
    const Vector d = evaluated<WignerFamily>(device, r, n, static_cast<std::size_t>(n * size), limits[0], false);
    for (int l = 0; l <= lmax; ++l)
        for (Index entry = 0; entry < n; ++entry)
            for (Index i = 0; i < Index(2 * l + 1) * (2 * l + 1); ++i) {
                const double value =
                    d[static_cast<std::size_t>(n * matrix_offset(l) + entry * (2 * l + 1) * (2 * l + 1) + i)];
                check(std::isnan(value) == (entry >= 1 && entry <= 3), "D of a bad matrix is NaN", "float64", value);
            }
    const Vector xyz = {0, 0, 0, 1, 2, 3, std::nan(""), 0, 0, INFINITY, 1, 1, 0, std::nan(""), 1};
    const Vector y = evaluated<HarmonicFamily>(device, xyz, n, static_cast<std::size_t>(n * 16), limits[0], false);
    for (std::size_t i = 0; i < 16; ++i) {
        check(y[i] == (i == 0 ? y[16] : 0.0), "Y of no direction is Y_00", "float64", y[i]);
        check(std::isfinite(y[16 + i]), "Y of a direction is finite", "float64", y[16 + i]);
        for (std::size_t entry : {2, 3, 4})
            check(std::isnan(y[16 * entry + i]), "Y of a bad point is NaN", "float64", y[16 * entry + i]);
    }
}

template <class T>
void rotation(const std::vector<IrrepBlock>& blocks, Index batch, Index rows, bool shared, bool inverse) {
    Index dim = 0;
    int lmax = 0;
    std::vector<IrrepCopy> copies;
    for (const IrrepBlock& block : blocks) {
        for (Index c = 0; c < block.mul; ++c)
            copies.push_back({static_cast<int>(block.l), static_cast<int>(block.offset + c * block.stride_mul),
                              static_cast<int>(block.stride_m), block.odd ? 1 : 0});
        dim += block.mul * (2 * block.l + 1);
        lmax = std::max(lmax, static_cast<int>(block.l));
    }
    const DeviceTables device(lmax);
    Vector wide = random_rotations(batch, 6);
    for (Index i = 0; i < batch; i += 2)
        for (Index k = 0; k < 9; ++k) wide[static_cast<std::size_t>(9 * i + k)] *= -1.0;
    const std::vector<T> r = narrowed<T>(wide), x = narrowed<T>(random_values((shared ? 1 : batch) * rows * dim, 7));
    std::vector<T> expected(static_cast<std::size_t>(batch * rows * dim));
    cpu<T>().rotate(*tables_for(lmax), x.data(), shared, r.data(), batch, rows, dim, blocks.data(),
                    static_cast<Index>(blocks.size()), inverse, expected.data(), 1);
    for (Index limit : {limits[0], limits[1], Index(20) << 10}) {
        Rotate<T> body{device.tables(),
                       x.data(),
                       shared,
                       r.data(),
                       batch,
                       rows,
                       dim,
                       copies.data(),
                       static_cast<Index>(copies.size()),
                       inverse,
                       nullptr,
                       tolerance,
                       0,
                       0,
                       0,
                       0};
        if (!choose_tile(body, limit)) {
            check(limit < limits[1], "a tile of features fits", "rotate", static_cast<double>(limit));
            continue;
        }
        check(body.shared_bytes() <= limit, "a tile of features stays within its limit", "rotate");
        compare(expected, "rotation of " + std::to_string(batch) + " x " + std::to_string(rows) + " rows",
                4 * bound<T>(lmax), [&](bool backwards) {
                    std::vector<T> out(expected.size(), std::nanf(""));
                    body.out = out.data();
                    run_on_host(body, body.blocks(), backwards);
                    return out;
                });
    }
}

template <class T>
void rotations() {
    // "3x0o+2x1o+1x2e+1x4o", copies outermost; "5x1o+6x3e", components outermost
    const std::vector<IrrepBlock> outer = {
        {0, 3, 0, 1, 1, true}, {1, 2, 3, 3, 1, true}, {2, 1, 9, 5, 1, false}, {4, 1, 14, 9, 1, true}};
    const std::vector<IrrepBlock> inner = {{1, 5, 0, 1, 5, true}, {3, 6, 15, 1, 6, false}};
    for (const auto& blocks : {outer, inner})
        for (const auto& [batch, rows] : {std::pair<Index, Index>{0, 3}, {1, 1}, {70, 1}, {3, 7}, {2, 400}, {5, 0}})
            for (bool shared : {false, true})
                for (bool inverse : {false, true}) rotation<T>(blocks, batch, rows, shared, inverse);
}

}  // namespace

int main() {
    for (const auto& [lmax, n] : {std::pair<int, Index>{0, 3}, {1, 0}, {2, 1}, {4, 131}, {8, 33}, {13, 5}, {24, 2}}) {
        matrices_and_harmonics<float>(lmax, n);
        matrices_and_harmonics<double>(lmax, n);
    }
    bad_entries_are_nan();
    rotations<float>();
    rotations<double>();
    std::printf("CUDA kernels on the host, %d failures\n", failures);
    return failures == 0 ? 0 : 1;
}
