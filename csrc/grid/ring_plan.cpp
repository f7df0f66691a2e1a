#include "grid/ring_plan.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
#include <numeric>
#include <vector>

#include "equiscope/projection.hpp"
#include "equiscope/rotation.hpp"
#include "equiscope/wigner.hpp"
#include "grid/cache.hpp"

namespace equiscope {
namespace {

constexpr Index bytes_of_chunk = 384 * 1024;  // of Fourier sums, that they stay in the second-level cache
constexpr Index bytes_of_octant = 2048;  // for every n: 2 parities of m, 8 images, 2 vectors of 64 bytes, cos and sin
constexpr Index fewest_octants = 16;     // below that the loops over a chunk cost more than the cache saves

void proper_rotation(const double* source, double r[9]) {
    std::copy(source, source + 9, r);
    if (determinant(r) < 0)
        for (int i = 0; i < 9; ++i) r[i] = -r[i];
    orthonormalize(r);
}

struct Ring {
    double a, b;  // of the representative, 0 .. pi / 2
    int reflection;
};

struct OwnedPlan : RingPlan {
    OwnedPlan(const Rings& rings, int lmax);
    ~OwnedPlan() {
        for (const auto& table : tables) delete[] table.load();
    }
    OwnedPlan(const OwnedPlan&) = delete;
    OwnedPlan& operator=(const OwnedPlan&) = delete;

    std::atomic<const char*>& table(int kind) const { return tables[kind]; }

    bool belongs_to(const Rings& rings, int lmax) const {
        return lmax == highest && static_cast<std::size_t>(9 * rings.points) == rotations.size() &&
               std::equal(rotations.begin(), rotations.end(), rings.rotations);
    }

    int highest;
    std::vector<double> rotations;
    std::vector<Octant> all_octants;
    std::vector<RingGroup> all_groups;
    std::vector<RingChunk> all_chunks;
    std::vector<double> all_turns;

