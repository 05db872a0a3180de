# rutile_proto: the messages of proto/, generated. Messages only: calls are bound by name in src/rpc,
# so that no stub, and no header of an RPC library, is needed to use a message.
#
# Include "proto/<name>.pb.h"; the headers count as a system's, since our warnings are not theirs.

find_package(Protobuf REQUIRED)

file(GLOB RUTILE_PROTOS CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR}
     ${CMAKE_SOURCE_DIR}/proto/*.proto ${CMAKE_SOURCE_DIR}/proto/rutile/*.proto)
set(RUTILE_GENERATED ${CMAKE_BINARY_DIR}/generated)
file(MAKE_DIRECTORY ${RUTILE_GENERATED})

set(generated_sources)
foreach(proto IN LISTS RUTILE_PROTOS)
  string(REGEX REPLACE "\\.proto$" "" stem ${proto})
  set(outputs ${RUTILE_GENERATED}/${stem}.pb.cc ${RUTILE_GENERATED}/${stem}.pb.h)
  add_custom_command(
    OUTPUT ${outputs}
    COMMAND protobuf::protoc -I ${CMAKE_SOURCE_DIR} --cpp_out=${RUTILE_GENERATED} ${proto}
    # A file is generated again when any of them changes: they import each other, and are few.
    DEPENDS ${RUTILE_PROTOS}
    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
    VERBATIM)
  list(APPEND generated_sources ${outputs})
endforeach()

add_library(rutile_proto STATIC ${generated_sources})
if(RUTILE_SANITIZE)
  # The library that they lean on comes without instrumentation too, and with it the largest of them
  # alone keeps a processor busy for minutes.
  set_source_files_properties(${generated_sources} PROPERTIES COMPILE_OPTIONS -fno-sanitize=all)
endif()
target_include_directories(rutile_proto SYSTEM PUBLIC $<BUILD_INTERFACE:${RUTILE_GENERATED}>)
target_link_libraries(rutile_proto PUBLIC rutile_options protobuf::libprotobuf)
rutile_install(proto IN client)

# Found here, not in src/rpc, because whatever links that room must see the target too.
find_package(gRPC CONFIG REQUIRED)
if(TARGET re2::re2)
  # It brings -pthread along, with which the tests' precompiled header cannot be used.
  set_target_properties(re2::re2 PROPERTIES INTERFACE_COMPILE_OPTIONS "")
endif()

find_package(Python3 REQUIRED COMPONENTS Interpreter)
add_test(NAME proto_wire
         COMMAND Python3::Interpreter ${CMAKE_SOURCE_DIR}/tests/proto/check_wire.py
                 --protoc $<TARGET_FILE:protobuf::protoc>
         WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
