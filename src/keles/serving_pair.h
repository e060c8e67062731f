// What a component serves HTTPS with, by upstream's flags --tls-cert-file, --tls-private-key-file
// and --cert-dir.
#pragma once

#include <string>
#include <vector>

#include "base/loop.h"
#include "base/status.h"
#include "net/http.h"

namespace keles {

// Certificate and key from files, which go together; `flags` is what errors call them.
Result<net::TlsIdentity> read_pair(const std::string& certificate, const std::string& key,
                                   const char* flags);

struct ServingPair {
  std::string certificate_file, key_file;  // both, or none
  std::string directory;                   // --cert-dir; "": one that is made is kept nowhere
  std::string name;                        // of the files there: NAME.crt and NAME.key
  std::string common_name;
  std::vector<std::string> dns_names, ip_addresses;  // of one that is made
};
// Without files of its own: the one of the directory, which is made where both its files are
// missing. It vouches for itself, as upstream's. Blocking.
Result<net::TlsIdentity> serving_identity(const ServingPair& pair, WallTime now);

}  // namespace keles
