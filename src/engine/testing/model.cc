#include "engine/testing/model.h"

#include <fmt/core.h>

namespace rutile::engine::testing {

using Map = std::map<std::string, std::string>;

void Model::Apply(const WriteBatch& batch) {
  for (const WriteBatch::Change& change : batch.changes()) {
    Map& map = of(change.family);
    switch (change.kind) {
      case WriteBatch::Kind::kPut: map[change.key] = change.value; break;
      case WriteBatch::Kind::kDelete: map.erase(change.key); break;
      case WriteBatch::Kind::kDeleteRange:
        std::erase_if(map, [&](const auto& pair) {
          return pair.first >= change.key && (change.value.empty() || pair.first < change.value);
        });
        break;
    }
  }
}

Model Dump(const Snapshot& snapshot) {
  Model model;
  for (const Family family : kAllFamilies) {
    const std::unique_ptr<Iterator> iterator = snapshot.NewIterator(family, {});
    for (iterator->Seek(""); iterator->Valid(); iterator->Next()) {
      model.of(family).emplace(iterator->key(), iterator->value());
    }
    RUTILE_CHECK(iterator->status().ok(), iterator->status().ToString());
  }
  return model;
}

Model Dump(const KvEngine& engine) { return Dump(*engine.GetSnapshot()); }

std::string RandomKey(Random& random) {
  static constexpr std::string_view kBytes(
      "\x00\x01"
      "abcz\xfe\xff",
      8);
  std::string key;
  for (std::uint64_t left = random.Below(5); left > 0; --left) {
    key.push_back(kBytes[random.Below(kBytes.size())]);
  }
  return key;
}

WriteBatch RandomBatch(Random& random, std::uint64_t changes) {
  WriteBatch batch;
  for (std::uint64_t left = random.Below(changes + 1); left > 0; --left) {
    const Family family = kAllFamilies[random.Below(kAllFamilies.size())];
    const std::uint64_t kind = random.Below(20);
    if (kind < 13) {
      batch.Put(family, RandomKey(random), std::to_string(random.Below(1000)));
    } else if (kind < 18) {
      batch.Delete(family, RandomKey(random));
    } else {
      batch.DeleteRange(family, RandomKey(random), RandomKey(random));
    }
  }
  return batch;
}

namespace {

// The part of a map between two bounds, with a place in it. The engine's iterator, spelled out.
class PlainWalk {
 public:
  PlainWalk(const Map& map, const Bounds& bounds) {
    for (const auto& [key, value] : map) {
      if (key >= bounds.lower && (bounds.upper.empty() || key < bounds.upper)) {
        visible_.emplace(key, value);
      }
    }
    place_ = visible_.end();
  }

  bool Valid() const { return place_ != visible_.end(); }
  void Seek(const std::string& key) { place_ = visible_.lower_bound(key); }
  void SeekBefore(const std::string& key) {
    place_ = key.empty() ? visible_.end() : visible_.lower_bound(key);
    Prev();
  }
  void Next() { ++place_; }
  void Prev() { place_ = place_ == visible_.begin() ? visible_.end() : std::prev(place_); }

  std::string Here() const {
    return Valid() ? fmt::format("'{}'='{}'", place_->first, place_->second) : "nothing";
  }

 private:
  Map visible_;
  Map::const_iterator place_;
};

std::string Here(const Iterator& iterator) {
  if (!iterator.status().ok()) return iterator.status().ToString();
  if (!iterator.Valid()) return "nothing";
  return fmt::format("'{}'='{}'", iterator.key(), iterator.value());
}

}  // namespace

std::string CompareWalk(Random& random, const Snapshot& snapshot, const Model& model) {
  const Family family = kAllFamilies[random.Below(kAllFamilies.size())];
  const Bounds bounds = {.lower = RandomKey(random), .upper = RandomKey(random)};
  PlainWalk plain(model.of(family), bounds);
  const std::unique_ptr<Iterator> iterator = snapshot.NewIterator(family, bounds);
  std::string path = fmt::format("{} ['{}', '{}')", ToString(family), bounds.lower, bounds.upper);
  for (std::uint64_t left = 1 + random.Below(12); left > 0; --left) {
    const std::uint64_t move = plain.Valid() ? random.Below(10) : random.Below(2);
    const std::string key = RandomKey(random);
    if (move == 0) {
      path += fmt::format(" Seek('{}')", key);
      plain.Seek(key);
      iterator->Seek(key);
    } else if (move == 1) {
      path += fmt::format(" SeekBefore('{}')", key);
      plain.SeekBefore(key);
      iterator->SeekBefore(key);
    } else if (move < 6) {
      path += " Next";
      plain.Next();
      iterator->Next();
    } else {
      path += " Prev";
      plain.Prev();
      iterator->Prev();
    }
    if (Here(*iterator) != plain.Here()) {
      return fmt::format("{}: engine at {}, model at {}", path, Here(*iterator), plain.Here());
    }
  }
  return "";
}

}  // namespace rutile::engine::testing
