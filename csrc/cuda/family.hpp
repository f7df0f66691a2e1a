// The two families of functions that the kernels evaluate on a tile of entries (rotations or points), one recursion per
// item: pairs (mp, m) of matrix elements, orders m of harmonics. Entries lie side by side in neighbouring threads, so that
// a warp takes one branch and reads one coefficient.
#pragma once

#include <cmath>

#include "equiscope/generators.hpp"
#include "equiscope/rotation.hpp"
#include "grid/tables.hpp"

namespace equiscope {
namespace cuda {

EQUISCOPE_HOST_DEVICE constexpr double not_a_number() { return NAN; }

// Largest k with k^2 <= index.
EQUISCOPE_HOST_DEVICE inline int square_root(int index) {
    int k = static_cast<int>(std::sqrt(static_cast<float>(index)));
    while (k * k > index) --k;
    while ((k + 1) * (k + 1) <= index) ++k;
    return k;
}

// Largest k with k (k + 1) / 2 <= index.
EQUISCOPE_HOST_DEVICE inline int triangular_root(int index) {
    int k = static_cast<int>((std::sqrt(8.0f * static_cast<float>(index) + 1.0f) - 1.0f) * 0.5f);
    while (k * (k + 1) / 2 > index) --k;
    while ((k + 1) * (k + 2) / 2 <= index) ++k;
    return k;
}

// A recursion of one entry of a tile: a pair (mp, m) of matrix elements, or an order m of harmonics.
struct Item {
    int mp, m, entry;
};

struct WignerFamily {
    static constexpr int inputs = 9;
    static constexpr bool run_per_degree = true;  // out holds for l: for entry: values

    EQUISCOPE_HOST_DEVICE static int offset(int l) { return matrix_offset(l); }
    EQUISCOPE_HOST_DEVICE static int rows(int l) { return 2 * l + 1; }
    EQUISCOPE_HOST_DEVICE static int rows_before(int l) { return l * l; }
    EQUISCOPE_HOST_DEVICE static int degree_of_row(int row) { return square_root(row); }

    // The items of a tile, for neighbouring threads. Three kinds of pairs, m between 0 and mp, m = mp > 0 and m = 0, each
    // begin at a whole warp, so that no warp takes two ways; an item of no entry fills the gap.
    EQUISCOPE_HOST_DEVICE static int items(int last, int entries) { return axis(last, entries) + (last + 1) * entries; }
    EQUISCOPE_HOST_DEVICE static Item item(int i, int last, int entries) {
        const int along = diagonal(last, entries), beside = axis(last, entries);
        const int own = i < along    ? i
                        : i < beside ? i - along
                                     : i - beside,
                  which = own / entries, entry = own % entries;
        if (i >= beside) return {which, 0, entry};
        if (i >= along) return {which + 1, which + 1, which < last ? entry : entries};
        const int k = triangular_root(which);
        return {k + 2, which - k * (k + 1) / 2 + 1, which < last * (last - 1) / 2 ? entry : entries};
    }
    // factors, sign of the determinant, U^k, V^k, padding to twice an odd number: what follows is aligned to 16 bytes, and
    // neighbouring entries lie in different banks
    EQUISCOPE_HOST_DEVICE static int scratch(int lmax) { return 14 + 4 * (lmax + 1); }

    // A matrix that is not orthogonal to `tolerance` has NaN for its values: nothing waits to throw an error. Of an
    // improper one -R is taken where `proper` does not forbid it.
    template <class T>
    EQUISCOPE_HOST_DEVICE static void prepare(const T* in, int lmax, double tolerance, bool proper, double* scratch) {
        double r[9];
        for (int i = 0; i < 9; ++i) r[i] = static_cast<double>(in[i]);
        const double det = determinant(r);
        const bool good = deviation_from_orthogonal(r) <= tolerance && (det > 0.0 || !proper);
        const double sign = det < 0.0 ? -1.0 : 1.0;
        for (int i = 0; i < 9; ++i) r[i] = good ? r[i] * sign : not_a_number();
        orthonormalize(r);
        auto* factors = reinterpret_cast<WignerFactors<double>*>(scratch);
        *factors = wigner_factors(r);
        scratch[10] = sign;
        auto* up = reinterpret_cast<Complex<double>*>(scratch + 12);
        wigner_powers(*factors, lmax, up, up + lmax + 1);
    }

