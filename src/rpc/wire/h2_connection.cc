#include "rpc/wire/h2_connection.h"

#include <nghttp2/nghttp2.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "env/posix/posix_clock.h"
#include "rpc/wire/grpc_framing.h"

namespace rutile::rpc {

namespace {

// So large that a sender seldom waits for permission; what arrives is taken at once, so little of
// it is ever used. A stream that is not read from holds as much at most.
constexpr std::int32_t kStreamWindow = 4 << 20;
constexpr std::int32_t kConnectionWindow = 64 << 20;
constexpr std::size_t kReadBytes = 64u << 10;
// A socket that goes on giving does not keep the others waiting.
constexpr int kReadsPerEvent = 16;
constexpr std::size_t kWriteBytes = 256u << 10;
constexpr Duration kKeepAliveTick = Seconds(1);
// Cancelled calls that a client may have in a row, and a second: far above what a busy one does.
constexpr std::uint64_t kResetBurst = 100'000;
constexpr std::uint64_t kResetRate = 20'000;

nghttp2_nv Header(std::string_view name, std::string_view value,
                  std::uint8_t flags = NGHTTP2_NV_FLAG_NONE) {
  // nghttp2 changes neither, although it asks for pointers to non-const.
  const auto bytes = [](std::string_view text) {
    return const_cast<std::uint8_t*>(  // NOLINT(cppcoreguidelines-pro-type-const-cast)
        reinterpret_cast<const std::uint8_t*>(text.data()));
  };
  return nghttp2_nv{bytes(name), bytes(value), name.size(), value.size(), flags};
}

std::string_view View(const std::uint8_t* bytes, std::size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

Status Unavailable(const std::string& why) { return Status(Code::kUnavailable, why); }

}  // namespace

// What nghttp2 calls. `user_data` is the connection, a stream's user data its H2Stream.
struct H2Callbacks {
  static H2Stream* StreamOf(nghttp2_session* session, std::int32_t id) {
    return static_cast<H2Stream*>(nghttp2_session_get_stream_user_data(session, id));
  }
  static H2Connection& Connection(void* user_data) {
    return *static_cast<H2Connection*>(user_data);
  }

  static ssize_t ReadBody(nghttp2_session* session, std::int32_t id, std::uint8_t* buffer,
                          std::size_t length, std::uint32_t* flags, nghttp2_data_source* source,
                          void* user_data) {
    auto* stream = static_cast<H2Stream*>(source->ptr);
    const std::size_t size =
        stream->out_.copy(reinterpret_cast<char*>(buffer), length, stream->out_sent_);
    stream->out_sent_ += size;
    if (stream->unsent() > 0) return static_cast<ssize_t>(size);
    stream->out_.clear();
    stream->out_sent_ = 0;
    if (stream->finishing_) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (stream->has_trailers_) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        SubmitTrailers(session, id, *stream);
      }
      return static_cast<ssize_t>(size);
    }
    if (!stream->drain_noted_) {
      stream->drain_noted_ = true;
      Connection(user_data).drained_.push_back(stream->shared_from_this());
    }
    if (size > 0) return static_cast<ssize_t>(size);
    stream->deferred_ = true;
    return NGHTTP2_ERR_DEFERRED;
  }

  static void SubmitTrailers(nghttp2_session* session, std::int32_t id, const H2Stream& stream) {
    const std::string code = std::to_string(stream.trailer_code_);
    const std::array<nghttp2_nv, 2> trailers = {
        Header("grpc-status", code),
        Header("grpc-message", stream.trailer_message_, NGHTTP2_NV_FLAG_NO_INDEX)};
    nghttp2_submit_trailer(session, id, trailers.data(), stream.trailer_message_.empty() ? 1 : 2);
  }

