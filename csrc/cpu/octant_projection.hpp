// Projection on grids with structure: Fourier sums over gamma, then over the rings of equal b, then one product with
// D(Ry(b)) for each such b (equations in equiscope/projection.hpp, grouping in grid/ring_plan.hpp).
#pragma once

#include "cpu/cached_bytes.hpp"
#include "cpu/ring_fourier.hpp"
#include "cpu/wigner_batch.hpp"
#include "grid/ring_plan.hpp"

namespace equiscope {
namespace EQUISCOPE_ISA {
namespace {

constexpr Index beta_table_bytes = Index(32) << 20;  // of D(Ry(b)); more than a few chunks at once save nothing

// Calls body(m) for m = 0 .. lmax, even ones first: they share sums.
template <class Body>
inline void for_rows(Index lmax, const Body& body) {
    for (Index parity = 0; parity < 2; ++parity)
        for (Index m = parity; m <= lmax; m += 2) body(m);
}

// The nonzero entries p and q of D(Ry(b)) for a run of chunks: for chunk: for n: for m, even ones first: for
// l >= max(m, n): for group of the chunk: {p, q}.
template <class Real>
class BetaTable {
  public:
    BetaTable(const Tables& tables, const RingPlan& plan)
        : tables_(tables), plan_(plan), entries_(entries(tables.lmax)), capacity_(capacity(plan, tables.lmax)) {}

    // Whether one run holds all chunks.
    static bool at_once(const RingPlan& plan, Index lmax) { return capacity(plan, lmax) == plan.group_count; }

    // Calls body(first, last) for runs of chunks, with their table at hand.
    template <class Body>
    void for_runs(int threads, const Body& body) {
        // one that is small stays with the plan: to make it takes as long as a few channels do
        constexpr Index most_kept = Index(2) << 20;  // bytes
        constexpr int kind = (lanes == 8 ? 4 : lanes == 4 ? 2 : 0) + (sizeof(Real) == sizeof(double) ? 1 : 0);
        const Index numbers = 2 * entries_ * capacity_, bytes = numbers * Index(sizeof(Real));
        table_ = static_cast<const Real*>(kept_table(plan_, kind));
        if (table_) return body(0, plan_.chunk_count);
        const Scratch<Real> scratch(numbers);
        table_ = scratch.get();
        for (Index first = 0, last = 0; first < plan_.chunk_count; first = last) {
            first_group_ = plan_.chunks[first].first;
            while (last < plan_.chunk_count && plan_.chunks[last].last - first_group_ <= capacity_) ++last;
            const Index groups = plan_.chunks[last - 1].last - first_group_;
            parallel_for(packs(groups), threads, [&](Index pack) {
                fill(first, first_group_ + pack * lanes, first_group_ + groups, scratch.get());
            });
            if (at_once(plan_, tables_.lmax) && bytes <= most_kept) keep_table(plan_, kind, table_, bytes);
            body(first, last);
        }
    }

    const Real* chunk(Index index) const { return table_ + 2 * entries_ * (plan_.chunks[index].first - first_group_); }

  private:
    static Index entries(Index lmax) { return (lmax + 1) * (lmax + 2) * (2 * lmax + 3) / 6; }
    static Index capacity(const RingPlan& plan, Index lmax) {
        const Index fitting = beta_table_bytes / (2 * entries(lmax) * Index(sizeof(Real)));
        return least(plan.group_count, most(plan.groups_of_chunk, fitting));
    }

