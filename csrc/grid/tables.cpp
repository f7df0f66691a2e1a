#include "grid/tables.hpp"

#include <vector>

#include "equiscope/tables.hpp"
#include "grid/cache.hpp"

namespace equiscope {
namespace {

struct OwnedTables : Tables {
    explicit OwnedTables(int highest)
        : wigner_steps(static_cast<std::size_t>(wigner_step_count(highest))),
          wigner_seeds(static_cast<std::size_t>(wigner_pair_count(highest))),
          harmonic_steps(static_cast<std::size_t>(harmonic_step_count(highest))),
          harmonic_seeds(static_cast<std::size_t>(highest + 1)) {
        fill_wigner_tables(highest, wigner_steps.data(), wigner_seeds.data());
        fill_harmonic_tables(highest, harmonic_steps.data(), harmonic_seeds.data());
        lmax = highest;
        wigner = {wigner_steps.data(), wigner_seeds.data()};
        harmonic = {harmonic_steps.data(), harmonic_seeds.data()};
    }

    std::vector<WignerStep> wigner_steps;
    std::vector<double> wigner_seeds;
    std::vector<HarmonicStep> harmonic_steps;
    std::vector<double> harmonic_seeds;
};

auto& cache = *new Cache<OwnedTables>(16);  // at lmax 128 one entry is 9 MB

}  // namespace

std::shared_ptr<const Tables> tables_for(int lmax) {
    return cache.find_or_make([=](const OwnedTables& held) { return held.lmax == lmax; },
                              [=] { return std::make_shared<const OwnedTables>(lmax); });
}

}  // namespace equiscope
