#include "bench/load/runner.h"

#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

namespace rutile::bench {
namespace {

constexpr Duration kProgressInterval = Seconds(1);

Duration ThreadCpu() {
  rusage usage = {};
  getrusage(RUSAGE_THREAD, &usage);
  const auto micros = [](const timeval& time) {
    return std::int64_t{time.tv_sec} * 1'000'000 + std::int64_t{time.tv_usec};
  };
  return Microseconds(micros(usage.ru_utime) + micros(usage.ru_stime));
}

// When an operation is started: all at once as far as concurrency allows, or at a rate.
class Schedule {
 public:
  Schedule(double rate, Instant begin) : interval_ns_(rate > 0 ? 1e9 / rate : 0), begin_(begin) {}

  // When the next one should start; `now` without a rate.
  Instant Next(Instant now) const {
    if (interval_ns_ == 0) return now;
    return begin_ + Duration(std::llround(interval_ns_ * static_cast<double>(started_)));
  }
  void Started() { ++started_; }

 private:
  const double interval_ns_;
  const Instant begin_;
  std::uint64_t started_ = 0;
};

// A part of a run: loading, warming up or measuring.
class Phase {
 public:
  struct Plan {
    const char* name = "";
    Duration duration = {};  // 0: until `operations` are done.
    std::uint64_t operations = 0;
    double rate = 0;
    std::function<Op(std::uint64_t number)> next = {};
  };

  Phase(const LoadOptions& options, Plan plan, H2Client& client, Target& target)
      : options_(options),
        plan_(std::move(plan)),
        client_(client),
        target_(target),
        begin_(client.Now()),
        schedule_(plan_.rate, begin_),
        last_success_(begin_),
        told_(begin_) {}

  LoadReport Run() {
    const Duration cpu = ThreadCpu();
    const std::uint64_t retries = target_.retries();
    while (true) {
      const Duration wait = StartWhatIsDue();
      if (under_way_ == 0 && over_ && client_.Now() - begin_ >= plan_.duration) break;
      client_.Poll(wait);
      Tell(client_.Now());
    }
    const Instant end = client_.Now();
    report_.elapsed = end - begin_;
    report_.max_gap = std::max(report_.max_gap, end - last_success_);
    report_.client_cpu = ThreadCpu() - cpu;
    report_.retries = target_.retries() - retries;
    return std::move(report_);
  }

 private:
  // Returns how long to wait at most for the next start.
  Duration StartWhatIsDue() {
    while (!over_ && under_way_ < options_.concurrency) {
      const Instant now = client_.Now();
      const Instant due = schedule_.Next(now);
      over_ = IsOver(now, due);
      if (over_) break;
      if (due > now) return due - now;
      schedule_.Started();
      ++under_way_;
      target_.Start(plan_.next(started_++),
                    [this, due](const Status& status, bool found) { OnDone(due, status, found); });
    }
    return Milliseconds(20);
  }

  // With a rate, what should have started in time is started, though late, until it is hopeless.
  bool IsOver(Instant now, Instant due) const {
    if (plan_.duration == Duration(0)) return started_ >= plan_.operations;
    const Instant end = begin_ + plan_.duration;
    return due >= end || now >= end + options_.target.op_timeout;
  }

  void OnDone(Instant due, const Status& status, bool found) {
    --under_way_;
    if (!status.ok()) {
      if (report_.errors++ == 0) report_.first_error = status.ToString();
      return;
    }
    const Instant now = client_.Now();
    if (!found) ++report_.not_found;
    report_.latency.Record(now - due);
    if (options_.progress) recent_.Record(now - due);
    report_.max_gap = std::max(report_.max_gap, now - last_success_);
    last_success_ = now;
  }

  void Tell(Instant now) {
    if (!options_.progress || now - told_ < kProgressInterval) return;
    const double share =
        plan_.duration > Duration(0)
            ? ToSeconds(now - begin_) / ToSeconds(plan_.duration)
            : static_cast<double>(started_) / static_cast<double>(plan_.operations);
    options_.progress(
        LoadProgress{.phase = plan_.name,
                     .elapsed = now - begin_,
                     .share = std::min(share, 1.0),
                     .operations = recent_.count(),
                     .per_second = static_cast<double>(recent_.count()) / ToSeconds(now - told_),
                     .p50 = recent_.Percentile(50),
                     .p99 = recent_.Percentile(99),
                     .errors = report_.errors});
    recent_ = Histogram();
    told_ = now;
  }

  const LoadOptions& options_;
  const Plan plan_;
  H2Client& client_;
  Target& target_;
  const Instant begin_;
  Schedule schedule_;
  std::size_t under_way_ = 0;
  std::uint64_t started_ = 0;
  bool over_ = false;
  Instant last_success_;
  LoadReport report_;
  Histogram recent_;  // Since progress was told.
  Instant told_;
};

Status Check(const LoadOptions& options) {
  const auto bad = [](std::string_view why) { return Status(Code::kInvalidArgument, why); };
  if (options.concurrency == 0) return bad("at least one operation must be under way");
  if (options.duration <= Duration(0)) return bad("a run takes some time");
  if (options.warmup < Duration(0)) return bad("a warm-up takes no negative time");
  if (!(options.rate >= 0) || std::isinf(options.rate)) return bad("not a rate");
  if (options.client.connections < 1) return bad("at least one connection is needed");
  return {};
}

}  // namespace

double LoadReport::PerSecond() const {
  return elapsed > Duration(0) ? static_cast<double>(latency.count()) / ToSeconds(elapsed) : 0;
}

double LoadReport::ClientCpuMicros() const {
  if (latency.count() == 0) return 0;
  return ToSeconds(client_cpu) * 1e6 / static_cast<double>(latency.count());
}

Result<LoadReport> RunLoad(const LoadOptions& options) {
  RUTILE_RETURN_IF_ERROR(Check(options));
  RUTILE_ASSIGN_OR_RETURN(const std::unique_ptr<Workload> workload,
                          Workload::New(options.workload));
  // Destroyed after the target, and runs no callbacks then.
  auto client = std::make_unique<H2Client>(options.client);
  RUTILE_ASSIGN_OR_RETURN(const std::unique_ptr<Target> target, NewTarget(options.target, *client));
  RUTILE_RETURN_IF_ERROR(target->Connect());
  if (options.preload) {
    Phase::Plan plan{.name = "loading", .operations = options.workload.keys};
    plan.next = [&workload](std::uint64_t number) { return workload->Load(number); };
    const LoadReport loaded = Phase(options, std::move(plan), *client, *target).Run();
    if (loaded.errors > 0) {
      return Status(Code::kUnavailable, "loading the keys failed: " + loaded.first_error);
    }
  }
  const auto next = [&workload](std::uint64_t) { return workload->Next(); };
  if (options.warmup > Duration(0)) {
    Phase::Plan plan{.name = "warming up", .duration = options.warmup, .rate = options.rate};
    plan.next = next;
    Phase(options, std::move(plan), *client, *target).Run();
  }
  Phase::Plan plan{.name = "measuring", .duration = options.duration, .rate = options.rate};
  plan.next = next;
  return Phase(options, std::move(plan), *client, *target).Run();
}

}  // namespace rutile::bench
