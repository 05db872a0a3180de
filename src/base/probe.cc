#include "base/probe.h"

#include <algorithm>
#include <string_view>

namespace rutile {
namespace {

// The list of all. Grows while the program is being started, on one thread.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables)
constinit const Probe* first = nullptr;

}  // namespace

Probe::Probe(const char* name, const char* file, int line)
    : name_(name), file_(file), line_(line), next_(first) {
  first = this;
}

std::vector<const Probe*> Probe::All() {
  std::vector<const Probe*> all;
  for (const Probe* probe = first; probe != nullptr; probe = probe->next_) all.push_back(probe);
  std::sort(all.begin(), all.end(),
            [](const Probe* a, const Probe* b) { return std::string_view(a->name_) < b->name_; });
  return all;
}

}  // namespace rutile
