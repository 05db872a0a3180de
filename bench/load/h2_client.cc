#include "bench/load/h2_client.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/check.h"
#include "bench/load/h2_connection.h"
#include "env/posix/posix_clock.h"

namespace rutile::bench {
namespace {

constexpr Duration kExpiryInterval = Milliseconds(50);

}  // namespace

void H2Stream::Send(std::string_view message) const { connection->Send(call, message); }

H2Peer::H2Peer(const std::string& address, int connections, H2Client& client) : address_(address) {
  for (int i = 0; i < connections; ++i) {
    connections_.push_back(std::make_unique<H2Connection>(address, client));
  }
}

H2Peer::~H2Peer() = default;

H2Connection& H2Peer::NextConnection() {
  next_ = (next_ + 1) % connections_.size();
  return *connections_[next_];
}

void H2Peer::Call(std::string_view path, std::string_view request, H2Done done) {
  NextConnection().StartUnary(path, request, std::move(done));
}

H2Stream H2Peer::OpenStream(std::string_view path, H2StreamEvents* events) {
  H2Connection& connection = NextConnection();
  return H2Stream{.connection = &connection, .call = connection.StartStream(path, events)};
}

H2Client::H2Client(const H2ClientOptions& options)
    : options_(options), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  RUTILE_CHECK(epoll_ >= 0, "epoll_create1 failed");
  RUTILE_CHECK(options.connections > 0, "at least one connection");
}

H2Client::~H2Client() {
  peers_.clear();
  close(epoll_);
}

H2Peer& H2Client::To(const std::string& address) {
  std::unique_ptr<H2Peer>& peer = peers_[address];
  if (!peer) peer = std::make_unique<H2Peer>(address, options_.connections, *this);
  return *peer;
}

void H2Client::RunAfter(Duration delay, std::function<void()> task) {
  timers_.emplace(Now() + delay, std::move(task));
}

Instant H2Client::Now() const { return posix::PosixClock().Now(); }

void H2Client::Flush() {
  // Callbacks of a flush may start calls, which make other connections dirty, or the same again.
  while (!dirty_.empty()) {
    std::vector<H2Connection*> batch;
    batch.swap(dirty_);
    for (H2Connection* connection : batch) connection->Flush();
    if (dirty_.empty()) {
      batch.clear();
      dirty_.swap(batch);  // Keeps the memory.
    }
  }
}

void H2Client::RunTimers() {
  const Instant now = Now();
  while (!timers_.empty() && timers_.begin()->first <= now) {
    const std::function<void()> task = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    task();
  }
  if (now >= next_expiry_) {
    next_expiry_ = now + kExpiryInterval;
    for (H2Connection* connection : all_) connection->Expire(now);
  }
}

void H2Client::Poll(Duration max_wait) {
  Flush();
  Duration wait = std::clamp(max_wait, Duration(0), kExpiryInterval);
  if (!timers_.empty()) {
    wait = std::clamp(timers_.begin()->first - Now(), Duration(0), wait);
  }
  std::array<epoll_event, 64> events = {};
  const timespec timeout{.tv_sec = wait.count() / 1'000'000'000,
                         .tv_nsec = wait.count() % 1'000'000'000};
  const int count = epoll_pwait2(epoll_, events.data(), events.size(), &timeout, nullptr);
  RUTILE_CHECK(count >= 0 || errno == EINTR, "epoll_pwait2 failed");
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    static_cast<H2Connection*>(event.data.ptr)->OnEvents(event.events);
  }
  RunTimers();
  Flush();
}

}  // namespace rutile::bench
