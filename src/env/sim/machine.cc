#include "env/sim/machine.h"

#include <utility>

#include "base/check.h"

namespace rutile::sim {

// The process's end of the network. Outlives its connection to it, because a dying process may
// still send.
class Machine::Gate final : public Transport {
 public:
  explicit Gate(std::unique_ptr<Transport> inner) : inner_(std::move(inner)) {}

  void Start(Receiver receiver) override {
    if (inner_ != nullptr) inner_->Start(std::move(receiver));
  }
  void Send(StoreId to, std::string message) override {
    if (inner_ != nullptr) inner_->Send(to, std::move(message));
  }
  void Close() { inner_ = nullptr; }

 private:
  std::unique_ptr<Transport> inner_;
};

Machine::Machine(World& world, SimNetwork& network, StoreId store, const Options& options)
    : world_(world),
      network_(network),
      store_(store),
      options_(options),
      clock_(world, options.clock),
      disk_(world, options.disk) {}

Machine::~Machine() {
  if (is_running_) Kill();
}

void Machine::Boot() {
  RUTILE_CHECK(!is_running_);
  executors_.clear();
  is_running_ = true;
  ++boots_;
  random_ = std::make_unique<SeededRandom>(world_.NewRandom());
  gate_ = std::make_unique<Gate>(network_.NewTransport(store_));
}

void Machine::StopProcess() {
  RUTILE_CHECK(is_running_);
  is_running_ = false;
  gate_->Close();
  for (const auto& executor : executors_) executor->Shutdown();
}

void Machine::Kill() {
  disk_.KillProcess();
  StopProcess();
}

void Machine::CutPower(Loss loss) {
  disk_.CutPower(loss);
  StopProcess();
}

Transport& Machine::transport() {
  RUTILE_CHECK(gate_ != nullptr);
  return *gate_;
}

Random& Machine::random() {
  RUTILE_CHECK(random_ != nullptr);
  return *random_;
}

SimExecutor& Machine::NewExecutor(std::string name) {
  RUTILE_CHECK(is_running_);
  executors_.push_back(
      std::make_unique<SimExecutor>(world_, clock_, std::move(name), options_.executors));
  return *executors_.back();
}

void Machine::Pause() {
  for (const auto& executor : executors_) executor->Pause();
}

void Machine::Resume() {
  for (const auto& executor : executors_) executor->Resume();
}

}  // namespace rutile::sim
