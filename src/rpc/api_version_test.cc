// Clusters of API version V2: whose requests are served, and that raw keys and transactional ones,
// and keyspaces, do not see each other.

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <gtest/gtest.h>

#include <future>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "rpc/node_testing.h"
#include "rpc/services/raw_service.h"
#include "rpc/services/served.h"
#include "rpc/services/txn_service.h"

namespace rutile::rpc {
namespace {

using codec::ApiVersion;
using codec::KeyMode;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace std::string_literals;

constexpr KeyMode kRaw = KeyMode::kRaw;
constexpr KeyMode kTxn = KeyMode::kTransactional;

// --- Who is served.

kvrpcpb::Context ContextOf(kvrpcpb::APIVersion version) {
  kvrpcpb::Context context;
  context.set_api_version(version);
  return context;
}

TEST(Served, AClusterServesItsOwnApiVersionOnly) {
  const Served v1{.cluster = ClusterId(7)};
  const Served v2{.cluster = ClusterId(7), .api = ApiVersion::kV2};
  for (const KeyMode mode : {kRaw, kTxn}) {
    EXPECT_EQ(Unserved(ContextOf(kvrpcpb::V1), v1, mode), std::nullopt);
    EXPECT_EQ(Unserved(ContextOf(kvrpcpb::V2), v2, mode), std::nullopt);
    EXPECT_THAT(Unserved(ContextOf(kvrpcpb::V2), v1, mode).value_or(""),
                HasSubstr("ApiVersionNotMatched: API version V2"));
    EXPECT_THAT(Unserved(ContextOf(kvrpcpb::V1), v2, mode).value_or(""),
                HasSubstr("ApiVersionNotMatched: API version V1 "));
    EXPECT_THAT(Unserved(ContextOf(kvrpcpb::V1TTL), v2, mode).value_or(""),
                HasSubstr("ApiVersionNotMatched: API version V1TTL"));
  }
}

TEST(Served, V1WithTtlIsOfRawKeysOnly) {
  const Served v1{.cluster = ClusterId(7)};
  EXPECT_EQ(Unserved(ContextOf(kvrpcpb::V1TTL), v1, kRaw), std::nullopt);
  EXPECT_THAT(Unserved(ContextOf(kvrpcpb::V1TTL), v1, kTxn).value_or(""),
              HasSubstr("ApiVersionNotMatched"));
}

TEST(Served, KeysOfV1MayBeAnything) {
  kvrpcpb::RawPutRequest request;
  for (const char* key : {"x", "r", "user1", "\xff"}) {
    request.set_key(key);
    EXPECT_EQ(Unserved(request, Served{.cluster = ClusterId(7)}, kRaw), std::nullopt);
  }
}

// Bytes of requests that are no keys.
const std::set<std::string>& NoKeys() {
  static const std::set<std::string> kNames = {"value", "previous_value"};
  return kNames;
}

// Sets every key in `message` to one of `mode`, each repeated field to one element; borders are in
// the order of a range. Calls `visit(change)` for every key, where `change` makes another of it.
class Keys {
 public:
  using Change = std::function<void(const std::string&)>;
  explicit Keys(KeyMode mode) : good_(codec::KeyspacePrefix(mode, 0)) {}

  void Fill(google::protobuf::Message* message) {
    const auto* reflection = message->GetReflection();
    for (int i = 0; i < message->GetDescriptor()->field_count(); ++i) {
      const auto* field = message->GetDescriptor()->field(i);
      if (field->name() == "context") continue;
      if (field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) {
        if (!field->is_repeated()) continue;
        Fill(reflection->AddMessage(message, field));
      } else if (field->type() == google::protobuf::FieldDescriptor::TYPE_BYTES &&
                 !NoKeys().contains(std::string(field->name()))) {
        FillKey(message, field);
      }
    }
  }
  const std::vector<Change>& changes() const { return changes_; }
  const std::string& good() const { return good_; }

