#include "rpc/testing/certificates.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <utility>

#include "base/check.h"

namespace rutile::rpc {
namespace {

using Key = std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)>;
using Certificate = std::unique_ptr<X509, void (*)(X509*)>;

constexpr long kHour = 3600;

Key NewKey() { return {EVP_EC_gen("P-256"), EVP_PKEY_free}; }

void AddExtension(X509* certificate, int kind, const std::string& value) {
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, kind, value.c_str());
  RUTILE_CHECK(extension != nullptr, "no such extension: " + value);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

// Not signed yet.
Certificate NewCertificate(const std::string& subject, EVP_PKEY* key, long serial) {
  Certificate certificate(X509_new(), X509_free);
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -kHour);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), kHour);
  X509_set_pubkey(certificate.get(), key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(subject.c_str()), -1, -1, 0);
  return certificate;
}

template <class Write>
void WritePem(const std::string& path, const Write& write) {
  std::FILE* file = std::fopen(path.c_str(), "w");
  RUTILE_CHECK(file != nullptr, path);
  write(file);
  std::fclose(file);
}

}  // namespace

TestAuthority::TestAuthority(std::string directory, const std::string& name)
    : directory_(std::move(directory)),
      name_(name),
      ca_(directory_ + "/" + name + ".pem"),
      key_(NewKey()),
      certificate_(NewCertificate(name, key_.get(), 1)) {
  X509_set_issuer_name(certificate_.get(), X509_get_subject_name(certificate_.get()));
  AddExtension(certificate_.get(), NID_basic_constraints, "critical,CA:TRUE");
  X509_sign(certificate_.get(), key_.get(), EVP_sha256());
  WritePem(ca_, [this](std::FILE* file) { PEM_write_X509(file, certificate_.get()); });
}

TestAuthority::~TestAuthority() = default;

client::TlsFiles TestAuthority::Issue(const std::string& host) {
  const std::string stem = directory_ + "/" + name_ + "-" + std::to_string(++issued_);
  client::TlsFiles files{.ca = ca_, .cert = stem + ".pem", .key = stem + ".key"};
  const Key key = NewKey();
  const Certificate certificate = NewCertificate("somebody", key.get(), 1 + issued_);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate_.get()));
  AddExtension(certificate.get(), NID_subject_alt_name, host);
  X509_sign(certificate.get(), key_.get(), EVP_sha256());
  WritePem(files.cert, [&](std::FILE* file) { PEM_write_X509(file, certificate.get()); });
  WritePem(files.key, [&](std::FILE* file) {
    PEM_write_PrivateKey(file, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
  return files;
}

}  // namespace rutile::rpc
