#include "client/garbage_rounds.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "base/probe.h"
#include "client/lock_resolver.h"
#include "client/txn_core.h"
#include "proto/kvrpcpb.pb.h"
#include "proto/pdpb.pb.h"

namespace rutile::client {
namespace {

// Placement knows the one who asks for services' needs by this name: what it may collect nobody
// can ask for any more.
constexpr char kService[] = "gc_worker";

Timestamp Lowered(Timestamp now, Duration life) {
  const std::uint64_t lower =
      static_cast<std::uint64_t>(std::max<std::int64_t>(ToMilliseconds(life), 0))
      << kTimestampCountBits;
  return now.value() > lower ? Timestamp(now.value() - lower) : Timestamp();
}

// For people: printable ASCII as it is.
std::string TextOf(const std::string& key) {
  constexpr char kDigits[] = "0123456789abcdef";
  if (key.empty()) return "the first key";
  std::string text = "key ";
  for (const char c : key) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '\\') {
      text += c;
    } else {
      text += {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
  return text;
}

// Of all keys that transactions write, in all keyspaces. Empty: there is no border.
std::pair<std::string, std::string> BordersOf(codec::ApiVersion api) {
  constexpr codec::KeyMode kMode = codec::KeyMode::kTransactional;
  if (api == codec::ApiVersion::kV1) return {};
  return {codec::ModeBegin(kMode), codec::ModeEnd(kMode)};
}

// On the executor, but for its beginning.
class Round : public std::enable_shared_from_this<Round> {
 public:
  Round(std::shared_ptr<TxnCore> core, const GarbageOptions& options,
        std::shared_ptr<const std::atomic<bool>> is_stopped, GarbageRounds::Done done)
      : core_(std::move(core)),
        life_(options.life),
        batch_(options.batch_locks),
        first_(BordersOf(options.client.api).first),
        end_(BordersOf(options.client.api).second),
        is_stopped_(std::move(is_stopped)),
        done_(std::move(done)) {}

  void Start() {
    core_->GetTimestamp(core_->NewDeadline(),
                        [self = shared_from_this()](const Result<Timestamp>& now) {
                          if (!now.ok()) return self->done_(now.status());
                          self->target_ = Lowered(now.value(), self->life_);
                          self->AskServices();
                        });
  }

 private:
  // Placement keeps our wish, so that no service can ask from now on for what lies below the
  // answer: that is what makes it safe to go there later.
  void AskServices() {
    pdpb::UpdateServiceGCSafePointRequest request;
    request.set_service_id(kService);
    request.set_ttl(std::numeric_limits<std::int64_t>::max());
    request.set_safe_point(target_.value());
    Ask<pdpb::UpdateServiceGCSafePointResponse>(
        "UpdateServiceGCSafePoint", "the needs of services", request,
        [](Round& round, const pdpb::UpdateServiceGCSafePointResponse& response) {
          const Timestamp lowest(response.min_safe_point());
          if (lowest < round.target_) {
            RUTILE_SOMETIMES(true, "client: a service holds the collection of versions back");
            round.Lower(lowest, "service " + response.service_id());
          }
          round.AskPresent();
        });
  }

  void AskPresent() {
    Ask<pdpb::GetGCSafePointResponse>(
        "GetGCSafePoint", "the safe point", pdpb::GetGCSafePointRequest(),
        [](Round& round, const pdpb::GetGCSafePointResponse& response) {
          round.result_.safe_point = Timestamp(response.safe_point());
          if (round.IsInVain()) return round.done_(std::move(round.result_));
          round.LookFrom(round.first_);
        });
  }

  // Resolves the locks from `key` on to the end of all keys, page by page. What regions are split
  // or merged meanwhile makes no difference, for it is keys that it goes by.
  void LookFrom(const std::string& key) { Look(key, core_->NewDeadline()); }
  void Look(const std::string& key, Instant deadline) {
    if (*is_stopped_) return Fail(Stopped());
    kvrpcpb::ScanLockRequest request;
    request.set_max_version(target_.value());
    request.set_start_key(key);
    if (!end_.empty()) request.set_end_key(end_);
    request.set_limit(static_cast<std::uint32_t>(batch_));
    core_->Send<kvrpcpb::ScanLockResponse>(
        {.method = "KvScanLock", .effect = Where::Effect::kNone, .deadline = deadline}, key,
        std::move(request), [](const Route&, kvrpcpb::ScanLockRequest*) {},
        [self = shared_from_this(), key, deadline](const Result<kvrpcpb::ScanLockResponse>& reply,
                                                   const Route& route) {
          if (!reply.ok()) return self->FailAt(key, reply.status());
          self->OnPage(key, deadline, reply.value(), route);
        });
  }

  void OnPage(const std::string& key, Instant deadline, const kvrpcpb::ScanLockResponse& page,
              const Route& route) {
    // The lock of a write that is just being proposed has no place among those in the engine yet.
    if (page.error().has_locked()) return LookAgain(key, deadline);
    if (page.has_error()) {
      return FailAt(key, Status(Code::kInternal, "region " + ToString(route.region) + ": " +
                                                     page.error().ShortDebugString()));
    }
    if (result_.regions == 0 || route.region != region_) ++result_.regions;
    region_ = route.region;
    std::optional<std::string> next;
    if (page.locks_size() > 0 && static_cast<std::size_t>(page.locks_size()) >= batch_) {
      next = page.locks(page.locks_size() - 1).key() + '\0';
    } else {
      Result<std::optional<std::string>> behind = TxnCore::KeyBehind(route);
      if (!behind.ok()) return FailAt(key, behind.status());
      next = std::move(behind).value();
    }
    if (next && !end_.empty() && *next >= end_) next.reset();
    std::vector<MetLock> locks;
    for (const kvrpcpb::LockInfo& lock : page.locks()) locks.push_back(ToMetLock(lock));
    if (locks.empty()) return GoOn(next);
    const Instant resolved_by = core_->NewDeadline();
    ResolveLocks(
        core_, locks, /*reader=*/{}, resolved_by,
        [self = shared_from_this(), key, locks, next](const Result<LocksResolved>& resolved) {
          if (!resolved.ok()) return self->FailAt(key, resolved.status());
          self->OnResolved(locks, resolved.value());
          self->GoOn(next);
        });
  }

  void LookAgain(const std::string& key, Instant deadline) {
    core_->Pause(
        &backoff_, deadline,
        [self = shared_from_this(), key, deadline] { self->Look(key, deadline); },
        [self = shared_from_this(), key] {
          self->FailAt(key, Status(Code::kUnavailable, "locks that are being written stay"));
        });
  }

  void OnResolved(const std::vector<MetLock>& locks, const LocksResolved& resolved) {
    for (const MetLock& lock : locks) {
      const bool lives =
          resolved.blocking.contains(lock.start) || resolved.passed.contains(lock.start);
      if (!lives) {
        ++result_.locks_resolved;
      } else if (lock.start <= target_) {
        RUTILE_SOMETIMES(true, "client: a transaction that lives holds the safe point back");
        Lower(lock.start.Prev(),
              "transaction " + ToString(lock.start) + ", which has a lock on " + TextOf(lock.key));
      }
    }
  }

  void GoOn(const std::optional<std::string>& next) {
    backoff_ = {};
    // Further locks are none of our business: whoever raises the safe point meets them.
    if (IsInVain()) return done_(std::move(result_));
    if (next) return LookFrom(*next);
    Raise();
  }

  // The locks of all regions are resolved.
  void Raise() {
    if (*is_stopped_) return Fail(Stopped());
    pdpb::UpdateGCSafePointRequest request;
    request.set_safe_point(target_.value());
    Ask<pdpb::UpdateGCSafePointResponse>(
        "UpdateGCSafePoint", "a higher safe point", request,
        [](Round& round, const pdpb::UpdateGCSafePointResponse& response) {
          round.result_.safe_point = Timestamp(response.new_safe_point());
          round.result_.is_raised = round.result_.safe_point >= round.target_;
          if (!round.result_.is_raised) {
            return round.Fail(Status(Code::kInternal, "placement was asked for safe point " +
                                                          ToString(round.target_) + " and has " +
                                                          ToString(round.result_.safe_point)));
          }
          round.done_(std::move(round.result_));
        });
  }

  // `then(*this, response)` takes the answer.
  template <class Response, class Request>
  void Ask(std::string method, std::string what, const Request& request,
           void (*then)(Round&, const Response&)) {
    if (*is_stopped_) return Fail(Stopped());
    core_->AskPlacement<Response>(std::move(method), std::move(what), request, core_->NewDeadline(),
                                  [self = shared_from_this(), then](const Result<Response>& reply) {
                                    if (!reply.ok()) return self->Fail(reply.status());
                                    then(*self, reply.value());
                                  });
  }

  void Lower(Timestamp to, std::string held_by) {
    target_ = to;
    result_.held_by = std::move(held_by);
  }
  bool IsInVain() const { return target_ <= result_.safe_point; }
  void Fail(const Status& status) { done_(status); }
  void FailAt(const std::string& key, const Status& status) {
    done_(Status(status).WithContext("the locks from " + TextOf(key) + " on"));
  }
  static Status Stopped() { return Status(Code::kUnavailable, "stopped before the end"); }

  const std::shared_ptr<TxnCore> core_;
  const Duration life_;
  const std::size_t batch_;
  // Locks are looked for from here, up to there.
  const std::string first_;
  const std::string end_;
  const std::shared_ptr<const std::atomic<bool>> is_stopped_;
  const GarbageRounds::Done done_;
  Timestamp target_ = {};  // Only goes down; every page of locks was looked for at least up to it.
  RegionId region_ = {};   // Of the last page.
  Backoff backoff_ = {};
  GarbageRound result_;  // Its safe point is placement's, as it was before the round.
};

}  // namespace

GarbageRounds::GarbageRounds(GarbageOptions options, Connect connect, const Clock& clock,
                             Random& random, Executor& executor)
    : options_(std::move(options)),
      core_(std::make_shared<TxnCore>(options_.client, std::move(connect), clock, random,
                                      executor)) {}

GarbageRounds::~GarbageRounds() { Stop(); }

void GarbageRounds::Run(Done done) {
  std::make_shared<Round>(core_, options_, is_stopped_, std::move(done))->Start();
}

void GarbageRounds::Stop() { *is_stopped_ = true; }

void GarbageRounds::Close(std::function<void()> done) {
  Stop();
  core_->SetOnEnd(std::move(done));
  core_ = nullptr;
}

}  // namespace rutile::client
