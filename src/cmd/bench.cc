#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "bench/load/runner.h"
#include "cmd/client_session.h"
#include "cmd/commands.h"

namespace rutile::cmd {
namespace {

using Json = nlohmann::json;

struct BenchFlags {
  std::string endpoints = "127.0.0.1:20160";
  std::string target = "rutile";
  std::string api = "unary";
  std::string workload = "put";
  std::string distribution = "uniform";
  double duration_seconds = 10;
  double warmup_seconds = 1;
  bool json = false;
  bool progress = false;
  bench::LoadOptions load = {};
};

double Micros(Duration duration) { return static_cast<double>(duration.count()) / 1e3; }

Json ToJson(const BenchFlags& flags, const bench::LoadReport& report) {
  const bench::Histogram& latency = report.latency;
  return {{"target", flags.target},
          {"api", flags.api},
          {"workload", flags.workload},
          {"distribution", flags.distribution},
          {"keys", flags.load.workload.keys},
          {"key_bytes", flags.load.workload.key_bytes},
          {"value_bytes", flags.load.workload.value_bytes},
          {"concurrency", flags.load.concurrency},
          {"connections", flags.load.client.connections},
          {"rate", flags.load.rate},
          {"seconds", ToSeconds(report.elapsed)},
          {"operations", latency.count()},
          {"operations_per_second", report.PerSecond()},
          {"errors", report.errors},
          {"first_error", report.first_error},
          {"not_found", report.not_found},
          {"retries", report.retries},
          {"latency_us",
           {{"mean", Micros(latency.Mean())},
            {"p50", Micros(latency.Percentile(50))},
            {"p90", Micros(latency.Percentile(90))},
            {"p99", Micros(latency.Percentile(99))},
            {"p99.9", Micros(latency.Percentile(99.9))},
            {"max", Micros(latency.max())}}},
          {"max_gap_us", Micros(report.max_gap)},
          {"client_cpu_us_per_operation", report.ClientCpuMicros()}};
}

void Print(const bench::LoadReport& report) {
  const bench::Histogram& latency = report.latency;
  const auto ms = [](Duration duration) { return Micros(duration) / 1e3; };
  std::printf("%llu operations in %.1f s: %.0f a second\n",
              static_cast<unsigned long long>(latency.count()), ToSeconds(report.elapsed),
              report.PerSecond());
  std::printf("latency (ms)  p50 %.3f  p90 %.3f  p99 %.3f  p99.9 %.3f  max %.3f\n",
              ms(latency.Percentile(50)), ms(latency.Percentile(90)), ms(latency.Percentile(99)),
              ms(latency.Percentile(99.9)), ms(latency.max()));
  std::printf("longest time without a success %.1f ms, requests sent again %llu\n",
              ms(report.max_gap), static_cast<unsigned long long>(report.retries));
  std::printf("load generator %.1f us of processor time an operation\n", report.ClientCpuMicros());
  if (report.not_found > 0) {
    std::printf("%llu reads found nothing: --preload writes the keys first\n",
                static_cast<unsigned long long>(report.not_found));
  }
  if (report.errors > 0) {
    std::printf("%llu errors, the first: %s\n", static_cast<unsigned long long>(report.errors),
                report.first_error.c_str());
  }
}

// One line that is written over on a terminal; one line a second elsewhere.
void PrintProgress(const bench::LoadProgress& progress, bool terminal) {
  std::fprintf(
      stderr, "%s%-10s %5.1f s %3.0f %%  %8.0f ops/s  p50 %7.2f ms  p99 %7.2f ms  %llu errors%s",
      terminal ? "\r" : "", progress.phase, ToSeconds(progress.elapsed), progress.share * 100,
      progress.per_second, Micros(progress.p50) / 1e3, Micros(progress.p99) / 1e3,
      static_cast<unsigned long long>(progress.errors), terminal ? "\033[K" : "\n");
  std::fflush(stderr);
}

void Translate(const BenchFlags& flags, bench::LoadOptions* load) {
  load->target.endpoints = ClientFlags{.endpoints = flags.endpoints}.EndpointList();
  load->target.kind = flags.target == "etcd" ? bench::TargetKind::kEtcd
                      : flags.api == "batch" ? bench::TargetKind::kRawBatch
                                             : bench::TargetKind::kRawUnary;
  load->workload.mixed = flags.workload == "mixed";
  load->workload.kind = flags.workload == "get"    ? bench::OpKind::kGet
                        : flags.workload == "scan" ? bench::OpKind::kScan
                                                   : bench::OpKind::kPut;
  load->workload.distribution = flags.distribution == "zipf"     ? bench::Distribution::kZipf
                                : flags.distribution == "latest" ? bench::Distribution::kLatest
                                                                 : bench::Distribution::kUniform;
  const auto seconds = [](double count) {
    return Duration(static_cast<Duration::rep>(std::clamp(count, -1.0, 1e6) * 1e9));
  };
  load->duration = seconds(flags.duration_seconds);
  load->warmup = seconds(flags.warmup_seconds);
}

int RunBench(const BenchFlags& flags) {
  if (flags.target == "etcd" && flags.api == "batch") {
    return Fail(Status(Code::kInvalidArgument, "--api batch: etcd has no such call"));
  }
  bench::LoadOptions load = flags.load;
  Translate(flags, &load);
  const bool terminal = isatty(STDERR_FILENO) != 0;
  if (terminal || flags.progress) {
    load.progress = [terminal](const bench::LoadProgress& progress) {
      PrintProgress(progress, terminal);
    };
  }
  const Result<bench::LoadReport> report = bench::RunLoad(load);
  if (terminal) std::fputs("\r\033[K", stderr);
  if (!report.ok()) return Fail(report.status());
  if (flags.json) {
    std::printf("%s\n", ToJson(flags, report.value()).dump().c_str());
  } else {
    Print(report.value());
  }
  return report.value().errors == 0 && report.value().latency.count() > 0 ? kExitOk : kExitFailed;
}

void AddWorkloadFlags(CLI::App& command, const std::shared_ptr<BenchFlags>& flags) {
  bench::WorkloadOptions& workload = flags->load.workload;
  command.add_option("--workload", flags->workload, "What is done")
      ->check(CLI::IsMember({"put", "get", "scan", "mixed"}))
      ->capture_default_str();
  command.add_option("--read-ratio", workload.read_ratio, "Share of gets in a mixed workload")
      ->capture_default_str();
  command.add_option("--keys", workload.keys, "Number of different keys")->capture_default_str();
  command.add_option("--key-bytes", workload.key_bytes, "Size of a key")->capture_default_str();
  command.add_option("--value-bytes", workload.value_bytes, "Size of a value")
      ->capture_default_str();
  command.add_option("--scan-limit", workload.scan_limit, "Most pairs of a scan")
      ->capture_default_str();
  command.add_option("--distribution", flags->distribution, "Which keys are used how often")
      ->check(CLI::IsMember({"uniform", "zipf", "latest"}))
      ->capture_default_str();
  command.add_option("--seed", workload.seed, "Of keys and values")->capture_default_str();
  command.add_flag("--preload", flags->load.preload, "Write every key once before the run");
}

}  // namespace

void AddBench(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<BenchFlags>();
  CLI::App* command = app.add_subcommand("bench", "Put load on a cluster and measure it");
  command
      ->add_option("--endpoint,--endpoints", flags->endpoints,
                   "host:port,...; of etcd the leader first")
      ->envname("RUTILE_ENDPOINTS")
      ->capture_default_str();
  command->add_option("--target", flags->target, "Whose protocol to speak")
      ->check(CLI::IsMember({"rutile", "etcd"}))
      ->capture_default_str();
  command->add_option("--api", flags->api, "A call for each operation, or batches in a stream")
      ->check(CLI::IsMember({"unary", "batch"}))
      ->capture_default_str();
  command->add_option("--batch", flags->load.target.batch, "Most operations of a batch")
      ->capture_default_str();
  AddWorkloadFlags(*command, flags);
  command->add_option("--concurrency", flags->load.concurrency, "Operations under way")
      ->capture_default_str();
  command->add_option("--connections", flags->load.client.connections, "To each server")
      ->capture_default_str();
  command
      ->add_option("--rate", flags->load.rate,
                   "Operations started a second; 0: one starts when another ends")
      ->capture_default_str();
  command->add_option("--duration", flags->duration_seconds, "Seconds that are measured")
      ->capture_default_str();
  command->add_option("--warmup", flags->warmup_seconds, "Seconds before that")
      ->capture_default_str();
  command->add_flag("--json", flags->json, "The result as JSON");
  command->add_flag("--progress", flags->progress,
                    "A line a second on standard error, terminal or not");
  command->callback([flags, exit_code] { *exit_code = RunBench(*flags); });
}

}  // namespace rutile::cmd
