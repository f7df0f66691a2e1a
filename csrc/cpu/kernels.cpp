// Batch loops over the header mathematics, with rotations, points or channels in SIMD lanes. Compiled once per
// instruction set: EQUISCOPE_ISA names the variant, EQUISCOPE_LANES is the number of float64 lanes. Everything here
// lives in a namespace of that name, so that the linker can never merge code made for different processors.

#include "cpu/kernels.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include "equiscope/generators.hpp"
#include "equiscope/projection.hpp"
#include "cpu/pool.hpp"
#include "cpu/tables.hpp"

namespace equiscope {
namespace EQUISCOPE_ISA {
namespace {

constexpr Index lanes = EQUISCOPE_LANES;
typedef double Lanes __attribute__((vector_size(8 * EQUISCOPE_LANES)));

// Scratch memory on a cache line boundary.
class Scratch {
  public:
    explicit Scratch(Index count) : data_(allocate(count)) {}
    Lanes* get() const { return data_.get(); }

  private:
    struct Free {
        void operator()(Lanes* p) const { std::free(p); }
    };
    static Lanes* allocate(Index count) {
        const std::size_t bytes = (static_cast<std::size_t>(count) * sizeof(Lanes) + 63) / 64 * 64;
        void* p = std::aligned_alloc(64, std::max<std::size_t>(bytes, 64));
        if (!p) throw std::bad_alloc();
        return static_cast<Lanes*>(p);
    }
    std::unique_ptr<Lanes, Free> data_;
};

Lanes pack(const double values[lanes]) {
    Lanes packed;
    std::memcpy(&packed, values, sizeof packed);
    return packed;
}

// Rotations in lanes, brought to the nearest proper rotation; det receives +-1. Lanes past `count` hold the identity.
template <class T>
void load_rotations(const T* source, Index count, Lanes r[9], double det[lanes]) {
    for (Index lane = 0; lane < lanes; ++lane) {
        double m[9];
        for (int i = 0; i < 9; ++i) m[i] = lane < count ? static_cast<double>(source[9 * lane + i]) : (i % 4 == 0);
        const double d = m[0] * (m[4] * m[8] - m[5] * m[7]) - m[1] * (m[3] * m[8] - m[5] * m[6]) +
                         m[2] * (m[3] * m[7] - m[4] * m[6]);
        det[lane] = d < 0 ? -1.0 : 1.0;
        for (int i = 0; i < 9; ++i) r[i][lane] = det[lane] * m[i];
    }
    orthonormalize(r);
}

// D of a pack of rotations into tile[E(lmax)], in the packed order.
class WignerTile {
  public:
    explicit WignerTile(int lmax) : lmax_(lmax), tables_(tables_for(lmax)), powers_(4 * (lmax + 1)), tile_(matrix_count(lmax)) {}

    const Lanes* fill(const Lanes r[9]) { return fill_into(r, tile_.get()); }

    const Lanes* fill_into(const Lanes r[9], Lanes* tile) {
        wigner(r, lmax_, tables_->wigner(), reinterpret_cast<Complex<Lanes>*>(powers_.get()),
               [tile](Index l, Index row, Index column, const Lanes& value) {
                   tile[matrix_offset(l) + (row + l) * (2 * l + 1) + column + l] = value;
               });
        return tile;
    }

