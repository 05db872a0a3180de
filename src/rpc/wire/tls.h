#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "client/tls_files.h"

struct ssl_ctx_st;
struct ssl_st;

namespace rutile::rpc {

// What connections of one side have in common: certificates, keys, whom to trust. TLS 1.2 or later,
// and HTTP/2 by ALPN. Constant, and safe from any thread.
class TlsContext {
 public:
  enum class Side : unsigned char { kClient, kServer };

  // Reads the files, once. A server needs a certificate and its key, and asks clients for theirs if
  // `files.ca` is given. kInvalidArgument names the file, what is wrong with it, and what to do.
  static Result<std::shared_ptr<const TlsContext>> Load(const client::TlsFiles& files, Side side);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  Side side() const { return side_; }
  ssl_ctx_st* get() const { return context_; }

 private:
  TlsContext(ssl_ctx_st* context, Side side) : context_(context), side_(side) {}

  ssl_ctx_st* const context_;
  const Side side_;
};

// The encryption of one connection, between what the socket carries and what HTTP/2 says. Knows no
// socket. One thread at a time.
class TlsSession {
 public:
  // `host`: whom a client dials, which the other side's certificate must name.
  TlsSession(std::shared_ptr<const TlsContext> context, const std::string& host);
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  // Both sides know each other: what is said is encrypted from here on.
  bool is_ready() const { return is_ready_; }
  // After an error nothing is taken any more.
  bool has_failed() const { return has_failed_; }
  // Takes what came from the socket, and appends what it says to `said`. kUnavailable when the
  // other side is not to be trusted, does not trust this one, or speaks no TLS.
  Status Receive(std::string_view bytes, std::string* said);
  // Appends `words`, encrypted, to what TakeOutput() gives. Requires is_ready().
  Status Say(std::string_view words);
  // Appends what is to go to the socket.
  void TakeOutput(std::string* out);

 private:
  Status Handshake();
  Status Fail(int result, const std::string& what);

  const std::shared_ptr<const TlsContext> context_;
  ssl_st* const ssl_;
  bool is_ready_ = false;
  bool has_failed_ = false;
};

}  // namespace rutile::rpc
