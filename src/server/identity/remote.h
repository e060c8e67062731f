// HTTP to one place that an administrator named, in a kubeconfig or by its URL. Any thread: each
// loop has its own connections, which are kept.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"
#include "client/kubeconfig.h"
#include "net/http.h"

namespace keles::identity {

class Remote {
 public:
  // `where` with its path prefix as the whole path of post().
  explicit Remote(ClientConfig where) : where_(std::move(where)) {}
  ~Remote();
  Remote(const Remote&) = delete;

  // "https://host[:port][/path]"; `ca_pem` "": the system's roots.
  static Result<std::shared_ptr<Remote>> of_url(std::string_view url, const std::string& ca_pem);
  // A kubeconfig of which the current context counts. Blocking. kBadRequest names the file.
  static Result<std::shared_ptr<Remote>> of_kubeconfig(const std::string& file);
  const std::string& path() const { return where_.path_prefix; }

  // The whole answer, whatever its code. `path` is absolute.
  Task<Result<net::Response>> get(Context ctx, std::string path, size_t most);
  Task<Result<net::Response>> post(Context ctx, std::string json, size_t most);

 private:
  Task<Result<net::Response>> send(Context ctx, net::Request request, size_t most);
  std::shared_ptr<net::HttpClient> client(Loop& loop);

  ClientConfig where_;
  std::mutex mutex_;
  std::map<Loop*, std::shared_ptr<net::HttpClient>> clients_;
};

}  // namespace keles::identity