    // The elements of one pair, l <= last, each to its Position out.degree(l).
    template <class Out>
    EQUISCOPE_HOST_DEVICE static void fill(const Tables& tables, const Item& item, int last, const double* scratch,
                                           Out&& out) {
        const int mp = item.mp, m = item.m, lmax = tables.lmax;
        const auto* up = reinterpret_cast<const Complex<double>*>(scratch + 12);
        // a copy: what lies beside the results would be read again after each of them
        const auto factors = *reinterpret_cast<const WignerFactors<double>*>(scratch);
        wigner_pair(mp, m, last, factors, up, up + lmax + 1, tables.wigner.steps + wigner_step_offset(lmax, mp, m),
                    tables.wigner.seeds[mp * (mp + 1) / 2 + m], out);
    }

  private:
    // where the second and the third kind begin
    EQUISCOPE_HOST_DEVICE static int diagonal(int last, int entries) {
        return whole_warps(last * (last - 1) / 2 * entries);
    }
    EQUISCOPE_HOST_DEVICE static int axis(int last, int entries) {
        return diagonal(last, entries) + whole_warps(last * entries);
    }
    EQUISCOPE_HOST_DEVICE static int whole_warps(int count) { return (count + 31) / 32 * 32; }
};

struct HarmonicFamily {
    static constexpr int inputs = 3;
    static constexpr bool run_per_degree = false;  // out holds for entry: for l: values

    EQUISCOPE_HOST_DEVICE static int offset(int l) { return l * l; }
    EQUISCOPE_HOST_DEVICE static int rows(int) { return 1; }
    EQUISCOPE_HOST_DEVICE static int rows_before(int l) { return l; }
    EQUISCOPE_HOST_DEVICE static int degree_of_row(int row) { return row; }
    EQUISCOPE_HOST_DEVICE static int items(int last, int entries) { return (last + 1) * entries; }
    EQUISCOPE_HOST_DEVICE static Item item(int i, int, int entries) { return {0, i / entries, i % entries}; }
    // z, whether there is a direction, (x + i y)^m, padding as above
    EQUISCOPE_HOST_DEVICE static int scratch(int lmax) { return 2 * ((lmax + 2) | 1); }

    // A point with an entry that is not finite has NaN for its values.
    template <class T>
    EQUISCOPE_HOST_DEVICE static void prepare(const T* in, int lmax, double, bool, double* scratch) {
        double v[3] = {static_cast<double>(in[0]), static_cast<double>(in[1]), static_cast<double>(in[2])};
        const double poison = 0.0 * v[0] + 0.0 * v[1] + 0.0 * v[2];  // NaN unless all are finite
        double largest = 0.0;
        for (double x : v) largest = std::fabs(x) > largest ? std::fabs(x) : largest;
        const bool present = largest > 0.0;
        // scaled by the largest entry, so that squares neither overflow nor vanish
        for (double& x : v) x = present ? x / largest : 0.0;
        const double length = present ? std::sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]) : 1.0;
        for (double& x : v) x = x / length + poison;
        scratch[0] = v[2];
        scratch[1] = present ? 1.0 : 0.0;
        auto* powers = reinterpret_cast<Complex<double>*>(scratch + 2);
        powers[0] = {1.0, 0.0};
        for (int m = 1; m <= lmax; ++m) powers[m] = powers[m - 1] * Complex<double>{v[0], v[1]};
    }

    // The values of one order, l <= last. Without a direction only l = 0 has an equivariant value.
    template <class Out>
    EQUISCOPE_HOST_DEVICE static void fill(const Tables& tables, const Item& item, int last, const double* scratch,
                                           Out&& out) {
        const int m = item.m;
        // copies: what lies beside the results would be read again after each of them
        const Complex<double> power = reinterpret_cast<const Complex<double>*>(scratch + 2)[m];
        const double z = scratch[0], present = scratch[1], seed = tables.harmonic.seeds[m];
        harmonic_order(m, last, z, power.re * present, power.im * present,
                       tables.harmonic.steps + harmonic_step_offset(tables.lmax, m), seed, out);
        if (m == 0) out.degree(0)(0, z * 0.0 + seed);
    }
};

}  // namespace cuda
}  // namespace equiscope
