// Character projection on a ring: elements R Rz(gamma_k), gamma_k = 2 pi k / K, share one matrix D(R):
//   D^l_{m,n}(R Rz(g))  = D^l_{m,n}(R) cos(n g) + D^l_{m,-n}(R) sin(n g)      n >= 0
//   D^l_{m,-n}(R Rz(g)) = D^l_{m,-n}(R) cos(n g) - D^l_{m,n}(R) sin(n g)
// so a sum over the ring needs only the Fourier sums of the samples, and D at gamma = 0.
#pragma once

#include "config.hpp"
#include "index.hpp"

namespace equiscope {

// Fourier sums of one ring for one n, from samples folded at k and K - k (k = 1 .. (K - 1) / 2):
//   cosine = v_0 + sum_k cos(n g_k) even_k [+ (-1)^n v_{K/2}],  sine = sum_k sin(n g_k) odd_k
// `even` and `odd` hold half = (K - 1) / 2 values at distance `stride`; `first` is v_0, `middle` v_{K/2} or zero.
template <class S>
EQUISCOPE_HOST_DEVICE inline void ring_fourier(const S* even, const S* odd, Index stride, Index half, const S& first,
                                               const S& middle, const double* cosines, const double* sines, bool odd_n,
                                               S& cosine, S& sine) {
    S c = odd_n ? first - middle : first + middle, s = first * 0.0;
    for (Index k = 0; k < half; ++k) {
        c += even[k * stride] * cosines[k];
        s += odd[k * stride] * sines[k];
    }
    cosine = c, sine = s;
}

}  // namespace equiscope