 private:
  void FillKey(google::protobuf::Message* message, const google::protobuf::FieldDescriptor* field) {
    const auto* reflection = message->GetReflection();
    if (field->is_repeated()) {
      reflection->AddString(message, field, good_);
      changes_.push_back(
          [=](const std::string& key) { reflection->SetRepeatedString(message, field, 0, key); });
    } else {
      reflection->SetString(message, field, good_);
      changes_.push_back(
          [=](const std::string& key) { reflection->SetString(message, field, key); });
    }
  }

  const std::string good_;
  std::vector<Change> changes_;
};

// Every key of a request, one after the other, is replaced by one that must not be served.
template <class Request>
void ExpectEveryKeyIsLookedAt(KeyMode mode, std::size_t keys) {
  const KeyMode other = mode == kRaw ? kTxn : kRaw;
  const Served served{.cluster = ClusterId(7), .api = ApiVersion::kV2};
  Request request;
  request.mutable_context()->set_api_version(kvrpcpb::V2);
  Keys filled(mode);
  filled.Fill(&request);
  EXPECT_EQ(filled.changes().size(), keys) << request.GetTypeName();
  EXPECT_EQ(Unserved(request, served, mode), std::nullopt) << request.GetTypeName();
  for (const auto& change : filled.changes()) {
    for (const std::string& bad : {codec::KeyspacePrefix(other, 0), "user"s}) {
      change(bad);
      EXPECT_THAT(Unserved(request, served, mode).value_or("served"), HasSubstr("InvalidKey"))
          << request.ShortDebugString();
      change(filled.good());
    }
  }
}

TEST(Served, EveryKeyOfARawCallIsLookedAt) {
  ExpectEveryKeyIsLookedAt<kvrpcpb::RawGetRequest>(kRaw, 1);
  ExpectEveryKeyIsLookedAt<kvrpcpb::RawBatchGetRequest>(kRaw, 1);
  ExpectEveryKeyIsLookedAt<kvrpcpb::RawPutRequest>(kRaw, 1);
  ExpectEveryKeyIsLookedAt<kvrpcpb::RawBatchPutRequest>(kRaw, 1);
  ExpectEveryKeyIsLookedAt<kvrpcpb::RawDeleteRequest>(kRaw, 1);
  ExpectEveryKeyIsLookedAt<kvrpcpb::RawBatchDeleteRequest>(kRaw, 1);
  ExpectEveryKeyIsLookedAt<kvrpcpb::RawDeleteRangeRequest>(kRaw, 2);
  ExpectEveryKeyIsLookedAt<kvrpcpb::RawScanRequest>(kRaw, 2);
  ExpectEveryKeyIsLookedAt<kvrpcpb::RawBatchScanRequest>(kRaw, 2);
  ExpectEveryKeyIsLookedAt<kvrpcpb::RawGetKeyTTLRequest>(kRaw, 1);
  ExpectEveryKeyIsLookedAt<kvrpcpb::RawCASRequest>(kRaw, 1);
  ExpectEveryKeyIsLookedAt<kvrpcpb::RawChecksumRequest>(kRaw, 2);
}

TEST(Served, EveryKeyOfATransactionalCallIsLookedAt) {
  ExpectEveryKeyIsLookedAt<kvrpcpb::GetRequest>(kTxn, 1);
  ExpectEveryKeyIsLookedAt<kvrpcpb::BatchGetRequest>(kTxn, 1);
  ExpectEveryKeyIsLookedAt<kvrpcpb::ScanRequest>(kTxn, 2);
  ExpectEveryKeyIsLookedAt<kvrpcpb::PrewriteRequest>(kTxn, 3);
  ExpectEveryKeyIsLookedAt<kvrpcpb::CommitRequest>(kTxn, 2);
  ExpectEveryKeyIsLookedAt<kvrpcpb::CleanupRequest>(kTxn, 1);
  ExpectEveryKeyIsLookedAt<kvrpcpb::BatchRollbackRequest>(kTxn, 1);
  ExpectEveryKeyIsLookedAt<kvrpcpb::ScanLockRequest>(kTxn, 2);
  ExpectEveryKeyIsLookedAt<kvrpcpb::ResolveLockRequest>(kTxn, 1);
  ExpectEveryKeyIsLookedAt<kvrpcpb::CheckTxnStatusRequest>(kTxn, 1);
  ExpectEveryKeyIsLookedAt<kvrpcpb::PessimisticLockRequest>(kTxn, 2);
  ExpectEveryKeyIsLookedAt<kvrpcpb::PessimisticRollbackRequest>(kTxn, 1);
  ExpectEveryKeyIsLookedAt<kvrpcpb::CheckSecondaryLocksRequest>(kTxn, 1);
  ExpectEveryKeyIsLookedAt<kvrpcpb::TxnHeartBeatRequest>(kTxn, 1);
  ExpectEveryKeyIsLookedAt<kvrpcpb::FlushRequest>(kTxn, 2);
  ExpectEveryKeyIsLookedAt<kvrpcpb::BufferBatchGetRequest>(kTxn, 1);
  ExpectEveryKeyIsLookedAt<kvrpcpb::PrepareFlashbackToVersionRequest>(kTxn, 2);
  ExpectEveryKeyIsLookedAt<kvrpcpb::FlashbackToVersionRequest>(kTxn, 2);
  ExpectEveryKeyIsLookedAt<kvrpcpb::UnsafeDestroyRangeRequest>(kTxn, 2);
  ExpectEveryKeyIsLookedAt<kvrpcpb::DeleteRangeRequest>(kTxn, 2);
  ExpectEveryKeyIsLookedAt<kvrpcpb::MvccGetByKeyRequest>(kTxn, 1);
}

// --- What is served.

class ApiV2Test : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    net_ = new LocalNet();
    node_ = new TestNode(node::ClusterSpec::Single("n1", "127.0.0.1:20160", "t", ApiVersion::kV2),
                         "n1", *net_);
    node_->AwaitLeaders();
    const Served served{.cluster = node_->node().cluster().id, .api = node_->node().identity().api};
    raw_ = new RawService(node_->node().raw(), served);
    txn_ = new TxnService(node_->node().txn(), served);
  }
  static void TearDownTestSuite() {
    delete std::exchange(txn_, nullptr);
    delete std::exchange(raw_, nullptr);
    delete std::exchange(node_, nullptr);
    delete std::exchange(net_, nullptr);
  }

