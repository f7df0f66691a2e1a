// What the C++ tests share.
#pragma once

#include <cmath>
#include <cstdio>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "equiscope/index.hpp"

namespace equiscope {
namespace {

int failures = 0;

void check(bool claim, const std::string& what, const char* isa, double found = 0.0) {
    if (claim) return;
    ++failures;
    std::printf("FAILED [%s] %s (%g)\n", isa, what.c_str(), found);
}

using Vector = std::vector<double>;

[[maybe_unused]] Vector random_rotations(Index n, unsigned seed) {
    std::mt19937_64 generator(seed);
    std::normal_distribution<double> normal;
    Vector r;
    for (Index i = 0; i < n; ++i) {
        double w = normal(generator), x = normal(generator), y = normal(generator), z = normal(generator);
        const double norm = std::sqrt(w * w + x * x + y * y + z * z);
        w /= norm, x /= norm, y /= norm, z /= norm;
        for (double entry : {1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y), 2 * (x * y + w * z),
                             1 - 2 * (x * x + z * z), 2 * (y * z - w * x), 2 * (x * z - w * y), 2 * (y * z + w * x),
                             1 - 2 * (x * x + y * y)})
            r.push_back(entry);
    }
    return r;
}

[[maybe_unused]] Vector random_values(Index n, unsigned seed) {
    std::mt19937_64 generator(seed);
    std::normal_distribution<double> normal;
    Vector values(static_cast<std::size_t>(n));
    for (double& value : values) value = normal(generator);
    return values;
}

[[maybe_unused]] double largest_difference(const Vector& a, const Vector& b) {
    double worst = a.size() == b.size() ? 0.0 : std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < a.size() && i < b.size(); ++i) {
        if (!(std::fabs(a[i] - b[i]) <= worst)) worst = std::fabs(a[i] - b[i]);
    }
    return worst;
}

}  // namespace
}  // namespace equiscope
