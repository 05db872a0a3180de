#include "client/garbage_keeper.h"

#include <atomic>
#include <utility>

namespace rutile::client {

class GarbageKeeper::Turns : public std::enable_shared_from_this<Turns> {
 public:
  Turns(GarbageOptions options, Duration interval, Node node, Connect connect, const Clock& clock,
        Random& random, Executor& executor)
      : interval_(interval),
        node_(std::move(node)),
        executor_(executor),
        rounds_(std::move(options), std::move(connect), clock, random, executor) {}

  void Wait() {
    executor_.PostAfter(interval_, [weak = weak_from_this()] {
      if (const std::shared_ptr<Turns> self = weak.lock()) self->Take();
    });
  }
  void Stop() {
    is_stopped_ = true;
    rounds_.Stop();
  }

 private:
  void Take() {
    if (is_stopped_) return;
    if (!node_.makes_rounds()) return Wait();
    rounds_.Run([weak = weak_from_this()](const Result<GarbageRound>& round) {
      const std::shared_ptr<Turns> self = weak.lock();
      // What fails because it was stopped is no failure.
      if (self == nullptr || self->is_stopped_) return;
      self->node_.on_round(round);
      self->Wait();
    });
  }

  const Duration interval_;
  const Node node_;
  Executor& executor_;
  GarbageRounds rounds_;
  std::atomic<bool> is_stopped_ = false;
};

GarbageKeeper::GarbageKeeper(GarbageOptions options, Duration interval, Node node, Connect connect,
                             const Clock& clock, Random& random, Executor& executor)
    : turns_(std::make_shared<Turns>(std::move(options), interval, std::move(node),
                                     std::move(connect), clock, random, executor)) {}

GarbageKeeper::~GarbageKeeper() { Stop(); }

void GarbageKeeper::Start() { turns_->Wait(); }

void GarbageKeeper::Stop() { turns_->Stop(); }

}  // namespace rutile::client
