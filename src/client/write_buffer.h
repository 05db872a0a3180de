#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rutile::client {

// What a transaction does to a key when it commits.
struct BufferedWrite {
  enum class Kind : std::uint8_t {
    kPut,
    kInsert,  // A put of a key that must not exist.
    kDelete,
    kLock,            // Writes nothing, but conflicts.
    kCheckNotExists,  // An insert that was deleted again.
  };
  Kind kind = Kind::kPut;
  std::string value = {};

  bool leaves_lock() const { return kind != Kind::kCheckNotExists; }
};

// The writes of a transaction, and what it reads of them itself. Not thread-safe.
class WriteBuffer {
 public:
  using Pair = std::pair<std::string, std::string>;
  // Nothing: what is stored shows. Otherwise a value, or that the key is deleted.
  using Own = std::optional<std::optional<std::string>>;

  void Put(std::string key, std::string value);
  void Insert(std::string key, std::string value);
  void Delete(std::string key);
  void Lock(std::string key);
  void Clear() { writes_.clear(); }

  Own Find(const std::string& key) const;
  // `stored` are the pairs of [from, to) (empty `to`: no end) in order; those of the transaction
  // come in addition or instead.
  std::vector<Pair> Merge(std::vector<Pair> stored, const std::string& from,
                          const std::string& to) const;

  bool empty() const { return writes_.empty(); }
  const std::map<std::string, BufferedWrite>& writes() const { return writes_; }

 private:
  std::map<std::string, BufferedWrite> writes_;
};

}  // namespace rutile::client
