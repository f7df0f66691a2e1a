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

// The nonzero entries p and q of D(Ry(b)) for a run of chunks: for chunk: for n: for m: for l >= max(m, n): for group of
// the chunk: {p, q}.
template <class Real>
class BetaTable {
  public:
    BetaTable(const Tables& tables, const RingPlan& plan)
        : tables_(tables),
          plan_(plan),
          entries_(entries(tables.lmax)),
          capacity_(capacity(plan, tables.lmax)),
          table_(2 * entries_ * capacity_) {}

    // Whether one run holds all chunks.
    static bool at_once(const RingPlan& plan, Index lmax) { return capacity(plan, lmax) == plan.group_count; }

    // Calls body(first, last) for runs of chunks, with their table at hand.
    template <class Body>
    void for_runs(int threads, const Body& body) {
        for (Index first = 0, last = 0; first < plan_.chunk_count; first = last) {
            first_group_ = plan_.chunks[first].first;
            while (last < plan_.chunk_count && plan_.chunks[last].last - first_group_ <= capacity_) ++last;
            const Index groups = plan_.chunks[last - 1].last - first_group_;
            parallel_for(packs(groups), threads,
                         [&](Index pack) { fill(first, first_group_ + pack * lanes, first_group_ + groups); });
            body(first, last);
        }
    }

    const Real* chunk(Index index) const {
        return table_.get() + 2 * entries_ * (plan_.chunks[index].first - first_group_);
    }

  private:
    static Index entries(Index lmax) { return (lmax + 1) * (lmax + 2) * (2 * lmax + 3) / 6; }
    static Index capacity(const RingPlan& plan, Index lmax) {
        const Index fitting = beta_table_bytes / (2 * entries(lmax) * Index(sizeof(Real)));
        return least(plan.group_count, most(plan.groups_of_chunk, fitting));
    }

    // Up to `lanes` groups from `group` on, before `end`; the first of them may lie in any chunk from `chunk_index` on.
    void fill(Index chunk_index, Index group, Index end) {
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
            Real* target = table_.get() + 2 * entries_ * (own.first - first_group_) + 2 * (group + lane - own.first);
            for (Index n = 0; n <= lmax; ++n)
                for (Index m = 0; m <= lmax; ++m)
                    for (Index l = most(m, n); l <= lmax; ++l, target += together) {
                        const Lanes* center = d + matrix_center(l);
                        const Index at = m * (2 * l + 1) + n;
                        target[0] = static_cast<Real>(center[at][lane]);
                        target[1] = m > 0 && n > 0 ? static_cast<Real>(center[-at][lane]) : Real(0);
                    }
        }
    }

    Tables tables_;
    const RingPlan& plan_;
    Index entries_, capacity_, first_group_ = 0;
    Scratch<Real> table_;
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

// Rz(c) on the right turns the Fourier sums f[n][{C, S}][width].
template <class V, Index width>
inline void turn_fourier(double cos_c, double sin_c, Index lmax, V* f) {
    using Real = typename Parts<V>::Real;
    double cosine = cos_c, sine = sin_c;
    for (Index n = 1; n <= lmax; ++n) {
        for (Index j = 0; j < width; ++j) {
            V &c = f[2 * n * width + j], &s = f[(2 * n + 1) * width + j];
            const V turned = c * static_cast<Real>(cosine) - s * static_cast<Real>(sine);
            s = c * static_cast<Real>(sine) + s * static_cast<Real>(cosine);
            c = turned;
        }
        const double next = cosine * cos_c - sine * sin_c;
        sine = sine * cos_c + cosine * sin_c;
        cosine = next;
    }
}

// Everything of one call that does not depend on the channels.
template <class V, Index width, class In>
struct OctantProjection {
    using Real = typename Parts<V>::Real;
    static constexpr Index pair = 2 * width;  // {C, S}
    static constexpr Index quad = 2 * pair;   // {cos C, cos S, sin C, sin S}

    const Tables& tables;
    const In* values;
    const Rings& rings;
    const double* center;
    const RingPlan& plan;
    const RingAngles<Real>& angles;
    const AlphaTable<Real>& alphas;
    const BetaTable<Real>& betas;

    // Brings as many channels as the last cache keeps into it. Each task needs a few bytes of every sample, and memory is
    // read several times as fast in the order it lies in; so the first of the tasks that share them reads for all.
    void read_ahead(const Channels<V, width>& channels) const {
        constexpr Index block = Channels<V, width>::block;
        const Index samples = rings.points * rings.gammas;
        const Index together = cached_bytes() / (samples * block * Index(sizeof(In))) * block;
        const bool in_order = together > block || (together == block && channels.total <= block);
        if (!in_order || channels.first % together != 0) return;
        for (Index sample = 0; sample < samples; ++sample) channels.read(values + sample * channels.total, together);
    }

    // Asks for the samples of an octant ahead of their use: they lie a row of all channels apart.
    void fetch_octant(const Channels<V, width>& channels, const Octant& octant) const {
        for (Index point : octant.image)
            for (Index k = 0; point >= 0 && k < rings.gammas; ++k)
                channels.fetch(values + (point * rings.gammas + k) * channels.total);
    }