    // Up to `lanes` groups from `group` on, before `end`; the first of them may lie in any chunk from `chunk_index` on.
    void fill(Index chunk_index, Index group, Index end, Real* table) {
        const Index count = least(lanes, end - group), lmax = tables_.lmax;
        Lanes r[9] = {};
        r[4] += 1.0;
        for (Index lane = 0; lane < lanes; ++lane) {
            const RingGroup& own = plan_.groups[group + least(lane, count - 1)];
            r[0][lane] = r[8][lane] = own.cos_b;
            r[2][lane] = own.sin_b, r[6][lane] = -own.sin_b;
        }
        const WignerTile<> tile(tables_);
        const Lanes* d = tile.fill(r);
        for (Index lane = 0; lane < count; ++lane) {
            while (plan_.chunks[chunk_index].last <= group + lane) ++chunk_index;
            const RingChunk& own = plan_.chunks[chunk_index];
            const Index together = 2 * (own.last - own.first);
            Real* target = table + 2 * entries_ * (own.first - first_group_) + 2 * (group + lane - own.first);
            for (Index n = 0; n <= lmax; ++n)
                for_rows(lmax, [&](Index m) {
                    for (Index l = most(m, n); l <= lmax; ++l, target += together) {
                        const Lanes* center = d + matrix_center(l);
                        const Index at = m * (2 * l + 1) + n;
                        target[0] = static_cast<Real>(center[at][lane]);
                        target[1] = m > 0 && n > 0 ? static_cast<Real>(center[-at][lane]) : Real(0);
                    }
                });
        }
    }

    Tables tables_;
    const RingPlan& plan_;
    Index entries_, capacity_, first_group_ = 0;
    const Real* table_ = nullptr;
};

// cos m a and sin m a of every octant: for m: for octant: {cos, sin}.
template <class Real>
class AlphaTable {
  public:
    AlphaTable(const RingPlan& plan, Index lmax)
        : octants_(plan.groups[plan.group_count - 1].last), table_(2 * (lmax + 1) * octants_) {
        for (Index o = 0; o < octants_; ++o) {
            const double c = plan.octants[o].cos_a, s = plan.octants[o].sin_a;
            double cosine = 1.0, sine = 0.0;
            for (Index m = 0; m <= lmax; ++m) {
                table_.get()[2 * (m * octants_ + o)] = static_cast<Real>(cosine);
                table_.get()[2 * (m * octants_ + o) + 1] = static_cast<Real>(sine);
                const double turned = cosine * c - sine * s;
                sine = sine * c + cosine * s;
                cosine = turned;
            }
        }
    }
    const Real* row(Index m) const { return table_.get() + 2 * m * octants_; }

  private:
    Index octants_;
    Scratch<Real> table_;
};

// Even and odd sums over three reflections, each a bit of the index.
template <class V>
inline void reflect(V v[8]) {
    for (int bit = 1; bit < 8; bit *= 2)
        for (int i = 0; i < 8; ++i)
            if (!(i & bit)) {
                const V even = v[i] + v[i + bit];
                v[i + bit] = v[i] - v[i + bit];
                v[i] = even;
            }
}

// Rz(c) on the right turns the Fourier sums C_n = f[n * step + j] and S_n = f[n * step + sine_at + j].
template <class V, Index width>
inline void turn_fourier(double cos_c, double sin_c, Index lmax, V* f, Index step, Index sine_at) {
    using Real = typename Parts<V>::Real;
    double cosine = cos_c, sine = sin_c;
    for (Index n = 1; n <= lmax; ++n) {
        for (Index j = 0; j < width; ++j) {
            V &c = f[n * step + j], &s = f[n * step + sine_at + j];
            const V turned = c * static_cast<Real>(cosine) - s * static_cast<Real>(sine);
            s = c * static_cast<Real>(sine) + s * static_cast<Real>(cosine);
            c = turned;
        }
        const double next = cosine * cos_c - sine * sin_c;
        sine = sine * cos_c + cosine * sin_c;
        cosine = next;
    }
}

// Rows, or degrees, whose sums are in registers at once: four vectors of each, beside what they are made from.
constexpr Index rows_together = registers == 32 ? 5 : 3;

// Calls body(count) with a number that is known when the program is compiled.
template <Index highest = rows_together, class Body>
inline void with_count(Index count, const Body& body) {
    if (count == highest) return body(std::integral_constant<Index, highest>());
    if constexpr (highest > 1) with_count<highest - 1>(count, body);
}

// Vectors of channels that a task takes: those of one cache line, since a line that two tasks share is read by both, and
// no more, since the sums of all octants have to stay in the second-level cache.
constexpr Index vectors_of_task = least(2, 64 / Index(sizeof(Lanes)));

// The samples of all channels, for tasks that take a few channels each. Memory is read several times as fast in the order
// it lies in as in the order of the tasks, so it is read in that order first.
template <class V, Index width, class In>
class SampleRows {
  public:
    using Own = Channels<V, width>;

