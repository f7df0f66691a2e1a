// Memory that Python hands over, and what is checked before any of it is read or written: that it holds what the sizes say.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

#include "equiscope/index.hpp"

namespace equiscope {

namespace py = pybind11;

using Address = std::uintptr_t;

constexpr int lmax_limit = 256;               // the seeds of the recursions overflow near 1000
constexpr Index size_limit = Index(1) << 48;  // no address space holds more elements

inline std::string in_words(std::string_view words) { return std::string(words); }
inline std::string in_words(Index number) { return std::to_string(number); }
template <class Say>
inline auto in_words(const Say& say) -> decltype(say()) {
    return say();
}

// Words are made where something is refused: made at every call, they would take as long as a small kernel.
template <class Expected, class Got>
inline void require(bool condition, std::string_view argument, const Expected& expected, const Got& got) {
    if (condition) return;
    throw std::invalid_argument(std::string(argument) + ": expected " + in_words(expected) + ", got " + in_words(got));
}

inline int checked_lmax(Index lmax) {
    require(lmax >= 0 && lmax <= lmax_limit, "lmax", [] { return "0 to " + std::to_string(lmax_limit); }, lmax);
    return static_cast<int>(lmax);
}

inline Index product(std::string_view argument, std::initializer_list<Index> factors) {
    Index size = 1;
    for (Index factor : factors) {
        require(factor >= 0 && factor < size_limit, argument, "a size from 0 to 2^48", factor);
        require(factor == 0 || size <= size_limit / factor, argument, "fewer than 2^48 elements", "more");
        size *= factor;
    }
    return size;
}

enum class DType { float16, bfloat16, float32, float64, int32 };
constexpr const char* dtype_names[] = {"float16", "bfloat16", "float32", "float64", "int32"};

inline std::string_view name_of(DType dtype) { return dtype_names[static_cast<int>(dtype)]; }

template <class T>
constexpr DType dtype_of() {
    using Plain = std::remove_cv_t<T>;
    static_assert(std::is_same_v<Plain, float> || std::is_same_v<Plain, double> || std::is_same_v<Plain, std::int32_t>);
    return std::is_same_v<Plain, float>    ? DType::float32
           : std::is_same_v<Plain, double> ? DType::float64
                                           : DType::int32;
}

// Dense elements in the memory of the host or of a device.
struct Buffer {
    Address address;
    Index elements;
    DType dtype;

    // The memory of an array of that shape, whatever its elements are.
    void* memory(std::string_view argument, std::initializer_list<Index> shape) const {
        const Index needed = product(argument, shape);
        require(elements == needed, argument, [&] { return std::to_string(needed) + " elements"; }, elements);
        require(address != 0 || needed == 0, argument, "an address", "null");
        return reinterpret_cast<void*>(address);
    }

    template <class T>
    T* array(std::string_view argument, std::initializer_list<Index> shape) const {
        require(dtype == dtype_of<T>(), argument, name_of(dtype_of<T>()), name_of(dtype));
        return static_cast<T*>(memory(argument, shape));
    }

    // How many runs of `width` elements there are.
    Index rows(std::string_view argument, Index width) const {
        require(
            elements >= 0 && elements % width == 0, argument,
            [&] { return "a multiple of " + std::to_string(width) + " elements"; }, elements);
        return elements / width;
    }
};

// Null where there is none.
template <class T>
T* array_or_null(const std::optional<Buffer>& buffer, std::string_view argument, std::initializer_list<Index> shape) {
    return buffer ? buffer->array<T>(argument, shape) : nullptr;
}

// Calls body(zero of the type that `dtype` names, float or double) without the GIL: everything that belongs to Python has
// been read.
template <class Body>
auto with_type(DType dtype, const Body& body) {
    require(dtype == DType::float32 || dtype == DType::float64, "dtype", "float32 or float64", name_of(dtype));
    const py::gil_scoped_release release;
    return dtype == DType::float32 ? body(float()) : body(double());
}

}  // namespace equiscope

namespace pybind11::detail {

template <>
struct type_caster<equiscope::DType> {
    PYBIND11_TYPE_CASTER(equiscope::DType, const_name("str"));

    bool load(handle source, bool) {
        if (!isinstance<str>(source)) return false;
        Py_ssize_t length = 0;
        const char* text = PyUnicode_AsUTF8AndSize(source.ptr(), &length);
        if (!text) throw error_already_set();
        const std::string_view name(text, static_cast<std::size_t>(length));
        for (const auto known : {equiscope::DType::float16, equiscope::DType::bfloat16, equiscope::DType::float32,
                                 equiscope::DType::float64, equiscope::DType::int32}) {
            value = known;
            if (name == equiscope::dtype_names[static_cast<int>(known)]) return true;
        }
        equiscope::require(false, "dtype", "float16, bfloat16, float32, float64 or int32", name);
        return false;
    }
};

// From (address, elements, dtype, owner); the owner is there so that the memory outlives the call.
template <>
struct type_caster<equiscope::Buffer> {
    PYBIND11_TYPE_CASTER(equiscope::Buffer, const_name("tuple[int, int, str, object]"));

    bool load(handle source, bool convert) {
        if (!isinstance<tuple>(source) || len(source) != 4) return false;
        const auto fields = reinterpret_borrow<tuple>(source);
        make_caster<equiscope::Address> address;
        make_caster<equiscope::Index> elements;
        make_caster<equiscope::DType> dtype;
        if (!address.load(fields[0], convert) || !elements.load(fields[1], convert) || !dtype.load(fields[2], convert))
            return false;
        value = {address, elements, dtype};
        return true;
    }
};

}  // namespace pybind11::detail
