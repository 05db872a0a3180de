#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace rutile::engine {

// An ordered map of byte strings that is never changed: what would change it returns another map,
// which shares all but O(log n) nodes with the old one. Copying costs one reference, so a snapshot
// is a copy. Every operation but copying takes O(log n) expected time.
//
// A treap (Seidel and Aragon: "Randomized search trees", 1996) whose priorities are a hash of the
// key: its shape is a function of its contents alone, not of the order in which they came.
//
// Any thread may read, and copy what no other thread assigns to.
class SortedMap {
 public:
  struct Record {
    std::string key;
    std::string value;
  };

  SortedMap() = default;

  [[nodiscard]] SortedMap Put(std::string key, std::string value) const;
  [[nodiscard]] SortedMap Delete(std::string_view key) const;
  // Without the keys in [begin, end). An empty `end` is no bound.
  [[nodiscard]] SortedMap DeleteRange(std::string_view begin, std::string_view end) const;

  // Null when there is none. Records live as long as any map that holds them.
  const Record* Find(std::string_view key) const;
  const Record* FirstAtLeast(std::string_view key) const;
  const Record* FirstAbove(std::string_view key) const;
  const Record* LastBelow(std::string_view key) const;
  const Record* Last() const;

  std::size_t size() const;
  // Of keys and values together.
  std::uint64_t bytes() const;
  // Of those in [lower, upper); an empty `upper` is no bound.
  std::uint64_t BytesBetween(std::string_view lower, std::string_view upper) const;

 private:
  struct Node;
  using Link = std::shared_ptr<const Node>;
  struct Halves;

  explicit SortedMap(Link root) : root_(std::move(root)) {}

  static Link Make(const Node& from, Link left, Link right);
  static Halves Split(const Link& node, std::string_view key);
  static Link Merge(const Link& left, const Link& right);
  static Link Insert(const Link& node, const Node& added);
  static Link Remove(const Link& node, std::string_view key);
  // Of the keys below `key`.
  std::uint64_t BytesBelow(std::string_view key) const;

  Link root_;
};

}  // namespace rutile::engine