    SampleRows(const In* values, Index rows, Index channels) : values_(values), rows_(rows), channels_(channels) {}

    // Calls body(channels, their samples, the distance of rows, the end of what may be read) for every block of channels.
    template <class Body>
    void for_blocks(int threads, const Body& body) const {
        constexpr Index page = 4096, least_band = 512;  // bytes
        const Index kept = cached_bytes() / 2 / (rows_ * Own::block * Index(sizeof(In)));
        const Index band = least(kept, ceil_div(channels_, Own::block)) * Own::block;
        if (channels_ * Index(sizeof(In)) >= page && band * Index(sizeof(In)) >= least_band)
            return for_bands(band, threads, body);
        for_channels<V, width>(channels_, threads, [&](const Own& own) {
            read_ahead(own);
            body(own, values_ + own.first, channels_, values_ + rows_ * channels_);
        });
    }

  private:
    // The first of the tasks whose channels the last cache keeps reads for all of them.
    void read_ahead(const Own& own) const {
        const Index together = cached_bytes() / (rows_ * Own::block * Index(sizeof(In))) * Own::block;
        const bool in_order = together > Own::block || (together == Own::block && channels_ <= Own::block);
        if (!in_order || own.first % together != 0) return;
        for (Index row = 0; row < rows_; ++row) own.read(values_ + row * channels_, together);
    }

    // Rows longer than a page, of which no prefetcher follows a part: some channels at a time are put side by side.
    template <class Body>
    void for_bands(Index band, int threads, const Body& body) const {
        constexpr Index rows_of_task = 128;
        const Scratch<In> packed(rows_ * band);
        for (Index first = 0; first < channels_; first += band) {
            const Index count = least(band, channels_ - first);
            parallel_for(ceil_div(rows_, rows_of_task), threads, [&](Index task) {
                for (Index row = task * rows_of_task; row < least(rows_, (task + 1) * rows_of_task); ++row)
                    pack(values_ + row * channels_ + first, count, packed.get() + row * Own::block);
            });
            for_channels<V, width>(count, threads, [&](const Own& own) {
                const In* rows = packed.get() + rows_ * own.first;
                body(Own{channels_, first + own.first, own.count}, rows, Own::block, rows + rows_ * Own::block);
            });
        }
    }

    // A row of the band to the rows of its blocks.
    void pack(const In* from, Index count, In* to) const {
        for (Index i = 0; i < count; i += Own::block, to += rows_ * Own::block)
            if (i + Own::block <= count)
                std::memcpy(to, from + i, Own::block * sizeof(In));
            else
                for (Index k = 0; k < Own::block; ++k) to[k] = i + k < count ? from[i + k] : In(0);
    }

    const In* values_;
    Index rows_, channels_;
};

// Everything of one call that does not depend on the channels.
template <class V, Index width, class In>
struct OctantProjection {
    using Real = typename Parts<V>::Real;
    using Own = Samples<V, width, In>;
    static constexpr Index pair = 2 * width;    // {C, S}
    static constexpr Index quad = 2 * pair;     // {cos C, cos S, sin C, sin S}
    static constexpr Index images = 9 * width;  // of an octant, side by side, and zeros for those that are not there

    const Tables& tables;
    const Rings& rings;
    const RingPlan& plan;
    const RingAngles<Real>& angles;
    const AlphaTable<Real>& alphas;
    const BetaTable<Real>& betas;

