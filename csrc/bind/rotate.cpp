#include <algorithm>
#include <tuple>
#include <vector>

#include "bind/place.hpp"
#include "bind/relabelled.hpp"
#include "cpu/check_rotations.hpp"
#include "equiscope/tensors.hpp"

namespace equiscope {
namespace {

// (l, mul, offset, stride of copies, stride of m, odd)
using Block = std::tuple<Index, Index, Index, Index, Index, bool>;

// The irreps that lie in a row of `dim` components, checked once for all calls.
struct Blocks {
    std::vector<IrrepBlock> checked;
    Index dim, lmax = 0, copies = 0;

    Blocks(const std::vector<Block>& blocks, Index dim) : dim(dim) {
        product("dim", {dim});
        for (const auto& [l, mul, offset, stride_mul, stride_m, odd] : blocks)
            add(l, mul, offset, stride_mul, stride_m, odd);
    }

  private:
    void add(Index l, Index mul, Index offset, Index stride_mul, Index stride_m, bool odd) {
        lmax = std::max(lmax, Index(checked_lmax(l)));
        require(mul >= 1 && offset >= 0 && stride_mul >= 1 && stride_m >= 1, "blocks",
                "positive multiplicity and strides", "mul " + std::to_string(mul));
        const Index last = product("blocks", {offset}) + product("blocks", {mul - 1, stride_mul}) +
                           product("blocks", {2 * l, stride_m});
        require(last < dim, "blocks", "indices below " + std::to_string(dim), std::to_string(last));
        checked.push_back({l, mul, offset, stride_mul, stride_m, odd});
        copies += mul;
    }
};

// Calls run(x, whether it is one for all rotations, rotations, batch, out).
template <class Run>
auto with_features(const Buffer& x, const Buffer& rotations, Index rows, Index dim, const Buffer& out, const Run& run) {
    const Index batch = rotations.rows("rotations", 9);
    const bool shared = batch != 1 && x.elements == product("x", {rows, dim});
    return with_type(out.dtype, [&](auto zero) {
        using T = decltype(zero);
        return run(x.array<const T>("x", {shared ? 1 : batch, rows, dim}), shared,
                   rotations.array<const T>("rotations", {batch, 9}), batch, out.array<T>("out", {batch, rows, dim}));
    });
}

// What turns features on the host, as `with_features` calls it.
auto by_irreps(Index rows, const Blocks& blocks, bool inverse, const Threads& place) {
    return [=, &blocks](auto* from, bool shared, auto* r, Index batch, auto* to) {
        host_kernels(to).rotate(*tables_for(static_cast<int>(blocks.lmax)), from, shared, r, batch, rows, blocks.dim,
                                blocks.checked.data(), static_cast<Index>(blocks.checked.size()), inverse, to,
                                place.count);
        return true;
    };
}

auto by_indices(Index rows, Index rank, bool pseudo, bool inverse, const Threads& place) {
    require(rank >= 1 && rank <= highest_rank, "rank", [] { return "1 to " + std::to_string(highest_rank); }, rank);
    return [=](auto* from, bool shared, auto* r, Index batch, auto* to) {
        host_kernels(to).rotate_tensors(from, shared, r, batch, rows, static_cast<int>(rank), pseudo, inverse, to,
                                        place.count);
    };
}

bool rotate(const Buffer& x, const Buffer& rotations, Index rows, const Blocks& blocks, bool inverse, const Buffer& out,
            const Threads& place) {
    return with_features(x, rotations, rows, blocks.dim, out, by_irreps(rows, blocks, inverse, place));
}

void rotate_tensors(const Buffer& x, const Buffer& rotations, Index rows, Index rank, bool pseudo, bool inverse,
                    const Buffer& out, const Threads& place) {
    with_features(x, rotations, rows, tensor_size(rank), out, by_indices(rows, rank, pseudo, inverse, place));
}

// The same by matrices that nobody has checked: says as `check_rotations` which are no rotations, and if any is, nothing was
// written.
template <class Turn>
Faults checked(const Buffer& x, const Buffer& rotations, Index rows, Index dim, const Buffer& out, double tolerance,
               const Turn& turn) {
    return with_features(x, rotations, rows, dim, out, [&](auto* from, bool shared, auto* r, Index batch, auto* to) {
        const RotationFaults found = check_rotations(r, batch, tolerance);
        if (found.bad < 0) turn(from, shared, r, batch, to);
        return in_order(found);
    });
}

// `cycled`: the axes of the matrices are those of the basis of e3nn.
Faults rotate_checked(const Buffer& x, const Buffer& rotations, Index rows, const Blocks& blocks, bool cycled,
                      bool inverse, const Buffer& out, double tolerance, const Threads& place) {
    const auto turn = by_irreps(rows, blocks, inverse, place);
    if (!cycled) return checked(x, rotations, rows, blocks.dim, out, tolerance, turn);
    return checked(x, rotations, rows, blocks.dim, out, tolerance,
                   [&](auto* from, bool shared, auto* r, Index batch, auto* to) {
                       turn(from, shared, relabelled<9>(r, batch).data(), batch, to);
                   });
}

Faults rotate_tensors_checked(const Buffer& x, const Buffer& rotations, Index rows, Index rank, bool pseudo,
                              bool inverse, const Buffer& out, double tolerance, const Threads& place) {
    return checked(x, rotations, rows, tensor_size(rank), out, tolerance,
                   by_indices(rows, rank, pseudo, inverse, place));
}

#if defined(EQUISCOPE_WITH_CUDA)
// The second table has l, offset, stride of m and whether odd, of every copy of every irrep.
bool rotate(const Buffer& x, const Buffer& rotations, Index rows, const Blocks& blocks, bool inverse, const Buffer& out,
            const Device& on) {
    require(blocks.dim < (Index(1) << 31), "x", "fewer than 2^31 components", blocks.dim);
    const auto* table = on.table(1).array<const std::int32_t>("copies", {blocks.copies, 4});
    const int lmax = static_cast<int>(blocks.lmax);
    return with_features(x, rotations, rows, blocks.dim, out,
                         [&](auto* from, bool shared, auto* r, Index batch, auto* to) {
                             return cuda::rotate(on.place(), on.recursions(lmax), lmax, from, shared, r, batch, rows,
                                                 blocks.dim, table, blocks.copies, inverse, to, on.tolerance);
                         });
}
#endif

template <class Place>
void define(py::module_& module) {
    using py::arg;
    using Rotate = bool (*)(const Buffer&, const Buffer&, Index, const Blocks&, bool, const Buffer&, const Place&);
    module.def("rotate", static_cast<Rotate>(&rotate), arg("x"), arg("rotations"), arg("rows"), arg("blocks"),
               arg("inverse"), arg("out"), arg("place"));
}

}  // namespace

void register_rotate(py::module_& module) {
    using py::arg;
    py::class_<Blocks>(module, "Blocks")
        .def(py::init<const std::vector<Block>&, Index>(), arg("blocks"), arg("dim"))
        .def_readonly("lmax", &Blocks::lmax);
    define<Threads>(module);
#if defined(EQUISCOPE_WITH_CUDA)
    define<Device>(module);
#endif
    module.def("rotate_tensors", &rotate_tensors, arg("x"), arg("rotations"), arg("rows"), arg("rank"), arg("pseudo"),
               arg("inverse"), arg("out"), arg("place"));
    module.def("rotate_checked", &rotate_checked, arg("x"), arg("rotations"), arg("rows"), arg("blocks"), arg("cycled"),
               arg("inverse"), arg("out"), arg("tolerance"), arg("place"));
    module.def("rotate_tensors_checked", &rotate_tensors_checked, arg("x"), arg("rotations"), arg("rows"), arg("rank"),
               arg("pseudo"), arg("inverse"), arg("out"), arg("tolerance"), arg("place"));
}

}  // namespace equiscope
