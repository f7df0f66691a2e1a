#include "cpu/dispatch.hpp"

#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace equiscope {
namespace {

struct Candidate {
    const Kernels* kernels;
    bool supported;
};

std::vector<Candidate> candidates() {
    std::vector<Candidate> found{{&baseline_kernels, true}};
#if defined(EQUISCOPE_X86)
    __builtin_cpu_init();
#endif
#if defined(EQUISCOPE_WITH_AVX2)
    found.push_back({&avx2_kernels, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")});
#endif
#if defined(EQUISCOPE_WITH_AVX512)
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
    // a static of its own kind would have a guard, which a child of fork could find taken for ever
    static std::atomic<const Kernels*> chosen{nullptr};
    const Kernels* found = chosen.load();
    if (!found) chosen.store(found = &choose());
    return *found;
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