  static int OnBeginHeaders(nghttp2_session*, const nghttp2_frame* frame, void* user_data) {
    H2Connection& connection = Connection(user_data);
    if (!connection.is_server_ || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    connection.Adopt(frame->hd.stream_id, connection.OnStream());
    return 0;
  }

  static int OnHeader(nghttp2_session* session, const nghttp2_frame* frame,
                      const std::uint8_t* name, std::size_t name_size, const std::uint8_t* value,
                      std::size_t value_size, std::uint8_t, void*) {
    H2Stream* stream = StreamOf(session, frame->hd.stream_id);
    if (stream != nullptr) stream->OnHeader(View(name, name_size), View(value, value_size));
    return 0;
  }

  static int OnData(nghttp2_session* session, std::uint8_t, std::int32_t id,
                    const std::uint8_t* data, std::size_t length, void*) {
    H2Stream* stream = StreamOf(session, id);
    if (stream == nullptr) return nghttp2_session_consume(session, id, length);
    nghttp2_session_consume_connection(session, length);
    if (stream->paused_) {
      stream->unconsumed_ += length;
    } else {
      nghttp2_session_consume_stream(session, id, length);
    }
    stream->Receive(View(data, length));
    return 0;
  }

  static int OnFrame(nghttp2_session* session, const nghttp2_frame* frame, void* user_data) {
    if (frame->hd.type == NGHTTP2_GOAWAY) {
      Connection(user_data).OnGoAway();
      return 0;
    }
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    H2Stream* stream = StreamOf(session, frame->hd.stream_id);
    if (stream == nullptr) return 0;
    if (frame->hd.type == NGHTTP2_HEADERS) stream->OnHeaders();
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
      stream->end_received_ = true;
      stream->EndIfComplete();
    }
    return 0;
  }

  // A server that has sent its status is not interested in what the client might still send.
  static int OnFrameSent(nghttp2_session* session, const nghttp2_frame* frame, void* user_data) {
    if (!Connection(user_data).is_server_ || frame->hd.type != NGHTTP2_HEADERS ||
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) {
      return 0;
    }
    const H2Stream* stream = StreamOf(session, frame->hd.stream_id);
    if (stream != nullptr && !stream->end_received_) {
      nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    }
    return 0;
  }

  static int OnStreamClose(nghttp2_session* session, std::int32_t id, std::uint32_t error,
                           void* user_data) {
    H2Stream* stream = StreamOf(session, id);
    if (stream == nullptr) return 0;
    nghttp2_session_set_stream_user_data(session, id, nullptr);
    Connection(user_data).Forget(stream, error == NGHTTP2_NO_ERROR
                                             ? Status()
                                             : Unavailable(std::string("the stream was reset: ") +
                                                           nghttp2_http2_strerror(error)));
    return 0;
  }

  static const nghttp2_session_callbacks* Table() {
    // NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): filled once.
    static nghttp2_session_callbacks* const table = [] {
      nghttp2_session_callbacks* callbacks = nullptr;
      RUTILE_CHECK(nghttp2_session_callbacks_new(&callbacks) == 0, "nghttp2: no memory");
      nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, OnBeginHeaders);
      nghttp2_session_callbacks_set_on_header_callback(callbacks, OnHeader);
      nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, OnData);
      nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, OnFrame);
      nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, OnFrameSent);
      nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, OnStreamClose);
      return callbacks;
    }();
    return table;
  }

  static const nghttp2_option* Options() {
    // NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): filled once.
    static nghttp2_option* const table = [] {
      nghttp2_option* options = nullptr;
      RUTILE_CHECK(nghttp2_option_new(&options) == 0, "nghttp2: no memory");
      nghttp2_option_set_no_auto_window_update(options, 1);
      nghttp2_option_set_no_closed_streams(options, 1);
      nghttp2_option_set_peer_max_concurrent_streams(options, 1u << 20);
      nghttp2_option_set_stream_reset_rate_limit(options, kResetBurst, kResetRate);
      return options;
    }();
    return table;
  }
};