  private:
    mutable std::atomic<const char*> tables[table_kinds] = {};
    std::vector<Ring> folded_rings();
    void form_octants(const std::vector<Ring>& folded, Index most_octants);
    void form_chunks(Index most_octants);
};

// Fills all_turns.
std::vector<Ring> OwnedPlan::folded_rings() {
    std::vector<Ring> folded(rotations.size() / 9);
    turned = false;
    for (std::size_t p = 0; p < folded.size(); ++p) {
        double r[9];
        proper_rotation(rotations.data() + 9 * p, r);
        const RingAxes axes = ring_axes(r);
        all_turns.push_back(axes.cos_c);
        all_turns.push_back(axes.sin_c);
        turned = turned || axes.cos_c != 1.0 || axes.sin_c != 0.0;
        folded[p] = {std::atan2(std::fabs(axes.sin_a), std::fabs(axes.cos_a)),
                     std::atan2(axes.sin_b, std::fabs(axes.cos_b)),
                     (axes.cos_a < 0 ? 1 : 0) + (axes.sin_a < 0 ? 2 : 0) + (axes.cos_b < 0 ? 4 : 0)};
    }
    return folded;
}

// Fills all_groups, none of more than `most_octants`, and all_octants.
void OwnedPlan::form_octants(const std::vector<Ring>& folded, Index most_octants) {
    std::vector<std::size_t> order(folded.size());
    std::iota(order.begin(), order.end(), std::size_t(0));
    std::sort(order.begin(), order.end(), [&](std::size_t i, std::size_t j) {
        return folded[i].b != folded[j].b ? folded[i].b < folded[j].b : i < j;
    });
    for (std::size_t start = 0, end = 0; start < order.size(); start = end) {
        const double b = folded[order[start]].b;
        while (end < order.size() && folded[order[end]].b - b <= same_angle) ++end;
        std::sort(order.begin() + static_cast<std::ptrdiff_t>(start), order.begin() + static_cast<std::ptrdiff_t>(end),
                  [&](std::size_t i, std::size_t j) {
                      return folded[i].a != folded[j].a ? folded[i].a < folded[j].a : i < j;
                  });
        const auto open_group = [&] {
            const Index at = static_cast<Index>(all_octants.size());
            all_groups.push_back({std::cos(b), std::sin(b), at, at});
        };
        open_group();
        for (std::size_t i = start; i < end; ++i) {
            const Ring& ring = folded[order[i]];
            // the octant before this one, unless its place is taken or it belongs to another angle or group
            const bool joins =
                all_groups.back().last > all_groups.back().first && all_octants.back().image[ring.reflection] < 0 &&
                std::fabs(std::atan2(all_octants.back().sin_a, all_octants.back().cos_a) - ring.a) <= same_angle;
            if (!joins) {
                if (all_groups.back().last - all_groups.back().first == most_octants) open_group();
                all_octants.push_back({std::cos(ring.a), std::sin(ring.a), {-1, -1, -1, -1, -1, -1, -1, -1}});
                ++all_groups.back().last;
            }
            all_octants.back().image[ring.reflection] = static_cast<Index>(order[i]);
        }
    }
}

// Fills all_chunks from the groups.
void OwnedPlan::form_chunks(Index most_octants) {
    octants_of_chunk = groups_of_chunk = 0;
    for (std::size_t g = 0; g < all_groups.size();) {
        const std::size_t first = g;
        Index octants_here = 0;
        while (g < all_groups.size()) {
            const Index more = all_groups[g].last - all_groups[g].first;
            if (g > first && octants_here + more > most_octants) break;
            octants_here += more;
            ++g;
        }
        all_chunks.push_back({static_cast<Index>(first), static_cast<Index>(g)});
        octants_of_chunk = std::max(octants_of_chunk, octants_here);
        groups_of_chunk = std::max(groups_of_chunk, static_cast<Index>(g - first));
    }
}

OwnedPlan::OwnedPlan(const Rings& rings, int lmax)
    : highest(lmax), rotations(rings.rotations, rings.rotations + 9 * rings.points) {
    const Index most_octants = std::max(fewest_octants, bytes_of_chunk / (bytes_of_octant * (lmax + 1)));
    form_octants(folded_rings(), most_octants);
    form_chunks(most_octants);
    group_count = static_cast<Index>(all_groups.size());
    chunk_count = static_cast<Index>(all_chunks.size());
    // multiply-adds per channel of either way
    const Index pairs = Index(lmax + 1) * (lmax + 1), octant_count = static_cast<Index>(all_octants.size());
    const Index apart = 8 * octant_count * (3 * (2 * lmax + 1) + pairs) + 2 * group_count * matrix_count(lmax);
    worthwhile = apart < 2 * rings.points * matrix_count(lmax);
    octants = all_octants.data();
    groups = all_groups.data();
    chunks = all_chunks.data();
    turns = all_turns.data();
}

auto& cache = *new Cache<OwnedPlan>(16);  // an audit uses a few grids again and again

std::shared_ptr<const OwnedPlan> plan_of(const Rings& rings, int lmax) {
    constexpr Index largest = Index(1) << 14;  // rings of a plan that is kept: 2 MB
    const auto make = [&] { return std::make_shared<const OwnedPlan>(rings, lmax); };
    if (rings.points > largest) return make();
    return cache.find_or_make([&](const OwnedPlan& held) { return held.belongs_to(rings, lmax); }, make);
}

}  // namespace

void with_ring_plan(const Rings& rings, int lmax, void (*body)(const void* context, const RingPlan&),
                    const void* context) {
    const std::shared_ptr<const OwnedPlan> plan = plan_of(rings, lmax);
    body(context, *plan);
}

const void* kept_table(const RingPlan& plan, int kind) {
    return static_cast<const OwnedPlan&>(plan).table(kind).load();
}

void keep_table(const RingPlan& plan, int kind, const void* table, Index bytes) {
    const char* from = static_cast<const char*>(table);
    std::unique_ptr<char[]> copy(new char[static_cast<std::size_t>(bytes)]);
    std::copy(from, from + bytes, copy.get());
    const char* none = nullptr;
    if (static_cast<const OwnedPlan&>(plan).table(kind).compare_exchange_strong(none, copy.get())) copy.release();
}

}  // namespace equiscope
