// How a replica answers when a linearizable read may look: together with others, and on a follower
// by asking the leader.

#include <utility>

#include "base/probe.h"
#include "store/read_admission.h"
#include "store/replica.h"

namespace rutile::store {

void Replica::Enqueue(ReadRequest request) {
  Reads refused;
  bool post = false;
  {
    MutexLock lock(mutex_);
    post = !closed_ && incoming_reads_.empty();
    (closed_ ? refused : incoming_reads_).push_back(std::move(request));
  }
  for (ReadRequest& late : refused) late.Refuse(RegionNotFound{region_id_});
  if (post) parts_.executor.Dispatch(WhileAlive([this] { FlushReads(); }));
}

void Replica::FlushReads() {
  Reads reads;
  {
    MutexLock lock(mutex_);
    reads.swap(incoming_reads_);
  }
  Reads accepted;
  std::vector<std::string> questions;
  for (ReadRequest& read : reads) {
    std::optional<RegionError> error = Refusal(read.epoch, read.peer);
    if (!error && !raft_.is_leader()) {
      if (MayPark()) {
        RUTILE_SOMETIMES(true, "store: a read waits for a leader to be known");
        parked_reads_.push_back(std::move(read));
        continue;
      }
      if (!read.from_follower) error = NotLeaderError();
    }
    if (error) {
      read.Refuse(*std::move(error));
    } else {
      if (!read.question.empty()) questions.push_back(read.question);
      accepted.push_back(std::move(read));
    }
  }
  if (accepted.empty()) return;
  const raft::ReadId id(next_read_id_++);
  asked_reads_.emplace(id, std::move(accepted));
  Rare<std::string> context;
  if (!questions.empty()) {
    context = WriteList(questions);
    // Whoever leads has no message to answer in.
    if (raft_.is_leader()) context = AnswerQuestions(*context);
  }
  Handle(raft_.ReadIndex(parts_.clock.Now(), id, std::move(context)));
}

std::string Replica::AnswerQuestions(std::string_view questions) {
  std::vector<std::string> answers;
  for (const std::string& question : ReadList(questions)) {
    answers.push_back(raft_.is_leader() ? host_.AdmitRead(region_id_, question) : "");
  }
  return WriteList(answers);
}

void Replica::NoteForwardedReads(const raft::Messages& messages) {
  for (const raft::Message& message : messages) {
    if (message.type == raft::MessageType::kReadIndexReply && message.read_index != Index()) {
      followers_read_ = raft_.term();
    }
  }
}

void Replica::OnReadReady(raft::ReadReady ready) {
  const auto found = asked_reads_.find(ready.id);
  if (found == asked_reads_.end()) return;
  Reads reads = std::move(found->second);
  asked_reads_.erase(found);
  if (ready.index == Index()) {
    for (ReadRequest& read : reads) read.Refuse(NotLeaderError());
    return;
  }
  std::vector<std::string> answers;
  if (ready.context) answers = ReadList(*ready.context);
  std::size_t next = 0;
  Reads admitted;
  admitted.reserve(reads.size());
  for (ReadRequest& read : reads) {
    read.answer.clear();
    if (!read.question.empty()) {
      if (next < answers.size()) read.answer = std::move(answers[next++]);
      // Nobody has seen to what the reader needs of the leader; another try may.
      if (read.answer.empty()) {
        read.Refuse(NotLeaderError());
        continue;
      }
    }
    admitted.push_back(std::move(read));
  }
  waiting_reads_.emplace(ready.index, ConfirmedReads{Generation(), std::move(admitted)});
  ServeReads();
}

void Replica::ServeReads() {
  RUTILE_SOMETIMES(installing_ && !waiting_reads_.empty(), "store: reads wait for an install");
  if (installing_) return;  // The engine holds a mixture.
  const Index applied = raft_.tail().applied();
  while (!waiting_reads_.empty() && waiting_reads_.begin()->first <= applied) {
    ConfirmedReads confirmed = std::move(waiting_reads_.begin()->second);
    waiting_reads_.erase(waiting_reads_.begin());
    for (ReadRequest& read : confirmed.reads) {
      if (confirmed.generation != Generation()) {
        RUTILE_SOMETIMES(true, "store: a confirmed read has to ask again");
        Enqueue(std::move(read));
      } else {
        // The region may have changed while the read waited.
        read.done(Refusal(read.epoch, read.peer), std::move(read.answer));
      }
    }
  }
}

}  // namespace rutile::store
