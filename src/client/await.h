#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace rutile::client {

namespace internal {

// The type of what a callback is called with.
template <class Callback>
struct AnswerOf;
template <class Answer>
struct AnswerOf<std::function<void(Answer)>> {
  using Type = std::decay_t<Answer>;
};

}  // namespace internal

// Starts something and waits for its answer: `start(done)` hands `done`, which is called once with
// an Answer, on to whoever will call it. Blocks for as long as that takes, so never on a thread
// that callbacks run on: not from within one.
//
//   auto begun = Await<TxnResult<std::shared_ptr<Transaction>>>(
//       [&](auto done) { client.Begin(std::move(done)); });
template <class Answer, class Start>
Answer Await(const Start& start) {
  struct State {
    std::atomic<bool> is_here = false;
    std::optional<Answer> answer = {};
  };
  // Shared, because who brings the answer wakes the one who waits when that may be gone already.
  const auto state = std::make_shared<State>();
  start(std::function<void(Answer)>([state](Answer answer) {
    state->answer.emplace(std::move(answer));
    state->is_here.store(true);
    state->is_here.notify_one();
  }));
  state->is_here.wait(false);
  return std::move(*state->answer);
}

// The same for a method whose last parameter is the callback, with the arguments before that one:
//
//   Result<std::optional<std::string>> value = Await(client, &RawClient::Get, "key");
template <class Object, class... Parameters, class... Arguments>
auto Await(Object& object, void (Object::*method)(Parameters...), Arguments&&... arguments) {
  static_assert(sizeof...(Parameters) == sizeof...(Arguments) + 1);
  using Callback =
      std::decay_t<std::tuple_element_t<sizeof...(Parameters) - 1, std::tuple<Parameters...>>>;
  using Answer = typename internal::AnswerOf<Callback>::Type;
  return Await<Answer>([&](std::function<void(Answer)> done) {
    (object.*method)(std::forward<Arguments>(arguments)..., std::move(done));
  });
}

// Waits until a client, whose last call this is, has nothing under way any more.
template <class Object>
void AwaitClosed(Object& object) {
  struct Closed {};
  Await<Closed>([&](const auto& done) { object.Close([done] { done({}); }); });
}

}  // namespace rutile::client
