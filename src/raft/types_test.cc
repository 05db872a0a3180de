#include "raft/types.h"

#include <gtest/gtest.h>

namespace rutile::raft {
namespace {

TEST(Configuration, EncodingIsRoundTripAndFixed) {
  const Configuration all{.voters = {PeerId(1), PeerId(2)},
                          .outgoing = {PeerId(2), PeerId(3)},
                          .learners = {PeerId(9)},
                          .learners_next = {PeerId(3)},
                          .auto_leave = true};
  const Bytes bytes = EncodeConfiguration(all, "ctx");
  EXPECT_EQ(2u + 5 * 8 + 6 * 8 + 3, bytes.size());
  EXPECT_EQ(std::string("\x02\x01\x02\0\0\0\0\0\0\0\x01", 11), bytes.view().substr(0, 11));
  EXPECT_EQ(std::string("\x03\0\0\0\0\0\0\0ctx", 11), bytes.view().substr(bytes.size() - 11));
  std::string_view context;
  EXPECT_EQ(all, DecodeConfiguration(bytes.view(), &context));
  EXPECT_EQ("ctx", context);
  EXPECT_EQ(Configuration(), DecodeConfiguration(EncodeConfiguration({}).view(), &context));
  EXPECT_EQ("", context);
}

TEST(Configuration, DamagedEncodingIsRefused) {
  const std::string good(EncodeConfiguration({.voters = {PeerId(1), PeerId(2)}}).view());
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(DecodeConfiguration(good.substr(0, size)).has_value()) << size;
  }
  EXPECT_FALSE(DecodeConfiguration(good + "x").has_value());
  EXPECT_FALSE(DecodeConfiguration("\x03" + good.substr(1)).has_value()) << "a later version";
  EXPECT_FALSE(DecodeConfiguration("\x02\x02" + good.substr(2)).has_value()) << "a flag of others";
  std::string huge = good;
  huge[9] = '\x7f';  // A count that would not fit in memory.
  EXPECT_FALSE(DecodeConfiguration(huge).has_value());
  const Configuration unsorted{.voters = {PeerId(2), PeerId(1)}};
  EXPECT_FALSE(DecodeConfiguration(EncodeConfiguration(unsorted).view()).has_value());
  const Configuration both{.voters = {PeerId(1)}, .learners = {PeerId(1)}};
  EXPECT_FALSE(DecodeConfiguration(EncodeConfiguration(both).view()).has_value());
}

TEST(Configuration, WhatOnlyAJointOneMayHave) {
  Configuration joint{.voters = {PeerId(1)},
                      .outgoing = {PeerId(1), PeerId(2)},
                      .learners_next = {PeerId(2)},
                      .auto_leave = true};
  EXPECT_TRUE(joint.IsValid());
  EXPECT_EQ("voters (1) outgoing (1,2) learners next (2) auto leave", ToString(joint));
  Configuration plain = joint;
  plain.outgoing.clear();
  EXPECT_FALSE(plain.IsValid());
  plain.learners_next.clear();
  EXPECT_FALSE(plain.IsValid());
  plain.auto_leave = false;
  EXPECT_TRUE(plain.IsValid());
  joint.learners_next = {PeerId(1)};
  EXPECT_FALSE(joint.IsValid()) << "a voter that stays one";
  joint.learners_next = {PeerId(3)};
  EXPECT_FALSE(joint.IsValid()) << "not an outgoing voter";
}

TEST(Configuration, Members) {
  const Configuration all{.voters = {PeerId(1), PeerId(4)},
                          .outgoing = {PeerId(2), PeerId(4)},
                          .learners = {PeerId(3)}};
  EXPECT_EQ((PeerIds{PeerId(1), PeerId(2), PeerId(3), PeerId(4)}), all.Members());
  EXPECT_TRUE(all.IsVoter(PeerId(2)));
  EXPECT_FALSE(all.IsVoter(PeerId(3)));
  EXPECT_TRUE(all.IsMember(PeerId(3)));
  EXPECT_FALSE(all.IsMember(PeerId(5)));
}

TEST(Message, Text) {
  Message message{.from = PeerId(1), .to = PeerId(2), .term = Term(3)};
  message.slice.prev = {Term(2), Index(4)};
  message.slice.entries.resize(2);
  message.commit = Index(4);
  EXPECT_EQ("1->2 Append term 3 prev 4@2 +2 commit 4", ToString(message));
  EXPECT_EQ("term 3 vote 1 commit 4", ToString(HardState{Term(3), PeerId(1), Index(4)}));
}

}  // namespace
}  // namespace rutile::raft
