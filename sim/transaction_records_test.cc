#include "sim/transaction_records.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/memory/memory_engine.h"
#include "env/sim/sim_files.h"
#include "env/sim/world.h"
#include "mvcc/keys.h"
#include "mvcc/records.h"

namespace rutile::sim {
namespace {

using engine::Family;
using mvcc::Timestamp;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Kind = mvcc::Write::Kind;

class TransactionRecordsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Add("txn-a", 20, {.kind = Kind::kPut, .start = Timestamp(10), .short_value = "1"});
    Add("txn-a", 40, {.kind = Kind::kPut, .start = Timestamp(30)});
    Add("txn-a", 50, {.kind = Kind::kRollback, .start = Timestamp(50)});
    Add("txn-b", 20, {.kind = Kind::kDelete, .start = Timestamp(10)});
    Add("raw", 20, {.kind = Kind::kDelete, .start = Timestamp(10)});
    engine::WriteBatch batch;
    batch.Put(Family::kDefault, mvcc::VersionKey("txn-a", Timestamp(30)), "long");
    batch.Put(Family::kLock, mvcc::LockKey("txn-b"),
              mvcc::EncodeLock({.primary = "txn-a", .start = Timestamp(30)}));
    Apply(batch);
  }
  void Add(const std::string& key, std::uint64_t commit, const mvcc::Write& write) {
    engine::WriteBatch batch;
    batch.Put(Family::kWrite, mvcc::VersionKey(key, Timestamp(commit)), mvcc::EncodeWrite(write));
    Apply(batch);
  }
  void Remove(const std::string& key, std::uint64_t commit) {
    engine::WriteBatch batch;
    batch.Delete(Family::kWrite, mvcc::VersionKey(key, Timestamp(commit)));
    Apply(batch);
  }
  void Apply(const engine::WriteBatch& batch) {
    records_.OnWrite(batch);
    ASSERT_TRUE(engine_->Write(batch).ok());
  }
  StoredTransactions Read() { return records_.Read(*engine_->GetSnapshot()).value(); }
  std::vector<std::string> Missing(std::uint64_t safe_point) {
    return FindMissing(Read(), *engine_->GetSnapshot(), safe_point).value();
  }

  World world_{1};
  SimFileSystem files_{world_};
  std::unique_ptr<engine::KvEngine> engine_ = engine::OpenMemoryEngine(files_, "kv").value();
  TransactionRecords records_;
};

TEST_F(TransactionRecordsTest, AreKeptWhateverIsRemoved) {
  Remove("txn-a", 20);
  Remove("txn-b", 20);
  const StoredTransactions stored = Read();
  ASSERT_EQ(2u, stored.keys.size());
  const StoredTransactions::Key& a = stored.keys.at("txn-a");
  ASSERT_EQ(2u, a.versions.size()) << "a rollback is no version";
  EXPECT_EQ("long", a.versions[0].value);
  EXPECT_EQ(40u, a.versions[0].commit);
  EXPECT_EQ("1", a.versions[1].value);
  EXPECT_EQ(0u, a.locked_by);
  const StoredTransactions::Key& b = stored.keys.at("txn-b");
  ASSERT_EQ(1u, b.versions.size());
  EXPECT_FALSE(b.versions[0].value.has_value());
  EXPECT_FALSE(b.versions[0].is_lock_only);
  EXPECT_EQ(30u, b.locked_by);
}

TEST_F(TransactionRecordsTest, TellWhatShouldNotHaveBeenRemoved) {
  EXPECT_THAT(Missing(0), IsEmpty());
  Remove("txn-a", 20);
  Remove("txn-b", 20);
  EXPECT_THAT(Missing(40), IsEmpty()) << "a newer version hides it, and a deletion hides nothing";
  EXPECT_THAT(Missing(20), ElementsAre(HasSubstr("key txn-a at 20 is gone")));
  EXPECT_THAT(Missing(19), ElementsAre(HasSubstr("key txn-a at 20"), HasSubstr("key txn-b at 20")));
  Remove("txn-a", 40);
  EXPECT_THAT(Missing(60), ElementsAre(HasSubstr("key txn-a at 40 is gone")));
}

}  // namespace
}  // namespace rutile::sim