void H2Stream::Resume() {
  if (deferred_) {
    deferred_ = false;
    nghttp2_session_resume_data(connection_->session_, id_);
  }
  connection_->MarkDirty();
}

void H2Stream::Write(std::string framed) {
  if (!is_open() || finishing_) return;
  if (out_.empty()) {
    out_ = std::move(framed);
  } else {
    out_ += framed;
  }
  drain_noted_ = false;
  Resume();
}

void H2Stream::HalfClose() {
  if (!is_open() || finishing_) return;
  finishing_ = true;
  Resume();
}

void H2Stream::StartResponse() {
  if (!is_open() || responded_) return;
  responded_ = true;
  const std::array<nghttp2_nv, 2> headers = {Header(":status", "200"),
                                             Header("content-type", "application/grpc")};
  nghttp2_data_provider body = {};
  body.source.ptr = this;
  body.read_callback = H2Callbacks::ReadBody;
  nghttp2_submit_response(connection_->session_, id_, headers.data(), headers.size(), &body);
  connection_->MarkDirty();
}

void H2Stream::EndWithStatus(const Status& status) {
  if (!is_open() || finishing_) return;
  finishing_ = true;
  trailer_code_ = ToGrpcCode(status.code());
  trailer_message_ = PercentEncode(status.message());
  if (responded_) {
    has_trailers_ = true;
    return Resume();
  }
  responded_ = true;
  const std::string code = std::to_string(trailer_code_);
  const std::array<nghttp2_nv, 4> headers = {
      Header(":status", "200"), Header("content-type", "application/grpc"),
      Header("grpc-status", code),
      Header("grpc-message", trailer_message_, NGHTTP2_NV_FLAG_NO_INDEX)};
  nghttp2_submit_response(connection_->session_, id_, headers.data(),
                          trailer_message_.empty() ? 3 : 4, nullptr);
  connection_->MarkDirty();
}

void H2Stream::Reset() {
  if (!is_open()) return;
  finishing_ = true;
  deaf_ = true;
  out_.clear();
  out_sent_ = 0;
  nghttp2_submit_rst_stream(connection_->session_, NGHTTP2_FLAG_NONE, id_, NGHTTP2_CANCEL);
  connection_->MarkDirty();
}

void H2Stream::ResumeReading() {
  if (!paused_) return;
  paused_ = false;
  if (!is_open()) return;
  nghttp2_session_consume_stream(connection_->session_, id_, std::exchange(unconsumed_, 0));
  connection_->MarkDirty();  // The permission to send more.
  const std::shared_ptr<H2Stream> stay = shared_from_this();
  std::string waiting;
  waiting.swap(in_);
  const std::size_t taken = TakeMessages(waiting);
  in_ = waiting.substr(taken);
  EndIfComplete();
}

void H2Stream::Receive(std::string_view data) {
  if (deaf_) return;
  if (!in_.empty() || paused_) {
    in_ += data;
    if (paused_) return;
    // Without the prefix nothing is known; with it, how much to wait for.
    if (in_.size() >= kPrefixBytes) {
      const std::size_t want = kPrefixBytes + DecodePrefix(in_).size;
      if (in_.size() < want && want <= kPrefixBytes + connection_->options_.max_receive_bytes) {
        in_.reserve(want);
        return;
      }
    }
    std::string received;
    received.swap(in_);
    const std::size_t taken = TakeMessages(received);
    if (!deaf_) in_ = received.substr(taken);
    return;
  }
  data.remove_prefix(TakeMessages(data));
  if (!deaf_) in_ = data;
}

