// What a request's context asks for: of a read, whose locks it may pass, and how; and how urgent it
// is.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "rpc/services/convert.h"
#include "rpc/txn_testing.h"

namespace rutile::rpc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class TxnContextTest : public TxnServiceFixture {
 protected:
  using Change = std::function<void(kvrpcpb::Context*)>;

  // A key with a value that is committed, and one that is locked; and one that is to be deleted.
  void SetUp() override {
    TxnServiceFixture::SetUp();
    const std::uint64_t first = Now();
    Lock({Key("a"), Key("b"), Key("c")}, first);
    Commit({Key("a"), Key("b"), Key("c")}, first, Now());
    start_ = Now();
    kvrpcpb::PrewriteRequest second = Prewrite({Key("a")}, start_);
    second.mutable_mutations(0)->set_value("new");
    EXPECT_THAT(Call(&TxnService::Prewrite, second).errors(), SizeIs(0));
    EXPECT_THAT(Call(&TxnService::Prewrite, Prewrite({Key("b")}, start_, kvrpcpb::Del)).errors(),
                SizeIs(0));
  }

  template <class Request>
  static Request With(Request request, const Change& change) {
    request.set_version(Now());
    change(request.mutable_context());
    return request;
  }
  std::string Get(const Change& change, bool need_commit = false) const {
    kvrpcpb::GetRequest request;
    request.set_key(Key("a"));
    request.set_need_commit_ts(need_commit);
    const auto answer = Call(&TxnService::Get, With(request, change));
    if (answer.error().has_locked()) return "locked";
    return answer.has_error() ? answer.error().abort() : answer.value();
  }
  static std::vector<std::string> Show(
      const google::protobuf::RepeatedPtrField<kvrpcpb::KvPair>& pairs) {
    std::vector<std::string> shown;
    for (const kvrpcpb::KvPair& pair : pairs) {
      shown.push_back(pair.key().substr(pair.key().size() - 1) + "=" +
                      (pair.error().has_locked() ? "locked" : pair.value()));
    }
    return shown;
  }
  std::vector<std::string> BatchGet(const Change& change) const {
    kvrpcpb::BatchGetRequest request;
    for (const char* key : {"a", "b", "c"}) request.add_keys(Key(key));
    return Show(Call(&TxnService::BatchGet, With(request, change)).pairs());
  }
  std::vector<std::string> Scan(const Change& change, bool reverse) const {
    kvrpcpb::ScanRequest request;
    request.set_start_key(Key(reverse ? "d" : "a"));
    request.set_end_key(Key(reverse ? "a" : "d"));
    request.set_reverse(reverse);
    request.set_limit(10);
    return Show(Call(&TxnService::Scan, With(request, change)).pairs());
  }

  std::uint64_t start_ = 0;
};

TEST_F(TxnContextTest, ALockOfACommittedTransactionIsReadFrom) {
  const Change committed = [this](kvrpcpb::Context* context) {
    context->add_committed_locks(start_);
  };
  EXPECT_EQ(Get([](kvrpcpb::Context*) {}), "locked");
  EXPECT_EQ(Get(committed), "new");
  // The lock does not know when.
  EXPECT_EQ(Get(committed, true), "locked");
  EXPECT_THAT(BatchGet(committed), ElementsAre("a=new", "c=of " + Key("c")));
  EXPECT_THAT(Scan(committed, false), ElementsAre("a=new", "c=of " + Key("c")));
  EXPECT_THAT(Scan(committed, true), ElementsAre("c=of " + Key("c"), "a=new"));
  EXPECT_EQ(Get([this](auto* context) { context->add_committed_locks(start_ + 1); }), "locked");
  EXPECT_EQ(Get([this](auto* context) { context->add_resolved_locks(start_); }), "of " + Key("a"));
}

TEST_F(TxnContextTest, ReadCommittedMeansThatNoLockIsWaitedFor) {
  const Change read_committed = [](kvrpcpb::Context* context) {
    context->set_isolation_level(kvrpcpb::RC);
  };
  const std::string a = "a=of " + Key("a"), b = "b=of " + Key("b"), c = "c=of " + Key("c");
  EXPECT_EQ(Get(read_committed), "of " + Key("a"));
  EXPECT_THAT(BatchGet(read_committed), ElementsAre(a, b, c));
  EXPECT_THAT(Scan(read_committed, false), ElementsAre(a, b, c));
  EXPECT_THAT(Scan(read_committed, true), ElementsAre(c, b, a));
}

TEST_F(TxnContextTest, AnIsolationLevelThatIsNotServedIsRefused) {
  const Change check = [](kvrpcpb::Context* context) {
    context->set_isolation_level(kvrpcpb::RCCheckTS);
  };
  EXPECT_THAT(Get(check), HasSubstr("isolation level 2"));
  kvrpcpb::ScanRequest scan;
  scan.set_limit(1);
  EXPECT_THAT(Call(&TxnService::Scan, With(scan, check)).error().abort(),
              HasSubstr("isolation level 2"));
}

TEST_F(TxnContextTest, TimeThatIsLeftAndEveryPriorityAreNoHindrance) {
  for (const auto priority : {kvrpcpb::Low, kvrpcpb::Normal, kvrpcpb::High}) {
    for (const std::uint64_t limit : {std::uint64_t{60'000}, UINT64_MAX}) {
      const Change change = [&](kvrpcpb::Context* context) {
        context->set_priority(priority);
        context->set_max_execution_duration_ms(limit);
        context->add_resolved_locks(start_);
      };
      EXPECT_EQ(Get(change), "of " + Key("a"));
    }
  }
}

// Who waits for a lock is refused when his time is up, as a client knows it.
TEST_F(TxnContextTest, WhenTheTimeIsUpTheStoreIsBusy) {
  kvrpcpb::PessimisticLockRequest lock;
  auto* mutation = lock.add_mutations();
  mutation->set_op(kvrpcpb::PessimisticLock);
  mutation->set_key(Key("a"));
  lock.set_primary_lock(Key("a"));
  lock.set_start_version(Now());
  lock.set_for_update_ts(Now());
  lock.set_lock_ttl(3000);
  lock.set_wait_timeout(60'000);
  lock.mutable_context()->set_max_execution_duration_ms(20);
  const auto answer = Call(&TxnService::PessimisticLock, lock);
  EXPECT_EQ(answer.region_error().server_is_busy().reason(), "deadline is exceeded");
  EXPECT_EQ(answer.region_error().server_is_busy().backoff_ms(), 0u);
}

TEST(Context, HasAPriority) {
  kvrpcpb::Context context;
  EXPECT_EQ(ToHeader(context).priority, store::Priority::kNormal);
  context.set_priority(kvrpcpb::Low);
  EXPECT_EQ(ToHeader(context).priority, store::Priority::kLow);
  context.set_priority(kvrpcpb::High);
  EXPECT_EQ(ToHeader(context).priority, store::Priority::kHigh);
}

}  // namespace
}  // namespace rutile::rpc
