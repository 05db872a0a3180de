# What every target is compiled with, and the two ways to declare one:
#
#   rutile_library(<room> [SOURCES a.cc ...] [DEPS room ...] [LIBS target ...])
#   rutile_test(<room> SOURCES a_test.cc ... [DEPS room ...] [LIBS target ...])
#
# A room is a static library (header-only without SOURCES) that sees its own headers, those of its
# DEPS and, privately, those of its LIBS: third-party headers stay in .cc files.

include(GNUInstallDirs)

add_library(rutile_options INTERFACE)
# Programs that use the installed package include <rutile/room/header.h>.
target_include_directories(rutile_options INTERFACE
  "$<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/src;${CMAKE_SOURCE_DIR}>"
  "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR};${CMAKE_INSTALL_INCLUDEDIR}/rutile>")
target_compile_features(rutile_options INTERFACE cxx_std_20)
target_compile_definitions(rutile_options INTERFACE
  $<BUILD_INTERFACE:_GLIBCXX_ASSERTIONS>
  $<BUILD_INTERFACE:$<$<BOOL:${RUTILE_EXPENSIVE_CHECKS}>:RUTILE_EXPENSIVE_CHECKS>>)
target_compile_options(rutile_options INTERFACE $<BUILD_INTERFACE:-fno-omit-frame-pointer>)
target_link_libraries(rutile_options INTERFACE Threads::Threads)
if(RUTILE_SANITIZE)
  target_compile_options(rutile_options INTERFACE -fsanitize=${RUTILE_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(rutile_options INTERFACE -fsanitize=${RUTILE_SANITIZE})
endif()
# With g++ these three checks, made at every access, are a third of the time that a build with both
# sanitizers takes. Null pointers and most of what is too small the address sanitizer finds as well;
# the fuzzers, which clang builds, have all of them where bytes are decoded.
if(RUTILE_SANITIZE MATCHES "undefined")
  target_compile_options(rutile_options INTERFACE
    $<$<CXX_COMPILER_ID:GNU>:-fno-sanitize=null,alignment,object-size>)
endif()

add_library(rutile_warnings INTERFACE)
target_compile_options(rutile_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Werror -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast
  -Wnon-virtual-dtor -Woverloaded-virtual -Wcast-qual -Wimplicit-fallthrough -Wextra-semi
  $<$<CXX_COMPILER_ID:GNU>:-Wduplicated-cond -Wlogical-op -Wsuggest-override>
  $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety>)
# A tree that is built as a whole and seldom again, as those of the sanitizers are, compiles the files
# of a room eight at a time, which takes half as long. A name in two files' anonymous namespaces must
# mean the same for that.
if(CMAKE_UNITY_BUILD)
  target_compile_options(rutile_warnings INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
endif()
# g++ 12 reports false positives from libstdc++ itself under the sanitizers' instrumentation.
if(RUTILE_SANITIZE)
  target_compile_options(rutile_warnings INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
endif()

add_custom_target(check_headers)

# Compiles each header of a room alone, so that none leans on what somebody else included first.
function(rutile_check_headers room folder)
  file(GLOB headers CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR}/src
       ${CMAKE_SOURCE_DIR}/src/${folder}/*.h ${CMAKE_SOURCE_DIR}/src/${folder}/*/*.h)
  foreach(header IN LISTS headers)
    set(source ${CMAKE_BINARY_DIR}/headers/${header}.cc)
    file(CONFIGURE OUTPUT ${source} CONTENT "#include \"${header}\"  // IWYU pragma: keep\n")
    list(APPEND alone ${source})
  endforeach()
  if(alone)
    add_library(headers_${room} OBJECT EXCLUDE_FROM_ALL ${alone})
    target_link_libraries(headers_${room} PRIVATE rutile_${room} rutile_warnings ${ARGN})
    add_dependencies(check_headers headers_${room})
  endif()
endfunction()

function(rutile_library room)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LIBS" ${ARGN})
  list(TRANSFORM ARG_DEPS PREPEND rutile_ OUTPUT_VARIABLE deps)
  if(ARG_SOURCES)
    add_library(rutile_${room} STATIC ${ARG_SOURCES})
    target_link_libraries(rutile_${room} PUBLIC rutile_options ${deps}
                          PRIVATE $<BUILD_INTERFACE:rutile_warnings> ${ARG_LIBS})
  else()
    add_library(rutile_${room} INTERFACE)
    target_link_libraries(rutile_${room} INTERFACE rutile_options ${deps})
  endif()
  rutile_check_headers(${room} ${room} ${ARG_LIBS})
endfunction()

# Makes a room a part of the package that others build with (cmake/package.cmake): its library, in
# one of the sets of targets base, raft and client, and headers of it with the components that offer
# them. What is in `base` comes with every component.
#
#   rutile_install(<room> IN <set> [NAME <as others call it>] [RAFT a.h ...] [CLIENT a.h ...])
function(rutile_install room)
  cmake_parse_arguments(ARG "" "IN;NAME" "RAFT;CLIENT" ${ARGN})
  if(NOT ARG_NAME)
    set(ARG_NAME ${room})
  endif()
  set_target_properties(rutile_${room} PROPERTIES EXPORT_NAME ${ARG_NAME})
  install(TARGETS rutile_${room} EXPORT rutile-${ARG_IN}
          ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT ${ARG_IN})
  foreach(component raft client)
    string(TOUPPER ${component} keyword)
    foreach(header IN LISTS ARG_${keyword})
      cmake_path(GET header PARENT_PATH folder)
      install(FILES ${header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/rutile/${room}/${folder}
              COMPONENT ${component})
    endforeach()
  endforeach()
endfunction()

# All tests share one precompiled header: gtest costs more to parse than most of our files.
function(rutile_test room)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LIBS" ${ARGN})
  list(TRANSFORM ARG_DEPS PREPEND rutile_ OUTPUT_VARIABLE deps)
  if(NOT TARGET rutile_test_pch)
    file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/test_pch.cc CONTENT "")
    add_library(rutile_test_pch OBJECT ${CMAKE_BINARY_DIR}/test_pch.cc)
    target_link_libraries(rutile_test_pch PUBLIC rutile_options rutile_warnings GTest::gmock)
    target_precompile_headers(rutile_test_pch PRIVATE
      <gtest/gtest.h> <gmock/gmock.h> <functional> <map> <memory> <string> <vector>)
    target_compile_definitions(rutile_test_pch PRIVATE RUTILE_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  endif()
  add_executable(${room}_test ${ARG_SOURCES})
  target_link_libraries(${room}_test PRIVATE ${deps} ${ARG_LIBS} rutile_options rutile_warnings
                        GTest::gmock GTest::gtest_main)
  target_compile_definitions(${room}_test PRIVATE RUTILE_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  target_precompile_headers(${room}_test REUSE_FROM rutile_test_pch)
  add_test(NAME ${room} COMMAND ${room}_test)
endfunction()
