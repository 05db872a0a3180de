#pragma once

#include <memory>
#include <type_traits>
#include <utility>

#include "base/check.h"

namespace rutile {

// A callable that may own what cannot be copied: std::function that is move-only. Called at most
// as often as the wrapped callable allows.
template <class Signature>
class UniqueFunction;

template <class R, class... Args>
class UniqueFunction<R(Args...)> {
 public:
  UniqueFunction() = default;
  UniqueFunction(std::nullptr_t) {}  // NOLINT: implicit, as std::function has it
  template <class F>
    requires(!std::is_same_v<std::decay_t<F>, UniqueFunction> &&
             std::is_invocable_r_v<R, std::decay_t<F>&, Args...>)
  UniqueFunction(F&& callable)  // NOLINT: implicit, so that lambdas can be passed
      : callable_(std::make_unique<Holder<std::decay_t<F>>>(std::forward<F>(callable))) {}

  explicit operator bool() const { return callable_ != nullptr; }

  R operator()(Args... args) {
    RUTILE_CHECK(callable_ != nullptr, "call of an empty function");
    return callable_->Call(std::forward<Args>(args)...);
  }

 private:
  struct Base {
    Base() = default;
    Base(const Base&) = delete;
    Base& operator=(const Base&) = delete;
    virtual ~Base() = default;
    virtual R Call(Args... args) = 0;
  };
  template <class F>
  struct Holder final : Base {
    explicit Holder(F f) : function(std::move(f)) {}
    R Call(Args... args) override { return function(std::forward<Args>(args)...); }
    F function;
  };

  std::unique_ptr<Base> callable_;
};

// A unit of work for an executor.
using Task = UniqueFunction<void()>;

}  // namespace rutile
