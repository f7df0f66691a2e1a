// Character projection on a ring grid in one pass (equations in equiscope/projection.hpp). A block owns a few channels and
// a few neighbouring n; nothing but the result leaves it.
//   phase 0  samples of both cosets -> sums over reflections -> Fourier sums over gamma, in registers; to shared memory
//   phase 1  a thread takes one channel and pairs (m, n): sums over alpha, then over beta, for a block of degrees; squares
//   phase 2  squares summed over the threads
// B_(l, sigma) needs c(+) + (-1)^l sigma c(-) alone, so that the phases run for the sum of the cosets, then for the
// difference; once more for every further block of degrees, without phase 0.
//
// Order of all sums: over k ascending, then over reflections as butterflies before it, octants and groups ascending, then
// pairs (m, n) of a thread, threads, and blocks of n (by the caller) ascending. It depends on the grid, lmax and `together`
// alone, not on the channels beside a channel.
//
// At lmax 8 on 110 points of 17 angles (19 octants in 11 groups, 29 units), both cosets, the machine instructions of sm_90
// per channel are 132 k over gamma (63 k of them arithmetic), 114 k over alpha (25 k), 69 k over beta (58 k), and 21 k to
// begin pairs (m, n). Samples are read twice, from the second-level cache the second time: the blocks at work hold 32 MB of them
// on an H200.
//
// A thread takes one m at a time. With m and m + 2, whose sums over alpha read the same planes, a block would take 3360
// wavefronts of loads instead of 6048, but float has no registers for twice the coefficients (320 bytes of spills for 8), and
// the slowest of its warps would take 45 % more steps: 45 tasks are shared out worse among 32 groups than 81.
#pragma once

#include <cstdint>
#include <type_traits>

#include "cuda/projection_plan.hpp"

// Loops over what a thread keeps in registers have to be unrolled: registers have no addresses.
#if defined(__CUDA_ARCH__)
#define EQUISCOPE_UNROLL _Pragma("unroll")
#define EQUISCOPE_ROLL _Pragma("unroll 1")
#else
#define EQUISCOPE_UNROLL
#define EQUISCOPE_ROLL
#endif

namespace equiscope {
namespace cuda {

constexpr int projection_groups = 32;  // of threads; each has all channels of the block
constexpr int degree_block = 9;        // degrees whose coefficients a thread holds at once
constexpr int row_bytes = 32;          // of the channels of a block in Compute: one sector of device memory

// Rows of shared memory, each of all channels of a block, from one half of the planes of an octant to the other, and to the
// next octant. A row takes 8 of 32 banks: with 2 and 3 rows more than are held, the 4 groups of a warp do not meet in a bank
// when they write to both halves of two octants, nor when they read four n, of which every other lies in the other half.
constexpr int half_rows(int together) { return planes * together + 2; }
constexpr int octant_rows(int together) { return 2 * planes * together + 3; }

constexpr Index projection_shared(Index octants, int together) {
    return (octants * octant_rows(together) + (degree_block + 1) * projection_groups) * row_bytes;
}

EQUISCOPE_HOST_DEVICE inline int lowest_bit(unsigned x) {
#if defined(__CUDA_ARCH__)
    return __ffs(static_cast<int>(x)) - 1;
#else
    return __builtin_ctz(x);
#endif
}

// How many neighbouring n a block takes: as many as fit, since each block reads all samples, but few enough that all
// multiprocessors have work. 0 where nothing fits.
inline int choose_together(int lmax, Index octants, Index channel_blocks, Index shared_limit, int multiprocessors) {
    int best = 0;
    for (int together : {1, 3, 6, most_together}) {
        const int chunks = (lmax + together) / together;
        if (projection_shared(octants, together) > shared_limit) break;
        if (best > lmax || (best > 0 && channel_blocks * chunks < multiprocessors)) break;
        best = together;
    }
    return best;
}

// `both`: values hold +R, then -R, which are combined. Otherwise one coset.
template <class In, class Compute, int together, bool both>
struct Project {
    static constexpr int width = row_bytes / static_cast<int>(sizeof(Compute));
    static constexpr int threads = projection_groups * width, phases = 3, resident = 2;
    static constexpr int plane_size = 2 * together * width, half_size = half_rows(together) * width;
    static constexpr int octant_size = octant_rows(together) * width;
    // of float64 power alone: float leaves no registers for them
    static constexpr bool has_moments = std::is_same<Compute, double>::value;
    struct State {
        Compute square = 0;  // of the samples of a thread, weighted, less the center
    };

