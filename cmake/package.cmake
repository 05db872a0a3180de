# What others build with, in components: find_package(rutile COMPONENTS raft) gives the Raft core as
# rutile::raft, find_package(rutile COMPONENTS client) the client as rutile::client.
#
#   cmake --install <tree> --component raft|client --prefix <folder>
#
# Which rooms and headers belong to them is said where the rooms are declared, by rutile_install.

include(CMakePackageConfigHelpers)

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/rutile)
set_target_properties(rutile_options PROPERTIES EXPORT_NAME options)
install(TARGETS rutile_options EXPORT rutile-base)
configure_package_config_file(cmake/rutile-config.cmake.in ${CMAKE_BINARY_DIR}/rutile-config.cmake
                              INSTALL_DESTINATION ${package_folder})
# Nothing is promised between minor versions before 1.0.
write_basic_package_version_file(${CMAKE_BINARY_DIR}/rutile-config-version.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/rutile-config.cmake ${CMAKE_BINARY_DIR}/rutile-config-version.cmake
        DESTINATION ${package_folder} COMPONENT base)
foreach(component base raft client)
  install(EXPORT rutile-${component} NAMESPACE rutile:: FILE rutile-${component}-targets.cmake
          DESTINATION ${package_folder} COMPONENT ${component})
endforeach()
# CMake exports a target once and installs one component at a time, so what the two share is a third,
# which each of them brings along.
foreach(component raft client)
  install(CODE "execute_process(
                  COMMAND \"${CMAKE_COMMAND}\" --install \"${CMAKE_BINARY_DIR}\" --component base
                          --prefix \"\${CMAKE_INSTALL_PREFIX}\"
                  OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)"
          COMPONENT ${component})
endforeach()
# The client's targets name libnghttp2, which has no package file of its own.
install(FILES ${CMAKE_SOURCE_DIR}/cmake/FindNghttp2.cmake
        DESTINATION ${package_folder} COMPONENT client)

# The archives of a sanitized tree cannot be linked without its flags, which the package leaves out.
if(NOT RUTILE_SANITIZE)
  add_test(NAME package COMMAND ${CMAKE_SOURCE_DIR}/tests/package/run ${CMAKE_BINARY_DIR})
  add_test(NAME package_client COMMAND ${CMAKE_SOURCE_DIR}/tests/package/run_client ${CMAKE_BINARY_DIR})
endif()