  private:
    int lmax_;
    std::shared_ptr<const Tables> tables_;
    Scratch powers_, tile_;
};

// Lanes become rows: out[lane * stride + i] = tile[i][lane] for the first `count` lanes.
template <class T>
void scatter_lanes(const Lanes* tile, Index size, Index count, T* out, Index stride) {
    constexpr Index chunk = 8;  // one cache line of float64 per lane
    for (Index start = 0; start < size; start += chunk) {
        const Index stop = std::min(size, start + chunk);
        for (Index lane = 0; lane < count; ++lane) {
            T* row = out + lane * stride;
            for (Index i = start; i < stop; ++i) row[i] = static_cast<T>(tile[i][lane]);
        }
    }
}

Index packs(Index n) { return (n + lanes - 1) / lanes; }

// Packs per task: enough to hide the cost of handing a task out.
constexpr Index grain = 16;

template <class Body>
void for_packs(Index n, int threads, const Body& body) {
    const Index count = packs(n), tasks = (count + grain - 1) / grain;
    parallel_for(tasks, threads, [&](long task) { body(task * grain, std::min(count, (task + 1) * grain)); });
}

template <class T>
void wigner_D(const T* rotations, Index n, int lmax, T* out, int threads) {
    for_packs(n, threads, [=](Index first, Index last) {
        WignerTile tile(lmax);
        for (Index pack = first; pack < last; ++pack) {
            const Index start = pack * lanes, count = std::min(lanes, n - start);
            Lanes r[9] = {};
            double det[lanes];
            load_rotations(rotations + 9 * start, count, r, det);
            const Lanes* d = tile.fill(r);
            for (Index l = 0; l <= lmax; ++l) {
                const Index size = (2 * l + 1) * (2 * l + 1);
                scatter_lanes(d + matrix_offset(l), size, count, out + n * matrix_offset(l) + start * size, size);
            }
        }
    });
}

// One nonzero of a generator, as flat indices within a row of a (2l+1)-vector.
struct Entry {
    int k;
    Index row, column;
    double value;
};

std::vector<Entry> entries_of(int l) {
    std::vector<Entry> entries;
    generators(l, [&](int k, int row, int column, double value) { entries.push_back({k, row + l, column + l, value}); });
    return entries;
}

template <class T>
void wigner_D_torque(const T* rotations, Index n, int lmax, const T* grad, T* out, int threads) {
    std::vector<std::vector<Entry>> entries;
    for (int l = 0; l <= lmax; ++l) entries.push_back(entries_of(l));
    for_packs(n, threads, [&](Index first, Index last) {
        WignerTile tile(lmax);
        Scratch product(2 * lmax + 1);
        for (Index pack = first; pack < last; ++pack) {
            const Index start = pack * lanes, count = std::min(lanes, n - start);
            Lanes r[9] = {}, g[3] = {};
            double det[lanes];
            load_rotations(rotations + 9 * start, count, r, det);
            const Lanes* d = tile.fill(r);
            for (Index l = 0; l <= lmax; ++l) {
                const Index size = 2 * l + 1;
                const T* source = grad + n * matrix_offset(l) + start * size * size;
                for (Index row = 0; row < size; ++row) {
                    Lanes* wanted = product.get();
                    for (Index i = 0; i < size; ++i) {
                        wanted[i] = Lanes{};
                        for (Index lane = 0; lane < count; ++lane)
                            wanted[i][lane] = static_cast<double>(source[lane * size * size + row * size + i]);
                    }
                    const Lanes* own = d + matrix_offset(l) + row * size;
                    // (D X_k)[row, column] = sum D[row, entry.row] X_k[entry.row, column]
                    for (const Entry& e : entries[static_cast<std::size_t>(l)])
                        g[e.k] += own[e.row] * wanted[e.column] * e.value;
                }
            }
            for (Index lane = 0; lane < count; ++lane)
                for (int k = 0; k < 3; ++k) out[3 * (start + lane) + k] = static_cast<T>(g[k][lane]);
        }
    });
}

// Unit vectors in lanes; present[lane] is 0 for a zero vector, whose direction is undefined.
template <class T>
void load_directions(const T* source, Index count, double v[3][lanes], double present[lanes]) {
    for (Index lane = 0; lane < lanes; ++lane) {
        double x = 0, y = 0, z = 0;
        if (lane < count) {
            x = static_cast<double>(source[3 * lane]);
            y = static_cast<double>(source[3 * lane + 1]);
            z = static_cast<double>(source[3 * lane + 2]);
        }
        // scaled by the largest entry, so that squares neither overflow nor vanish
        const double largest = std::max({std::fabs(x), std::fabs(y), std::fabs(z)});
        present[lane] = largest > 0 ? 1.0 : 0.0;
        if (largest > 0) {
            x /= largest, y /= largest, z /= largest;
            const double norm = std::sqrt(x * x + y * y + z * z);
            x /= norm, y /= norm, z /= norm;
        }
        v[0][lane] = x, v[1][lane] = y, v[2][lane] = z;
    }
}

// Y of a pack of directions into tile[(lmax + 1)^2]; a zero vector keeps Y_00 alone, its only equivariant value.
template <class T>
class HarmonicTile {
  public:
    explicit HarmonicTile(int lmax) : lmax_(lmax), tables_(tables_for(lmax)), tile_(harmonic_count(lmax)) {}

