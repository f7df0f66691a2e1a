#include <cstdlib>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>

#include "equiscope/tables.hpp"
#include "cpu/tables.hpp"

namespace equiscope {

Tables::Tables(int lmax)
    : wigner_steps(static_cast<std::size_t>(wigner_step_count(lmax))),
      wigner_seeds(static_cast<std::size_t>(wigner_pair_count(lmax))),
      harmonic_steps(static_cast<std::size_t>(harmonic_step_count(lmax))),
      harmonic_seeds(static_cast<std::size_t>(lmax + 1)) {
    fill_wigner_tables(lmax, wigner_steps.data(), wigner_seeds.data());
    fill_harmonic_tables(lmax, harmonic_steps.data(), harmonic_seeds.data());
}

std::shared_ptr<const Tables> tables_for(int lmax) {
    constexpr std::size_t kept = 16;  // at lmax 128 one entry is 9 MB
    static std::mutex mutex;
    static std::map<int, std::shared_ptr<const Tables>> cache;
    std::lock_guard<std::mutex> lock(mutex);
    auto& entry = cache[lmax];
    if (!entry) entry = std::make_shared<const Tables>(lmax);
    const auto found = entry;
    if (cache.size() > kept) cache.erase(cache.begin()->first == lmax ? std::prev(cache.end()) : cache.begin());
    return found;
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
                                          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw")});
#endif
    return found;
}

const Kernels& choose() {
    const char* asked = std::getenv("EQUISCOPE_ISA");
    const Kernels* best = nullptr;
    std::string usable;
    for (const Candidate& candidate : candidates()) {
        if (!candidate.supported) continue;
        best = candidate.kernels;
        usable += (usable.empty() ? "" : ", ") + std::string(best->isa);
        if (asked && std::string(asked) == best->isa) return *best;
    }
    if (asked && *asked)
        throw std::invalid_argument("EQUISCOPE_ISA: expected one of " + usable + ", got '" + asked + "'");
    return *best;
}

}  // namespace

const Kernels& active_kernels() {
    static const Kernels& chosen = choose();
    return chosen;
}

std::vector<const char*> compiled_isas() {
    std::vector<const char*> names;
    for (const Candidate& candidate : candidates()) names.push_back(candidate.kernels->isa);
    return names;
}

}  // namespace equiscope