  template <class Service, class Request, class Response>
  static Response Call(Service& service,
                       void (Service::*call)(const Request&, Response*, UniqueFunction<void()>),
                       Request request) {
    request.mutable_context()->set_region_id(store::kFirstUserRegion.value());
    request.mutable_context()->set_api_version(kvrpcpb::V2);
    Response response;
    std::promise<void> finished;
    (service.*call)(request, &response, [&finished] { finished.set_value(); });
    finished.get_future().wait();
    EXPECT_FALSE(response.has_region_error()) << response.ShortDebugString();
    return response;
  }
  // Each test has a keyspace of its own.
  static std::string Raw(const std::string& key) {
    return codec::KeyspacePrefix(kRaw, Keyspace()) + key;
  }
  static std::string Txn(const std::string& key) {
    return codec::KeyspacePrefix(kTxn, Keyspace()) + key;
  }
  static std::uint32_t Keyspace() {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    std::uint32_t hash = 1;
    for (const char* c = test->name(); *c != 0; ++c) {
      hash = (hash * 31 + static_cast<unsigned char>(*c)) & 0xFFFFF;
    }
    return hash;
  }

  static std::string Put(const std::string& key, const std::string& value, std::uint64_t ttl = 0) {
    kvrpcpb::RawPutRequest request;
    request.set_key(key);
    request.set_value(value);
    request.set_ttl(ttl);
    return Call(*raw_, &RawService::Put, request).error();
  }
  static std::string Get(const std::string& key) {
    kvrpcpb::RawGetRequest request;
    request.set_key(key);
    const auto answer = Call(*raw_, &RawService::Get, request);
    EXPECT_EQ(answer.error(), "");
    return answer.not_found() ? "nothing" : answer.value();
  }
  static std::vector<std::string> Scan(const std::string& start, const std::string& end,
                                       bool reverse = false) {
    kvrpcpb::RawScanRequest request;
    request.set_start_key(start);
    request.set_end_key(end);
    request.set_limit(100);
    request.set_reverse(reverse);
    std::vector<std::string> keys;
    const auto answer = Call(*raw_, &RawService::Scan, request);
    for (const auto& pair : answer.kvs()) {
      keys.push_back(pair.has_error() ? pair.error().abort() : pair.key());
    }
    return keys;
  }
  static kvrpcpb::PrewriteResponse Prewrite(const std::string& key, std::uint64_t start,
                                            const std::string& value = "v") {
    kvrpcpb::PrewriteRequest request;
    auto* mutation = request.add_mutations();
    mutation->set_key(key);
    mutation->set_value(value);
    request.set_primary_lock(key);
    request.set_start_version(start);
    request.set_lock_ttl(3000);
    return Call(*txn_, &TxnService::Prewrite, request);
  }
  static void Commit(const std::string& key, std::uint64_t start, const std::string& value = "v") {
    EXPECT_EQ(Prewrite(key, start, value).errors_size(), 0);
    kvrpcpb::CommitRequest request;
    request.add_keys(key);
    request.set_start_version(start);
    request.set_commit_version(start + 1);
    EXPECT_FALSE(Call(*txn_, &TxnService::Commit, request).has_error());
  }
  static std::string TxnGet(const std::string& key, std::uint64_t version) {
    kvrpcpb::GetRequest request;
    request.set_key(key);
    request.set_version(version);
    const auto answer = Call(*txn_, &TxnService::Get, request);
    if (answer.has_error()) return answer.error().abort();
    return answer.not_found() ? "nothing" : answer.value();
  }

