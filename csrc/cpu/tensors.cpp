#include "cpu/tensors.hpp"

#include "cpu/lanes.hpp"
#include "cpu/pool.hpp"
#include "equiscope/rotation.hpp"
#include "equiscope/tensors.hpp"

namespace equiscope {
namespace EQUISCOPE_ISA {
namespace {

// Where the element `at` of a vector comes from, of x y z x y z ... in three vectors: taken from two, then from what was taken
// and the third; what the second step takes is of no account in the first.
constexpr Index from_two(Index place) { return place < 2 * lanes ? place : 0; }
constexpr Index from_third(Index at, Index place) { return place < 2 * lanes ? at : place - lanes; }

template <Index component, std::size_t... at>
inline Lanes taken_apart(const Lanes v[3], std::index_sequence<at...>) {
    const Lanes two = shuffle<from_two(3 * Index(at) + component)...>(v[0], v[1]);
    return shuffle<from_third(Index(at), 3 * Index(at) + component)...>(two, v[2]);
}

// Lane `place / 3` of the component `place % 3`.
constexpr Index of_two(Index place) { return place % 3 < 2 ? place % 3 * lanes + place / 3 : 0; }
constexpr Index of_third(Index at, Index place) { return place % 3 < 2 ? at : lanes + place / 3; }

template <Index part, std::size_t... at>
inline Lanes put_together(const Lanes t[3], std::index_sequence<at...>) {
    const Lanes two = shuffle<of_two(part * lanes + Index(at))...>(t[0], t[1]);
    return shuffle<of_third(Index(at), part * lanes + Index(at))...>(two, t[2]);
}

// Vectors that follow one another, in lanes.
template <class T>
inline void load_vectors(const T* source, Lanes t[3]) {
    constexpr auto all = std::make_index_sequence<lanes>();
    const Lanes v[3] = {load<Lanes>(source), load<Lanes>(source + lanes), load<Lanes>(source + 2 * lanes)};
    t[0] = taken_apart<0>(v, all), t[1] = taken_apart<1>(v, all), t[2] = taken_apart<2>(v, all);
}

template <class T>
inline void store_vectors(const Lanes t[3], T* target) {
    constexpr auto all = std::make_index_sequence<lanes>();
    store(put_together<0>(t, all), target);
    store(put_together<1>(t, all), target + lanes);
    store(put_together<2>(t, all), target + 2 * lanes);
}

// The elements by which every index is turned, and that by which the last one is.
template <class Entry>
struct Turn {
    Entry m[9], last[9];

    Turn(const Entry r[9], bool pseudo, bool inverse) {
        const Entry zero = {}, one = zero + 1.0;
        Entry sign = one;
        if (pseudo) sign = determinant(r) < zero ? -one : one;
        for (int i = 0; i < 3; ++i)
            for (int j = 0; j < 3; ++j) {
                m[3 * i + j] = inverse ? r[3 * j + i] : r[3 * i + j];
                last[3 * i + j] = m[3 * i + j] * sign;
            }
    }
};

// A batch whose rank is known to the compiler, or is given: 0.
template <class T, int known>
class TensorRotation {
  public:
    TensorRotation(const T* x, bool shared, const T* rotations, Index batch, Index rows, int rank, bool pseudo,
                   bool inverse, T* out)
        : x_(x),
          rotations_(rotations),
          batch_(batch),
          rows_(rows),
          given_(rank),
          out_(out),
          shared_(shared),
          pseudo_(pseudo),
          inverse_(inverse) {}

    // Lanes hold rows where each rotation has enough of them, otherwise rotations.
    void run(int threads) const {
        if (rows_ >= lanes)
            by_rows(threads);
        else
            by_rotations(threads);
    }

  private:
    int rank() const { return known > 0 ? known : given_; }
    Index size() const { return tensor_size(rank()); }
    Index grain() const { return ceil_div(most(1, 16384 / size()), lanes) * lanes; }
    const T* source(Index rotation) const { return x_ + (shared_ ? 0 : rotation * rows_ * size()); }
    T* target(Index rotation) const { return out_ + rotation * rows_ * size(); }