    ProjectionShape shape;
    ProjectionTables<Compute> tables;
    const In* values;  // for coset: for point: for gamma: for channel
    Index channels;
    const double* center;  // of every channel, or null
    Compute* power;  // for chunk of n: for l: for sigma: for channel; null (of one coset): coefficients are wanted
    Compute* coefficients;          // for (l, m, n): for channel, added to
    int first_octant, last_octant;  // whose part is taken; all of them for power
    double* moments = nullptr;      // mean of the samples less the center, then of its square: for channel

    // known to the compiler where it can be: the two ends of the kernel need many registers
    EQUISCOPE_HOST_DEVICE bool squared() const { return both || power; }
    EQUISCOPE_HOST_DEVICE int chunks() const { return (shape.lmax + together) / together; }
    EQUISCOPE_HOST_DEVICE int degree_blocks() const { return shape.lmax / degree_block + 1; }
    Index blocks() const { return (channels + width - 1) / width * chunks(); }
    Index shared_bytes() const { return projection_shared(last_octant - first_octant, together); }
    EQUISCOPE_HOST_DEVICE Index rounds(Index) const { return (both ? 2 : 1) * degree_blocks(); }

    template <int phase>
    EQUISCOPE_HOST_DEVICE void run(Index block, int thread, Index round, State& state, void* shared) const {
        Compute* sums = static_cast<Compute*>(shared);
        // for degree of the block, and for the samples: for thread
        Compute* squares = sums + (last_octant - first_octant) * octant_size;
        // blocks of n are neighbours: they read the same samples
        const unsigned number = static_cast<unsigned>(block), parts = static_cast<unsigned>(chunks());
        const int chunk = static_cast<int>(number % parts), first_n = chunk * together;
        const int lane = thread % width, group = thread / width;
        const Index channel = Index(number / parts) * width + lane;
        const bool present = channel < channels;
        const bool difference = round >= degree_blocks();
        const int first_degree = (static_cast<int>(round) - (difference ? degree_blocks() : 0)) * degree_block;
        const bool with_moments = has_moments && moments && round == 0 && chunk == 0;
        if (phase == 0 && first_degree == 0)
            for (int u = group; u < shape.units; u += projection_groups) {
                if (!squared() && (tables.units[u].octant < first_octant || tables.units[u].octant >= last_octant))
                    continue;
                const Index own = present ? channel : channels - 1;
                if constexpr (both) {
                    if (difference) {
                        u < shape.full_units ? transform<8, true>(u, own, first_n, false, state.square, sums + lane)
                                             : transform<4, true>(u, own, first_n, false, state.square, sums + lane);
                        continue;
                    }
                }
                // two units have the samples of a full octant, the second one weights of either sign
                const bool counted = with_moments && (u >= shape.full_units || u % 2 == 0);
                u < shape.full_units ? transform<8, false>(u, own, first_n, counted, state.square, sums + lane)
                                     : transform<4, false>(u, own, first_n, counted, state.square, sums + lane);
            }
        if (phase == 1) {
            Compute power_of[degree_block] = {};
            const int tasks = (shape.lmax + 1) * together;
            // small m first, which have most degrees; every other time from the end, to even the work out
            for (int start = 0; start < tasks; start += projection_groups) {
                const bool turn = start / projection_groups % 2 != 0;
                const int task = start + (turn ? projection_groups - 1 - group : group);
                const int m = task / together, n = first_n + task % together;
                if (task >= tasks || n > shape.lmax || !present) continue;
                if (first_degree + degree_block <= shape.lmax + 1)
                    sum_degrees<true>(m, n, first_n, first_degree, channel, difference, sums + lane, power_of);
                else
                    sum_degrees<false>(m, n, first_n, first_degree, channel, difference, sums + lane, power_of);
            }
            if (squared()) {
                EQUISCOPE_UNROLL
                for (int i = 0; i < degree_block; ++i) squares[i * threads + thread] = power_of[i];
            }
            if (with_moments) squares[degree_block * threads + thread] = state.square;
        }
        if (phase == 2 && squared())
            for (int i = group; i <= degree_block; i += projection_groups) {
                const int l = first_degree + i;
                const bool of_samples = i == degree_block;
                if (!present || (of_samples ? !with_moments : l > shape.lmax)) continue;
                Compute sum = 0;
                for (int g = 0; g < projection_groups; ++g) sum += squares[i * threads + g * width + lane];
                if (of_samples) {
                    moments[channels + channel] = sum / static_cast<Compute>(both ? 2 : 1);
                    continue;
                }
                // c(+) + c(-) belongs to sigma = (-1)^l, and sigma = +1 comes first
                const int sector = both && (l % 2 != 0) != difference ? 1 : 0, sectors = both ? 2 : 1;
                power[((Index(chunk) * (shape.lmax + 1) + l) * sectors + sector) * channels + channel] =
                    sum * static_cast<Compute>(2 * l + 1) / static_cast<Compute>(both ? 4 : 1);
            }
    }

