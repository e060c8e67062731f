// What an etcd answers when it refuses: its clients compare these texts (etcd's
// api/v3rpc/rpctypes). The codes are those of net::grpc_code().
#pragma once

#include <string>

#include "base/status.h"

namespace keles::etcdserver {

inline Status refuse(Reason reason, const char* text) {
  return Status(reason, std::string("etcdserver: ") + text);
}
inline Status bad(const char* text) { return refuse(Reason::kBadRequest, text); }
inline Status compacted() {
  return refuse(Reason::kExpired, "mvcc: required revision has been compacted");
}
inline Status future_revision() {
  return refuse(Reason::kExpired, "mvcc: required revision is a future revision");
}
inline Status no_lease() { return refuse(Reason::kNotFound, "requested lease not found"); }

}  // namespace keles::etcdserver
