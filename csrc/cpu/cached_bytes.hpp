// How large a result may be to stay in a cache: larger ones are written past them.
#pragma once

#include "equiscope/index.hpp"

namespace equiscope {

Index cached_bytes();

}  // namespace equiscope
