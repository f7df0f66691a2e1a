// Kernels as plain functions. A body is a struct of numbers and pointers with
//   threads                                  per block
//   phases                                   steps between which all threads of a block meet
//   struct State                             what a thread keeps from one phase to the next
//   shared_bytes()                           memory that the threads of a block share
//   rounds(block)                            how often the phases repeat
//   run<phase>(block, thread, round, state, shared)
// On the device the phases are separated by barriers (launch.cuh); on the host they are loops over all threads of a block,
// so that each kernel can be tested, and looked at with a debugger and sanitizers, where there is no GPU.
#pragma once

#include <utility>

#include "equiscope/index.hpp"

namespace equiscope {
namespace cuda {

template <class Body, class State, int... phase>
void run_block_on_host(const Body& body, Index block, bool backwards, State* states, void* shared,
                       std::integer_sequence<int, phase...>) {
    for (int thread = 0; thread < Body::threads; ++thread) states[thread] = State{};
    for (Index round = 0; round < body.rounds(block); ++round) {
        const auto each_thread = [&](auto number) {
            for (int i = 0; i < Body::threads; ++i) {
                const int thread = backwards ? Body::threads - 1 - i : i;
                body.template run<decltype(number)::value>(block, thread, round, states[thread], shared);
            }
        };
        (each_thread(std::integral_constant<int, phase>{}), ...);
    }
}

// Executes all blocks one after the other. `backwards` runs blocks and threads in descending order: a kernel whose result
// depends on that has a race. `fill` is what shared memory holds before each block.
template <class Body>
void run_on_host(const Body& body, Index blocks, bool backwards = false, unsigned char fill = 0xff) {
    using State = typename Body::State;
    const Index words = (body.shared_bytes() + Index(sizeof(double)) - 1) / Index(sizeof(double));
    auto* states = new State[Body::threads];
    auto* shared = new double[static_cast<std::size_t>(words)];
    for (Index i = 0; i < blocks; ++i) {
        auto* bytes = reinterpret_cast<unsigned char*>(shared);
        for (Index b = 0; b < words * Index(sizeof(double)); ++b) bytes[b] = fill;
        run_block_on_host(body, backwards ? blocks - 1 - i : i, backwards, states, shared,
                          std::make_integer_sequence<int, Body::phases>());
    }
    delete[] states;
    delete[] shared;
}

}  // namespace cuda
}  // namespace equiscope