    const Lanes* fill(const T* xyz, Index count) {
        double direction[3][lanes], present[lanes];
        load_directions(xyz, count, direction, present);
        const Lanes x = pack(direction[0]), y = pack(direction[1]), z = pack(direction[2]), mask = pack(present);
        const bool all = std::find(present, present + count, 0.0) == present + count;
        Lanes* tile = tile_.get();
        harmonics(x, y, z, lmax_, tables_->harmonic(),
                  [tile](Index l, Index m, const Lanes& value) { tile[harmonic_index(l, m)] = value; });
        if (!all)
            for (Index i = 1; i < harmonic_count(lmax_); ++i) tile[i] *= mask;
        return tile;
    }

  private:
    int lmax_;
    std::shared_ptr<const Tables> tables_;
    Scratch tile_;
};

template <class T>
void spherical_harmonics(const T* xyz, Index n, int lmax, T* out, int threads) {
    const Index size = harmonic_count(lmax);
    for_packs(n, threads, [=](Index first, Index last) {
        HarmonicTile<T> tile(lmax);
        for (Index pack = first; pack < last; ++pack) {
            const Index start = pack * lanes, count = std::min(lanes, n - start);
            scatter_lanes(tile.fill(xyz + 3 * start, count), size, count, out + start * size, size);
        }
    });
}

template <class T>
void spherical_harmonics_torque(const T* xyz, Index n, int lmax, const T* grad, T* out, int threads) {
    const Index size = harmonic_count(lmax);
    std::vector<Entry> entries;
    for (int l = 0; l <= lmax; ++l)
        for (Entry e : entries_of(l)) entries.push_back({e.k, l * l + e.row, l * l + e.column, e.value});
    for_packs(n, threads, [=, &entries](Index first, Index last) {
        HarmonicTile<T> tile(lmax);
        Scratch wanted(size);
        for (Index pack = first; pack < last; ++pack) {
            const Index start = pack * lanes, count = std::min(lanes, n - start);
            const Lanes* y = tile.fill(xyz + 3 * start, count);
            Lanes* g = wanted.get();
            for (Index i = 0; i < size; ++i) {
                g[i] = Lanes{};
                for (Index lane = 0; lane < count; ++lane)
                    g[i][lane] = static_cast<double>(grad[(start + lane) * size + i]);
            }
            Lanes torque[3] = {};
            for (const Entry& e : entries) torque[e.k] += g[e.row] * y[e.column] * e.value;
            for (Index lane = 0; lane < count; ++lane)
                for (int k = 0; k < 3; ++k) out[3 * (start + lane) + k] = static_cast<T>(torque[k][lane]);
        }
    });
}

// y = D x (or D^T x) for one rotation, one row and one block; `sign` carries the inversion.
template <class T>
void rotate_block(const double* d, const IrrepBlock& block, bool inverse, double sign, const T* x, T* y) {
    const Index size = 2 * block.l + 1;
    x += block.offset, y += block.offset;
    if (block.stride_mul == 1) {  // channels side by side: vectors over channels
        for (Index i = 0; i < size; ++i) {
            T* row = y + i * block.stride_m;
            for (Index c = 0; c < block.mul; ++c) row[c] = 0;
            for (Index j = 0; j < size; ++j) {
                const T factor = static_cast<T>(sign * (inverse ? d[j * size + i] : d[i * size + j]));
                const T* column = x + j * block.stride_m;
                for (Index c = 0; c < block.mul; ++c) row[c] += factor * column[c];
            }
        }
        return;
    }
    for (Index c = 0; c < block.mul; ++c) {
        for (Index i = 0; i < size; ++i) {
            double sum = 0;
            for (Index j = 0; j < size; ++j)
                sum += (inverse ? d[j * size + i] : d[i * size + j]) *
                       static_cast<double>(x[c * block.stride_mul + j * block.stride_m]);
            y[c * block.stride_mul + i * block.stride_m] = static_cast<T>(sign * sum);
        }
    }
}

template <class T>
void rotate(const T* x, bool shared, const T* rotations, Index batch, Index rows, Index dim,
            const std::vector<IrrepBlock>& blocks, bool inverse, T* out, int threads) {
    Index lmax = 0;
    for (const IrrepBlock& block : blocks) lmax = std::max(lmax, block.l);
    const Index size = matrix_count(lmax);
    const auto apply = [&](const double* d, double det, const T* row, T* result) {
        for (const IrrepBlock& block : blocks)
            rotate_block(d + matrix_offset(block.l), block, inverse, block.odd ? det : 1.0, row, result);
    };
    const Index row_grain = std::max<Index>(1, 4096 / std::max<Index>(1, dim));
    // few rotations with many rows: threads share the rows; otherwise they share the rotations
    const bool split_rows = rows > row_grain;
    const auto one_pack = [&](Index start, Index count, WignerTile& tile, std::vector<double>& d, int inner_threads) {
        Lanes r[9] = {};
        double det[lanes];
        load_rotations(rotations + 9 * start, count, r, det);
        scatter_lanes(tile.fill(r), size, count, d.data(), size);
        for (Index lane = 0; lane < count; ++lane) {
            const T* source = x + (shared ? 0 : (start + lane) * rows * dim);
            T* target = out + (start + lane) * rows * dim;
            const auto some_rows = [&](long task) {
                const Index last = std::min(rows, (task + 1) * row_grain);
                for (Index row = task * row_grain; row < last; ++row)
                    apply(d.data() + lane * size, det[lane], source + row * dim, target + row * dim);
            };
            parallel_for((rows + row_grain - 1) / row_grain, inner_threads, some_rows);
        }
    };
    const auto many_packs = [&](Index first, Index last, int inner_threads) {
        WignerTile tile(static_cast<int>(lmax));
        std::vector<double> d(static_cast<std::size_t>(lanes * size));
        for (Index pack = first; pack < last; ++pack)
            one_pack(pack * lanes, std::min(lanes, batch - pack * lanes), tile, d, inner_threads);
    };
    if (split_rows)
        many_packs(0, packs(batch), threads);
    else
        for_packs(batch, threads, [&](Index first, Index last) { many_packs(first, last, 1); });
}

// D at gamma = 0 for blocks of `lanes` points, point in lane: table[block][E(lmax)]. Points past the end have weight 0.
constexpr Index table_bytes = Index(32) << 20;

class RingTable {
  public:
    RingTable(const Rings& rings, int lmax)
        : rings_(rings), lmax_(lmax), size_(matrix_count(lmax)),
          capacity_(std::min(packs(rings.points), std::max<Index>(1, table_bytes / (size_ * Index(sizeof(Lanes)))))),
          table_(capacity_ * size_) {}

