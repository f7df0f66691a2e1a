#include <unistd.h>

#include <cstdlib>
#include <list>
#include <mutex>
#include <stdexcept>
#include <string>

#include "cpu/tables.hpp"
#include "equiscope/tables.hpp"

namespace equiscope {
namespace {

// A quarter of the last cache: what is written next, or by other threads, needs room too. Of a large cache that many
// cores share, no more than a core can count on.
Index cached_bytes() {
    Index last = Index(32) << 20;
#if defined(_SC_LEVEL3_CACHE_SIZE)
    const long found = sysconf(_SC_LEVEL3_CACHE_SIZE);
    if (found > 0 && found < last) last = found;
#endif
    return last / 4;
}

struct OwnedTables {
    explicit OwnedTables(int lmax)
        : wigner_steps(static_cast<std::size_t>(wigner_step_count(lmax))),
          wigner_seeds(static_cast<std::size_t>(wigner_pair_count(lmax))),
          harmonic_steps(static_cast<std::size_t>(harmonic_step_count(lmax))),
          harmonic_seeds(static_cast<std::size_t>(lmax + 1)) {
        fill_wigner_tables(lmax, wigner_steps.data(), wigner_seeds.data());
        fill_harmonic_tables(lmax, harmonic_steps.data(), harmonic_seeds.data());
        view = {lmax,
                {wigner_steps.data(), wigner_seeds.data()},
                {harmonic_steps.data(), harmonic_seeds.data()},
                cached_bytes()};
    }

    std::vector<WignerStep> wigner_steps;
    std::vector<double> wigner_seeds;
    std::vector<HarmonicStep> harmonic_steps;
    std::vector<double> harmonic_seeds;
    Tables view;
};

}  // namespace

std::shared_ptr<const Tables> tables_for(int lmax) {
    constexpr std::size_t kept = 16;  // at lmax 128 one entry is 9 MB
    static std::mutex mutex;
    static std::list<std::shared_ptr<const OwnedTables>> cache;  // latest first
    std::lock_guard<std::mutex> lock(mutex);
    auto found = cache.begin();
    while (found != cache.end() && (*found)->view.lmax != lmax) ++found;
    if (found == cache.end()) {
        cache.push_front(std::make_shared<const OwnedTables>(lmax));
        if (cache.size() > kept) cache.pop_back();
    } else {
        cache.splice(cache.begin(), cache, found);
    }
    return {cache.front(), &cache.front()->view};
}

namespace {

struct Candidate {
    const Kernels* kernels;
    bool supported;
};

std::vector<Candidate> candidates() {
    std::vector<Candidate> found{{&baseline_kernels, true}};
#if defined(EQUISCOPE_X86)
    __builtin_cpu_init();
    found.push_back({&avx2_kernels, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")});
    found.push_back({&avx512_kernels, __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                                          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
                                          __builtin_cpu_supports("fma")});
#endif
    return found;
}

const Kernels& choose() {
    const char* asked = std::getenv("EQUISCOPE_ISA");
    std::string names;
    for (const Kernels* kernels : usable_kernels()) {
        names += (names.empty() ? "" : ", ") + std::string(kernels->isa);
        if (asked && std::string(asked) == kernels->isa) return *kernels;
    }
    if (asked && *asked)
        throw std::invalid_argument("EQUISCOPE_ISA: expected one of " + names + ", got '" + asked + "'");
    return *usable_kernels().back();
}

}  // namespace

const Kernels& active_kernels() {
    static const Kernels& chosen = choose();
    return chosen;
}

std::vector<const Kernels*> usable_kernels() {
    std::vector<const Kernels*> usable;
    for (const Candidate& candidate : candidates())
        if (candidate.supported) usable.push_back(candidate.kernels);
    return usable;
}

std::vector<const char*> compiled_isas() {
    std::vector<const char*> names;
    for (const Candidate& candidate : candidates()) names.push_back(candidate.kernels->isa);
    return names;
}

}  // namespace equiscope
