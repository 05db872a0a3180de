#include "client/write_buffer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rutile::client {
namespace {

using Kind = BufferedWrite::Kind;
using Pairs = std::vector<WriteBuffer::Pair>;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

Kind KindOf(const WriteBuffer& buffer, const std::string& key) {
  return buffer.writes().at(key).kind;
}

TEST(WriteBuffer, ShowsItsOwnWritesOnly) {
  WriteBuffer buffer;
  buffer.Put("put", "1");
  buffer.Delete("deleted");
  buffer.Lock("locked");
  EXPECT_EQ(WriteBuffer::Own(std::optional<std::string>("1")), buffer.Find("put"));
  EXPECT_EQ(WriteBuffer::Own(std::optional<std::string>()), buffer.Find("deleted"));
  EXPECT_EQ(WriteBuffer::Own(), buffer.Find("locked"));
  EXPECT_EQ(WriteBuffer::Own(), buffer.Find("other"));
}

// What an insert promises of the key is checked whatever follows it.
TEST(WriteBuffer, AnInsertIsRemembered) {
  WriteBuffer buffer;
  buffer.Insert("k", "1");
  buffer.Put("k", "2");
  EXPECT_EQ(Kind::kInsert, KindOf(buffer, "k"));
  buffer.Delete("k");
  EXPECT_EQ(Kind::kCheckNotExists, KindOf(buffer, "k"));
  EXPECT_EQ(WriteBuffer::Own(std::optional<std::string>()), buffer.Find("k"));
  buffer.Put("k", "3");
  EXPECT_EQ(Kind::kInsert, KindOf(buffer, "k"));
  buffer.Lock("k");
  EXPECT_EQ(Kind::kInsert, KindOf(buffer, "k"));
}

TEST(WriteBuffer, AfterADeleteOfItsOwnAnInsertIsAPut) {
  WriteBuffer buffer;
  buffer.Delete("k");
  buffer.Insert("k", "1");
  EXPECT_EQ(Kind::kPut, KindOf(buffer, "k"));
}

TEST(WriteBuffer, MergesARange) {
  WriteBuffer buffer;
  buffer.Put("a", "own");
  buffer.Put("c", "own");
  buffer.Delete("d");
  buffer.Lock("e");
  buffer.Put("f", "own");
  buffer.Put("h", "own");
  const Pairs stored = {{"b", "old"}, {"c", "old"}, {"d", "old"}, {"e", "old"}};
  EXPECT_THAT(buffer.Merge(stored, "b", "h"),
              ElementsAre(Pair("b", "old"), Pair("c", "own"), Pair("e", "old"), Pair("f", "own")));
  EXPECT_THAT(buffer.Merge({}, "g", ""), ElementsAre(Pair("h", "own")));
  EXPECT_THAT(buffer.Merge({}, "d", "f"), IsEmpty());
}

}  // namespace
}  // namespace rutile::client
