# The Raft core as a package: find_package(rutile COMPONENTS raft) gives the target rutile::raft.
#
#   cmake --install <tree> --component raft --prefix <folder>

include(CMakePackageConfigHelpers)

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/rutile)
set_target_properties(rutile_options PROPERTIES EXPORT_NAME options)
install(TARGETS rutile_options EXPORT rutile COMPONENT raft)
install(EXPORT rutile NAMESPACE rutile:: FILE rutile-targets.cmake
        DESTINATION ${package_folder} COMPONENT raft)
configure_package_config_file(cmake/rutile-config.cmake.in ${CMAKE_BINARY_DIR}/rutile-config.cmake
                              INSTALL_DESTINATION ${package_folder})
# Nothing is promised between minor versions before 1.0.
write_basic_package_version_file(${CMAKE_BINARY_DIR}/rutile-config-version.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/rutile-config.cmake ${CMAKE_BINARY_DIR}/rutile-config-version.cmake
        DESTINATION ${package_folder} COMPONENT raft)

# The archives of a sanitized tree cannot be linked without its flags, which the package leaves out.
if(NOT RUTILE_SANITIZE)
  add_test(NAME package COMMAND ${CMAKE_SOURCE_DIR}/tests/package/run ${CMAKE_BINARY_DIR})
endif()