  private:
    EQUISCOPE_HOST_DEVICE static Compute convert(const In& x) {
        if constexpr (std::is_arithmetic<In>::value)
            return static_cast<Compute>(x);
        else
            return static_cast<Compute>(static_cast<float>(x));
    }

    // What is taken from a sample, as `high` + `low`. For power any number near the samples will do: `high` is given back.
    EQUISCOPE_HOST_DEVICE void split_center(Index channel, Compute& high, Compute& low) const {
        high = center ? static_cast<Compute>(center[channel]) : squared() ? convert(values[channel]) : Compute(0);
        low = center && !squared() ? static_cast<Compute>(center[channel] - static_cast<double>(high)) : Compute(0);
    }

    // Row `row` of values, for one channel. A 64-bit sum and the product of two 32-bit numbers are one instruction.
    EQUISCOPE_HOST_DEVICE Compute sample(const In* own, unsigned row) const {
        const std::uint64_t offset = std::uint64_t(row) * static_cast<unsigned>(channels * Index(sizeof(In)));
        return convert(*reinterpret_cast<const In*>(reinterpret_cast<const unsigned char*>(own) + offset));
    }

    // Patterns of reflections of the samples at gamma_k, from `count` rings. If they are `counted`, their squares go to
    // `square`.
    template <int count, bool difference>
    EQUISCOPE_HOST_DEVICE void fold(const Unit<Compute>& unit, const In* own, unsigned k, Compute high, Compute low,
                                    bool counted, Compute& square, Compute pattern[4]) const {
        Compute t[4];
        EQUISCOPE_UNROLL
        for (int i = 0; i < count; ++i) {
            const unsigned row = unit.row[i] + k;
            Compute x = sample(own, row);
            if constexpr (both) {
                const Compute y = sample(own + Index(shape.points) * shape.gammas * channels, row);
                if constexpr (difference) {
                    x -= y;
                } else {
                    const Compute a = x - high, b = y - high;
                    if (counted) square += unit.weight[i] * (a * a + b * b);
                    x = a + b;
                }
            } else {
                x = (x - high) - low;
                if (counted) square += unit.weight[i] * (x * x);
            }
            t[i % 4] = i < 4 ? unit.weight[i] * x : t[i % 4] + unit.weight[i] * x;
        }
        const Compute a = t[0] + t[1], b = t[0] - t[1], c = t[2] + t[3], d = t[2] - t[3];
        pattern[0] = a + c, pattern[1] = b + d, pattern[2] = a - c, pattern[3] = b - d;
    }

