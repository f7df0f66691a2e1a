// Wavefronts in shared memory, counted on the host. A body (csrc/cuda/block.hpp) is compiled with -fsanitize=thread and
// -fsanitize-coverage=trace-pc, whose calls on every access and every basic block are answered here (warps.cpp): what each
// thread of a block touches is noted, and the accesses of 32 neighbouring threads are lined up as a warp makes them, which
// waits at the end of a loop or branch for those that took another way.
//
// A wavefront serves 32 banks of 4 bytes, one word each: an access of a warp takes as many as there are distinct words in
// its fullest bank. The host loads and stores at most 8 bytes at a time where the device may take 16, and its compiler keeps
// other values in registers: counts are those of a model, good for comparing one layout with another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "equiscope/index.hpp"

namespace equiscope {
namespace warps {

constexpr int lanes = 32;

struct Wavefronts {
    std::int64_t loads, stores;
    std::int64_t least;  // if no two words met in a bank
    std::int64_t steps;  // basic blocks of the host's code that the slowest warp goes through, one way after the other
};

// All that was noted since the last call belongs to this thread.
void start_thread(int thread);
void pause();

// Forgets everything; accesses in [memory, memory + bytes) are noted from now on.
void start_phase(const void* memory, std::size_t bytes, int threads);
Wavefronts end_phase();

template <class Body, int... phase>
std::vector<Wavefronts> count_block(const Body& body, Index block, std::integer_sequence<int, phase...>) {
    using State = typename Body::State;
    const auto bytes = static_cast<std::size_t>(body.shared_bytes());
    std::vector<State> states(Body::threads);
    std::vector<double> memory(bytes / sizeof(double) + lanes);
    const std::uintptr_t line = lanes * 4;
    void* shared = reinterpret_cast<void*>((reinterpret_cast<std::uintptr_t>(memory.data()) + line - 1) / line * line);
    std::vector<Wavefronts> sums(sizeof...(phase));
    for (Index round = 0; round < body.rounds(block); ++round) {
        const auto each_thread = [&](auto number) {
            constexpr int own = decltype(number)::value;
            start_phase(shared, bytes, Body::threads);
            for (int thread = 0; thread < Body::threads; ++thread) {
                start_thread(thread);
                body.template run<own>(block, thread, round, states[static_cast<std::size_t>(thread)], shared);
                pause();
            }
            const Wavefronts found = end_phase();
            Wavefronts& sum = sums[own];
            sum.loads += found.loads, sum.stores += found.stores, sum.least += found.least;
            sum.steps += found.steps;
        };
        (each_thread(std::integral_constant<int, phase>{}), ...);
    }
    return sums;
}

// Of one block, for each phase, all rounds together.
template <class Body>
std::vector<Wavefronts> count(const Body& body, Index block = 0) {
    return count_block(body, block, std::make_integer_sequence<int, Body::phases>());
}

}  // namespace warps
}  // namespace equiscope
