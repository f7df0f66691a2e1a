// Where the values of one degree go. A recursion calls its result `out` as (l, row, column, value), or (l, m, value) for
// harmonics. One that finds its place for a whole degree at once has out.degree(l) instead, called without the l.
#pragma once

#include "config.hpp"

namespace equiscope {

template <class Out>
struct Degree {
    Out& out;
    int l;

    template <class... Arguments>
    EQUISCOPE_HOST_DEVICE void operator()(const Arguments&... arguments) const {
        out(l, arguments...);
    }
};

// The last argument is any number: the first form is taken where it exists.
template <class Out>
EQUISCOPE_HOST_DEVICE inline auto degree_of(Out& out, int l, int) -> decltype(out.degree(l)) {
    return out.degree(l);
}

template <class Out>
EQUISCOPE_HOST_DEVICE inline Degree<Out> degree_of(Out& out, int l, long) {
    return {out, l};
}

}  // namespace equiscope
