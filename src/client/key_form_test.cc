#include "client/key_form.h"

#include <gtest/gtest.h>

#include <string>

#include "codec/memcomparable.h"

namespace rutile::client {
namespace {

using namespace std::string_literals;

TEST(KeyForm, InV1AKeyIsTheSameEverywhere) {
  const KeyForm form(codec::ApiVersion::kV1, codec::KeyMode::kRaw, 7);
  EXPECT_EQ(form.ToSent("k"), "k");
  EXPECT_EQ(form.ToSentEnd(""), "");
  EXPECT_EQ(form.ToPlace("k"), "k");
  EXPECT_EQ(form.FromBorder("any bytes").value(), "any bytes");
  EXPECT_EQ(form.ToUser("k"), "k");
  EXPECT_TRUE(form.IsOurs("k"));
  EXPECT_TRUE(form.is_plain());
}

TEST(KeyForm, InV2AKeyIsSentBehindItsKeyspace) {
  const KeyForm form(codec::ApiVersion::kV2, codec::KeyMode::kRaw, 7);
  EXPECT_EQ(form.ToSent("k"), "r\0\0\7k"s);
  EXPECT_EQ(form.ToSentEnd("k"), "r\0\0\7k"s);
  EXPECT_EQ(form.ToSentEnd(""), "r\0\0\10"s);
  EXPECT_EQ(form.ToUser("r\0\0\7k"s), "k");
  EXPECT_TRUE(form.IsOurs("r\0\0\7"s));
  EXPECT_FALSE(form.IsOurs("r\0\0\10k"s));
  EXPECT_FALSE(form.IsOurs("x\0\0\7k"s));
  EXPECT_FALSE(form.is_plain());
  const KeyForm transactional(codec::ApiVersion::kV2, codec::KeyMode::kTransactional, 7);
  EXPECT_EQ(transactional.ToSent("k"), "x\0\0\7k"s);
}

TEST(KeyForm, InV2RegionsHaveKeysEncoded) {
  const KeyForm form(codec::ApiVersion::kV2, codec::KeyMode::kRaw, 7);
  const std::string place = form.ToPlace(form.ToSent("k"));
  EXPECT_EQ(place, codec::EncodeMemcomparable("r\0\0\7k"s));
  EXPECT_EQ(form.FromBorder(place).value(), "r\0\0\7k"s);
  EXPECT_EQ(form.FromBorder("").value(), "");
  EXPECT_FALSE(form.FromBorder("m").ok());
}

}  // namespace
}  // namespace rutile::client