    // Asks for the samples of an octant ahead of their use.
    void fetch_octant(const Own& samples, const Octant& octant) const {
        for (Index point : octant.image)
            for (Index k = 0; point >= 0 && k < rings.gammas; ++k) samples.fetch(point * rings.gammas + k);
    }

    // Even and odd sums over the images of an octant, where rows m of one parity need half of them each:
    //   sums[((n * 2 + m % 2) * octants_of_chunk + o) * 2 + odd in b][quad]
    // `folded` is scratch for the samples of all images, f for their Fourier sums, where zeros are; `squares` as in `run`.
    template <bool squared>
    void fold_octant(const Own& samples, const Octant& octant, V* folded, V* f, V* sums, V* squares) const {
        const Index lmax = tables.lmax;
        V *even = folded, *odd = folded + angles.folds * images;
        Index place[8], present = 0;
        for (int i = 0; i < 8; ++i) {
            const Index point = octant.image[i];
            place[i] = (point < 0 ? 8 : present) * width;
            if (point < 0) continue;
            fold_ring<squared>(samples, point * rings.gammas, rings.gammas,
                               rings.weights[point] / static_cast<double>(rings.gammas), even + place[i],
                               odd + place[i], images, squares);
            ++present;
        }
        fourier_sums(angles, lmax, even, odd, images, present * width, f, 2 * images, images);
        for (int i = 0; plan.turned && i < 8; ++i)
            if (octant.image[i] >= 0) {
                const double* turn = plan.turns + 2 * octant.image[i];
                turn_fourier<V, width>(turn[0], turn[1], lmax, f + place[i], 2 * images, images);
            }
        for (Index n = 0; n <= lmax; ++n)
            for (Index k = 0; k < pair; ++k) {
                const V* own = f + 2 * n * images + (k < width ? k : images + k - width);
                V v[8];
                for (int i = 0; i < 8; ++i) v[i] = own[place[i]];
                reflect(v);
                // m even: cos m a is even in x and y, sin m a odd in both; m odd: cos is odd in x, sin odd in y
                V* even_m = sums + n * 2 * plan.octants_of_chunk * 2 * quad + k;
                V* odd_m = even_m + plan.octants_of_chunk * 2 * quad;
                for (int z = 0; z < 2; ++z) {
                    even_m[z * quad] = v[4 * z], even_m[z * quad + pair] = v[4 * z + 3];
                    odd_m[z * quad] = v[4 * z + 1], odd_m[z * quad + pair] = v[4 * z + 2];
                }
            }
    }

    // CC, CS, SC, SS of every group of a chunk, even and odd in b, for rows m, m + 2, ...: `count` of them share the loads
    // of the sums. x[(((group * 2 + odd) * width + j) * count + row) * 4].
    template <Index count>
    void sum_groups(const RingChunk& chunk, Index m, const V* sums, V* x) const {
        const Index first = plan.groups[chunk.first].first;
        const Real* alpha = alphas.row(m);
        const Index next_row = alphas.row(m + 2) - alpha;
        for (Index k = 0; k < 2 * width; ++k, x += count * 4) {
            const V* own = sums + k / width * quad + k % width;
            const Real* entry = alpha + 2 * first;
            V* target = x;
            for (Index g = chunk.first; g < chunk.last; ++g, target += 2 * width * count * 4) {
                V total[count][4];
#pragma GCC unroll 16
                for (Index row = 0; row < count; ++row)
#pragma GCC unroll 16
                    for (Index i = 0; i < 4; ++i) total[row][i] = V{};
                for (const Real* end = alpha + 2 * plan.groups[g].last; entry < end; entry += 2, own += 2 * quad)
#pragma GCC unroll 16
                    for (Index i = 0; i < 4; ++i) {
                        const V v = own[i * width];
#pragma GCC unroll 16
                        for (Index row = 0; row < count; ++row) total[row][i] += v * entry[row * next_row + i / 2];
                    }
#pragma GCC unroll 16
                for (Index row = 0; row < count; ++row)
#pragma GCC unroll 16
                    for (Index i = 0; i < 4; ++i) target[row * 4 + i] = total[row][i];
            }
        }
    }

