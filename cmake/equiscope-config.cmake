# find_package(equiscope): equiscope::headers, the mathematics, and equiscope::cpu, the kernels on batches, which a wheel is
# without.
include(CMakeFindDependencyMacro)
find_dependency(Threads)
include(${CMAKE_CURRENT_LIST_DIR}/equiscope-targets.cmake)