  static inline LocalNet* net_ = nullptr;
  static inline TestNode* node_ = nullptr;
  static inline RawService* raw_ = nullptr;
  static inline TxnService* txn_ = nullptr;
};

TEST_F(ApiV2Test, RawKeysComeBackAsTheyWereSent) {
  const std::vector<std::string> keys = {Raw(""),
                                         Raw("\0"s),
                                         Raw("a"),
                                         Raw("a\0"s),
                                         Raw("aaaa"),
                                         Raw("aaaab"),
                                         Raw(std::string(40, '\xff'))};
  for (const std::string& key : keys) EXPECT_EQ(Put(key, "of " + key), "");
  for (const std::string& key : keys) EXPECT_EQ(Get(key), "of " + key);
  const std::string end = codec::KeyspaceEnd(kRaw, Keyspace());
  EXPECT_EQ(Scan(Raw(""), end), keys);
  EXPECT_EQ(Scan(end, Raw(""), /*reverse=*/true),
            std::vector<std::string>(keys.rbegin(), keys.rend()));
  EXPECT_THAT(Scan(Raw("a"), Raw("aaaab")), ElementsAre(Raw("a"), Raw("a\0"s), Raw("aaaa")));

  kvrpcpb::RawBatchGetRequest batch;
  batch.add_keys(Raw("a"));
  batch.add_keys(Raw("absent"));
  const auto found = Call(*raw_, &RawService::BatchGet, batch);
  ASSERT_EQ(found.pairs_size(), 1);
  EXPECT_EQ(found.pairs(0).key(), Raw("a"));
}