    void by_rows(int threads) const {
        const Index parts = most(1, rows_ / grain()), together = parts > 1 ? 1 : most(1, grain() / rows_);
        parallel_for(ceil_div(batch_, together) * parts, threads, [&](Index task) {
            const Scratch<Lanes> tile(size());
            const Index part = task % parts, first = task / parts * together;
            for (Index g = first; g < least(batch_, first + together); ++g)
                some_rows(g, part * grain(), part + 1 < parts ? (part + 1) * grain() : rows_, tile.get());
        });
    }

    // At least as many as there are lanes: the last ones overlap those before.
    void some_rows(Index rotation, Index first, Index last, Lanes* tile) const {
        double r[9];
        for (int i = 0; i < 9; ++i) r[i] = static_cast<double>(rotations_[9 * rotation + i]);
        const Turn<double> turn(r, pseudo_, inverse_);
        const T* from = source(rotation);
        T* to = target(rotation);
        for (Index row = first; row < last; row += lanes) {
            const Index at = least(row, last - lanes) * size();
            if constexpr (known == 1) {
                Lanes t[3];
                load_vectors(from + at, t);
                rotate_index(turn.last, 1, 1, t);
                store_vectors(t, to + at);
            } else {
                rows_to_lanes(from + at, size(), lanes, size(), tile);
                rotate_tensor(turn.m, turn.last, rank(), tile);
                lanes_to_rows(tile, size(), lanes, to + at, size());
            }
        }
    }

    void by_rotations(int threads) const {
        const Index together = most(1, grain() / (lanes * most(1, rows_))), count = packs(batch_);
        parallel_for(ceil_div(count, together), threads, [&](Index task) {
            const Scratch<Lanes> tile(size());
            const Index end = least(count, (task + 1) * together);
            for (Index pack = task * together; pack < end; ++pack) some_rotations(pack * lanes, tile.get());
        });
    }

    void some_rotations(Index first, Lanes* tile) const {
        const Index count = least(lanes, batch_ - first), all = rows_ * size();
        Lanes r[9];
        rows_to_lanes(rotations_ + 9 * first, 9, count, 9, r);
        const Turn<Lanes> turn(r, pseudo_, inverse_);
        for (Index row = 0; row < rows_; ++row) {
            const T* from = source(first) + row * size();
            T* to = target(first) + row * size();
            const bool dense = known == 1 && rows_ == 1 && count == lanes;
            if (shared_)
                for (Index i = 0; i < size(); ++i) tile[i] = Lanes{} + static_cast<double>(from[i]);
            else if (dense)
                load_vectors(from, tile);
            else
                rows_to_lanes(from, size(), count, all, tile);
            rotate_tensor(turn.m, turn.last, rank(), tile);
            if (dense)
                store_vectors(tile, to);
            else
                lanes_to_rows(tile, size(), count, to, all);
        }
    }

    const T *x_, *rotations_;
    Index batch_, rows_;
    int given_;
    T* out_;
    bool shared_, pseudo_, inverse_;
};

}  // namespace

template <class T>
void rotate_tensors(const T* x, bool shared, const T* rotations, Index batch, Index rows, int rank, bool pseudo,
                    bool inverse, T* out, int threads) {
    if (rows == 0) return;
    threads = threads_for(batch * rows * tensor_size(rank), threads);
    if (rank == 1)
        TensorRotation<T, 1>(x, shared, rotations, batch, rows, rank, pseudo, inverse, out).run(threads);
    else if (rank == 2)
        TensorRotation<T, 2>(x, shared, rotations, batch, rows, rank, pseudo, inverse, out).run(threads);
    else
        TensorRotation<T, 0>(x, shared, rotations, batch, rows, rank, pseudo, inverse, out).run(threads);
}

template void rotate_tensors(const float*, bool, const float*, Index, Index, int, bool, bool, float*, int);
template void rotate_tensors(const double*, bool, const double*, Index, Index, int, bool, bool, double*, int);

}  // namespace EQUISCOPE_ISA
}  // namespace equiscope
