// A library to be loaded before a program (LD_PRELOAD), which makes its log's disk slow: of the
// thread named "log", so many of a thousand calls of fdatasync return later than they would.
//
// What is to be done stands in the file that RUTILE_SLOW_SYNC names, and may change at any time:
// three numbers of 8 bytes in the order of `Orders`.

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace {

struct Orders {
  std::atomic<std::uint64_t> permille = 0;  // Of the calls that take longer.
  std::atomic<std::uint64_t> delay_us = 0;  // By so much.
  std::atomic<std::uint64_t> once_us = 0;   // One call takes so much longer, and sets it to zero.
};

Orders* MapOrders() {
  const char* path = std::getenv("RUTILE_SLOW_SYNC");
  if (path == nullptr) return nullptr;
  const int file = open(path, O_RDWR | O_CLOEXEC);
  if (file < 0) return nullptr;
  void* const mapped = mmap(nullptr, sizeof(Orders), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  return mapped == MAP_FAILED ? nullptr : static_cast<Orders*>(mapped);
}

bool IsLogThread() {
  thread_local const bool is_log = [] {
    std::array<char, 16> name = {};
    pthread_getname_np(pthread_self(), name.data(), name.size());
    return std::strcmp(name.data(), "log") == 0;
  }();
  return is_log;
}

void Sleep(std::uint64_t micros) {
  const timespec span{.tv_sec = static_cast<time_t>(micros / 1'000'000),
                      .tv_nsec = static_cast<long>(micros % 1'000'000 * 1000)};
  nanosleep(&span, nullptr);
}

// The same calls are slow in every run: every n-th, about.
bool IsSlow(std::uint64_t permille) {
  thread_local std::uint64_t state = 1;
  state = state * 6364136223846793005U + 1442695040888963407U;
  return (state >> 33) % 1000 < permille;
}

}  // namespace

extern "C" int fdatasync(int file) {
  static const auto real = reinterpret_cast<int (*)(int)>(dlsym(RTLD_NEXT, "fdatasync"));
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): others write to it.
  static Orders* const orders = MapOrders();
  if (orders != nullptr && IsLogThread()) {
    if (const std::uint64_t once = orders->once_us.exchange(0)) Sleep(once);
    if (IsSlow(orders->permille)) Sleep(orders->delay_us);
  }
  return real(file);
}