std::size_t H2Stream::TakeMessages(std::string_view data) {
  std::size_t begin = 0;
  while (!deaf_ && !paused_ && is_open() && data.size() - begin >= kPrefixBytes) {
    const MessagePrefix prefix = DecodePrefix(data.substr(begin));
    const std::size_t most = connection_->options_.max_receive_bytes;
    if (prefix.compressed || prefix.size > most) {
      deaf_ = true;
      OnBadMessage(
          prefix.compressed
              ? Status(Code::kUnimplemented, "compressed messages are not taken here")
              : Status(Code::kResourceExhausted, "a message of " + std::to_string(prefix.size) +
                                                     " bytes is larger than the " +
                                                     std::to_string(most) + " that are taken"));
      break;
    }
    if (data.size() - begin - kPrefixBytes < prefix.size) break;
    OnMessage(data.substr(begin + kPrefixBytes, prefix.size));
    begin += kPrefixBytes + prefix.size;
  }
  return begin;
}

void H2Stream::EndIfComplete() {
  if (!end_received_ || end_told_ || paused_ || !is_open()) return;
  end_told_ = true;
  OnEnd();
}

H2Connection::H2Connection(posix::EventLoop& loop, const Options& options, bool is_server)
    : loop_(loop), options_(options), is_server_(is_server) {}

H2Connection::~H2Connection() {
  nghttp2_session_del(session_);
  if (fd_ >= 0) ::close(fd_);
}

void H2Connection::Start(int fd, std::string peer) {
  fd_ = fd;
  peer_ = std::move(peer);
  self_ = shared_from_this();
  connected_ = is_server_;
  if (options_.tls != nullptr) tls_ = std::make_unique<TlsSession>(options_.tls, options_.host);
  const int error = is_server_ ? nghttp2_session_server_new2(&session_, H2Callbacks::Table(), this,
                                                             H2Callbacks::Options())
                               : nghttp2_session_client_new2(&session_, H2Callbacks::Table(), this,
                                                             H2Callbacks::Options());
  RUTILE_CHECK(error == 0, "nghttp2: no memory");
  const std::array<nghttp2_settings_entry, 3> settings = {
      nghttp2_settings_entry{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow},
      nghttp2_settings_entry{NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
      nghttp2_settings_entry{NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(),
                          is_server_ ? settings.size() - 1 : settings.size());
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kConnectionWindow);
  watch_ = loop_.Watch(fd_, this);
  last_received_ = posix::PosixClock().Now();
  KeepAlive();
  MarkDirty();
}

void H2Connection::Adopt(std::int32_t id, std::shared_ptr<H2Stream> stream) {
  stream->connection_ = this;
  stream->id_ = id;
  nghttp2_session_set_stream_user_data(session_, id, stream.get());
  streams_.emplace(id, std::move(stream));
}

void H2Connection::Request(const std::string& authority, const std::string& path, Duration timeout,
                           std::shared_ptr<H2Stream> stream) {
  const std::string timeout_text = EncodeTimeout(timeout);
  const std::array<nghttp2_nv, 7> headers = {Header(":method", "POST"),
                                             Header(":scheme", tls_ == nullptr ? "http" : "https"),
                                             Header(":path", path),
                                             Header(":authority", authority),
                                             Header("te", "trailers"),
                                             Header("content-type", "application/grpc"),
                                             Header("grpc-timeout", timeout_text)};
  nghttp2_data_provider body = {};
  body.source.ptr = stream.get();
  body.read_callback = H2Callbacks::ReadBody;
  const std::int32_t id = nghttp2_submit_request(
      session_, nullptr, headers.data(), headers.size() - (timeout == Duration::zero() ? 1 : 0),
      &body, stream.get());
  if (id < 0) {
    // Ids run out after 2^30 calls: another connection has new ones.
    Break(Unavailable(nghttp2_strerror(id)));
    return stream->OnClosed(Unavailable(nghttp2_strerror(id)));
  }
  stream->connection_ = this;
  stream->id_ = id;
  streams_.emplace(id, std::move(stream));
  MarkDirty();
}

void H2Connection::Forget(H2Stream* stream, const Status& lost) {
  const auto found = streams_.find(stream->id_);
  if (found == streams_.end()) return;
  const std::shared_ptr<H2Stream> stay = std::move(found->second);
  streams_.erase(found);
  stay->connection_ = nullptr;
  stay->OnClosed(lost);
}

void H2Connection::GoAway() {
  if (!is_open()) return;
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(session_), NGHTTP2_NO_ERROR,
                        nullptr, 0);
  MarkDirty();
}

