#include "node/volumes/nfs.h"

#include <functional>
#include <set>

#include "base/process.h"
#include "base/sync.h"

namespace keles::node {
namespace {

constexpr Duration kMountTime = 2min, kLookTime = 30s;

std::string joined(const std::vector<std::string>& list, const char* by) {
  std::string out;
  for (const std::string& one : list) out += (out.empty() ? "" : by) + one;
  return out;
}

}  // namespace

std::vector<std::string> nfs_arguments(const NfsSource& source, const std::string& at) {
  std::set<std::string> options(source.options.begin(), source.options.end());
  if (source.read_only) options.insert("ro");
  std::vector<std::string> out = {"-t", "nfs"};
  if (!options.empty()) {
    out.emplace_back("-o");
    out.push_back(joined({options.begin(), options.end()}, ","));
  }
  out.push_back(source.server + ":" + source.path);
  out.push_back(at);
  return out;
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
  const std::vector<std::string> arguments = nfs_arguments(source, path);
  ProcessOptions run;
  run.argv = {"mount"};
  run.argv.insert(run.argv.end(), arguments.begin(), arguments.end());
  Context bounded = ctx.with_timeout(kMountTime);
  auto r = co_await run_process(bounded, std::move(run));
  std::string why, output;
  if (!r.ok()) {
    why = r.status().message();
  } else if (r->exit_code != 0) {
    why = "exit status " + std::to_string(r->exit_code);
    output = r->err + r->out;
  }
  if (why.empty()) co_return path;
  co_return Status(Reason::kInvalid, "mount failed: " + why +
                                         "\nMounting command: mount\nMounting arguments: " +
                                         joined(arguments, " ") + "\nOutput: " + output);
}

}  // namespace keles::node