    // Blocks of points that fit; the last chunk may be smaller.
    Index capacity() const { return capacity_; }

    void fill(Index first, Index last, int threads) {
        parallel_for(last - first, threads, [&](long task) {
            const Index block = first + task, start = block * lanes;
            Lanes r[9] = {};
            double det[lanes];
            load_rotations(rings_.rotations + 9 * start, std::min(lanes, rings_.points - start), r, det);
            WignerTile(lmax_).fill_into(r, table_.get() + task * size_);
        });
    }

    const Lanes* block(Index local) const { return table_.get() + local * size_; }

  private:
    Rings rings_;
    int lmax_;
    Index size_, capacity_;
    Scratch table_;
};

// cos and sin of n gamma_k for n = 0 .. lmax, k = 1 .. half.
struct RingAngles {
    RingAngles(Index gammas, int lmax) : half((gammas - 1) / 2), even(gammas % 2 == 0 && gammas > 1) {
        const double pi = 3.14159265358979323846;
        for (Index n = 0; n <= lmax; ++n)
            for (Index k = 1; k <= half; ++k) {
                // reduced exactly before the multiplication by pi
                const double angle = 2.0 * pi * static_cast<double>(n * k % gammas) / static_cast<double>(gammas);
                cosines.push_back(std::cos(angle));
                sines.push_back(std::sin(angle));
            }
    }
    Index half;
    bool even;
    std::vector<double> cosines, sines;
};

constexpr Index width = 2;                      // vectors of channels held in registers
constexpr Index channel_block = width * lanes;  // channels of one task

// Reads `count` channels of one sample into two vectors, centred; absent channels are zero.
template <class In>
inline void load_channels(const In* sample, const double* center, Index count, Lanes v[width]) {
    if (count == channel_block) {
        for (Index j = 0; j < width; ++j)
            for (Index i = 0; i < lanes; ++i) v[j][i] = static_cast<double>(sample[j * lanes + i]);
        if (center)
            for (Index j = 0; j < width; ++j)
                for (Index i = 0; i < lanes; ++i) v[j][i] -= center[j * lanes + i];
        return;
    }
    for (Index i = 0; i < channel_block; ++i) {
        const double value = i < count ? static_cast<double>(sample[i]) - (center ? center[i] : 0.0) : 0.0;
        v[i / lanes][i % lanes] = value;
    }
}

template <class In, class Out>
void project(const In* values, const Rings& rings, int lmax, Index channels, const double* center, Out* out,
             int threads) {
    const Index size = matrix_count(lmax), gammas = rings.gammas, blocks = packs(rings.points);
    const RingAngles angles(gammas, lmax);
    RingTable table(rings, lmax);
    const Index tasks = (channels + channel_block - 1) / channel_block;
    for (Index chunk = 0; chunk < blocks; chunk += table.capacity()) {
        const Index chunk_end = std::min(blocks, chunk + table.capacity());
        table.fill(chunk, chunk_end, threads);
        parallel_for(tasks, threads, [&](long task) {
            const Index first = task * channel_block, count = std::min(channel_block, channels - first);
            Scratch sums(size * width), folded(2 * (angles.half + 1) * width), fourier((lmax + 1) * lanes * 2 * width);
            Lanes* c = sums.get();
            std::fill(c, c + size * width, Lanes{});
            for (Index block = chunk; block < chunk_end; ++block) {
                const Index points = std::min(lanes, rings.points - block * lanes);
                Lanes* f = fourier.get();  // f[n][point][cosine, sine][width]
                for (Index p = 0; p < lanes; ++p) {
                    if (p >= points) {
                        for (Index n = 0; n <= lmax; ++n)
                            for (Index j = 0; j < 2 * width; ++j) f[(n * lanes + p) * 2 * width + j] = Lanes{};
                        continue;
                    }
                    const Index point = block * lanes + p;
                    const In* ring = values + point * gammas * channels + first;
                    const double* shift = center ? center + first : nullptr;
                    const double weight = rings.weights[point] / static_cast<double>(gammas);
                    Lanes v0[width], middle[width] = {};
                    load_channels(ring, shift, count, v0);
                    Lanes* even = folded.get();
                    Lanes* odd = even + angles.half * width;
                    for (Index k = 1; k <= angles.half; ++k) {
                        Lanes a[width], b[width];
                        load_channels(ring + k * channels, shift, count, a);
                        load_channels(ring + (gammas - k) * channels, shift, count, b);
                        for (Index j = 0; j < width; ++j) {
                            even[(k - 1) * width + j] = (a[j] + b[j]) * weight;
                            odd[(k - 1) * width + j] = (a[j] - b[j]) * weight;
                        }
                    }
                    if (angles.even) load_channels(ring + gammas / 2 * channels, shift, count, middle);
                    for (Index n = 0; n <= lmax; ++n)
                        for (Index j = 0; j < width; ++j) {
                            Lanes* target = f + (n * lanes + p) * 2 * width;
                            ring_fourier(even + j, odd + j, width, angles.half, v0[j] * weight, middle[j] * weight,
                                         angles.cosines.data() + n * angles.half, angles.sines.data() + n * angles.half,
                                         n % 2 != 0, target[j], target[width + j]);
                        }
                }
                const Lanes* d = table.block(block - chunk);
                for (Index l = 0; l <= lmax; ++l) {
                    const Index row_size = 2 * l + 1;
                    for (Index m = 0; m < row_size; ++m) {
                        const Index row = matrix_offset(l) + m * row_size + l;
                        {
                            const double* dp = reinterpret_cast<const double*>(d + row);
                            Lanes sum[width];
                            for (Index j = 0; j < width; ++j) sum[j] = c[row * width + j];
                            for (Index p = 0; p < lanes; ++p)
                                for (Index j = 0; j < width; ++j) sum[j] += f[p * 2 * width + j] * dp[p];
                            for (Index j = 0; j < width; ++j) c[row * width + j] = sum[j];
                        }
                        for (Index n = 1; n <= l; ++n) {
                            const double* dp = reinterpret_cast<const double*>(d + row + n);
                            const double* dm = reinterpret_cast<const double*>(d + row - n);
                            const Lanes* fn = f + n * lanes * 2 * width;
                            Lanes plus[width], minus[width];
                            for (Index j = 0; j < width; ++j) {
                                plus[j] = c[(row + n) * width + j];
                                minus[j] = c[(row - n) * width + j];
                            }
                            for (Index p = 0; p < lanes; ++p) {
                                const Lanes* cosine = fn + p * 2 * width;
                                const Lanes* sine = cosine + width;
                                for (Index j = 0; j < width; ++j) {
                                    plus[j] += cosine[j] * dp[p] + sine[j] * dm[p];
                                    minus[j] += cosine[j] * dm[p] - sine[j] * dp[p];
                                }
                            }
                            for (Index j = 0; j < width; ++j) {
                                c[(row + n) * width + j] = plus[j];
                                c[(row - n) * width + j] = minus[j];
                            }
                        }
                    }
                }
            }
            const double* flat = reinterpret_cast<const double*>(c);
            for (Index row = 0; row < size; ++row)
                for (Index i = 0; i < count; ++i)
                    out[row * channels + first + i] =
                        static_cast<Out>(static_cast<double>(out[row * channels + first + i]) + flat[row * channel_block + i]);
        });
    }
}

template <class T>
void synthesize(const T* coefficients, const Rings& rings, int lmax, Index channels, T* out, int threads) {
    const Index gammas = rings.gammas, blocks = packs(rings.points), size = matrix_count(lmax);
    const RingAngles angles(gammas, lmax);
    RingTable table(rings, lmax);
    const Index tasks = (channels + channel_block - 1) / channel_block;
    for (Index chunk = 0; chunk < blocks; chunk += table.capacity()) {
        const Index chunk_end = std::min(blocks, chunk + table.capacity());
        table.fill(chunk, chunk_end, threads);
        parallel_for(tasks, threads, [&](long task) {
            const Index first = task * channel_block, count = std::min(channel_block, channels - first);
            Scratch copy(size * width), fourier((lmax + 1) * 2 * width);
            Lanes* c = copy.get();
            for (Index row = 0; row < size; ++row)
                load_channels(coefficients + row * channels + first, nullptr, count, c + row * width);
            for (Index point = chunk * lanes; point < std::min(rings.points, chunk_end * lanes); ++point) {
                const double* d = reinterpret_cast<const double*>(table.block(point / lanes - chunk)) + point % lanes;
                const double weight = rings.weights[point] / static_cast<double>(gammas);
                Lanes* f = fourier.get();  // f[n][cosine, sine][width]
                std::fill(f, f + (lmax + 1) * 2 * width, Lanes{});
                for (Index l = 0; l <= lmax; ++l)
                    for (Index m = 0; m < 2 * l + 1; ++m) {
                        const Index row = matrix_offset(l) + m * (2 * l + 1) + l;
                        for (Index j = 0; j < width; ++j) f[j] += c[row * width + j] * d[row * lanes];
                        for (Index n = 1; n <= l; ++n) {
                            const double dp = d[(row + n) * lanes], dm = d[(row - n) * lanes];
                            for (Index j = 0; j < width; ++j) {
                                const Lanes plus = c[(row + n) * width + j], minus = c[(row - n) * width + j];
                                f[2 * n * width + j] += plus * dp + minus * dm;
                                f[(2 * n + 1) * width + j] += plus * dm - minus * dp;
                            }
                        }
                    }
                for (Index k = 0; k < gammas; ++k) {
                    // gamma_{K-k} = -gamma_k: the sine changes sign
                    const Index folded = std::min(k, gammas - k);
                    Lanes sum[width];
                    for (Index j = 0; j < width; ++j) sum[j] = f[j];
                    for (Index n = 1; n <= lmax; ++n) {
                        double cosine = n % 2 ? -1.0 : 1.0, sine = 0.0;
                        if (folded == 0) {
                            cosine = 1.0;
                        } else if (2 * folded != gammas) {
                            cosine = angles.cosines[static_cast<std::size_t>(n * angles.half + folded - 1)];
                            sine = angles.sines[static_cast<std::size_t>(n * angles.half + folded - 1)];
                            if (folded != k) sine = -sine;
                        }
                        for (Index j = 0; j < width; ++j)
                            sum[j] += f[2 * n * width + j] * cosine + f[(2 * n + 1) * width + j] * sine;
                    }
                    T* target = out + (point * gammas + k) * channels + first;
                    for (Index i = 0; i < count; ++i)
                        target[i] = static_cast<T>(weight * sum[i / lanes][i % lanes]);
                }
            }
        });
    }
}

template <class T>
constexpr KernelsOf<T> kernels_of() {
    return {wigner_D<T>, wigner_D_torque<T>, spherical_harmonics<T>, spherical_harmonics_torque<T>, rotate<T>,
            synthesize<T>};
}

}  // namespace
}  // namespace EQUISCOPE_ISA

#define EQUISCOPE_JOIN(a, b) a##b
#define EQUISCOPE_TABLE(isa) EQUISCOPE_JOIN(isa, _kernels)
#define EQUISCOPE_TEXT(x) #x
#define EQUISCOPE_NAME(isa) EQUISCOPE_TEXT(isa)

const Kernels EQUISCOPE_TABLE(EQUISCOPE_ISA) = {
    EQUISCOPE_NAME(EQUISCOPE_ISA),
    EQUISCOPE_ISA::kernels_of<float>(),
    EQUISCOPE_ISA::kernels_of<double>(),
    EQUISCOPE_ISA::project<float, float>,
    EQUISCOPE_ISA::project<float, double>,
    EQUISCOPE_ISA::project<double, double>,
};

}  // namespace equiscope
