#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"

namespace rutile::cmd {

// What one simulation came to, as it crosses from the process that ran it to the one that counts.
struct SimReport {
  std::uint64_t seed = 0;
  std::vector<std::string> violations = {};
  std::map<std::string, std::uint64_t> faults = {};  // That came, by kind.
  std::map<std::string, std::uint64_t> counts = {};  // Events, calls and so on; they are summed.
  std::map<std::string, std::uint64_t> probes = {};  // Of the program, by name, all of them.
  std::uint64_t trace_hash = 0;
  std::uint64_t state_hash = 0;
  Duration simulated = {};
  Duration service = {};
  Duration settled = {};
  Duration recovery = {};
};

// Runs `run(seed)` for one seed after another in `jobs` processes beside this one, each of one
// thread, so that a run that crashes takes no other with it: its report says so.
class SimJobs {
 public:
  using Run = std::function<SimReport(std::uint64_t seed)>;
  // The next seed, or nothing when there is to be no other. Asked in this process.
  using NextSeed = std::function<std::optional<std::uint64_t>()>;
  using OnReport = std::function<void(const SimReport&)>;

  SimJobs(std::size_t jobs, Run run);
  SimJobs(const SimJobs&) = delete;
  SimJobs& operator=(const SimJobs&) = delete;
  ~SimJobs();

  // Returns when all that were begun have ended. Reports come in the order in which runs end.
  void RunAll(const NextSeed& next, const OnReport& on_report);

 private:
  struct Worker;

  void Begin(Worker& worker);
  void End(Worker& worker);
  // Reads what has come; true when it is a whole report, or the process is gone.
  bool Read(Worker& worker, SimReport* report);
  [[noreturn]] void Serve(int from, int to) const;

  const Run run_;
  std::vector<Worker> workers_;
};

}  // namespace rutile::cmd
