#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/check.h"

namespace rutile {

// What a caller can do about a failure; not what went wrong in detail. Keep it short: a code that
// no caller branches on is a message, not a code.
enum class Code : std::uint8_t {
  kOk,
  kInvalidArgument,  // The request can never succeed. Do not retry.
  kNotFound,
  kUnavailable,         // Not now, or not here. Retry, perhaps elsewhere.
  kIoError,             // The disk or the network failed. The caller's state is unchanged.
  kCorruption,          // Stored bytes do not verify. Do not retry; repair from another replica.
  kAlreadyExists,       // What was to be created is there: a file, a lock, a listening port.
  kFailedPrecondition,  // The system is in a state that forbids it; an operator must act.
  kResourceExhausted,   // A quota, the disk or a queue is full. Retry later.
  kUnimplemented,       // This build does not serve the call.
  kDeadlineExceeded,    // No answer in time: the outcome is unknown.
  kInternal,            // An invariant is broken. A bug; report it.
};

std::string_view ToString(Code code);

// The outcome of an operation without a value. One pointer wide; OK never allocates.
//
// Copyable and movable. A moved-from Status is OK.
class [[nodiscard]] Status {
 public:
  Status() noexcept = default;
  Status(Code code, std::string_view message);

  Status(const Status& other) : rep_(other.rep_ ? std::make_unique<Rep>(*other.rep_) : nullptr) {}
  Status& operator=(const Status& other) { return *this = Status(other); }
  Status(Status&&) noexcept = default;
  Status& operator=(Status&&) noexcept = default;
  ~Status() = default;

  bool ok() const noexcept { return rep_ == nullptr; }
  Code code() const noexcept { return rep_ ? rep_->code : Code::kOk; }
  std::string_view message() const noexcept { return rep_ ? rep_->message : std::string_view(); }

  // "IoError: pread 000042.log: Input/output error", or "OK".
  std::string ToString() const;

  // The same failure, with `context` put before the message. A no-op on OK.
  Status WithContext(std::string_view context) &&;

 private:
  struct Rep {
    Code code;
    std::string message;
  };

  std::unique_ptr<Rep> rep_;  // Null means OK.
};

// A T, or the Status that says why there is none.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}  // NOLINT: implicit, so that `return value;` works
  Result(Status error) : state_(std::move(error)) {  // NOLINT: implicit, likewise
    RUTILE_CHECK(!std::get<Status>(state_).ok(), "a Result without a value needs an error");
  }

  bool ok() const noexcept { return std::holds_alternative<T>(state_); }
  Status status() const { return ok() ? Status() : std::get<Status>(state_); }

  const T& value() const& { return *Get(this); }
  T& value() & { return *Get(this); }
  T&& value() && { return std::move(*Get(this)); }

 private:
  template <class Self>
  static auto* Get(Self* self) {
    RUTILE_CHECK(self->ok(), self->status().ToString());
    return std::get_if<T>(&self->state_);
  }

  std::variant<T, Status> state_;
};

}  // namespace rutile

#define RUTILE_CONCAT_INNER(a, b) a##b
#define RUTILE_CONCAT(a, b) RUTILE_CONCAT_INNER(a, b)

#define RUTILE_RETURN_IF_ERROR(expression)                                               \
  do {                                                                                   \
    if (::rutile::Status rutile_status = (expression); !rutile_status.ok()) [[unlikely]] \
      return rutile_status;                                                              \
  } while (false)

// RUTILE_ASSIGN_OR_RETURN(Bytes block, file->Read(offset, size));
#define RUTILE_ASSIGN_OR_RETURN(declaration, expression) \
  RUTILE_ASSIGN_OR_RETURN_INNER(RUTILE_CONCAT(rutile_result_, __LINE__), declaration, expression)
#define RUTILE_ASSIGN_OR_RETURN_INNER(result, declaration, expression) \
  auto result = (expression);                                          \
  if (!result.ok()) [[unlikely]]                                       \
    return result.status();                                            \
  declaration = std::move(result).value()
