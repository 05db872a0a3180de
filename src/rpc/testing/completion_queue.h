#pragma once

#include <grpcpp/completion_queue.h>
#include <pthread.h>

#include <thread>

// What the bindings to gRPC share of its completion queues. Included by those two files only.
namespace rutile::rpc {

// What a completion queue gives back when an operation has ended; its address is the tag.
class Event {
 public:
  virtual ~Event() = default;
  // Runs on a thread that polls the queue.
  virtual void OnEvent(bool ok) = 0;
};

// An event that calls a member function of the object that it is part of.
template <class Owner>
class EventOf final : public Event {
 public:
  using Member = void (Owner::*)(bool ok);
  EventOf(Owner* owner, Member member) : owner_(owner), member_(member) {}
  void OnEvent(bool ok) override { (owner_->*member_)(ok); }

 private:
  Owner* const owner_;
  const Member member_;
};

// Hands out events until the queue is shut down and empty.
inline void PollEvents(grpc::CompletionQueue* queue) {
  ::pthread_setname_np(::pthread_self(), "grpc");
  void* tag = nullptr;
  bool ok = false;
  while (queue->Next(&tag, &ok)) static_cast<Event*>(tag)->OnEvent(ok);
}

}  // namespace rutile::rpc
