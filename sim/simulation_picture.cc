#include "sim/simulation_picture.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace rutile::sim {
namespace {

// "12.5 s"
std::string Show(Duration duration) {
  std::array<char, 32> text = {};
  std::snprintf(text.data(), text.size(), "%.3f", ToSeconds(duration));
  std::string number = text.data();
  number.erase(number.find_last_not_of('0') + 1);
  if (number.ends_with('.')) number.pop_back();
  return number + " s";
}

// Faults that hit more than the node that they name.
bool IsOfAll(Fault fault) {
  constexpr std::array kAll = {Fault::kHalves, Fault::kBridge, Fault::kRing, Fault::kClog,
                               Fault::kBlackout};
  return std::find(kAll.begin(), kAll.end(), fault) != kAll.end();
}

// "disk-stall for 1.5 s", with its numbers as in a script.
std::string Show(const TimedFault& fault) {
  std::string text = std::string(ToString(fault.fault)) + " for " + Show(fault.span);
  const std::string script = ToString(fault);
  const std::size_t numbers = script.find(' ', script.find(" for ") + 5);
  if (numbers != std::string::npos) text += script.substr(numbers);
  return text;
}

}  // namespace

void SimulationPicture::OnBegin(Simulation& simulation) {
  TimelineRecorder::Options options{
      .now = [&simulation] { return simulation.world().Now() - simulation.world().taken(); },
      .from = window_.from,
      .span = window_.span,
  };
  for (std::size_t i = 0; i < simulation.cluster().size(); ++i) {
    options.nodes.push_back("n" + std::to_string(i + 1));
  }
  is_up_.resize(options.nodes.size());
  recorder_ = std::make_unique<TimelineRecorder>(std::move(options));
}

raft::Observer* SimulationPicture::WatchCore(Simulation&, std::size_t node, RegionId group,
                                             PeerId peer) {
  return recorder_->Watch(group, peer, node);
}

void SimulationPicture::OnEvent(Simulation& simulation) {
  ended_ = simulation.world().Now();
  if (failed_at_) return;
  for (std::size_t i = 0; i < is_up_.size(); ++i) {
    const bool is_up = simulation.cluster().is_up(i);
    if (is_up_[i] == is_up) continue;
    is_up_[i] = is_up;
    is_up ? recorder_->OnUp(i) : recorder_->OnDown(i);
  }
  if (!simulation.has_violations()) return;
  failed_at_ = simulation.world().Now();
  recorder_->OnVerdict(simulation.violations().front());
}

void SimulationPicture::OnFault(Simulation& simulation, const TimedFault* fault) {
  if (fault == nullptr) {
    recorder_->OnFaultsEnd();
    faults_ended_ = simulation.world().Now();
    if (!window_.from) under_faults_ = recorder_->Take();
    return;
  }
  const std::size_t node = IsOfAll(fault->fault) ? kNoNode : fault->node;
  recorder_->OnFault(node, Show(*fault), fault->at + fault->span);
}

std::string SimulationPicture::Page(std::uint64_t seed, const std::vector<std::string>& violations,
                                    const std::string& repeat) const {
  PageWords words{
      .title = "seed " + std::to_string(seed), .repeat = repeat, .violations = violations};
  if (window_.from) {
    words.window =
        "From " + Show(*window_.from) + " on, " + Show(window_.span) + " of " + Show(ended_) + ".";
    return RenderPage(recorder_->Take(), words);
  }
  const std::string last = "The last " + Show(window_.span) + " before ";
  if (violations.empty() && under_faults_) {
    words.window =
        last + "all faults were over, at " + Show(faults_ended_) + " of " + Show(ended_) + ".";
    return RenderPage(*under_faults_, words);
  }
  words.window = failed_at_ ? last + "it failed, at " + Show(*failed_at_) + "."
                            : last + "its end, at " + Show(ended_) + ".";
  if (!violations.empty()) recorder_->OnVerdict(violations.front());
  return RenderPage(recorder_->Take(), words);
}

}  // namespace rutile::sim
