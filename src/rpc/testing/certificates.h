#pragma once

#include <memory>
#include <string>

#include "client/tls_files.h"

struct evp_pkey_st;
struct x509_st;

namespace rutile::rpc {

// Somebody who signs certificates, for tests, and files of what he has signed.
class TestAuthority {
 public:
  // Files are put into `directory`; `name` tells authorities apart.
  TestAuthority(std::string directory, const std::string& name);
  ~TestAuthority();
  TestAuthority(const TestAuthority&) = delete;
  TestAuthority& operator=(const TestAuthority&) = delete;

  // The path of its own certificate.
  const std::string& ca() const { return ca_; }
  // A certificate and its key for whoever is reached at `host`, "IP:127.0.0.1" or "DNS:name", with
  // this authority as the one to trust.
  client::TlsFiles Issue(const std::string& host);

 private:
  const std::string directory_;
  const std::string name_;
  std::string ca_;
  int issued_ = 0;
  std::unique_ptr<evp_pkey_st, void (*)(evp_pkey_st*)> key_;
  std::unique_ptr<x509_st, void (*)(x509_st*)> certificate_;
};

}  // namespace rutile::rpc