    // c[l, +-m, +-n] of `count` neighbouring l, which share the loads of x: that of an even group and vector 0 is at x, of
    // the odd one `odd` behind, of the next group 2 odd.
    template <Index count>
    void sum_degrees(Index groups, Index l, Index m, Index n, const V* x, Index odd, const Real* beta, V* c) const {
        V sum[count][4];
#pragma GCC unroll 16
        for (Index i = 0; i < count; ++i)
#pragma GCC unroll 16
            for (Index k = 0; k < 4; ++k) sum[i][k] = V{};
        const bool swapped = (l + m + n) % 2 != 0;  // p of the first l takes what is odd in b
        x += swapped ? odd : 0, odd = swapped ? -odd : odd;
        for (Index g = 0; g < groups; ++g, beta += 2, x += swapped ? -2 * odd : 2 * odd)
#pragma GCC unroll 16
            for (Index half = 0; half < 2; ++half) {
                // what p of every other l takes, and q of the others
                const V* own = x + half * odd;
                Real entry[count];
#pragma GCC unroll 16
                for (Index i = 0; i < count; ++i) entry[i] = beta[2 * i * groups + (i + half) % 2];
#pragma GCC unroll 16
                for (Index k = 0; k < 4; ++k)
#pragma GCC unroll 16
                    for (Index i = 0; i < count; ++i)
                        if ((i + half) % 2 == 0)
                            sum[i][k] += k % 2 == 0 ? own[k] * entry[i] : -own[k] * entry[i];
                        else
                            sum[i][3 - k] += k < 2 ? own[k] * entry[i] : -own[k] * entry[i];
            }
        for (Index i = 0; i < count; ++i) {
            V* middle = c + matrix_center(l + i) * width;
            const Index row = m * (2 * (l + i) + 1);
            middle[(row + n) * width] += sum[i][0];
            middle[(row - n) * width] += sum[i][1];
            middle[(n - row) * width] += sum[i][2];
            middle[(-row - n) * width] += sum[i][3];
        }
    }

    // The same where m or n is 0: there q is 0, and half of the sums or more.
    template <Index count>
    void sum_edge(Index groups, Index l, Index m, Index n, const V* x, Index odd, const Real* beta, V* c) const {
        V sum[count][2];
#pragma GCC unroll 16
        for (Index i = 0; i < count; ++i) sum[i][0] = sum[i][1] = V{};
        const bool swapped = (l + m + n) % 2 != 0;
        const V *like = x + (swapped ? odd : 0), *unlike = x + (swapped ? 0 : odd);
        const Index other = n == 0 ? 2 : 1;
        for (Index g = 0; g < groups; ++g, beta += 2, like += 2 * odd, unlike += 2 * odd)
#pragma GCC unroll 16
            for (Index i = 0; i < count; ++i) {
                const V* own = i % 2 ? unlike : like;
                const Real p = beta[2 * i * groups];
                sum[i][0] += own[0] * p;
                sum[i][1] += own[other] * p;
            }
        for (Index i = 0; i < count; ++i) {
            V* middle = c + matrix_center(l + i) * width;
            const Index row = m * (2 * (l + i) + 1);
            middle[(row + n) * width] += sum[i][0];
            if (m > 0) middle[-row * width] += sum[i][1];
            if (n > 0) middle[-n * width] -= sum[i][1];
        }
    }

    // All l of one (m, n), in even shares; returns where the table goes on.
    const Real* sum_all_degrees(Index groups, Index m, Index n, const V* x, Index odd, const Real* beta, V* c) const {
        Index next = 0;
        for (Index l = most(m, n); l <= tables.lmax; l += next, beta += 2 * next * groups) {
            const Index left = tables.lmax + 1 - l;
            next = ceil_div(left, ceil_div(left, rows_together));
            with_count(next, [&](auto count) {
                for (Index j = 0; j < width; ++j)
                    if (m == 0 || n == 0)
                        sum_edge<count>(groups, l, m, n, x + j * (odd / width), odd, beta, c + j);
                    else
                        sum_degrees<count>(groups, l, m, n, x + j * (odd / width), odd, beta, c + j);
            });
        }
        return beta;
    }

