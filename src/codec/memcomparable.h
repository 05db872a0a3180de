#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace rutile::codec {

// Byte strings in a form that sorts as they do and of which none is a prefix of another, so that
// something can follow: groups of eight bytes, the last one filled up with zeros, each followed by
// 0xff less the number of bytes filled up. A string whose length is a multiple of eight ends with a
// group that is all filling. TiKV's clients expect region borders in this form.
std::string EncodeMemcomparable(std::string_view bytes);

// Takes one encoded string from the front of `input`; nothing, and `input` as it was, when there is
// none.
std::optional<std::string> TakeMemcomparable(std::string_view* input);

}  // namespace rutile::codec
