#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace rutile {

// Immutable, reference-counted bytes. Copying and slicing share the buffer, so the payload of a log
// entry goes from the network through the log, several followers and apply without being copied.
//
// Any thread may read; the last owner frees.
class Bytes {
 public:
  Bytes() = default;
  explicit Bytes(std::string data) {
    if (data.empty()) return;
    auto owned = std::make_shared<const std::string>(std::move(data));
    size_ = owned->size();
    const char* const at = owned->data();
    data_ = std::shared_ptr<const char>(std::move(owned), at);
  }
  // A view into `owner`, which is kept alive. `view` must lie in memory that `owner` owns.
  Bytes(std::shared_ptr<const void> owner, std::string_view view)
      : data_(std::move(owner), view.data()), size_(view.size()) {}

  // In one allocation, the count of owners included.
  static Bytes Copy(std::string_view data) {
    if (data.empty()) return Bytes();
    auto owned = std::make_shared_for_overwrite<char[]>(data.size());
    std::copy(data.begin(), data.end(), owned.get());
    const char* const at = owned.get();
    return Bytes(std::move(owned), {at, data.size()});
  }

  std::string_view view() const { return {data_.get(), size_}; }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // The part [offset, offset + length) of the same buffer. Requires it to lie within.
  Bytes Slice(std::size_t offset, std::size_t length) const {
    return Bytes(data_, view().substr(offset, length));
  }

  friend bool operator==(const Bytes& a, const Bytes& b) { return a.view() == b.view(); }

 private:
  // Points to the bytes and counts the owners of the whole buffer that they lie in.
  std::shared_ptr<const char> data_ = {};
  std::size_t size_ = 0;
};

}  // namespace rutile
