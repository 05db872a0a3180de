#include "base/status.h"

namespace rutile {

std::string_view ToString(Code code) {
  switch (code) {
    case Code::kOk: return "OK";
    case Code::kInvalidArgument: return "InvalidArgument";
    case Code::kNotFound: return "NotFound";
    case Code::kUnavailable: return "Unavailable";
    case Code::kIoError: return "IoError";
    case Code::kCorruption: return "Corruption";
    case Code::kAlreadyExists: return "AlreadyExists";
    case Code::kFailedPrecondition: return "FailedPrecondition";
    case Code::kResourceExhausted: return "ResourceExhausted";
    case Code::kUnimplemented: return "Unimplemented";
    case Code::kDeadlineExceeded: return "DeadlineExceeded";
    case Code::kInternal: return "Internal";
  }
  RUTILE_UNREACHABLE();  // No default case above: -Wswitch keeps the list complete.
}

Status::Status(Code code, std::string_view message)
    : rep_(std::make_unique<Rep>(Rep{code, std::string(message)})) {
  RUTILE_CHECK(code != Code::kOk);
}

std::string Status::ToString() const {
  if (ok()) return "OK";
  return std::string(rutile::ToString(rep_->code)) + ": " + rep_->message;
}

Status Status::WithContext(std::string_view context) && {
  if (rep_) rep_->message.insert(0, std::string(context) + ": ");
  return std::move(*this);
}

}  // namespace rutile
