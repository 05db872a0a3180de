#include "client/route.h"

#include <gtest/gtest.h>

#include <string>

namespace rutile::client {
namespace {

Route Of(std::uint64_t region, const std::string& start, const std::string& end,
         std::uint64_t version, std::uint64_t conf_version) {
  return {
      .region = RegionId(region),
      .start_key = start,
      .end_key = end,
      .conf_version = conf_version,
      .version = version,
      .peers = {{.id = PeerId(11), .store = StoreId(1)}, {.id = PeerId(12), .store = StoreId(2)}}};
}

std::string Shown(const RouteCache& cache, const std::string& key) {
  const auto route = cache.Find(key);
  if (!route) return "nothing";
  return std::to_string(route->region.value()) + " at " + std::to_string(route->conf_version) +
         "." + std::to_string(route->version);
}

TEST(RouteCache, ALaterStateReplacesWhatItOverlaps) {
  RouteCache cache;
  cache.Put(Of(1, "", "", 1, 1));
  EXPECT_EQ("1 at 1.1", Shown(cache, "z"));
  cache.Put(Of(1, "", "m", 2, 1));
  EXPECT_EQ("1 at 1.2", Shown(cache, "a"));
  EXPECT_EQ("nothing", Shown(cache, "z"));
  cache.Put(Of(2, "m", "", 2, 1));
  cache.Put(Of(1, "", "m", 2, 3));
  EXPECT_EQ("1 at 3.2", Shown(cache, "a"));
  EXPECT_EQ("2 at 1.2", Shown(cache, "z"));
  cache.Put(Of(2, "", "", 3, 3));
  EXPECT_EQ("2 at 3.3", Shown(cache, "a"));
}

TEST(RouteCache, WhatALaggardSaysReplacesNothingLater) {
  RouteCache cache;
  cache.Put(Of(2, "", "m", 2, 5));
  cache.Put(Of(1, "m", "", 2, 5));
  EXPECT_FALSE(cache.Put(Of(1, "m", "", 2, 4)));
  EXPECT_FALSE(cache.Put(Of(1, "", "", 1, 9)));
  EXPECT_TRUE(cache.Put(Of(1, "m", "", 2, 5)));
  EXPECT_EQ("2 at 5.2", Shown(cache, "a"));
  EXPECT_EQ("1 at 5.2", Shown(cache, "z"));
}

TEST(RouteCache, ALeaderIsKnownUntilAnotherIsToldOf) {
  RouteCache cache;
  Route route = Of(1, "", "", 1, 1);
  route.target = 1;
  cache.Put(route);
  Route told = Of(1, "", "", 1, 2);
  told.has_leader = false;
  cache.Put(told);
  EXPECT_EQ(PeerId(12), cache.Find("a")->peers[cache.Find("a")->target].id);
  // One that was removed is not.
  told = Of(1, "", "", 1, 3);
  told.has_leader = false;
  told.peers.pop_back();
  cache.Put(told);
  EXPECT_EQ(PeerId(11), cache.Find("a")->peers[cache.Find("a")->target].id);
  cache.Put(Of(1, "", "", 1, 4));
  EXPECT_EQ(0u, cache.Find("a")->target);
}

}  // namespace
}  // namespace rutile::client