TEST_F(ApiV2Test, KeyspacesDoNotSeeEachOther) {
  const std::string next = codec::KeyspacePrefix(kRaw, Keyspace() + 1);
  EXPECT_EQ(Put(Raw("k"), "here"), "");
  EXPECT_EQ(Put(next + "k", "there"), "");
  EXPECT_EQ(Get(Raw("k")), "here");
  EXPECT_THAT(Scan(Raw(""), codec::KeyspaceEnd(kRaw, Keyspace())), ElementsAre(Raw("k")));
  kvrpcpb::RawDeleteRangeRequest all;
  all.set_start_key(Raw(""));
  all.set_end_key(codec::KeyspaceEnd(kRaw, Keyspace()));
  EXPECT_EQ(Call(*raw_, &RawService::DeleteRange, all).error(), "");
  EXPECT_EQ(Get(Raw("k")), "nothing");
  EXPECT_EQ(Get(next + "k"), "there");
}

TEST_F(ApiV2Test, RawAndTransactionalKeysDoNotSeeEachOther) {
  const std::string large(1000, 'l');  // Has a place of its own among the raw values' family.
  EXPECT_EQ(Put(Raw("k"), "raw"), "");
  Commit(Txn("k"), 100, large);
  EXPECT_EQ(Get(Raw("k")), "raw");
  EXPECT_EQ(TxnGet(Txn("k"), 200), large);
  EXPECT_THAT(Scan(codec::ModeBegin(kRaw), codec::ModeEnd(kRaw)),
              ::testing::Each(::testing::StartsWith("r")));
  // Whatever is deleted of the one, the other stays.
  kvrpcpb::RawDeleteRangeRequest all_raw;
  all_raw.set_start_key(codec::ModeBegin(kRaw));
  all_raw.set_end_key(codec::ModeEnd(kRaw));
  EXPECT_EQ(Call(*raw_, &RawService::DeleteRange, all_raw).error(), "");
  EXPECT_EQ(TxnGet(Txn("k"), 200), large);
  EXPECT_EQ(Put(Raw("k"), "raw again"), "");
  kvrpcpb::DeleteRangeRequest all_txn;
  all_txn.set_start_key(codec::ModeBegin(kTxn));
  all_txn.set_end_key(codec::ModeEnd(kTxn));
  EXPECT_EQ(Call(*txn_, &TxnService::DeleteRange, all_txn).error(), "");
  EXPECT_EQ(TxnGet(Txn("k"), 200), "nothing");
  EXPECT_EQ(Get(Raw("k")), "raw again");
}

TEST_F(ApiV2Test, AWriteWithOneWrongKeyWritesNothing) {
  kvrpcpb::RawBatchPutRequest batch;
  for (const std::string& key : {Raw("good"), Txn("bad")}) {
    batch.add_pairs()->set_key(key);
    batch.mutable_pairs(batch.pairs_size() - 1)->set_value("v");
  }
  EXPECT_THAT(Call(*raw_, &RawService::BatchPut, batch).error(), HasSubstr("InvalidKeyMode"));
  EXPECT_EQ(Get(Raw("good")), "nothing");

  kvrpcpb::PrewriteRequest prewrite;
  for (const std::string& key : {Txn("good"), Raw("bad")}) prewrite.add_mutations()->set_key(key);
  prewrite.set_primary_lock(Txn("good"));
  prewrite.set_start_version(100);
  const auto refused = Call(*txn_, &TxnService::Prewrite, prewrite);
  ASSERT_EQ(refused.errors_size(), 1);
  EXPECT_THAT(refused.errors(0).abort(), HasSubstr("InvalidKeyMode"));
  EXPECT_EQ(TxnGet(Txn("good"), 200), "nothing");
}

TEST_F(ApiV2Test, RawKeysExpire) {
  EXPECT_EQ(Put(Raw("k"), "v", /*ttl=*/1000), "");
  kvrpcpb::RawGetKeyTTLRequest request;
  request.set_key(Raw("k"));
  const auto answer = Call(*raw_, &RawService::GetKeyTtl, request);
  EXPECT_FALSE(answer.not_found());
  EXPECT_GT(answer.ttl(), 900u);
  EXPECT_LE(answer.ttl(), 1000u);
}

