#include "placement/route_table.h"

namespace rutile::placement {
namespace {

Route Make(std::uint64_t id, std::string start, std::string end, std::uint64_t version,
           std::uint64_t term, std::uint64_t leader = 0) {
  Route route;
  route.region = {.id = RegionId(id),
                  .start_key = std::move(start),
                  .end_key = std::move(end),
                  .epoch = {.conf_version = 1, .version = version},
                  .peers = {{PeerId(1), StoreId(1)}, {PeerId(2), StoreId(2)}}};
  route.term = Term(term);
  if (leader != 0) route.leader = store::Peer{PeerId(leader), StoreId(leader)};
  return route;
}

TEST(RouteTable, FindsTheRegionOfAKey) {
  RouteTable table;
  EXPECT_FALSE(table.Find("a"));
  EXPECT_TRUE(table.Report(Make(2, "", "m", 2, 1)));
  EXPECT_TRUE(table.Report(Make(3, "m", "", 2, 1)));
  EXPECT_EQ(table.Find("")->region.id, RegionId(2));
  EXPECT_EQ(table.Find("l\xff")->region.id, RegionId(2));
  EXPECT_EQ(table.Find("m")->region.id, RegionId(3));
  EXPECT_EQ(table.Find("\xff")->region.id, RegionId(3));
  EXPECT_EQ(table.FindBefore("m")->region.id, RegionId(2));
  EXPECT_FALSE(table.FindBefore("a"));
  EXPECT_EQ(table.Find(RegionId(3))->region.start_key, "m");
}

TEST(RouteTable, ALaterTermSaysWhoLeads) {
  RouteTable table;
  EXPECT_TRUE(table.Report(Make(2, "", "", 1, 5, 1)));
  EXPECT_FALSE(table.Report(Make(2, "", "", 1, 4, 2))) << "a late report of an old leader";
  EXPECT_FALSE(table.Report(Make(2, "", "", 1, 5, 1))) << "nothing new";
  EXPECT_TRUE(table.Report(Make(2, "", "", 1, 6, 2)));
  EXPECT_EQ(table.Find("x")->leader->id, PeerId(2));
}

TEST(RouteTable, ASplitReplacesWhatItOverlaps) {
  RouteTable table;
  EXPECT_TRUE(table.Report(Make(2, "", "", 1, 1, 1)));
  EXPECT_TRUE(table.Report(Make(3, "m", "", 2, 1, 1)));
  EXPECT_FALSE(table.Find("a")) << "the old region is gone, the new left half not yet reported";
  EXPECT_FALSE(table.Report(Make(2, "", "", 1, 9, 1))) << "older than the split, whatever the term";
  EXPECT_TRUE(table.Report(Make(2, "", "m", 2, 1, 1)));
  EXPECT_EQ(table.Find("a")->region.id, RegionId(2));
  EXPECT_EQ(table.size(), 2u);
}

TEST(RouteTable, ScansInOrderOfKeys) {
  RouteTable table;
  for (const char c : std::string("dacb")) {
    const char next = static_cast<char>(c + 1);
    table.Report(
        Make(static_cast<std::uint64_t>(c), std::string(1, c), std::string(1, next), 1, 1));
  }
  const auto ids = [](const std::vector<Route>& routes) {
    std::string out;
    for (const Route& route : routes) out += static_cast<char>(route.region.id.value());
    return out;
  };
  EXPECT_EQ(ids(table.Scan("", "", 0)), "abcd");
  EXPECT_EQ(ids(table.Scan("bb", "", 0)), "bcd");
  EXPECT_EQ(ids(table.Scan("b", "d", 0)), "bc");
  EXPECT_EQ(ids(table.Scan("", "", 2)), "ab");
}

}  // namespace
}  // namespace rutile::placement