    // Fourier sums of one unit into the planes of its octant: sums[octant][plane][C, S][n].
    template <int count, bool difference>
    EQUISCOPE_HOST_DEVICE void transform(int index, Index channel, int first_n, bool counted, Compute& square,
                                         Compute* sums) const {
        const Unit<Compute>& unit = tables.units[index];
        const int gammas = shape.gammas, half = half_of(gammas), orders = order_count(shape.lmax);
        const In* own = values + channel;
        Compute high, low, c[4][together], s[4][together], even[4], odd[4];
        split_center(channel, high, low);
        fold<count, difference>(unit, own, 0, high, low, counted, square, even);
        EQUISCOPE_UNROLL
        for (int j = 0; j < 4; ++j) EQUISCOPE_UNROLL
        for (int i = 0; i < together; ++i) c[j][i] = even[j], s[j][i] = 0;
        if (gammas % 2 == 0) {
            fold<count, difference>(unit, own, static_cast<unsigned>(gammas) / 2, high, low, counted, square, even);
            EQUISCOPE_UNROLL
            for (int j = 0; j < 4; ++j) EQUISCOPE_UNROLL
            for (int i = 0; i < together; ++i) c[j][i] += (first_n + i) % 2 != 0 ? -even[j] : even[j];
        }
        const Pair<Compute>* angle = tables.angles + first_n;
        for (int k = 1; k <= half; ++k, angle += orders) {
            Compute before[4], behind[4];
            fold<count, difference>(unit, own, static_cast<unsigned>(k), high, low, counted, square, before);
            fold<count, difference>(unit, own, static_cast<unsigned>(gammas - k), high, low, counted, square, behind);
            EQUISCOPE_UNROLL
            for (int j = 0; j < 4; ++j) even[j] = before[j] + behind[j], odd[j] = before[j] - behind[j];
            EQUISCOPE_UNROLL
            for (int i = 0; i < together; ++i) {
                const Pair<Compute> at = angle[i];
                EQUISCOPE_UNROLL
                for (int j = 0; j < 4; ++j) {
                    c[j][i] += even[j] * at.first;
                    s[j][i] += odd[j] * at.second;
                }
            }
        }
        if (shape.turned) {
            EQUISCOPE_UNROLL
            for (int i = 0; i < together; ++i) {
                const Pair<Compute> at = tables.turns[Index(index) * orders + first_n + i];
                EQUISCOPE_UNROLL
                for (int j = 0; j < 4; ++j) {
                    const Compute turned = c[j][i] * at.first - s[j][i] * at.second;
                    s[j][i] = c[j][i] * at.second + s[j][i] * at.first;
                    c[j][i] = turned;
                }
            }
        }
        Compute* octant = sums + (unit.octant - (squared() ? 0 : first_octant)) * octant_size;
        EQUISCOPE_UNROLL
        for (int j = 0; j < 4; ++j) {
            EQUISCOPE_ROLL
            for (unsigned targets = unit.targets >> 8 * j & 0xff; targets != 0; targets &= targets - 1) {
                const int number = lowest_bit(targets);
                Compute* plane = octant + number / (planes / 2) * half_size + number % (planes / 2) * plane_size;
                EQUISCOPE_UNROLL
                for (int i = 0; i < together; ++i) {
                    plane[i * width] = c[j][i];
                    plane[(together + i) * width] = s[j][i];
                }
            }
        }
    }

