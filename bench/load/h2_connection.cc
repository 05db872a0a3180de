#include "bench/load/h2_connection.h"

#include <netdb.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace rutile::bench {
namespace {

// https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md: a byte that says whether the
// message is compressed, four of its length, most significant first.
constexpr std::size_t kPrefixBytes = 5;
// Large enough that no answer waits for permission to be sent.
constexpr std::int32_t kStreamWindow = 16 << 20;
constexpr std::int32_t kConnectionWindow = 64 << 20;
constexpr Duration kGoneAfter = Milliseconds(500);
constexpr std::size_t kReadBytes = 128u << 10;
constexpr std::size_t kWriteBytes = 256u << 10;

void AppendFramed(std::string_view message, std::string* out) {
  const auto size = static_cast<std::uint32_t>(message.size());
  const std::array<char, kPrefixBytes> prefix = {
      0, static_cast<char>(size >> 24), static_cast<char>(size >> 16), static_cast<char>(size >> 8),
      static_cast<char>(size)};
  out->append(prefix.data(), prefix.size());
  out->append(message);
}

std::size_t FramedSize(std::string_view bytes) {
  std::size_t size = 0;
  for (std::size_t i = 1; i < kPrefixBytes; ++i) {
    size = size << 8 | static_cast<unsigned char>(bytes[i]);
  }
  return size;
}

nghttp2_nv Header(std::string_view name, std::string_view value) {
  // nghttp2 copies neither and changes neither, although it asks for pointers to non-const.
  const auto bytes = [](std::string_view text) {
    return const_cast<std::uint8_t*>(  // NOLINT(cppcoreguidelines-pro-type-const-cast)
        reinterpret_cast<const std::uint8_t*>(text.data()));
  };
  return nghttp2_nv{bytes(name), bytes(value), name.size(), value.size(),
                    NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

// Status codes of gRPC: https://grpc.github.io/grpc/core/md_doc_statuscodes.html.
Status FromGrpc(int grpc_status, const std::string& message) {
  switch (grpc_status) {
    case 0: return {};
    case 3: return Status(Code::kInvalidArgument, message);
    case 4: return Status(Code::kDeadlineExceeded, message);
    case 5: return Status(Code::kNotFound, message);
    case 8: return Status(Code::kResourceExhausted, message);
    case 9: return Status(Code::kFailedPrecondition, message);
    case 12: return Status(Code::kUnimplemented, message);
    case 14: return Status(Code::kUnavailable, message);
    default:
      return Status(Code::kInternal, "gRPC status " + std::to_string(grpc_status) + ": " + message);
  }
}

int ParseInt(std::string_view text) {
  int value = -1;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

// What nghttp2 calls. `user_data` is the connection, a stream's user data its H2Call.
struct H2Callbacks {
  static H2Call* CallOf(nghttp2_session* session, std::int32_t stream_id) {
    return static_cast<H2Call*>(nghttp2_session_get_stream_user_data(session, stream_id));
  }

  static ssize_t ReadBody(nghttp2_session*, std::int32_t, std::uint8_t* buffer, std::size_t length,
                          std::uint32_t* flags, nghttp2_data_source* source, void*) {
    H2Call* call = static_cast<H2Call*>(source->ptr);
    const std::size_t size =
        call->outgoing.copy(reinterpret_cast<char*>(buffer), length, call->sent);
    call->sent += size;
    if (call->sent == call->outgoing.size()) {
      call->outgoing.clear();
      call->sent = 0;
      if (call->events == nullptr) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
      } else if (size == 0) {
        call->paused = true;
        return NGHTTP2_ERR_DEFERRED;
      }
    }
    return static_cast<ssize_t>(size);
  }

  static int OnHeader(nghttp2_session* session, const nghttp2_frame* frame,
                      const std::uint8_t* name_bytes, std::size_t name_size,
                      const std::uint8_t* value_bytes, std::size_t value_size, std::uint8_t,
                      void*) {
    H2Call* call = CallOf(session, frame->hd.stream_id);
    if (call == nullptr) return 0;
    const std::string_view name(reinterpret_cast<const char*>(name_bytes), name_size);
    const std::string_view value(reinterpret_cast<const char*>(value_bytes), value_size);
    if (name == ":status") {
      call->http_status = ParseInt(value);
    } else if (name == "grpc-status") {
      call->grpc_status = ParseInt(value);
    } else if (name == "grpc-message") {
      call->grpc_message = value;
    }
    return 0;
  }

  static int OnData(nghttp2_session* session, std::uint8_t, std::int32_t stream_id,
                    const std::uint8_t* data, std::size_t length, void* user_data) {
    H2Call* call = CallOf(session, stream_id);
    if (call == nullptr) return 0;
    call->incoming.append(reinterpret_cast<const char*>(data), length);
    if (call->events != nullptr) static_cast<H2Connection*>(user_data)->TakeMessages(call);
    return 0;
  }

  static int OnStreamClose(nghttp2_session* session, std::int32_t stream_id,
                           std::uint32_t error_code, void* user_data) {
    H2Call* call = CallOf(session, stream_id);
    if (call == nullptr) return 0;
    Status status;
    if (call->grpc_status >= 0) {
      status = FromGrpc(call->grpc_status, call->grpc_message);
    } else if (error_code == NGHTTP2_CANCEL) {
      status = Status(Code::kDeadlineExceeded, "no answer in time");
    } else if (error_code != NGHTTP2_NO_ERROR) {
      status = Status(Code::kUnavailable,
                      std::string("the stream was reset: ") + nghttp2_http2_strerror(error_code));
    } else {
      status = Status(Code::kUnavailable, "answered without a gRPC status, HTTP status " +
                                              std::to_string(call->http_status));
    }
    static_cast<H2Connection*>(user_data)->Finish(call, status);
    return 0;
  }

  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user_data) {
    if (frame->hd.type == NGHTTP2_GOAWAY) {
      static_cast<H2Connection*>(user_data)->Break("the server closes the connection");
    }
    return 0;
  }

  static const nghttp2_session_callbacks* Table() {
    static const nghttp2_session_callbacks* const table = [] {
      nghttp2_session_callbacks* callbacks = nullptr;
      RUTILE_CHECK(nghttp2_session_callbacks_new(&callbacks) == 0, "nghttp2: no memory");
      nghttp2_session_callbacks_set_on_header_callback(callbacks, OnHeader);
      nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, OnData);
      nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, OnStreamClose);
      nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, OnFrame);
      return callbacks;
    }();
    return table;
  }
};

