# Makes text files a part of the program: each becomes a constant of `namespace`.
#
#   rutile_embed(<variable> <namespace> kName=file ...)
#
# sets <variable> to the source that defines `extern const char* const kName;` for each. A header
# that declares them is written by hand. Run as a script (cmake -P) this file writes that source.

if(CMAKE_SCRIPT_MODE_FILE)
  set(text "// Made by cmake/embed.cmake.\n\nnamespace ${NAMESPACE} {\n\n")
  foreach(part IN LISTS PARTS)
    string(REGEX MATCH "^([A-Za-z0-9]+)=(.*)$" unused "${part}")
    set(name "${CMAKE_MATCH_1}")
    file(READ "${CMAKE_MATCH_2}" content)
    string(APPEND text "extern const char* const ${name};\n"
           "const char* const ${name} = R\"embedded(${content})embedded\";\n\n")
  endforeach()
  file(WRITE "${OUTPUT}" "${text}}  // namespace ${NAMESPACE}\n")
  return()
endif()

function(rutile_embed variable namespace)
  set(output "${CMAKE_CURRENT_BINARY_DIR}/embedded.cc")
  foreach(part IN LISTS ARGN)
    string(REPLACE "=" ";" pair "${part}")
    list(GET pair 0 name)
    list(GET pair 1 file)
    list(APPEND files "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
    list(APPEND parts "${name}=${CMAKE_CURRENT_SOURCE_DIR}/${file}")
  endforeach()
  add_custom_command(
    OUTPUT "${output}"
    COMMAND "${CMAKE_COMMAND}" "-DOUTPUT=${output}" "-DNAMESPACE=${namespace}" "-DPARTS=${parts}"
            -P "${CMAKE_SOURCE_DIR}/cmake/embed.cmake"
    DEPENDS ${files} "${CMAKE_SOURCE_DIR}/cmake/embed.cmake"
    VERBATIM)
  set(${variable} "${output}" PARENT_SCOPE)
endfunction()
