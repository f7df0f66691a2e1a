// Large results in fresh memory: the system hands it out at the first write, 4 kB at a time, which takes up to ten times as
// long as computing what is written there.
#pragma once

#include <cstddef>

namespace equiscope {

// Asks for pages of 2 MB in the part of [start, start + bytes) that such pages fill, so that nothing more becomes resident.
// A wish: where the system has none to give, nothing changes.
void prefer_huge_pages(void* start, std::size_t bytes);

}  // namespace equiscope
