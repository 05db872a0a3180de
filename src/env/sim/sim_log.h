#pragma once

#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/log.h"
#include "env/sim/world.h"

namespace rutile::sim {

// Log lines of one store, in the form of the unified format, stamped with the world's time since it
// began and with the store: lines of a whole cluster are read side by side. They count into the
// world's trace.
class SimLogSink final : public LogSink {
 public:
  // `take` gets each line; without it lines are only noted.
  SimLogSink(World& world, StoreId store, std::function<void(const std::string&)> take = nullptr)
      : world_(world), store_(store), take_(std::move(take)) {}

  void Write(LogLevel level, std::string_view file, int line, std::string_view message,
             std::initializer_list<LogField> fields) override;

 private:
  World& world_;
  const StoreId store_;
  const std::function<void(const std::string&)> take_;
};

}  // namespace rutile::sim
