// Numbers that several files need.
#pragma once

namespace equiscope {

constexpr double pi = 3.14159265358979323846;
constexpr double root2 = 1.4142135623730951;

}  // namespace equiscope
