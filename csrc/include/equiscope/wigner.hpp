// Real Wigner-D matrices of all degrees l <= lmax, straight from the entries of a rotation matrix.
//
// With R = Rz(a) Ry(b) Rz(c), half-angle cosine and sine C, S:
//   U = C^2 e^{i(a+c)},  V = S^2 e^{i(a-c)},  W = C S e^{i a},  T = C S e^{i c}
// are linear in R, and for mp >= m >= 0
//   e^{i(mp a + m c)} d^l_{mp,m}(b) = K U^p V^q W^o P_l(cos b),  p = (mp+m)/2, q = (mp-m)/2, o = (mp+m) odd,
// where P_l obeys a real three-term recursion in l at fixed (mp, m), started at 1 for l = mp (Jacobi polynomials;
// Kostelec & Rockmore, J. Fourier Anal. Appl. 14, 145 (2008), eq. 4.2 there has the recursion). No angle, square root
// or trigonometric function of R is taken, so that no rotation is special. (mp, -m) swaps the powers of U and V, and the
// transposed elements (m, mp) conjugate V and replace W by T.
#pragma once

#include "config.hpp"
#include "constants.hpp"
#include "degree.hpp"
#include "index.hpp"

namespace equiscope {

template <class S>
struct Complex {
    S re, im;
};

template <class S>
EQUISCOPE_HOST_DEVICE inline Complex<S> operator*(const Complex<S>& a, const Complex<S>& b) {
    return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

template <class S>
EQUISCOPE_HOST_DEVICE inline Complex<S> conj(const Complex<S>& a) {
    return {a.re, -a.im};
}

// Coefficients of the recursions, one block per pair mp >= m >= 0, in the order of wigner_pair.
//   next = (a x -+ b) current - c previous,  l = mp .. lmax - 1
struct WignerStep {
    double a, b, c;
};

struct WignerTables {
    const WignerStep* steps;  // for mp: for m <= mp: for l in mp .. lmax - 1
    const double* seeds;      // for mp: for m <= mp: K
};

EQUISCOPE_HOST_DEVICE constexpr Index wigner_pair_count(Index lmax) { return (lmax + 1) * (lmax + 2) / 2; }

// Start of the steps of pair (mp, m): sum over earlier rows k < mp of (k + 1)(lmax - k), then m rows of lmax - mp.
EQUISCOPE_HOST_DEVICE constexpr Index wigner_step_offset(Index lmax, Index mp, Index m) {
    const Index k = mp;
    return lmax * k * (k + 1) / 2 - (k - 1) * k * (k + 1) / 3 + m * (lmax - mp);
}

EQUISCOPE_HOST_DEVICE constexpr Index wigner_step_count(Index lmax) { return wigner_step_offset(lmax, lmax + 1, 0); }

// Nearest rotation: two Newton steps R <- R (3 - R^T R) / 2; quadratic convergence takes a deviation e to e^4.
template <class S>
EQUISCOPE_HOST_DEVICE inline void orthonormalize(S r[9]) {
    for (int step = 0; step < 2; ++step) {
        S gram[9];
        for (int i = 0; i < 3; ++i)
            for (int j = 0; j < 3; ++j) gram[3 * i + j] = r[i] * r[j] + r[3 + i] * r[3 + j] + r[6 + i] * r[6 + j];
        S next[9];
        for (int i = 0; i < 3; ++i)
            for (int j = 0; j < 3; ++j)
                next[3 * i + j] = r[3 * i + j] * 1.5 -
                                  (r[3 * i] * gram[j] + r[3 * i + 1] * gram[3 + j] + r[3 * i + 2] * gram[6 + j]) * 0.5;
        for (int i = 0; i < 9; ++i) r[i] = next[i];
    }
    // d^l has slope l(l+1)/2 in z at the poles: z is taken from the small entries of its column, where round-off is small
    const S zero = r[8] * 0.0, size = r[8] < zero ? -r[8] : r[8];
    const S recomputed = 1.0 - (r[2] * r[2] + r[5] * r[5]) / (1.0 + size);
    r[8] = r[8] < zero ? -recomputed : recomputed;
}

// The recursion on the diagonal, mp = m, where D is near 1 at a pole and the three-term form would lose l^2 eps. There
// a - b - c = 1, so on |z| the solution that is 1 at the pole advances by a small difference,
//   near_{l+1} - near_l = c (near_l - near_{l-1}) - a (1 - |z|) near_l,
// and the other one as usual. At z < 0 the two change places, with alternating sign.
template <class S>
class Diagonal {
  public:
    // square: 1 - z^2, from the small entries of its column
    EQUISCOPE_HOST_DEVICE Diagonal(const S& z, const S& square)
        : zero_(z * 0.0),
          z_(z),
          size_(z < zero_ ? -z : z),
          height_(square / (1.0 + size_)),
          near_(zero_ + 1.0),
          difference_(zero_),
          far_(near_),
          far_before_(zero_) {}

    EQUISCOPE_HOST_DEVICE void advance(const WignerStep& step, S& plus, S& minus) {
        difference_ = difference_ * step.c - near_ * height_ * step.a;
        near_ = near_ + difference_;
        const S far_next = (size_ * step.a + step.b) * far_ - far_before_ * step.c;
        far_before_ = far_, far_ = far_next;
        alternating_ = -alternating_;
        plus = z_ < zero_ ? far_ * alternating_ : near_;
        minus = z_ < zero_ ? near_ * alternating_ : far_;
    }

  private:
    S zero_, z_, size_, height_, near_, difference_, far_, far_before_;
    double alternating_ = 1.0;
};

// The eight elements (+-mp, +-m) and (+-m, +-mp) of every l >= mp, or four where m = 0, two pairs less where mp = m.
// rp and rm are the seeds of (mp, m) and (mp, -m), cp and cm those of (m, mp) and (m, -mp), free of the factors K and
// (-1)^m in which `plus` and `minus` start. square: 1 - z^2, from the small entries of its column.
template <bool axis, bool diagonal, class S, class Out>
EQUISCOPE_HOST_DEVICE inline void wigner_recursion(int mp, int m, int last, const WignerStep* step, double k,
                                                   const S& z, const S& square, const Complex<S>& rp,
                                                   const Complex<S>& rm, const Complex<S>& cp, const Complex<S>& cm,
                                                   Out& out) {
    const double sign = m % 2 ? -1.0 : 1.0;
    const S zero = z * 0.0;
    S plus = zero + (axis && !diagonal ? k * root2 : k), plus_before = zero;
    S minus = zero + k * sign, minus_before = zero;
    Diagonal<S> along(z, square);
    for (int l = mp;; ++l, ++step) {
        const auto at = degree_of(out, l, 0);
        if constexpr (axis && diagonal) {
            at(0, 0, plus);
        } else if constexpr (axis) {
            at(mp, 0, rp.re * plus);
            at(-mp, 0, rp.im * plus);
            at(0, mp, cp.re * plus);
            at(0, -mp, -(cp.im * plus));
        } else {
            const S a = rp.re * plus, b = rm.re * minus, c = rp.im * plus, d = rm.im * minus;
            at(mp, m, a + b);
            at(-mp, -m, a - b);
            at(-mp, m, c + d);
            at(mp, -m, d - c);
            if constexpr (!diagonal) {
                const S e = cp.re * plus, f = cm.re * minus, g = cp.im * plus, h = cm.im * minus;
                at(m, mp, e + f);
                at(-m, -mp, e - f);
                at(-m, mp, g + h);
                at(m, -mp, h - g);
            }
        }
        if (l == last) return;
        if constexpr (diagonal) {
            along.advance(*step, plus, minus);
            minus = minus * sign;
        } else {
            const S slope = z * step->a;
            const S plus_next = (slope - step->b) * plus - plus_before * step->c;
            plus_before = plus, plus = plus_next;
            if constexpr (!axis) {
                const S minus_next = (slope + step->b) * minus - minus_before * step->c;
                minus_before = minus, minus = minus_next;
            }
        }
    }
}

// What all elements of the matrices of one rotation share.
template <class S>
struct WignerFactors {
    Complex<S> u, v, w, t;
    S z, square;  // cos b and sin^2 b
};

// Of an orthonormal matrix.
template <class S>
EQUISCOPE_HOST_DEVICE inline WignerFactors<S> wigner_factors(const S r[9]) {
    Complex<S> u{(r[0] + r[4]) * 0.5, (r[3] - r[1]) * 0.5};
    Complex<S> v{(r[4] - r[0]) * 0.5, (r[3] + r[1]) * -0.5};
    const Complex<S> w{r[2] * 0.5, r[5] * 0.5};
    const Complex<S> t{r[6] * -0.5, r[7] * 0.5};
    const S x = r[8], zero = x * 0.0;
    // the one of U and V that vanishes at the nearer pole is a difference of entries near 1, and enters with a slope of
    // l^2: it is taken from W T = S^2 U and W conj(T) = C^2 V instead
    const S scale = 2.0 / (1.0 + (x < zero ? -x : x));
    const Complex<S> wt = w * t, wc = w * conj(t);
    u = {x < zero ? wt.re * scale : u.re, x < zero ? wt.im * scale : u.im};
    v = {x < zero ? v.re : wc.re * scale, x < zero ? v.im : wc.im * scale};
    return {u, v, w, t, x, r[2] * r[2] + r[5] * r[5]};
}

// U^k into up[0 .. lmax] and V^k into vp[0 .. lmax].
template <class S>
EQUISCOPE_HOST_DEVICE inline void wigner_powers(const WignerFactors<S>& f, int lmax, Complex<S>* up, Complex<S>* vp) {
    const S zero = f.z * 0.0;
    up[0] = vp[0] = Complex<S>{zero + 1.0, zero};
    for (int k = 1; k <= lmax; ++k) {
        up[k] = up[k - 1] * f.u;
        vp[k] = vp[k - 1] * f.v;
    }
}

// Calls out(l, row, column, value) for the elements (+-mp, +-m) and (+-m, +-mp) of all l in mp .. last.
template <class S, class Out>
EQUISCOPE_HOST_DEVICE inline void wigner_pair(int mp, int m, int last, const WignerFactors<S>& f, const Complex<S>* up,
                                              const Complex<S>* vp, const WignerStep* step, double k, Out& out) {
    const int p = (mp + m) / 2, q = (mp - m) / 2;
    Complex<S> rp = up[p] * vp[q], rm = up[q] * vp[p];
    Complex<S> cp = up[p] * conj(vp[q]), cm = conj(up[q]) * vp[p];
    if ((mp + m) % 2 != 0) {
        // which turns the sign of (m, mp) in the basis without Condon-Shortley phase
        const Complex<S> minus_t{-f.t.re, -f.t.im};
        rp = rp * f.w, rm = rm * f.w;
        cp = cp * minus_t, cm = cm * conj(minus_t);
    }
    const S z = f.z, square = f.square;  // `f` may lie where results are written, and would be read after each of them
    if (m > 0 && mp > m)
        wigner_recursion<false, false>(mp, m, last, step, k, z, square, rp, rm, cp, cm, out);
    else if (m > 0)
        wigner_recursion<false, true>(mp, m, last, step, k, z, square, rp, rm, cp, cm, out);
    else if (mp > 0)
        wigner_recursion<true, false>(mp, m, last, step, k, z, square, rp, rm, cp, cm, out);
    else
        wigner_recursion<true, true>(mp, m, last, step, k, z, square, rp, rm, cp, cm, out);
}

struct Nothing {
    EQUISCOPE_HOST_DEVICE void operator()(int, int) const {}
};

// Calls out(l, row, column, value) once for every element, row and column in -l..l, for the rotation r (orthonormal).
// `powers` is scratch for 2 (lmax + 1) complex numbers. between(mp, m) is called when the elements of a pair are done.
template <class S, class Out, class Between = Nothing>
EQUISCOPE_HOST_DEVICE inline void wigner(const S r[9], int lmax, const WignerTables& tables, Complex<S>* powers,
                                         Out&& out, Between&& between = {}) {
    const WignerFactors<S> factors = wigner_factors(r);
    Complex<S>*up = powers, *vp = powers + (lmax + 1);
    wigner_powers(factors, lmax, up, vp);
    for (int mp = 0; mp <= lmax; ++mp)
        for (int m = 0; m <= mp; ++m) {
            wigner_pair(mp, m, lmax, factors, up, vp, tables.steps + wigner_step_offset(lmax, mp, m),
                        tables.seeds[mp * (mp + 1) / 2 + m], out);
            between(mp, m);
        }
}

}  // namespace equiscope
