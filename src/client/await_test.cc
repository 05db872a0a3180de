#include "client/await.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "base/status.h"

namespace rutile::client {
namespace {

// Answers on a thread of its own.
class Answerer {
 public:
  ~Answerer() {
    if (thread_.joinable()) thread_.join();
  }
  void Double(int number, std::function<void(Result<int>)> done) {
    if (thread_.joinable()) thread_.join();
    thread_ = std::thread([number, done = std::move(done)] { done(number * 2); });
  }
  void Fail(std::function<void(Status)> done) { done(Status(Code::kNotFound, "why")); }

 private:
  std::thread thread_;
};

TEST(Await, HandsOnWhatAnotherThreadAnswers) {
  Answerer answerer;
  for (int i = 0; i < 100; ++i) {
    const Result<int> answer = Await(answerer, &Answerer::Double, i);
    ASSERT_TRUE(answer.ok());
    EXPECT_EQ(answer.value(), i * 2);
  }
}

TEST(Await, HandsOnWhatIsAnsweredBeforeTheCallReturns) {
  Answerer answerer;
  EXPECT_EQ(Await(answerer, &Answerer::Fail).code(), Code::kNotFound);
}

TEST(Await, TakesAnswersThatCannotBeCopied) {
  const auto answer =
      Await<std::unique_ptr<int>>([](const auto& done) { done(std::make_unique<int>(7)); });
  EXPECT_EQ(*answer, 7);
}

}  // namespace
}  // namespace rutile::client
