#include "cmd/sim_jobs.h"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/check.h"

namespace rutile::cmd {
namespace {

using Json = nlohmann::json;

std::string Encode(const SimReport& report) {
  return Json{{"seed", report.seed},
              {"violations", report.violations},
              {"faults", report.faults},
              {"counts", report.counts},
              {"probes", report.probes},
              {"trace_hash", report.trace_hash},
              {"state_hash", report.state_hash},
              {"simulated", report.simulated.count()},
              {"service", report.service.count()},
              {"settled", report.settled.count()},
              {"recovery", report.recovery.count()}}
             // What a violation says of damaged bytes need not be text.
             .dump(-1, ' ', false, Json::error_handler_t::replace) +
         "\n";
}

SimReport Decode(const std::string& line) {
  const Json json = Json::parse(line);
  SimReport report;
  json.at("seed").get_to(report.seed);
  json.at("violations").get_to(report.violations);
  json.at("faults").get_to(report.faults);
  json.at("counts").get_to(report.counts);
  json.at("probes").get_to(report.probes);
  json.at("trace_hash").get_to(report.trace_hash);
  json.at("state_hash").get_to(report.state_hash);
  const auto time = [&](const char* name) { return Duration(json.at(name).get<std::int64_t>()); };
  report.simulated = time("simulated");
  report.service = time("service");
  report.settled = time("settled");
  report.recovery = time("recovery");
  return report;
}

bool WriteAll(int fd, const std::string& bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = write(fd, bytes.data() + done, bytes.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    done += static_cast<std::size_t>(count);
  }
  return true;
}

std::string WordsFor(int status) {
  if (WIFSIGNALED(status))
    return std::string("the process was ended by ") + strsignal(WTERMSIG(status));
  return "the process ended with code " + std::to_string(WEXITSTATUS(status));
}

}  // namespace

struct SimJobs::Worker {
  pid_t process = -1;
  int to = -1;    // Seeds.
  int from = -1;  // Reports.
  std::string received = {};
  std::optional<std::uint64_t> seed = {};  // That it runs.
};

SimJobs::SimJobs(std::size_t jobs, Run run) : run_(std::move(run)), workers_(jobs) {
  RUTILE_CHECK(jobs > 0);
}

SimJobs::~SimJobs() {
  for (Worker& worker : workers_) End(worker);
}

void SimJobs::Begin(Worker& worker) {
  int seeds[2], reports[2];
  RUTILE_CHECK(pipe(seeds) == 0 && pipe(reports) == 0);
  worker.process = fork();
  RUTILE_CHECK(worker.process >= 0);
  if (worker.process == 0) {
    close(seeds[1]);
    close(reports[0]);
    // The others' pipes too: who holds their writing end keeps them from ending.
    for (const Worker& other : workers_) {
      if (other.to >= 0) close(other.to);
      if (other.from >= 0) close(other.from);
    }
    Serve(seeds[0], reports[1]);
  }
  close(seeds[0]);
  close(reports[1]);
  worker.to = seeds[1];
  worker.from = reports[0];
  worker.received.clear();
}

void SimJobs::Serve(int from, int to) const {
  std::uint64_t seed = 0;
  while (read(from, &seed, sizeof(seed)) == static_cast<ssize_t>(sizeof(seed))) {
    if (!WriteAll(to, Encode(run_(seed)))) break;
  }
  _exit(0);
}

void SimJobs::End(Worker& worker) {
  if (worker.process < 0) return;
  close(worker.to);
  close(worker.from);
  waitpid(worker.process, nullptr, 0);
  worker = Worker();
}

bool SimJobs::Read(Worker& worker, SimReport* report) {
  char buffer[65536];
  const ssize_t count = read(worker.from, buffer, sizeof(buffer));
  if (count < 0 && errno == EINTR) return false;
  if (count <= 0) {
    int status = 0;
    close(worker.to);
    close(worker.from);
    waitpid(worker.process, &status, 0);
    *report = {.seed = *worker.seed, .violations = {WordsFor(status)}};
    worker = Worker();
    return true;
  }
  worker.received.append(buffer, static_cast<std::size_t>(count));
  const auto end = worker.received.find('\n');
  if (end == std::string::npos) return false;
  *report = Decode(worker.received.substr(0, end));
  worker.received.erase(0, end + 1);
  worker.seed.reset();
  return true;
}

void SimJobs::RunAll(const NextSeed& next, const OnReport& on_report) {
  while (true) {
    std::vector<pollfd> waiting;
    std::vector<Worker*> whose;
    for (Worker& worker : workers_) {
      if (!worker.seed) {
        worker.seed = next();
        if (!worker.seed) continue;
        if (worker.process < 0) {
          Begin(worker);
        }
        const std::uint64_t seed = *worker.seed;
        WriteAll(worker.to, std::string(reinterpret_cast<const char*>(&seed), sizeof(seed)));
      }
      waiting.push_back({.fd = worker.from, .events = POLLIN, .revents = 0});
      whose.push_back(&worker);
    }
    if (waiting.empty()) return;
    if (poll(waiting.data(), waiting.size(), -1) < 0) continue;
    for (std::size_t i = 0; i < waiting.size(); ++i) {
      SimReport report;
      if (waiting[i].revents != 0 && Read(*whose[i], &report)) on_report(report);
    }
  }
}

}  // namespace rutile::cmd