    // c[l, +-m, +-n] for a block of degrees, `whole` if all of them are up to lmax, from sums[octant][plane][C, S][n].
    template <bool whole>
    EQUISCOPE_HOST_DEVICE void sum_degrees(int m, int n, int first_n, int first_degree, Index channel, bool difference,
                                           const Compute* sums, Compute* power_of) const {
        const int lmax = shape.lmax, lowest = lowest_degree(m, n), rows = lmax + 1 - lowest;
        if (first_degree + degree_block <= m || first_degree + degree_block <= n || first_degree > lmax) return;
        // p takes what is as odd in z as l + m + n, q the other; `like` is what p takes at even i
        const int z = (first_degree + m + n) % 2;
        const Compute* plane = sums + m % 2 * 2 * plane_size + (n - first_n) * width;
        const Compute *like_plane = plane + z * half_size, *unlike_plane = plane + (1 - z) * half_size;
        const Turn<Compute>* turn = tables.alphas + Index(m) * shape.octants + first_octant;
        const Pair<Compute>* betas = tables.betas + n % quad +
                                     (Index(tables.rows[m * quads(lmax) + n / quad]) * shape.groups +
                                      Index(tables.group[first_octant]) * rows + first_degree - lowest) *
                                         quad;
        Compute c[degree_block][4] = {};
        Compute like[4] = {}, unlike[4] = {};  // CC, CS, SC, SS
        for (int o = first_octant; o < last_octant;
             ++o, ++turn, like_plane += octant_size, unlike_plane += octant_size) {
            const Turn<Compute> a = *turn;
            EQUISCOPE_UNROLL
            for (int cs = 0; cs < 2; ++cs) {
                const int at = cs * together * width;
                like[cs] += a.cosine * like_plane[at];
                like[2 + cs] += a.sine * like_plane[at + plane_size];
                unlike[cs] += a.cosine * unlike_plane[at];
                unlike[2 + cs] += a.sine * unlike_plane[at + plane_size];
            }
            if (!a.ends_group && o + 1 < last_octant) continue;
            // two degrees at a time, from the highest on: their loads overlap, and few threads branch apart
            EQUISCOPE_UNROLL
            for (int top = degree_block - 1; top >= 0; top -= 2) {
                if (!whole && first_degree + (top > 0 ? top - 1 : 0) > lmax) continue;
                if (first_degree + top < m || first_degree + top < n) break;
                EQUISCOPE_UNROLL
                for (int i = top; i >= 0 && i > top - 2; --i) {
                    const Pair<Compute> pq = betas[i * quad];
                    const Compute p = pq.first, q = pq.second;
                    const Compute *x = i % 2 ? unlike : like, *y = i % 2 ? like : unlike;
                    c[i][0] += p * x[0], c[i][0] -= q * y[3];
                    c[i][1] -= p * x[1], c[i][1] -= q * y[2];
                    c[i][2] += p * x[2], c[i][2] += q * y[1];
                    c[i][3] -= p * x[3], c[i][3] += q * y[0];
                }
            }
            EQUISCOPE_UNROLL
            for (int k = 0; k < 4; ++k) like[k] = unlike[k] = 0;
            betas += rows * quad;
        }
        if (squared()) {
            if (first_degree == 0 && m == 0 && n == 0 && !difference) {
                Compute high, low;
                split_center(channel, high, low);
                if (has_moments && moments) moments[channel] = c[0][0] / static_cast<Compute>(both ? 2 : 1);
                c[0][0] += both ? high + high : high;
            }
            // of m = 0 and n = 0 the elements that do not exist are zero
            EQUISCOPE_UNROLL
            for (int i = 0; i < degree_block; ++i) EQUISCOPE_UNROLL
            for (int k = 0; k < 4; ++k) power_of[i] += c[i][k] * c[i][k];
            return;
        }
        EQUISCOPE_UNROLL
        for (int i = 0; i < degree_block; ++i) {
            const Index l = first_degree + i, row = m * (2 * l + 1);
            if (l < m || l < n || l > lmax) continue;
            Compute* middle = coefficients + matrix_center(l) * channels + channel;
            middle[(row + n) * channels] += c[i][0];
            if (n > 0) middle[(row - n) * channels] += c[i][1];
            if (m > 0) middle[(n - row) * channels] += c[i][2];
            if (m > 0 && n > 0) middle[(-row - n) * channels] += c[i][3];
        }
    }
};

}  // namespace cuda
}  // namespace equiscope
