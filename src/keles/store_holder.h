// How the programs `etcd` and `kube-apiserver` of tests find each other's store (docs/envtest.md):
// the holder keeps a data directory and tells where it is, at the URL where etcd would serve its
// clients; the API server opens the store in that directory by itself. Who opens it proves first
// that it is the very directory that is meant: both read the same secret, one from the holder, the
// other from a file in there.
//
// One loop's thread.
#pragma once

#include <memory>
#include <string>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"
#include "net/http.h"

namespace keles {

// "http://127.0.0.1:2379". kBadRequest: another scheme, a path, no port.
struct ClientUrl {
  std::string host;
  uint16_t port = 0;
  std::string text() const;
};
Result<ClientUrl> parse_client_url(const std::string& flag, const std::string& text);

class StoreHolder {
 public:
  // Makes the directory when absent. Serves until it is destroyed; /health, /version, and where the
  // store is.
  static Result<std::unique_ptr<StoreHolder>> start(Loop& loop, std::string directory,
                                                    ClientUrl where);
  virtual ~StoreHolder() = default;
  virtual Task<void> stop(Context ctx) = 0;
};

// The holder's store, for as long as it is held.
class HeldStore {
 public:
  // Waits for a holder that has not come up yet, until ctx ends.
  static Task<Result<std::unique_ptr<HeldStore>>> open(Context ctx, ClientUrl where);
  virtual ~HeldStore() = default;
  virtual const std::string& directory() const = 0;
  // Returns when the holder has gone.
  virtual Task<void> gone(Context ctx) = 0;
};

}  // namespace keles