void H2Connection::Close(const Status& why) {
  if (!is_open()) return;
  closing_ = true;
  if (broken_.ok()) broken_ = why.ok() ? Unavailable("the connection is closed") : why;
  MarkDirty();
}

void H2Connection::Break(Status why) {
  closing_ = false;
  if (broken_.ok()) broken_ = std::move(why).WithContext(peer_);
  MarkDirty();
}

void H2Connection::MarkDirty() {
  if (dirty_) return;
  dirty_ = true;
  loop_.FlushLater(shared_from_this());
}

void H2Connection::OnShutdown() {
  watch_ = 0;
  broken_ = Unavailable("the process is stopping");
  Lose();
}

void H2Connection::OnEvents(std::uint32_t events) {
  if (!is_open()) return;
  if (!connected_) {
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return Break(Unavailable(std::strerror(error)));
    if ((events & EPOLLOUT) == 0) return;
    connected_ = true;
    last_received_ = posix::PosixClock().Now();
    if (tls_ == nullptr) OnConnected();
  }
  if ((events & EPOLLOUT) != 0) {
    writable_ = true;
    MarkDirty();
  }
  // No further event follows this one: what comes before the end must be read together with it.
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) hung_up_ = true;
  if ((events & EPOLLIN) != 0 || hung_up_) ReadSocket();
}

Status H2Connection::Ended(std::string how) const {
  // Before it has said anything that could not be understood.
  const bool is_greeting = tls_ != nullptr && !tls_->is_ready() && !is_server_;
  if (is_greeting) how += " before TLS was agreed on: it seems to speak no TLS, or has stopped";
  return Unavailable(how);
}

void H2Connection::ReadSocket() {
  static thread_local std::array<std::uint8_t, kReadBytes> buffer;
  const std::shared_ptr<H2Connection> stay = shared_from_this();
  for (int reads = 0; is_open() && (broken_.ok() || closing_); ++reads) {
    if (reads == kReadsPerEvent) return loop_.Post([stay] { stay->ReadSocket(); });
    const ssize_t size = ::recv(fd_, buffer.data(), buffer.size(), 0);
    if (size == 0) return Break(Ended("the other side closed the connection"));
    if (size < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) Break(Ended(std::strerror(errno)));
      return;
    }
    last_received_ = posix::PosixClock().Now();
    probed_ = {};
    std::string_view said(reinterpret_cast<const char*>(buffer.data()),
                          static_cast<std::size_t>(size));
    if (tls_ != nullptr) said = Decrypt(said);
    const ssize_t taken = nghttp2_session_mem_recv(
        session_, reinterpret_cast<const std::uint8_t*>(said.data()), said.size());
    if (taken < 0) return Break(Unavailable(nghttp2_strerror(static_cast<int>(taken))));
    MarkDirty();  // Window updates and acknowledgements.
    // A short read has emptied the socket; what comes later raises another event.
    if (static_cast<std::size_t>(size) < buffer.size() && !hung_up_) return;
  }
}

std::string_view H2Connection::Decrypt(std::string_view received) {
  said_.clear();
  if (tls_->has_failed()) return said_;
  const bool was_ready = tls_->is_ready();
  Status status = tls_->Receive(received, &said_);
  if (!status.ok()) {
    // The other side is told why before it is left.
    Close(std::move(status).WithContext(peer_));
    said_.clear();
  }
  if (!was_ready && tls_->is_ready() && !tls_->has_failed() && !is_server_) OnConnected();
  return said_;
}

