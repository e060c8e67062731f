#include "node/volumes/nfs.h"

#include <functional>
#include <utility>

#include "base/beneath.h"
#include "node/volumes/mount_command.h"

namespace keles::node {
namespace {

constexpr Duration kLookTime = 30s;

}  // namespace

std::vector<std::string> nfs_arguments(const NfsSource& source, const std::string& at) {
  std::vector<std::string> own;
  if (source.read_only) own.emplace_back("ro");
  return mount_arguments("nfs", joined_options(std::move(own), source.options),
                         source.server + ":" + source.path, at);
}

Task<Result<std::string>> ready_nfs(Context ctx, MayHang* calls, PodDirectories pods,
                                    std::string uid, std::string name, NfsSource source) {
  // mount(8) would take it for an option.
  if (source.server.starts_with("-")) {
    co_return Status::bad_request("nfs.server: \"" + source.server +
                                  "\" is no server: a name does not begin with \"-\"");
  }
  using Looked = Result<std::pair<std::string, bool>>;  // where, and whether it is mounted there
  std::function<Looked()> look = [pods, uid, name]() -> Looked {
    Ownership plain;
    plain.mode = 0750;
    TRY_ASSIGN(at, pods.volume(uid, "kubernetes.io~nfs", name, plain));
    return std::pair(at.path, is_mount_root(at.fd));
  };
  const std::string key = pods.path(uid) + " nfs " + name;
  Looked at = co_await calls->run<Looked>(ctx.with_timeout(kLookTime), key, std::move(look));
  if (!at.ok()) co_return at.status();
  const std::string path = at->first;
  if (at->second) co_return path;
  std::vector<std::string> arguments = nfs_arguments(source, path);
  Status s = co_await run_mount(ctx, std::move(arguments));
  if (!s.ok()) co_return s;
  co_return path;
}

}  // namespace keles::node
