#include "engine/memory/memory_engine.h"

#include <gtest/gtest.h>

#include "engine/memory/image.h"
#include "engine/memory/sorted_map.h"
#include "engine/testing/engines.h"
#include "engine/testing/model.h"
#include "env/posix/posix_files.h"

namespace rutile::engine {
namespace {

// Files whose writing can be made to fail.
class FailingFiles final : public FileSystem {
 public:
  explicit FailingFiles(FileSystem& base) : base_(base) {}

  bool fails = false;

  Result<std::unique_ptr<File>> Open(const std::string& path) override { return base_.Open(path); }
  Result<std::unique_ptr<File>> Create(const std::string& path) override {
    if (fails) return Status(Code::kResourceExhausted, "no space left on device");
    return base_.Create(path);
  }
  Result<std::string> ReadAll(const std::string& path) override { return base_.ReadAll(path); }
  Status Rename(const std::string& from, const std::string& to) override {
    return base_.Rename(from, to);
  }
  Status Remove(const std::string& path) override { return base_.Remove(path); }
  bool Exists(const std::string& path) override { return base_.Exists(path); }
  Result<std::vector<std::string>> List(const std::string& path) override {
    return base_.List(path);
  }
  Status CreateDirectories(const std::string& path) override {
    return base_.CreateDirectories(path);
  }
  Status SyncDirectory(const std::string& path) override { return base_.SyncDirectory(path); }
  Result<std::unique_ptr<DirectoryLock>> Lock(const std::string& path) override {
    return base_.Lock(path);
  }
  Result<std::uint64_t> FreeBytes() override { return base_.FreeBytes(); }

 private:
  FileSystem& base_;
};

Contents Example() {
  Contents contents;
  contents.sequence = 7;
  contents.of(Family::kDefault) = contents.of(Family::kDefault).Put("a", "1").Put("b", "");
  contents.of(Family::kMeta) = contents.of(Family::kMeta).Put("m", "xy");
  return contents;
}

TEST(EngineImage, BytesAreThoseOfTheFormatPage) {
  const std::string image = EncodeImage(Example());
  const std::string body(
      "RUTILKVI"
      "\x01\x00\x00\x00"
      "\x07\x00\x00\x00\x00\x00\x00\x00"
      "\x02\x01"
      "a\x01"
      "1\x01"
      "b\x00"
      "\x00\x00"
      "\x01\x01m\x02xy",
      36);
  EXPECT_EQ(image.substr(0, image.size() - 8), body);
  EXPECT_EQ(image.substr(image.size() - 8), std::string("\xb7\x10@\xe2\x36\x36\xbf\x41", 8));
}

TEST(EngineImage, IsReadBack) {
  const Result<Contents> read = DecodeImage(EncodeImage(Example()));
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read.value().sequence, 7u);
  EXPECT_EQ(EncodeImage(read.value()), EncodeImage(Example()));
}

TEST(EngineImage, DamageAnywhereIsFound) {
  const std::string image = EncodeImage(Example());
  for (std::size_t i = 0; i < image.size(); ++i) {
    for (const int bit : {0, 3, 7}) {
      std::string damaged = image;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
      EXPECT_FALSE(DecodeImage(damaged).ok()) << "byte " << i << " bit " << bit;
    }
    EXPECT_EQ(DecodeImage(image.substr(0, i)).status().code(), Code::kCorruption) << i;
  }
}

TEST(EngineImage, NewerVersionIsNotCalledDamage) {
  std::string image = EncodeImage(Example());
  image[8] = 2;
  EXPECT_EQ(DecodeImage(image).status().code(), Code::kFailedPrecondition);
}

TEST(SortedMap, ShapeDoesNotDependOnTheOrderOfInsertion) {
  SortedMap ascending;
  SortedMap descending;
  constexpr int kKeys = 3000;
  for (int i = 0; i < kKeys; ++i) {
    ascending = ascending.Put(std::to_string(i), "v");
    descending = descending.Put(std::to_string(kKeys - 1 - i), "v");
  }
  for (int i = 0; i < kKeys; i += 2) ascending = ascending.Delete(std::to_string(i));
  for (int i = 0; i < kKeys; i += 2) descending = descending.Delete(std::to_string(i));
  EXPECT_EQ(ascending.size(), kKeys / 2u);
  EXPECT_EQ(ascending.bytes(), descending.bytes());
  const SortedMap::Record* a = ascending.FirstAtLeast("");
  const SortedMap::Record* d = descending.FirstAtLeast("");
  for (; a != nullptr && d != nullptr;
       a = ascending.FirstAbove(a->key), d = descending.FirstAbove(d->key)) {
    EXPECT_EQ(a->key, d->key);
  }
  EXPECT_EQ(a, d);
}

TEST(SortedMap, OldCopiesKeepWhatTheyHad) {
  const SortedMap one = SortedMap().Put("a", "1").Put("b", "2");
  const SortedMap two = one.Put("a", "3").Delete("b").Put("c", "4");
  EXPECT_EQ(one.Find("a")->value, "1");
  EXPECT_EQ(one.Find("b")->value, "2");
  EXPECT_EQ(one.Find("c"), nullptr);
  EXPECT_EQ(two.Find("a")->value, "3");
  EXPECT_EQ(two.Find("b"), nullptr);
  EXPECT_EQ(two.BytesBetween("b", ""), 2u);
}

TEST(MemoryEngine, FailedFlushStopsAllWriting) {
  testing::TemporaryDirectory directory;
  posix::PosixFileSystem base(directory.path());
  FailingFiles files(base);
  const auto engine = OpenMemoryEngine(files, "kv").value();
  WriteBatch batch;
  batch.Put(Family::kDefault, "a", "1");
  ASSERT_TRUE(engine->Write(batch).ok());
  ASSERT_TRUE(engine->Flush().ok());
  ASSERT_TRUE(engine->Write(batch).ok());
  files.fails = true;
  const Status failed = engine->Flush();
  EXPECT_EQ(failed.code(), Code::kResourceExhausted);
  files.fails = false;
  EXPECT_EQ(engine->Write(batch).ToString(), failed.ToString());
  EXPECT_EQ(engine->Flush().ToString(), failed.ToString());
  EXPECT_LT(engine->DurableSequence(), engine->WrittenSequence());
  EXPECT_EQ(engine->Get(Family::kDefault, "a").value(), "1");
}

TEST(MemoryEngine, SnapshotMustNotOutliveIt) {
  testing::TemporaryDirectory directory;
  posix::PosixFileSystem files(directory.path());
  EXPECT_DEATH(
      {
        auto engine = OpenMemoryEngine(files, "kv").value();
        const auto snapshot = engine->GetSnapshot();
        engine.reset();
      },
      "a snapshot outlives its engine");
}

TEST(MemoryEngine, DamagedImageIsNamed) {
  testing::TemporaryDirectory directory;
  posix::PosixFileSystem files(directory.path());
  ASSERT_TRUE(files.CreateDirectories("kv").ok());
  ASSERT_TRUE(WriteFileAtomically(files, "kv", "image", "RUTILKVI and then rubbish").ok());
  const Status status = OpenMemoryEngine(files, "kv").status();
  EXPECT_FALSE(status.ok());
  EXPECT_NE(status.message().find("kv/image"), std::string_view::npos) << status.ToString();
}

}  // namespace
}  // namespace rutile::engine
