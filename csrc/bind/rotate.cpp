#include <algorithm>
#include <tuple>
#include <vector>

#include "bind/place.hpp"
#include "equiscope/tensors.hpp"

namespace equiscope {
namespace {

// (l, mul, offset, stride of copies, stride of m, odd)
using Block = std::tuple<Index, Index, Index, Index, Index, bool>;

std::vector<IrrepBlock> checked_blocks(const std::vector<Block>& blocks, Index dim) {
    std::vector<IrrepBlock> checked;
    for (const auto& [l, mul, offset, stride_mul, stride_m, odd] : blocks) {
        checked_lmax(l);
        require(mul >= 1 && offset >= 0 && stride_mul >= 1 && stride_m >= 1, "blocks",
                "positive multiplicity and strides", "mul " + std::to_string(mul));
        const Index last = product("blocks", {offset}) + product("blocks", {mul - 1, stride_mul}) +
                           product("blocks", {2 * l, stride_m});
        require(last < dim, "blocks", "indices below " + std::to_string(dim), std::to_string(last));
        checked.push_back({l, mul, offset, stride_mul, stride_m, odd});
    }
    return checked;
}

// Calls run(x, whether it is one for all rotations, rotations, batch, blocks, lmax, out), which says whether there was a way;
// if not, nothing was written.
template <class Run>
bool with_features(const Buffer& x, const Buffer& rotations, Index rows, Index dim, const std::vector<Block>& blocks,
                   const Buffer& out, const Run& run) {
    const Index batch = rotations.rows("rotations", 9);
    const bool shared = batch != 1 && x.elements == product("x", {rows, dim});
    const std::vector<IrrepBlock> checked = checked_blocks(blocks, dim);
    Index lmax = 0;
    for (const IrrepBlock& block : checked) lmax = std::max(lmax, block.l);
    return with_type(out.dtype, [&](auto zero) {
        using T = decltype(zero);
        return run(x.array<const T>("x", {shared ? 1 : batch, rows, dim}), shared,
                   rotations.array<const T>("rotations", {batch, 9}), batch, checked, static_cast<int>(lmax),
                   out.array<T>("out", {batch, rows, dim}));
    });
}

bool rotate(const Buffer& x, const Buffer& rotations, Index rows, Index dim, const std::vector<Block>& blocks,
            bool inverse, const Buffer& out, const Threads& place) {
    return with_features(x, rotations, rows, dim, blocks, out,
                         [&](auto* from, bool shared, auto* r, Index batch, const auto& own, int lmax, auto* to) {
                             host_kernels(to).rotate(*tables_for(lmax), from, shared, r, batch, rows, dim, own.data(),
                                                     static_cast<Index>(own.size()), inverse, to, place.count);
                             return true;
                         });
}

void rotate_tensors(const Buffer& x, const Buffer& rotations, Index rows, Index rank, bool pseudo, bool inverse,
                    const Buffer& out, const Threads& place) {
    require(rank >= 1 && rank <= highest_rank, "rank", "1 to " + std::to_string(highest_rank), std::to_string(rank));
    const Index batch = rotations.rows("rotations", 9), size = tensor_size(rank);
    const bool shared = batch != 1 && x.elements == product("x", {rows, size});
    with_type(out.dtype, [&](auto zero) {
        using T = decltype(zero);
        T* to = out.array<T>("out", {batch, rows, size});
        host_kernels(to).rotate_tensors(x.array<const T>("x", {shared ? 1 : batch, rows, size}), shared,
                                        rotations.array<const T>("rotations", {batch, 9}), batch, rows,
                                        static_cast<int>(rank), pseudo, inverse, to, place.count);
    });
}

#if defined(EQUISCOPE_WITH_CUDA)
// The second table has l, offset, stride of m and whether odd, of every copy of every irrep.
bool rotate(const Buffer& x, const Buffer& rotations, Index rows, Index dim, const std::vector<Block>& blocks,
            bool inverse, const Buffer& out, const Device& on) {
    require(dim < (Index(1) << 31), "x", "fewer than 2^31 components", std::to_string(dim));
    Index copies = 0;
    for (const Block& block : blocks) copies += std::get<1>(block);
    const auto* table = on.table(1).array<const std::int32_t>("copies", {copies, 4});
    return with_features(x, rotations, rows, dim, blocks, out,
                         [&](auto* from, bool shared, auto* r, Index batch, const auto&, int lmax, auto* to) {
                             return cuda::rotate(on.place(), on.recursions(lmax), lmax, from, shared, r, batch, rows,
                                                 dim, table, copies, inverse, to, on.tolerance);
                         });
}
#endif

template <class Place>
void define(py::module_& module) {
    using py::arg;
    using Rotate = bool (*)(const Buffer&, const Buffer&, Index, Index, const std::vector<Block>&, bool, const Buffer&,
                            const Place&);
    module.def("rotate", static_cast<Rotate>(&rotate), arg("x"), arg("rotations"), arg("rows"), arg("dim"),
               arg("blocks"), arg("inverse"), arg("out"), arg("place"));
}

}  // namespace

void register_rotate(py::module_& module) {
    define<Threads>(module);
    using py::arg;
    module.def("rotate_tensors", &rotate_tensors, arg("x"), arg("rotations"), arg("rows"), arg("rank"), arg("pseudo"),
               arg("inverse"), arg("out"), arg("place"));
#if defined(EQUISCOPE_WITH_CUDA)
    define<Device>(module);
#endif
}

}  // namespace equiscope