    // Even and odd sums over the images of an octant, where rows m of one parity need half of them each:
    //   sums[((n * 2 + m % 2) * octants_of_chunk + o) * 2 + odd in b][quad]
    // `images` is scratch for 8 (lmax + 1) pairs, `folded` for the samples of a ring; `squares` as in `run`.
    template <bool squared>
    void fold_octant(const Channels<V, width>& channels, const Octant& octant, V* images, V* folded, V* sums,
                     V* squares) const {
        const Index lmax = tables.lmax;
        for (int i = 0; i < 8; ++i) {
            V* f = images + i * (lmax + 1) * pair;
            const Index point = octant.image[i];
            if (point < 0) {
                for (Index k = 0; k < (lmax + 1) * pair; ++k) f[k] = V{};
                continue;
            }
            fourier_of_ring<squared>(values + point * rings.gammas * channels.total, rings.gammas,
                                     rings.weights[point] / static_cast<double>(rings.gammas), center, channels, angles,
                                     lmax, folded, f, pair, squares);
            if (plan.turned) turn_fourier<V, width>(plan.turns[2 * point], plan.turns[2 * point + 1], lmax, f);
        }
        const Index next = (lmax + 1) * pair;
        for (Index n = 0; n <= lmax; ++n)
            for (Index k = 0; k < pair; ++k) {
                V v[8];
                for (int i = 0; i < 8; ++i) v[i] = images[i * next + n * pair + k];
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

    // CC, CS, SC, SS of every group of a chunk, even and odd in b: x[(group * 2 + odd) * quad].
    void sum_groups(const RingChunk& chunk, const V* sums, const Real* alpha, V* x) const {
        const Index first = plan.groups[chunk.first].first;
        for (Index g = chunk.first; g < chunk.last; ++g, x += 2 * quad) {
            V total[2 * quad] = {};
            for (Index o = plan.groups[g].first; o < plan.groups[g].last; ++o) {
                const Real cosine = alpha[2 * o], sine = alpha[2 * o + 1];
                const V* own = sums + (o - first) * 2 * quad;
                for (int z = 0; z < 2; ++z)
                    for (Index k = 0; k < pair; ++k) {
                        total[z * quad + k] += own[z * quad + k] * cosine;
                        total[z * quad + pair + k] += own[z * quad + pair + k] * sine;
                    }
            }
            for (Index k = 0; k < 2 * quad; ++k) x[k] = total[k];
        }
    }

    // c[l, +-m, +-n] for all l, one (m, n); returns where the table goes on.
    const Real* sum_degrees(Index groups, Index m, Index n, const V* x, const Real* beta, V* c) const {
        for (Index l = most(m, n); l <= tables.lmax; ++l, beta += 2 * groups) {
            const V* like = x + ((l + m + n) % 2) * quad;        // what p takes
            const V* unlike = x + ((l + m + n + 1) % 2) * quad;  // what q takes
            V sum[4][width] = {};
            for (Index g = 0; g < groups; ++g) {
                const Real p = beta[2 * g], q = beta[2 * g + 1];
                const V *a = like + g * 2 * quad, *b = unlike + g * 2 * quad;
                for (Index j = 0; j < width; ++j) {
                    sum[0][j] += a[j] * p;
                    sum[0][j] -= b[pair + width + j] * q;
                    sum[1][j] -= a[width + j] * p;
                    sum[1][j] -= b[pair + j] * q;
                    sum[2][j] += a[pair + j] * p;
                    sum[2][j] += b[width + j] * q;
                    sum[3][j] -= a[pair + width + j] * p;
                    sum[3][j] += b[j] * q;
                }
            }
            V* middle = c + matrix_center(l) * width;
            const Index row = m * (2 * l + 1);
            for (Index j = 0; j < width; ++j) {
                middle[(row + n) * width + j] += sum[0][j];
                if (n > 0) middle[(row - n) * width + j] += sum[1][j];
                if (m > 0) middle[(n - row) * width + j] += sum[2][j];
                if (m > 0 && n > 0) middle[(-row - n) * width + j] += sum[3][j];
            }
        }
        return beta;
    }

    // Adds chunks first .. last to c[E(lmax)][width], and the weighted squares of their samples to squares[width], where
    // `squared`.
    template <bool squared = false>
    void run(const Channels<V, width>& channels, Index first, Index last, V* c, V* squares = nullptr) const {
        const Index lmax = tables.lmax;
        const Scratch<V> images(8 * (lmax + 1) * pair), folded(2 * angles.half * width),
            sums((lmax + 1) * 2 * plan.octants_of_chunk * 2 * quad), x(plan.groups_of_chunk * 2 * quad);
        read_ahead(channels);
        for (Index index = first; index < last; ++index) {
            const RingChunk& chunk = plan.chunks[index];
            const Index first_octant = plan.groups[chunk.first].first, end = plan.groups[chunk.last - 1].last;
            for (Index o = first_octant; o < end; ++o) {
                if (o + 1 < end) fetch_octant(channels, plan.octants[o + 1]);
                fold_octant<squared>(channels, plan.octants[o], images.get(), folded.get(),
                                     sums.get() + (o - first_octant) * 2 * quad, squares);
            }
            const Real* beta = betas.chunk(index);
            for (Index n = 0; n <= lmax; ++n)
                for (Index m = 0; m <= lmax; ++m) {
                    sum_groups(chunk, sums.get() + (n * 2 + m % 2) * plan.octants_of_chunk * 2 * quad, alphas.row(m),
                               x.get());
                    beta = sum_degrees(chunk.last - chunk.first, m, n, x.get(), beta, c);
                }
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
    const OctantProjection<V, width, In> projection{tables, values, rings, center, plan, angles, alphas, betas};
    betas.for_runs(threads, [&](Index first, Index last) {
        for_channels<V, width>(channels, threads, [&](const Channels<V, width>& own) {
            const Scratch<V> c(size * width);
            for (Index i = 0; i < size * width; ++i) c.get()[i] = V{};
            projection.run(own, first, last, c.get());
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
