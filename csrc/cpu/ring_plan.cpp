#include "cpu/ring_plan.hpp"

#include <algorithm>
#include <cmath>
#include <list>
#include <memory>
#include <mutex>
#include <numeric>
#include <vector>

#include "equiscope/projection.hpp"

namespace equiscope {

namespace {

struct OwnedPlan : RingSharing {
    OwnedPlan(const Rings& rings, int lmax);

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
};

// Angles closer than this are one angle: a few roundings of a matrix entry, and an error in D of l times that.
constexpr double same_angle = 2e-15;

constexpr Index bytes_of_chunk = 384 * 1024;  // of Fourier sums, that they stay in the second-level cache
constexpr Index bytes_of_octant = 2048;  // for every n: 2 parities of m, 8 images, 2 vectors of 64 bytes, cos and sin
constexpr Index fewest_octants = 16;     // below that the loops over a chunk cost more than the cache saves

void proper_rotation(const double* source, double r[9]) {
    std::copy(source, source + 9, r);
    const double det =
        r[0] * (r[4] * r[8] - r[5] * r[7]) - r[1] * (r[3] * r[8] - r[5] * r[6]) + r[2] * (r[3] * r[7] - r[4] * r[6]);
    if (det < 0)
        for (int i = 0; i < 9; ++i) r[i] = -r[i];
    orthonormalize(r);
}

struct Ring {
    double a, b;  // of the representative, 0 .. pi / 2
    int reflection;
};

OwnedPlan::OwnedPlan(const Rings& rings, int lmax)
    : highest(lmax), rotations(rings.rotations, rings.rotations + 9 * rings.points) {
    const std::size_t points = static_cast<std::size_t>(rings.points);
    std::vector<Ring> folded(points);
    turned = false;
    for (std::size_t p = 0; p < points; ++p) {
        double r[9];
        proper_rotation(rings.rotations + 9 * p, r);
        const RingAxes axes = ring_axes(r);
        all_turns.push_back(axes.cos_c);
        all_turns.push_back(axes.sin_c);
        turned = turned || axes.cos_c != 1.0 || axes.sin_c != 0.0;
        folded[p] = {std::atan2(std::fabs(axes.sin_a), std::fabs(axes.cos_a)),
                     std::atan2(axes.sin_b, std::fabs(axes.cos_b)),
                     (axes.cos_a < 0 ? 1 : 0) + (axes.sin_a < 0 ? 2 : 0) + (axes.cos_b < 0 ? 4 : 0)};
    }
    std::vector<std::size_t> order(points);
    std::iota(order.begin(), order.end(), std::size_t(0));
    std::sort(order.begin(), order.end(), [&](std::size_t i, std::size_t j) {
        return folded[i].b != folded[j].b ? folded[i].b < folded[j].b : i < j;
    });
    const Index most_octants = std::max(fewest_octants, bytes_of_chunk / (bytes_of_octant * (lmax + 1)));
    for (std::size_t start = 0, end = 0; start < points; start = end) {
        const double b = folded[order[start]].b;
        while (end < points && folded[order[end]].b - b <= same_angle) ++end;
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
            auto& octants = all_octants;
            // the octant before this one, unless its place is taken or it belongs to another angle or group
            const bool joins = all_groups.back().last > all_groups.back().first &&
                               octants.back().image[ring.reflection] < 0 &&
                               std::fabs(std::atan2(octants.back().sin_a, octants.back().cos_a) - ring.a) <= same_angle;
            if (!joins) {
                if (all_groups.back().last - all_groups.back().first == most_octants) open_group();
                octants.push_back({std::cos(ring.a), std::sin(ring.a), {-1, -1, -1, -1, -1, -1, -1, -1}});
                ++all_groups.back().last;
            }
            octants.back().image[ring.reflection] = static_cast<Index>(order[i]);
        }
    }
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

using Held = std::shared_ptr<const OwnedPlan>;

}  // namespace

RingPlan::RingPlan(const Rings& rings, int lmax) {
    constexpr std::size_t kept = 16;           // an audit uses a few grids again and again
    constexpr Index largest = Index(1) << 14;  // rings of a plan that is kept: 2 MB
    static std::mutex mutex;
    static std::list<Held> cache;  // latest first
    Held found;
    {
        std::lock_guard<std::mutex> lock(mutex);
        auto entry = cache.begin();
        while (entry != cache.end() && !(*entry)->belongs_to(rings, lmax)) ++entry;
        if (entry != cache.end()) {
            cache.splice(cache.begin(), cache, entry);
            found = *entry;
        }
    }
    if (!found) {
        found = std::make_shared<const OwnedPlan>(rings, lmax);
        if (rings.points <= largest) {
            std::lock_guard<std::mutex> lock(mutex);
            cache.push_front(found);
            if (cache.size() > kept) cache.pop_back();
        }
    }
    static_cast<RingSharing&>(*this) = *found;
    held_ = new Held(std::move(found));
}

RingPlan::~RingPlan() { delete static_cast<const Held*>(held_); }

}  // namespace equiscope