H2Connection::H2Connection(const std::string& address, H2Client& client)
    : address_(address), client_(client) {
  client_.all_.push_back(this);
}

H2Connection::~H2Connection() {
  std::erase(client_.all_, this);
  nghttp2_session_del(session_);
  if (fd_ >= 0) close(fd_);
}

H2Call* H2Connection::NewCall() {
  if (free_.empty()) {
    free_.emplace_front();
    free_.front().self = free_.begin();
  }
  calls_.splice(calls_.end(), free_, free_.begin());
  return &calls_.back();
}

void H2Connection::MarkDirty() {
  if (dirty_) return;
  dirty_ = true;
  client_.dirty_.push_back(this);
}

void H2Connection::Connect() {
  RUTILE_CHECK(nghttp2_session_client_new(&session_, H2Callbacks::Table(), this) == 0,
               "nghttp2: no memory");
  const std::array<nghttp2_settings_entry, 2> settings = {
      nghttp2_settings_entry{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
      nghttp2_settings_entry{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow}};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kConnectionWindow);

  const std::size_t colon = address_.rfind(':');
  if (colon == std::string::npos) return Break("not an address (host:port)");
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(address_.substr(0, colon).c_str(),
                                address_.substr(colon + 1).c_str(), &hints, &found);
  if (error != 0) return Break(gai_strerror(error));
  fd_ = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const bool refused =
      fd_ < 0 || (connect(fd_, found->ai_addr, found->ai_addrlen) != 0 && errno != EINPROGRESS);
  const int why = errno;
  freeaddrinfo(found);
  if (refused) return Break(std::strerror(why));
  const int one = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  epoll_event interest = {};
  interest.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  interest.data.ptr = this;
  RUTILE_CHECK(epoll_ctl(client_.epoll_, EPOLL_CTL_ADD, fd_, &interest) == 0, "epoll_ctl failed");
}

void H2Connection::Submit(H2Call* call, std::string_view path) {
  call->deadline = client_.Now() + client_.options_.call_timeout;
  if (session_ == nullptr) Connect();
  const std::array<nghttp2_nv, 6> headers = {
      Header(":method", "POST"), Header(":scheme", "http"),
      Header(":path", path),     Header(":authority", address_),
      Header("te", "trailers"),  Header("content-type", "application/grpc")};
  nghttp2_data_provider body = {};
  body.source.ptr = call;
  body.read_callback = H2Callbacks::ReadBody;
  call->stream_id =
      nghttp2_submit_request(session_, nullptr, headers.data(), headers.size(), &body, call);
  // Ids run out after 2^30 calls: another connection has new ones.
  if (call->stream_id < 0) Break(nghttp2_strerror(call->stream_id));
  MarkDirty();
}

void H2Connection::StartUnary(std::string_view path, std::string_view request, H2Done done) {
  H2Call* call = NewCall();
  call->done = std::move(done);
  AppendFramed(request, &call->outgoing);
  Submit(call, path);
}

H2Call* H2Connection::StartStream(std::string_view path, H2StreamEvents* events) {
  H2Call* call = NewCall();
  call->events = events;
  Submit(call, path);
  return call;
}

void H2Connection::Send(H2Call* call, std::string_view message) {
  AppendFramed(message, &call->outgoing);
  if (call->paused) {
    call->paused = false;
    nghttp2_session_resume_data(session_, call->stream_id);
  }
  MarkDirty();
}

