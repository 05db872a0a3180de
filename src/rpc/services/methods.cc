#include "rpc/services/methods.h"

#include "base/check.h"

namespace rutile::rpc {

Done& Done::operator=(Done&& other) noexcept {
  if (this != &other) {
    Done old(std::exchange(call_, std::exchange(other.call_, nullptr)));
  }
  return *this;
}

Done::~Done() {
  if (call_ != nullptr) call_->Complete(Status(Code::kUnavailable, "the server is stopping"));
}

void Done::operator()(Status status) {
  RUTILE_CHECK(call_ != nullptr, "a call is completed once");
  std::exchange(call_, nullptr)->Complete(std::move(status));
}

const Methods::Method* Methods::Find(const std::string& name) const {
  const auto found = methods_.find(name);
  return found == methods_.end() ? nullptr : &found->second;
}

std::set<std::string> Methods::services() const {
  std::set<std::string> services;
  for (const auto& [name, method] : methods_)
    services.insert(name.substr(1, name.find('/', 1) - 1));
  return services;
}

void Methods::Add(std::string name, Method method) {
  RUTILE_CHECK(name.size() > 2 && name[0] == '/' && name.find('/', 1) != std::string::npos, name);
  const auto [where, added] = methods_.emplace(std::move(name), std::move(method));
  RUTILE_CHECK(added, where->first);
}

}  // namespace rutile::rpc
