#pragma once

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
    view_ = *owned;
    owner_ = std::move(owned);
  }
  // A view into `owner`, which is kept alive. `view` must lie in memory that `owner` owns.
  Bytes(std::shared_ptr<const void> owner, std::string_view view)
      : owner_(std::move(owner)), view_(view) {}

  static Bytes Copy(std::string_view data) { return Bytes(std::string(data)); }

  std::string_view view() const { return view_; }
  std::size_t size() const { return view_.size(); }
  bool empty() const { return view_.empty(); }

  // The part [offset, offset + length) of the same buffer. Requires it to lie within.
  Bytes Slice(std::size_t offset, std::size_t length) const {
    return Bytes(owner_, view_.substr(offset, length));
  }

  friend bool operator==(const Bytes& a, const Bytes& b) { return a.view_ == b.view_; }

 private:
  std::shared_ptr<const void> owner_;
  std::string_view view_;  // Into what owner_ owns.
};

}  // namespace rutile
