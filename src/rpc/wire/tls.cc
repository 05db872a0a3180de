#include "rpc/wire/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <utility>

#include "base/check.h"

namespace rutile::rpc {
namespace {

// "h2", as ALPN has it.
constexpr std::array<unsigned char, 3> kHttp2 = {2, 'h', '2'};

// What OpenSSL has to say of the last failure on this thread, in a few words.
std::string TakeReason() {
  const unsigned long error = ::ERR_peek_last_error();
  const char* reason = error == 0 ? nullptr : ::ERR_reason_error_string(error);
  std::string text = reason != nullptr ? reason : "no reason is known";
  ::ERR_clear_error();
  return text;
}

Status BadFile(const char* what, const std::string& path, const std::string& why,
               const std::string& remedy) {
  return Status(Code::kInvalidArgument,
                std::string(what) + " " + path + ": " + why + "; " + remedy);
}

Status CheckReadable(const char* what, const std::string& path) {
  errno = 0;
  std::ifstream in(path);
  if (in && in.peek() != std::ifstream::traits_type::eof()) return {};
  const std::string why = errno != 0     ? std::strerror(errno)
                          : in.is_open() ? "the file is empty"
                                         : "it cannot be read";
  return BadFile(what, path, why, "name a file in PEM that this process may read");
}

// A key that asks for a password would make a server wait for somebody to type it.
int NoPassword(char*, int, int, void*) { return 0; }

int ChooseHttp2(SSL*, const unsigned char** chosen, unsigned char* size,
                const unsigned char* offered, unsigned int offered_size, void*) {
  unsigned char* found = nullptr;
  if (::SSL_select_next_proto(&found, size, kHttp2.data(), kHttp2.size(), offered, offered_size) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *chosen = found;
  return SSL_TLSEXT_ERR_OK;
}

Status LoadOwn(SSL_CTX* context, const client::TlsFiles& files) {
  RUTILE_RETURN_IF_ERROR(CheckReadable("the certificate", files.cert));
  if (::SSL_CTX_use_certificate_chain_file(context, files.cert.c_str()) != 1) {
    return BadFile("the certificate", files.cert, TakeReason(),
                   "it must be in PEM, followed by what signs it");
  }
  RUTILE_RETURN_IF_ERROR(CheckReadable("the key", files.key));
  ::SSL_CTX_set_default_passwd_cb(context, NoPassword);
  if (::SSL_CTX_use_PrivateKey_file(context, files.key.c_str(), SSL_FILETYPE_PEM) != 1) {
    return BadFile("the key", files.key, TakeReason(),
                   "it must be the key to " + files.cert + ", in PEM and without a password");
  }
  return {};
}

Status LoadTrusted(SSL_CTX* context, const std::string& ca) {
  if (ca.empty()) {
    ::SSL_CTX_set_default_verify_paths(context);
    return {};
  }
  RUTILE_RETURN_IF_ERROR(CheckReadable("the CA", ca));
  if (::SSL_CTX_load_verify_file(context, ca.c_str()) != 1) {
    return BadFile("the CA", ca, TakeReason(), "it must hold certificates in PEM");
  }
  return {};
}

Status Set(SSL_CTX* context, const client::TlsFiles& files, TlsContext::Side side) {
  ::SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  // Every connection lives long: to resume one would save little, and be one thing more to trust.
  ::SSL_CTX_set_options(context,
                        SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  ::SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  ::SSL_CTX_set_num_tickets(context, 0);
  // A side shows what is in its file: whom it trusts is its own affair.
  ::SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
  if (files.cert.empty() != files.key.empty()) {
    return Status(Code::kInvalidArgument,
                  files.cert.empty() ? "the key " + files.key + " has no certificate; name both"
                                     : "the certificate " + files.cert + " has no key; name both");
  }
  if (!files.cert.empty()) RUTILE_RETURN_IF_ERROR(LoadOwn(context, files));
  if (side == TlsContext::Side::kClient) {
    ::SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
    ::SSL_CTX_set_alpn_protos(context, kHttp2.data(), kHttp2.size());
    return LoadTrusted(context, files.ca);
  }
  if (files.cert.empty()) {
    return Status(Code::kInvalidArgument,
                  "a server with TLS needs a certificate and its key; name both");
  }
  ::SSL_CTX_set_alpn_select_cb(context, ChooseHttp2, nullptr);
  if (files.ca.empty()) return {};
  ::SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  return LoadTrusted(context, files.ca);
}

}  // namespace

Result<std::shared_ptr<const TlsContext>> TlsContext::Load(const client::TlsFiles& files,
                                                           Side side) {
  ::ERR_clear_error();
  SSL_CTX* context =
      ::SSL_CTX_new(side == Side::kServer ? ::TLS_server_method() : ::TLS_client_method());
  RUTILE_CHECK(context != nullptr, "OpenSSL: no memory");
  std::shared_ptr<const TlsContext> loaded(new TlsContext(context, side));
  RUTILE_RETURN_IF_ERROR(Set(context, files, side).WithContext("TLS"));
  return loaded;
}

TlsContext::~TlsContext() { ::SSL_CTX_free(context_); }

TlsSession::TlsSession(std::shared_ptr<const TlsContext> context, const std::string& host)
    : context_(std::move(context)), ssl_(::SSL_new(context_->get())) {
  RUTILE_CHECK(ssl_ != nullptr, "OpenSSL: no memory");
  ::SSL_set_bio(ssl_, ::BIO_new(::BIO_s_mem()), ::BIO_new(::BIO_s_mem()));
  if (context_->side() == TlsContext::Side::kServer) {
    ::SSL_set_accept_state(ssl_);
    return;
  }
  ::SSL_set_connect_state(ssl_);
  X509_VERIFY_PARAM* verified = ::SSL_get0_param(ssl_);
  if (::X509_VERIFY_PARAM_set1_ip_asc(verified, host.c_str()) != 1) {
    ::SSL_set1_host(ssl_, host.c_str());
    // What the macro of OpenSSL does, without its cast.
    ::SSL_ctrl(ssl_, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
               const_cast<char*>(host.c_str()));
  }
  ::ERR_clear_error();
  // Says hello; there is nothing yet that could fail.
  ::SSL_do_handshake(ssl_);
}

TlsSession::~TlsSession() { ::SSL_free(ssl_); }

Status TlsSession::Fail(int result, const std::string& what) {
  has_failed_ = true;
  const int error = ::SSL_get_error(ssl_, result);
  const long verified = ::SSL_get_verify_result(ssl_);
  std::string why = TakeReason();
  if (verified != X509_V_OK) why = ::X509_verify_cert_error_string(verified);
  if (error == SSL_ERROR_ZERO_RETURN) why = "the other side ended the connection";
  if (why == "wrong version number" || why == "http request") {
    why += "; the other side seems to speak no TLS";
  }
  return Status(Code::kUnavailable, "TLS: " + what + ": " + why);
}

Status TlsSession::Handshake() {
  const int result = ::SSL_do_handshake(ssl_);
  if (result != 1) {
    if (::SSL_get_error(ssl_, result) == SSL_ERROR_WANT_READ) return {};
    return Fail(result, "no connection");
  }
  const unsigned char* protocol = nullptr;
  unsigned int size = 0;
  ::SSL_get0_alpn_selected(ssl_, &protocol, &size);
  if (context_->side() == TlsContext::Side::kClient &&
      std::string_view(reinterpret_cast<const char*>(protocol), size) != "h2") {
    has_failed_ = true;
    return Status(Code::kUnavailable, "TLS: the other side does not offer HTTP/2");
  }
  is_ready_ = true;
  return {};
}

Status TlsSession::Receive(std::string_view bytes, std::string* said) {
  ::ERR_clear_error();
  ::BIO_write(::SSL_get_rbio(ssl_), bytes.data(), static_cast<int>(bytes.size()));
  if (!is_ready_) {
    RUTILE_RETURN_IF_ERROR(Handshake());
    if (!is_ready_) return {};
  }
  constexpr std::size_t kRecord = 16u << 10;
  while (true) {
    const std::size_t before = said->size();
    said->resize(before + kRecord);
    std::size_t size = 0;
    const int result = ::SSL_read_ex(ssl_, said->data() + before, kRecord, &size);
    said->resize(before + size);
    if (result == 1) continue;
    const int error = ::SSL_get_error(ssl_, result);
    // What follows a goodbye is the end of the socket, which is seen there.
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_ZERO_RETURN) return {};
    return Fail(result, "the connection broke");
  }
}

Status TlsSession::Say(std::string_view words) {
  ::ERR_clear_error();
  while (!words.empty()) {
    std::size_t size = 0;
    // Memory takes all there is.
    const int result = ::SSL_write_ex(ssl_, words.data(), words.size(), &size);
    if (result != 1) return Fail(result, "the connection broke");
    words.remove_prefix(size);
  }
  return {};
}

void TlsSession::TakeOutput(std::string* out) {
  BIO* bio = ::SSL_get_wbio(ssl_);
  const std::size_t size = ::BIO_ctrl_pending(bio);
  if (size == 0) return;
  const std::size_t before = out->size();
  out->resize(before + size);
  ::BIO_read(bio, out->data() + before, static_cast<int>(size));
}

}  // namespace rutile::rpc