TEST_F(ApiV2Test, RawKeysAreComparedAndSwapped) {
  kvrpcpb::RawCASRequest request;
  request.set_key(Raw("k"));
  request.set_value("1");
  request.set_previous_not_exist(true);
  EXPECT_TRUE(Call(*raw_, &RawService::CompareAndSwap, request).succeed());
  const auto again = Call(*raw_, &RawService::CompareAndSwap, request);
  EXPECT_FALSE(again.succeed());
  EXPECT_EQ(again.previous_value(), "1");
  EXPECT_EQ(Get(Raw("k")), "1");
}

// A sum over pairs is the same wherever they are kept: that of the keys as clients see them.
TEST_F(ApiV2Test, ChecksumsAreOfTheKeysThatClientsSend) {
  EXPECT_EQ(Put(Raw("k"), "value"), "");
  kvrpcpb::RawChecksumRequest request;
  auto* range = request.add_ranges();
  range->set_start_key(Raw(""));
  range->set_end_key(codec::KeyspaceEnd(kRaw, Keyspace()));
  const auto answer = Call(*raw_, &RawService::Checksum, request);
  EXPECT_EQ(answer.total_kvs(), 1u);
  EXPECT_EQ(answer.total_bytes(), Raw("k").size() + 5);
}

TEST_F(ApiV2Test, ARangeOfEitherKindIsDestroyed) {
  EXPECT_EQ(Put(Raw("k"), "raw"), "");
  Commit(Txn("k"), 100);
  const auto destroy = [](KeyMode mode) {
    kvrpcpb::UnsafeDestroyRangeRequest request;
    request.set_start_key(codec::KeyspacePrefix(mode, Keyspace()));
    request.set_end_key(codec::KeyspaceEnd(mode, Keyspace()));
    EXPECT_EQ(Call(*txn_, &TxnService::UnsafeDestroyRange, request).error(), "");
  };
  destroy(kRaw);
  EXPECT_EQ(Get(Raw("k")), "nothing");
  EXPECT_EQ(TxnGet(Txn("k"), 200), "v");
  destroy(kTxn);
  EXPECT_EQ(TxnGet(Txn("k"), 200), "nothing");

  kvrpcpb::UnsafeDestroyRangeRequest both;
  both.set_start_key(Raw(""));
  both.set_end_key(Txn(""));
  EXPECT_THAT(Call(*txn_, &TxnService::UnsafeDestroyRange, both).error(),
              HasSubstr("InvalidKeyRangeMode"));
}

TEST_F(ApiV2Test, LocksAreFoundWithinAKeyspaceAndWithinAll) {
  EXPECT_EQ(Prewrite(Txn("k"), 300).errors_size(), 0);
  kvrpcpb::ScanLockRequest request;
  request.set_max_version(400);
  request.set_limit(10);
  request.set_start_key(Txn(""));
  request.set_end_key(codec::KeyspaceEnd(kTxn, Keyspace()));
  auto answer = Call(*txn_, &TxnService::ScanLock, request);
  ASSERT_EQ(answer.locks_size(), 1) << answer.ShortDebugString();
  EXPECT_EQ(answer.locks(0).key(), Txn("k"));
  request.set_start_key(codec::ModeBegin(kTxn));
  request.set_end_key(codec::ModeEnd(kTxn));
  EXPECT_GE(Call(*txn_, &TxnService::ScanLock, request).locks_size(), 1);
  request.clear_end_key();
  EXPECT_THAT(Call(*txn_, &TxnService::ScanLock, request).error().abort(),
              HasSubstr("InvalidKeyRangeMode"));
}

}  // namespace
}  // namespace rutile::rpc