    // Rows m, m + 2, ... of one n.
    const Real* sum_rows(const RingChunk& chunk, Index m, Index n, const V* sums, V* x, const Real* beta, V* c) const {
        Index next = 0;
        for (; m <= tables.lmax; m += 2 * next) {
            const Index left = (tables.lmax - m) / 2 + 1;
            next = ceil_div(left, ceil_div(left, rows_together));
            with_count(next, [&](auto count) { sum_groups<count>(chunk, m, sums, x); });
            for (Index row = 0; row < next; ++row)
                beta =
                    sum_all_degrees(chunk.last - chunk.first, m + 2 * row, n, x + row * 4, next * width * 4, beta, c);
        }
        return beta;
    }

    // Adds chunks first .. last to c[E(lmax)][width], and the weighted squares of their samples to squares[width], where
    // `squared`.
    template <bool squared = false>
    void run(const Own& samples, Index first, Index last, V* c, V* squares = nullptr) const {
        const Index lmax = tables.lmax, sums_of_parity = plan.octants_of_chunk * 2 * quad;
        const Scratch<V> folded(2 * angles.folds * images), f(2 * (lmax + 1) * images),
            sums(2 * (lmax + 1) * sums_of_parity), x(rows_together * plan.groups_of_chunk * 2 * quad);
        for (Index row = 0; row < 2 * (lmax + 1); ++row)
            for (Index j = 0; j < width; ++j) f.get()[row * images + 8 * width + j] = V{};
        for (Index index = first; index < last; ++index) {
            const RingChunk& chunk = plan.chunks[index];
            const Index first_octant = plan.groups[chunk.first].first, end = plan.groups[chunk.last - 1].last;
            for (Index o = first_octant; o < end; ++o) {
                if (o + 1 < end) fetch_octant(samples, plan.octants[o + 1]);
                fold_octant<squared>(samples, plan.octants[o], folded.get(), f.get(),
                                     sums.get() + (o - first_octant) * 2 * quad, squares);
            }
            const Real* beta = betas.chunk(index);
            for (Index n = 0; n <= lmax; ++n)
                for (Index parity = 0; parity < 2; ++parity)
                    beta = sum_rows(chunk, parity, n, sums.get() + (2 * n + parity) * sums_of_parity, x.get(), beta, c);
        }
    }
};

template <class V, Index width, class In, class Out>
void project_octants(const Tables& tables, const RingPlan& plan, const In* values, const Rings& rings, Index channels,
                     const double* center, Out* out, int threads) {
    using Real = typename Parts<V>::Real;
    const Index size = matrix_count(tables.lmax);
    const RingAngles<Real> angles(rings.gammas, tables.lmax);
    const AlphaTable<Real> alphas(plan, tables.lmax);
    BetaTable<Real> betas(tables, plan);
    const OctantProjection<V, width, In> projection{tables, rings, plan, angles, alphas, betas};
    const SampleRows<V, width, In> rows(values, rings.points * rings.gammas, channels);
    betas.for_runs(threads, [&](Index first, Index last) {
        rows.for_blocks(threads, [&](const Channels<V, width>& own, const In* samples, Index step, const In* end) {
            const Scratch<V> c(size * width);
            for (Index i = 0; i < size * width; ++i) c.get()[i] = V{};
            projection.run({own, samples, step, end, center}, first, last, c.get());
            for (Index row = 0; row < size; ++row) {
                if (row + 16 < size) own.fetch(out + (row + 16) * channels);
                own.add(c.get() + row * width, out + row * channels);
            }
        });
    });
}

}  // namespace
}  // namespace EQUISCOPE_ISA
}  // namespace equiscope
