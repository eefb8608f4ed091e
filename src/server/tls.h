// The server's side of TLS: certificate, key and what is spoken.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>

#include "base/status.h"

namespace quern::server {

// TLS 1.2 or later; no compression, no renegotiation. cert_file: PEM, the server's own certificate first, then those
// that lead to a root. key_file: PEM, without a password. Errors: kInvalidArgument (a file that cannot be read or holds
// something else, a key of another certificate; the files are named).
Result<std::shared_ptr<boost::asio::ssl::context>> MakeTlsServer(const std::string& cert_file,
                                                                 const std::string& key_file);

}  // namespace quern::server
