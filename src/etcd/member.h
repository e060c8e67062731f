// An etcd of one member: etcd's v3 API (KV, Watch, Lease, Maintenance, Cluster) over a data
// directory of its own. What needs several members, or users and roles, is refused with etcd's
// codes and a reason.
//
// One loop's thread. https://etcd.io/docs/v3.5/dev-guide/api_reference_v3/
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/context.h"
#include "etcd/disk.h"
#include "net/http.h"

namespace keles::etcdserver {

// What it says of its version: the release of etcd whose API this is.
inline constexpr const char* kApiVersion = "3.5.21";

struct MemberOptions {
  MemberOptions() = default;
  std::string directory, name = "default";
  std::vector<std::string> client_urls, peer_urls;  // as members are told of
  int64_t quota_bytes = 2'147'483'648;              // of the data; 0: none
  size_t max_request = 1'572'864, max_operations = 128;
  Duration progress_every = 10min;
  // How much is kept: of time, or revisions; one of them, or neither.
  Duration keep_time = Duration(0);
  int64_t keep_revisions = 0;
  bool client_certificates = false;  // only who has one that verified is served
  bool sync = true;
};

class Member {
 public:
  // Opens the data directory. Blocking. `failed`: the disk; nothing is answered any more.
  static Result<std::unique_ptr<Member>> open(Loop& loop, MemberOptions options,
                                              std::function<void(Status)> failed);
  virtual ~Member() = default;
  // Serves a request of the clients' port: a gRPC call, /health, /version, /metrics.
  virtual Task<void> serve(Context ctx, net::Request* request, net::Responder* responder) = 0;
  // Of those only the pages: for a port of their own. Everything else is not found there.
  virtual Task<void> serve_page(net::Request* request, net::Responder* responder) = 0;
  virtual Task<void> stop() = 0;
};

// The options of a server of `address` that Member::serve() answers for.
net::ServerOptions server_options(std::string address, uint16_t port);

}  // namespace keles::etcdserver
