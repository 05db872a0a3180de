#include "bench/core/allocations.h"

#include <malloc.h>

#include <cstdlib>
#include <new>

namespace rutile::bench {
namespace {

Allocations counted;  // The drivers that link this allocate on one thread.
bool count_bytes = false;

}  // namespace

Allocations CountAllocations() { return counted; }
void CountBytes(bool on) { count_bytes = on; }

void* Allocate(std::size_t size) {
  void* memory = std::malloc(size);
  if (memory == nullptr) std::abort();
  ++counted.count;
  if (count_bytes) counted.live_bytes += malloc_usable_size(memory);
  return memory;
}

void Free(void* memory) {
  if (memory == nullptr) return;
  if (count_bytes) counted.live_bytes -= malloc_usable_size(memory);
  std::free(memory);
}

}  // namespace rutile::bench

void* operator new(std::size_t size) { return rutile::bench::Allocate(size); }
void operator delete(void* memory) noexcept { rutile::bench::Free(memory); }
void operator delete(void* memory, std::size_t) noexcept { rutile::bench::Free(memory); }