void H2Connection::TakeMessages(H2Call* call) {
  std::size_t begin = 0;
  const std::string_view all = call->incoming;
  while (all.size() - begin >= kPrefixBytes) {
    const std::size_t size = FramedSize(all.substr(begin));
    if (all.size() - begin - kPrefixBytes < size) break;
    call->events->OnMessage(all.substr(begin + kPrefixBytes, size));
    begin += kPrefixBytes + size;
  }
  call->incoming.erase(0, begin);
}

void H2Connection::Finish(H2Call* call, const Status& status) {
  std::list<H2Call> finished;
  finished.splice(finished.end(), calls_, call->self);
  if (call->events != nullptr) {
    H2StreamEvents* events = std::exchange(call->events, nullptr);
    events->OnClosed(status.ok() ? Status(Code::kUnavailable, "the server ended the stream")
                                 : status);
  } else {
    const H2Done done = std::exchange(call->done, nullptr);
    const std::string_view framed = call->incoming;
    if (!status.ok()) {
      done(status, {});
    } else if (framed.size() < kPrefixBytes || framed[0] != 0 ||
               framed.size() - kPrefixBytes != FramedSize(framed)) {
      done(Status(Code::kCorruption, "the answer is not one uncompressed message"), {});
    } else {
      done({}, framed.substr(kPrefixBytes));
    }
  }
  call->outgoing.clear();
  call->sent = 0;
  call->paused = false;
  call->incoming.clear();
  call->http_status = 0;
  call->grpc_status = -1;
  call->grpc_message.clear();
  free_.splice(free_.begin(), finished);
}

void H2Connection::Break(std::string_view why) {
  if (broken_.empty()) broken_ = address_ + ": " + std::string(why);
  MarkDirty();
}

void H2Connection::FailAll() {
  const Status status(Code::kUnavailable, std::exchange(broken_, {}));
  nghttp2_session_del(std::exchange(session_, nullptr));
  if (fd_ >= 0) close(std::exchange(fd_, -1));
  connected_ = writable_ = false;
  out_.clear();
  out_sent_ = 0;
  // What the callbacks start belongs to the next connection.
  std::list<H2Call> lost;
  lost.swap(calls_);
  while (!lost.empty()) {
    calls_.splice(calls_.begin(), lost, lost.begin());
    Finish(&calls_.front(), status);
  }
}

void H2Connection::OnEvents(std::uint32_t events) {
  if (session_ == nullptr) return;
  if (!connected_) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return Break(std::strerror(error));
    connected_ = true;
  }
  if ((events & EPOLLOUT) != 0) {
    writable_ = true;
    MarkDirty();
  }
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) Read();
}

void H2Connection::Read() {
  static thread_local std::array<std::uint8_t, kReadBytes> buffer;
  while (broken_.empty()) {
    const ssize_t size = recv(fd_, buffer.data(), buffer.size(), 0);
    if (size == 0) return Break("the server closed the connection");
    if (size < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) Break(std::strerror(errno));
      return;
    }
    const ssize_t taken =
        nghttp2_session_mem_recv(session_, buffer.data(), static_cast<std::size_t>(size));
    if (taken < 0) return Break(nghttp2_strerror(static_cast<int>(taken)));
    MarkDirty();  // Window updates and acknowledgements.
    // A short read has emptied the socket; what comes later raises another event.
    if (static_cast<std::size_t>(size) < buffer.size()) return;
  }
}

void H2Connection::Write() {
  while (writable_) {
    while (out_.size() - out_sent_ < kWriteBytes) {
      const std::uint8_t* frame = nullptr;
      const ssize_t size = nghttp2_session_mem_send(session_, &frame);
      if (size < 0) return Break(nghttp2_strerror(static_cast<int>(size)));
      if (size == 0) break;
      out_.append(reinterpret_cast<const char*>(frame), static_cast<std::size_t>(size));
    }
    if (out_.empty()) return;
    const ssize_t size = send(fd_, out_.data() + out_sent_, out_.size() - out_sent_, MSG_NOSIGNAL);
    if (size < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return Break(std::strerror(errno));
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

void H2Connection::Flush() {
  dirty_ = false;
  if (broken_.empty() && connected_) Write();
  if (!broken_.empty()) FailAll();
}

void H2Connection::Expire(Instant now) {
  // Unary calls are in the order of their deadlines; streams between them have none.
  for (const H2Call& call : calls_) {
    if (call.events != nullptr) continue;
    if (call.deadline > now) break;
    // A peer that does not even take our cancellation is gone.
    if (!connected_ || call.deadline + kGoneAfter < now) return Break("no sign of life");
    // When it has been sent, the stream closes and the call finishes.
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, call.stream_id, NGHTTP2_CANCEL);
    MarkDirty();
  }
}

}  // namespace rutile::bench