bool H2Connection::Encode() {
  if (tls_ != nullptr) return EncodeEncrypted();
  return EncodeTo(&out_, out_sent_);
}

bool H2Connection::EncodeEncrypted() {
  if (tls_->is_ready() && !tls_->has_failed() && out_.size() - out_sent_ < kWriteBytes) {
    said_.clear();
    if (!EncodeTo(&said_, 0)) return false;
    if (Status status = tls_->Say(said_); !status.ok()) {
      Break(std::move(status));
      return false;
    }
  }
  tls_->TakeOutput(&out_);
  return true;
}

bool H2Connection::EncodeTo(std::string* out, std::size_t sent) {
  while (out->size() - sent < kWriteBytes) {
    const std::uint8_t* frame = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_, &frame);
    if (size < 0) {
      Break(Unavailable(nghttp2_strerror(static_cast<int>(size))));
      return false;
    }
    if (size == 0) break;
    out->append(reinterpret_cast<const char*>(frame), static_cast<std::size_t>(size));
  }
  return true;
}

void H2Connection::WriteSocket() {
  while (writable_) {
    if (!Encode() || out_.empty()) return;
    const ssize_t size =
        ::send(fd_, out_.data() + out_sent_, out_.size() - out_sent_, MSG_NOSIGNAL);
    if (size < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return Break(Unavailable(std::strerror(errno)));
      writable_ = false;
      return;
    }
    out_sent_ += static_cast<std::size_t>(size);
    if (out_sent_ == out_.size()) {
      out_.clear();
      out_sent_ = 0;
    }
  }
}

void H2Connection::TellDrained() {
  std::vector<std::shared_ptr<H2Stream>> drained;
  drained.swap(drained_);
  for (const std::shared_ptr<H2Stream>& stream : drained) {
    if (stream->is_open() && stream->unsent() == 0) stream->OnDrained();
  }
}

void H2Connection::Flush() {
  const std::shared_ptr<H2Connection> stay = shared_from_this();
  dirty_ = false;
  if (!is_open()) return;
  if (connected_ && (broken_.ok() || closing_)) WriteSocket();
  if (!broken_.ok()) return Lose();
  TellDrained();
  // The other side says goodbye, or we do, and all is done.
  if (nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0) {
    broken_ = Unavailable("the connection is closed");
    Lose();
  }
}

void H2Connection::Lose() {
  if (!is_open()) return;
  const std::shared_ptr<H2Connection> stay = std::exchange(self_, nullptr);
  nghttp2_session_del(std::exchange(session_, nullptr));
  if (watch_ != 0) loop_.Unwatch(fd_, watch_);
  ::close(std::exchange(fd_, -1));
  const Status why = broken_;
  std::map<std::int32_t, std::shared_ptr<H2Stream>> streams;
  streams.swap(streams_);
  drained_.clear();
  for (const auto& [id, stream] : streams) stream->connection_ = nullptr;
  for (const auto& [id, stream] : streams) stream->OnClosed(why);
  OnLost(why);
}

void H2Connection::KeepAlive() {
  loop_.PostAfter(kKeepAliveTick, [weak = weak_from_this()] {
    const std::shared_ptr<H2Connection> connection = weak.lock();
    if (connection == nullptr || !connection->is_open()) return;
    const Instant now = posix::PosixClock().Now();
    const Options& options = connection->options_;
    if (connection->probed_ == Instant()) {
      if (now - connection->last_received_ >= options.keepalive_interval) {
        connection->probed_ = now;
        nghttp2_submit_ping(connection->session_, NGHTTP2_FLAG_NONE, nullptr);
        connection->MarkDirty();
      }
    } else if (now - connection->probed_ >= options.keepalive_timeout) {
      connection->Break(
          Unavailable("no sign of life for " +
                      std::to_string(ToMilliseconds(now - connection->last_received_)) + " ms"));
    }
    connection->KeepAlive();
  });
}

}  // namespace rutile::rpc
