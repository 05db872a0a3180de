#include "engine/memory/sorted_map.h"

#include <utility>

namespace rutile::engine {

// A node of the treap: keys left of it are smaller, right of it greater, and no child goes before
// its parent.
struct SortedMap::Node {
  std::shared_ptr<const Record> record = {};
  std::uint64_t priority = 0;
  Link left = {};
  Link right = {};
  // Of the subtree.
  std::size_t size = 0;
  std::uint64_t bytes = 0;

  const std::string& key() const { return record->key; }
  std::uint64_t own_bytes() const { return record->key.size() + record->value.size(); }
  // Whether this one is the parent of the two. Ties go to the smaller key, so that the shape
  // remains a function of the contents.
  bool GoesBefore(const Node& other) const {
    return priority != other.priority ? priority > other.priority : key() < other.key();
  }
};

struct SortedMap::Halves {
  Link below;     // Keys < the key.
  Link at_least;  // Keys >= the key.
};

namespace {

// FNV-1a, mixed, for its low bits alone would follow the key's last bytes too closely.
std::uint64_t Priority(std::string_view key) {
  std::uint64_t hash = 0xCBF29CE484222325u;
  for (const char byte : key) {
    hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001B3u;
  }
  hash = (hash ^ (hash >> 30)) * 0xBF58476D1CE4E5B9u;
  return hash ^ (hash >> 31);
}

}  // namespace

SortedMap::Link SortedMap::Make(const Node& from, Link left, Link right) {
  auto node = std::make_shared<Node>();
  node->record = from.record;
  node->priority = from.priority;
  node->size = 1 + (left ? left->size : 0) + (right ? right->size : 0);
  node->bytes = from.own_bytes() + (left ? left->bytes : 0) + (right ? right->bytes : 0);
  node->left = std::move(left);
  node->right = std::move(right);
  return node;
}

SortedMap::Halves SortedMap::Split(const Link& node, std::string_view key) {
  if (!node) return {};
  if (node->key() < key) {
    Halves right = Split(node->right, key);
    return {Make(*node, node->left, std::move(right.below)), std::move(right.at_least)};
  }
  Halves left = Split(node->left, key);
  return {std::move(left.below), Make(*node, std::move(left.at_least), node->right)};
}

SortedMap::Link SortedMap::Merge(const Link& left, const Link& right) {
  if (!left) return right;
  if (!right) return left;
  if (left->GoesBefore(*right)) return Make(*left, left->left, Merge(left->right, right));
  return Make(*right, Merge(left, right->left), right->right);
}

SortedMap::Link SortedMap::Insert(const Link& node, const Node& added) {
  if (!node) return Make(added, nullptr, nullptr);
  if (node->key() == added.key()) return Make(added, node->left, node->right);
  if (added.GoesBefore(*node)) {
    // The key cannot be further down: it would have the same priority there.
    Halves halves = Split(node, added.key());
    return Make(added, std::move(halves.below), std::move(halves.at_least));
  }
  if (added.key() < node->key()) return Make(*node, Insert(node->left, added), node->right);
  return Make(*node, node->left, Insert(node->right, added));
}

SortedMap::Link SortedMap::Remove(const Link& node, std::string_view key) {
  if (!node) return nullptr;
  if (node->key() == key) return Merge(node->left, node->right);
  if (key < node->key()) {
    Link left = Remove(node->left, key);
    return left == node->left ? node : Make(*node, std::move(left), node->right);
  }
  Link right = Remove(node->right, key);
  return right == node->right ? node : Make(*node, node->left, std::move(right));
}

SortedMap SortedMap::Put(std::string key, std::string value) const {
  Node added;
  added.priority = Priority(key);
  added.record = std::make_shared<const Record>(Record{std::move(key), std::move(value)});
  return SortedMap(Insert(root_, added));
}

SortedMap SortedMap::Delete(std::string_view key) const { return SortedMap(Remove(root_, key)); }

SortedMap SortedMap::DeleteRange(std::string_view begin, std::string_view end) const {
  if (!end.empty() && end <= begin) return *this;
  const Halves first = Split(root_, begin);
  if (!first.at_least) return *this;
  if (end.empty()) return SortedMap(first.below);
  return SortedMap(Merge(first.below, Split(first.at_least, end).at_least));
}

const SortedMap::Record* SortedMap::Find(std::string_view key) const {
  const Record* record = FirstAtLeast(key);
  return record != nullptr && record->key == key ? record : nullptr;
}

const SortedMap::Record* SortedMap::FirstAtLeast(std::string_view key) const {
  const Record* best = nullptr;
  for (const Node* node = root_.get(); node != nullptr;) {
    const bool fits = node->key() >= key;
    if (fits) best = node->record.get();
    node = fits ? node->left.get() : node->right.get();
  }
  return best;
}

const SortedMap::Record* SortedMap::FirstAbove(std::string_view key) const {
  const Record* best = nullptr;
  for (const Node* node = root_.get(); node != nullptr;) {
    const bool fits = node->key() > key;
    if (fits) best = node->record.get();
    node = fits ? node->left.get() : node->right.get();
  }
  return best;
}

const SortedMap::Record* SortedMap::LastBelow(std::string_view key) const {
  const Record* best = nullptr;
  for (const Node* node = root_.get(); node != nullptr;) {
    const bool fits = node->key() < key;
    if (fits) best = node->record.get();
    node = fits ? node->right.get() : node->left.get();
  }
  return best;
}

const SortedMap::Record* SortedMap::Last() const {
  const Node* node = root_.get();
  while (node != nullptr && node->right) node = node->right.get();
  return node == nullptr ? nullptr : node->record.get();
}

std::size_t SortedMap::size() const { return root_ ? root_->size : 0; }

std::uint64_t SortedMap::bytes() const { return root_ ? root_->bytes : 0; }

std::uint64_t SortedMap::BytesBelow(std::string_view key) const {
  std::uint64_t bytes = 0;
  for (const Node* node = root_.get(); node != nullptr;) {
    if (node->key() < key) {
      bytes += node->own_bytes() + (node->left ? node->left->bytes : 0);
      node = node->right.get();
    } else {
      node = node->left.get();
    }
  }
  return bytes;
}

std::uint64_t SortedMap::BytesBetween(std::string_view lower, std::string_view upper) const {
  const std::uint64_t to_upper = upper.empty() ? bytes() : BytesBelow(upper);
  const std::uint64_t to_lower = BytesBelow(lower);
  return to_upper > to_lower ? to_upper - to_lower : 0;
}

}  // namespace rutile::engine
