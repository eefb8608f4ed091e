#include "server/tls.h"

#include <fmt/format.h>

namespace quern::server {

namespace ssl = boost::asio::ssl;
using boost::system::error_code;

Result<std::shared_ptr<ssl::context>> MakeTlsServer(const std::string& cert_file, const std::string& key_file) {
  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  SSL_CTX* native = context->native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  SSL_CTX_set_options(native, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);  // idle connections cost less
  error_code error;
  // Without this OpenSSL would ask at the terminal.
  context->set_password_callback([](size_t, ssl::context::password_purpose) { return std::string(); }, error);
  context->use_certificate_chain_file(cert_file, error);
  if (error) {
    return Error(Code::kInvalidArgument, fmt::format("--tls-cert {}: cannot be read as certificates in PEM form: {}",
                                                     cert_file, error.message()));
  }
  context->use_private_key_file(key_file, ssl::context::pem, error);
  // A certificate's own key type decides whether the call above notices a foreign key or the check below does.
  const bool foreign = error && ERR_GET_REASON(static_cast<unsigned long>(error.value())) == X509_R_KEY_VALUES_MISMATCH;
  if (error && !foreign) {
    return Error(Code::kInvalidArgument,
                 fmt::format("--tls-key {}: cannot be read as a private key in PEM form without a password: {}",
                             key_file, error.message()));
  }
  if (foreign || SSL_CTX_check_private_key(native) != 1) {
    return Error(Code::kInvalidArgument,
                 fmt::format("--tls-key {} is not the key of the certificate in {}", key_file, cert_file));
  }
  return context;
}

}  // namespace quern::server
