#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/time.h"
#include "cmd/sim_jobs.h"

namespace rutile::cmd {

// What many simulations came to.
class SimTotals {
 public:
  void Add(const SimReport& report);
  // Prints seeds, simulated hours, operations, faults by kind, probes never reached and the longest
  // recoveries. `taken`: how long it took, by the clock on the wall.
  void Print(Duration taken, std::size_t jobs) const;
  // One line for each probe, with how often it was reached.
  void PrintProbes() const;
  std::uint64_t failed() const { return failed_.size(); }
  const std::vector<std::uint64_t>& failed_seeds() const { return failed_; }

 private:
  struct Longest {
    Duration time = {};
    std::uint64_t seed = 0;
    void Take(Duration candidate, std::uint64_t of) {
      if (candidate > time) *this = {.time = candidate, .seed = of};
    }
  };

  std::uint64_t seeds_ = 0;
  std::vector<std::uint64_t> failed_;
  std::map<std::string, std::uint64_t> faults_;
  std::map<std::string, std::uint64_t> counts_;
  std::map<std::string, std::uint64_t> probes_;
  Duration simulated_ = {};
  Longest service_, settled_, recovery_;
};

}  // namespace rutile::cmd
