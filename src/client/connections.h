#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "client/channel.h"

namespace rutile::client {

// One channel for each address, made when it is first asked for. Safe from any thread.
class Connections {
 public:
  explicit Connections(Connect connect) : connect_(std::move(connect)) {}

  // Lives as long as this.
  Channel& To(const std::string& address) {
    MutexLock lock(mutex_);
    std::unique_ptr<Channel>& channel = channels_[address];
    if (channel == nullptr) channel = connect_(address);
    return *channel;
  }

 private:
  const Connect connect_;
  Mutex mutex_;
  std::map<std::string, std::unique_ptr<Channel>> channels_ GUARDED_BY(mutex_);
};

}  // namespace rutile::client
