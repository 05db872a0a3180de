# What a store allocates on one thread it often frees on another, in small pieces, all the time:
# jemalloc takes a quarter of the processors' time less for that than the C library's allocator
# (docs/benchmarks.md). Sanitizers bring allocators of their own.
if(NOT RUTILE_SANITIZE)
  find_library(JEMALLOC jemalloc REQUIRED)
endif()

# For programs, not for libraries: whoever takes one of those chooses for himself.
function(rutile_allocator target)
  if(NOT RUTILE_SANITIZE)
    target_link_libraries(${target} PRIVATE ${JEMALLOC})
  endif()
endfunction()
