#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "base/task.h"
#include "base/time.h"
#include "client/channel.h"
#include "codec/api_version.h"
#include "env/env.h"

namespace rutile::client {

// Which cluster, and how long to try.
struct RawClientOptions {
  std::vector<std::string> endpoints = {};  // Of placement, "host:port".
  // How long an operation may take with all its retries.
  Duration timeout = Seconds(10);
  // How long one request may take, and the pauses between them, which grow.
  Duration attempt_timeout = Seconds(5);
  Duration backoff_min = Milliseconds(10);
  Duration backoff_max = Milliseconds(500);
  // Whether a put or a delete is sent again when an attempt was not answered. It may then be
  // carried out twice, and undo what another client wrote in between.
  bool repeat_writes = true;
  // Reads are served by all peers of a region in turn. They miss no write that was answered before.
  bool follower_reads = false;
  // What the cluster was started with.
  codec::ApiVersion api = codec::ApiVersion::kV1;
  std::uint32_t keyspace = 0;  // Of V2: the one whose keys this client reads and writes.
};

// What of a range is read.
struct ScanOptions {
  std::uint32_t limit = 100;  // Of pairs.
  bool reverse = false;       // From the last one down.
  bool key_only = false;      // Values stay empty.
};

// A client of raw keys: finds the region of each key, sends the request to its leader, and tries
// again where that makes sense.
//
// A write that failed with kDeadlineExceeded may have been carried out; one that failed with
// anything else was not, a BatchPut or DeleteRange over several regions in none but the first of
// them. Puts and deletes are repeated by the client itself (see repeat_writes); a CompareAndSwap is
// not.
//
// Safe from any thread; `done` runs on a thread of a channel or of the executor, and must not
// block. Goes on with what is under way when the client is gone: see Close().
class RawClient {
 public:
  using Pair = std::pair<std::string, std::string>;
  template <class T>
  using Done = std::function<void(Result<T>)>;
  using StatusDone = std::function<void(Status)>;

  // `clock` and `executor`, which serves to wait between attempts, outlive the client and all that
  // is under way.
  RawClient(const RawClientOptions& options, Connect connect, const Clock& clock,
            Executor& executor);
  ~RawClient();

  // Nothing: the key is absent.
  void Get(std::string key, Done<std::optional<std::string>> done);
  // `ttl_seconds`: after that it is absent again. Zero: never.
  void Put(std::string key, std::string value, std::uint64_t ttl_seconds, StatusDone done);
  // Pairs of one region are written atomically, those of different regions one after the other.
  void BatchPut(std::vector<Pair> pairs, StatusDone done);
  void Delete(std::string key, StatusDone done);
  // From `start` on to below `end` (empty: to the last key).
  void DeleteRange(const std::string& start, const std::string& end, StatusDone done);
  // From `start` on (reverse: from below it down) to `end`; empty borders are open.
  void Scan(const std::string& start, const std::string& end, ScanOptions options,
            Done<std::vector<Pair>> done);

  // What a CompareAndSwap has found: the value before it, if there was one.
  struct Swapped {
    bool swapped = false;
    std::optional<std::string> previous = {};
  };
  // Puts `value` if the key's value is `expected` (nothing: if it is absent).
  void CompareAndSwap(std::string key, std::optional<std::string> expected, std::string value,
                      Done<Swapped> done);

  // The last call. `done` runs, on any thread, when nothing is under way any more, which takes no
  // longer than an operation may.
  void Close(std::function<void()> done);

 private:
  class Core;
  std::shared_ptr<Core> core_;  // Shared with the attempts under way. Constant until Close().
};

}  // namespace rutile::client
