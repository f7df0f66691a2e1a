#include "cuda/projection_plan.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "equiscope/projection.hpp"
#include "grid/ring_plan.hpp"

namespace equiscope {
namespace cuda {
namespace {

// An octant of the ring plan, or the part of it whose rings have one angle c.
struct Part {
    double cos_a, sin_a;
    int group, image[8];
};

std::vector<Part> parts_of(const RingPlan& plan) {
    std::vector<Part> parts;
    for (Index g = 0; g < plan.group_count; ++g)
        for (Index o = plan.groups[g].first; o < plan.groups[g].last; ++o) {
            const Octant& octant = plan.octants[o];
            bool done[8];
            for (int i = 0; i < 8; ++i) done[i] = octant.image[i] < 0;
            for (int i = 0; i < 8; ++i) {
                if (done[i]) continue;
                Part part{octant.cos_a, octant.sin_a, static_cast<int>(g), {-1, -1, -1, -1, -1, -1, -1, -1}};
                const double* own = plan.turns + 2 * octant.image[i];
                for (int j = i; j < 8; ++j) {
                    if (done[j]) continue;
                    const double* other = plan.turns + 2 * octant.image[j];
                    if (std::fabs(own[0] - other[0]) > same_angle || std::fabs(own[1] - other[1]) > same_angle)
                        continue;
                    part.image[j] = static_cast<int>(octant.image[j]);
                    done[j] = true;
                }
                parts.push_back(part);
            }
        }
    return parts;
}

// Plane of the pattern of reflections: bit 0 odd in x, bit 1 odd in y, bit 2 odd in z. For even m, cos m a is even in x and
// y and sin m a odd in both; for odd m, cos m a is odd in x and sin m a odd in y.
int plane_of(int pattern) {
    constexpr int plane[4] = {0, 2, 3, 1};
    return plane[pattern % 4] + planes / 2 * (pattern / 4);
}

template <class Real>
void add_units(const Part& part, int octant, const Rings& rings, std::vector<Unit<Real>>& full,
               std::vector<Unit<Real>>& others) {
    int used = 0;  // reflections that some ring needs; the sums are the same with and without the others
    for (int i = 0; i < 8; ++i)
        if (part.image[i] >= 0) used |= i;
    int bits[3], count = 0;  // the reflection of each bit of j
    for (int bit = 1; bit < 8; bit *= 2)
        if (used & bit) bits[count++] = bit;
    const auto ring = [&](int j) {
        int reflection = 0;
        for (int b = 0; b < count; ++b)
            if (j >> b & 1) reflection |= bits[b];
        return j >> count ? -1 : part.image[reflection];
    };
    int some = 0;
    while (ring(some) < 0) ++some;
    for (int half = 0; half < (count == 3 ? 2 : 1); ++half) {
        Unit<Real> unit{};
        unit.octant = octant;
        for (int j = 0; j < 8; ++j) {
            const int point = ring(j);
            unit.row[j] = static_cast<unsigned>((point < 0 ? ring(some) : point) * rings.gammas);
            if (point < 0) continue;
            const double weight = rings.weights[point] / static_cast<double>(rings.gammas);
            unit.weight[j] = static_cast<Real>(half == 1 && j >= 4 ? -weight : weight);
        }
        for (int pattern = 0; pattern < 8; ++pattern) {
            int s = 0;
            for (int b = 0; b < count; ++b)
                if (pattern & bits[b]) s |= 1 << b;
            if (s / 4 == half) unit.targets |= 1u << (8 * (s % 4) + plane_of(pattern));
        }
        (count == 3 ? full : others).push_back(unit);
    }
}

// {cos, sin} of n times an angle.
template <class Real>
void fill_multiples(double cosine, double sine, int count, Pair<Real>* target) {
    double c = 1.0, s = 0.0;
    for (int n = 0; n < count; ++n) {
        target[n] = {static_cast<Real>(c), static_cast<Real>(s)};
        const double next = c * cosine - s * sine;
        s = s * cosine + c * sine;
        c = next;
    }
}

// The parts of `ProjectionTables` are read-only on the device; here they are filled.
template <class T>
T* writable(const T* entry) {
    return const_cast<T*>(entry);
}

template <class Real>
void fill_angles(const ProjectionShape& shape, const ProjectionTables<Real>& tables) {
    const int orders = order_count(shape.lmax);
    for (int k = 1; k <= half_of(shape.gammas); ++k)
        for (int n = 0; n < orders; ++n) {
            const double angle = ring_angle(n, k, shape.gammas);
            writable(tables.angles)[(k - 1) * orders + n] = {static_cast<Real>(std::cos(angle)),
                                                             static_cast<Real>(std::sin(angle))};
        }
}

template <class Real>
void fill_octants(const ProjectionShape& shape, const std::vector<Part>& parts, const ProjectionTables<Real>& tables) {
    std::vector<Pair<Real>> multiples(static_cast<std::size_t>(shape.lmax + 1));
    for (int o = 0; o < shape.octants; ++o) {
        const Part& part = parts[static_cast<std::size_t>(o)];
        writable(tables.group)[o] = part.group;
        fill_multiples(part.cos_a, part.sin_a, shape.lmax + 1, multiples.data());
        const bool ends_group = o + 1 == shape.octants || parts[static_cast<std::size_t>(o) + 1].group != part.group;
        for (int m = 0; m <= shape.lmax; ++m) {
            const Pair<Real>& multiple = multiples[static_cast<std::size_t>(m)];
            writable(tables.alphas)[Index(m) * shape.octants + o] = {multiple.first, multiple.second,
                                                                     ends_group ? 1 : 0};
        }
    }
}

template <class Real>
void fill_betas(const ProjectionShape& shape, const RingPlan& ring_plan, const Tables& recursions,
                const ProjectionTables<Real>& tables) {
    const int lmax = shape.lmax;
    int* rows = writable(tables.rows);
    for (int m = 0, before = 0; m <= lmax; ++m)
        for (int n = 0; n <= lmax; n += quad) {
            rows[m * quads(lmax) + n / quad] = before;
            before += lmax + 1 - lowest_degree(m, n);
        }
    std::vector<Complex<double>> powers(static_cast<std::size_t>(2 * (lmax + 1)));
    for (int g = 0; g < shape.groups; ++g) {
        const double c = ring_plan.groups[g].cos_b, s = ring_plan.groups[g].sin_b;
        const double r[9] = {c, 0, s, 0, 1, 0, -s, 0, c};
        wigner(r, lmax, recursions.wigner, powers.data(), [&](Index l, Index row, Index column, double value) {
            if ((row < 0) != (column < 0)) return;
            const int m = static_cast<int>(std::abs(row)), n = static_cast<int>(std::abs(column));
            const int lowest = lowest_degree(m, n), at = rows[m * quads(lmax) + n / quad];
            Pair<Real>& entry = writable(tables.betas)[(
                (Index(at) * shape.groups + Index(g) * (lmax + 1 - lowest) + (l - lowest)) * quad + n % quad)];
            (row < 0 ? entry.second : entry.first) = static_cast<Real>(value);
        });
    }
}

template <class Real>
ProjectionPlan plan_of(const RingPlan& ring_plan, const Rings& rings, const Tables& recursions) {
    const int lmax = recursions.lmax, orders = order_count(lmax);
    const std::vector<Part> parts = parts_of(ring_plan);
    std::vector<Unit<Real>> units, others;
    for (std::size_t o = 0; o < parts.size(); ++o) add_units(parts[o], static_cast<int>(o), rings, units, others);
    const std::size_t full_units = units.size();
    units.insert(units.end(), others.begin(), others.end());
    ProjectionPlan plan{
        {lmax, static_cast<int>(rings.gammas), static_cast<int>(rings.points), static_cast<int>(parts.size()),
         static_cast<int>(ring_plan.group_count), static_cast<int>(units.size()), static_cast<int>(full_units),
         ring_plan.turned, ring_plan.worthwhile},
        {}};
    const ProjectionShape& shape = plan.shape;
    Index size = 0;
    projection_tables<Real>(shape, nullptr, &size);
    plan.data.resize(static_cast<std::size_t>(size));
    const ProjectionTables<Real> tables = projection_tables<Real>(shape, plan.data.data());
    std::copy(units.begin(), units.end(), writable(tables.units));
    for (int u = 0; shape.turned && u < shape.units; ++u) {
        const double* turn =
            ring_plan.turns + 2 * (units[static_cast<std::size_t>(u)].row[0] / static_cast<unsigned>(rings.gammas));
        fill_multiples(turn[0], turn[1], orders, writable(tables.turns) + Index(u) * orders);
    }
    fill_angles(shape, tables);
    fill_octants(shape, parts, tables);
    fill_betas(shape, ring_plan, recursions, tables);
    return plan;
}

}  // namespace

template <class Real>
ProjectionPlan projection_plan(const Rings& rings, const Tables& recursions) {
    ProjectionPlan plan;
    with_ring_plan(rings, recursions.lmax,
                   [&](const RingPlan& ring_plan) { plan = plan_of<Real>(ring_plan, rings, recursions); });
    return plan;
}

template ProjectionPlan projection_plan<float>(const Rings&, const Tables&);
template ProjectionPlan projection_plan<double>(const Rings&, const Tables&);

}  // namespace cuda
}  // namespace equiscope
