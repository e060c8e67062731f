#include "machines/reset.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <thread>

#include "base/file.h"
#include "base/mount_table.h"
#include "kind/cgroups.h"
#include "kind/run_program.h"
#include "machinery/codec_json.h"
#include "net/host/netlink.h"
#include "net/host/nftables.h"

namespace keles::machines {
namespace {

using Steps = std::vector<ResetStep>;
using Texts = std::vector<std::string>;

constexpr size_t kMaxResult = 1u << 20;

Texts command_line(const std::string& proc, const std::string& pid) {
  auto text = read_file(proc + "/" + pid + "/cmdline", 1u << 20);
  Texts out;
  if (!text.ok()) return out;
  for (std::string_view rest = *text; !rest.empty();) {
    const size_t end = std::min(rest.find('\0'), rest.size());
    out.emplace_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return out;
}

std::vector<int> processes(const std::string& proc) {
  std::vector<int> out;
  for (const std::string& name : list_directory(proc).value_or(Texts())) {
    int pid = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), pid).ptr ==
        name.data() + name.size())
      out.push_back(pid);
  }
  return out;
}

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

Status unmount(const std::string& path) {
  if (::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0 || errno == EINVAL ||
      errno == ENOENT)
    return {};
  return Status::internal("cannot unmount " + path + ": " + std::strerror(errno));
}

Status kill_all(const std::vector<int>& pids) {
  for (int pid : pids) ::kill(pid, SIGKILL);
  // What they held is free once they are gone.
  for (int tries = 0; tries < 200; ++tries) {
    if (std::none_of(pids.begin(), pids.end(), [](int p) { return ::kill(p, 0) == 0; })) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return {};
}

// Containers end before their shims do: shims clean up behind what they see end.
void add_processes(const NodeTraces& t, Steps* out) {
  for (const std::string& cgroup : t.cgroups) {
    const auto hierarchies = kind::cgroup_hierarchies().value_or({});
    if (std::none_of(hierarchies.begin(), hierarchies.end(), [&cgroup](const auto& h) {
          return path_exists(h.mount_point + "/" + cgroup);
        }))
      continue;
    const size_t n = kind::cgroup_processes(cgroup).size();
    out->emplace_back(
        "end the " + std::to_string(n) + " processes of pods, and remove the cgroup " + cgroup,
        [cgroup] { return kind::remove_cgroup(cgroup); });
  }
  if (t.runtime_address.empty()) return;
  const std::vector<int> shims = shims_of(t.runtime_address);
  if (shims.empty()) return;
  out->emplace_back("end " + std::to_string(shims.size()) + " shims of " + t.runtime_address,
                    [address = t.runtime_address] { return kill_all(shims_of(address)); });
}

void add_mounts(const NodeTraces& t, Steps* out) {
  const auto mountinfo = read_file("/proc/self/mountinfo");
  if (!mountinfo.ok()) return;
  for (const std::string& at : mounts_below(*mountinfo, t.roots))
    out->emplace_back("unmount " + at, [at] { return unmount(at); });
}

void add_namespaces(const NodeTraces& t, Steps* out) {
  if (t.netns_dir.empty()) return;
  for (const std::string& name : list_directory(t.netns_dir).value_or(Texts())) {
    if (!name.starts_with("cni-")) continue;
    const std::string path = t.netns_dir + "/" + name;
    out->emplace_back("remove the network namespace " + path, [path]() -> Status {
      TRY(unmount(path));
      return remove_tree(path);
    });
  }
}

void add_links(const NodeTraces& t, Steps* out) {
  auto netlink = Netlink::open();
  if (!netlink.ok()) return;
  for (const std::string& name : t.links) {
    if (!netlink->link(name).ok()) continue;
    out->emplace_back("delete the link " + name, [name]() -> Status {
      TRY_ASSIGN(own, Netlink::open());
      return own.delete_link(name);
    });
  }
  if (t.route_protocol == 0) return;
  for (const NetRoute& route : netlink->routes().value_or({})) {
    if (route.protocol != t.route_protocol) continue;
    out->emplace_back("delete the route to " + route.destination.text(), [route]() -> Status {
      TRY_ASSIGN(own, Netlink::open());
      return own.delete_route(route);
    });
  }
}

void add_tables(const NodeTraces& t, Steps* out) {
  const auto there = kind::run_program({"nft", "list", "tables"});
  const bool known = there.ok() && there->exit_code == 0;
  for (const std::string& table : t.tables) {
    if (known && ("\n" + there->output).find("\ntable " + table + "\n") == std::string::npos)
      continue;
    const size_t blank = table.find(' ');
    const std::string family = table.substr(0, blank), name = table.substr(blank + 1);
    out->emplace_back("delete the nftables table " + table, [family, name] {
      return apply_nftables(nftables_without_table(name, family));
    });
  }
}

// NETWORK-ID-LINK: of which network it is says what is in it, as a name may have dashes.
void add_results(const NodeTraces& t, Steps* out) {
  if (t.results.empty() || t.network.empty()) return;
  Texts own;
  for (const std::string& name : list_directory(t.results).value_or(Texts())) {
    if (!name.starts_with(t.network + "-")) continue;
    const auto text = read_file(t.results + "/" + name, kMaxResult);
    if (!text.ok()) continue;
    const auto kept = parse_json(*text);
    if (kept.ok() && kept->root["networkName"].as_string() == t.network)
      own.push_back(t.results + "/" + name);
  }
  if (own.empty()) return;
  out->emplace_back("remove " + std::to_string(own.size()) + " records of attachments to the " +
                        "network " + t.network + " from " + t.results,
                    [own]() -> Status {
                      for (const std::string& file : own) TRY(remove_tree(file));
                      return {};
                    });
}

}  // namespace

std::vector<std::string> mounts_below(const std::string& mountinfo,
                                      const std::vector<std::string>& roots) {
  Texts out;
  for (const MountedAt& m : parse_mount_table(mountinfo))
    if (std::any_of(roots.begin(), roots.end(),
                    [&m](const std::string& root) { return is_at_or_below(m.place, root); }))
      out.push_back(m.place);
  std::reverse(out.begin(), out.end());  // what was mounted last lies on top
  std::stable_sort(out.begin(), out.end(), [](const std::string& a, const std::string& b) {
    return std::count(a.begin(), a.end(), '/') > std::count(b.begin(), b.end(), '/');
  });
  return out;
}

std::vector<RunningPart> running_parts(const std::string& proc) {
  std::vector<RunningPart> out;
  for (int pid : processes(proc)) {
    const Texts args = command_line(proc, std::to_string(pid));
    if (args.empty()) continue;
    const std::string self = base_name(args[0]);
    const std::string part = self == "keles" && args.size() > 1 ? args[1] : self;
    if (self != "keles" && self != "kubelet") continue;
    if (part != "server" && part != "agent" && part != "kubelet") continue;
    if (pid == ::getpid()) continue;
    RunningPart one;
    one.pid = pid;
    one.what = self == "keles" ? "keles " + part : part;
    out.push_back(std::move(one));
  }
  return out;
}

std::vector<int> shims_of(const std::string& address, const std::string& proc) {
  std::vector<int> out;
  for (int pid : processes(proc)) {
    const Texts args = command_line(proc, std::to_string(pid));
    if (args.empty() || !base_name(args[0]).starts_with("containerd-shim")) continue;
    for (size_t i = 1; i + 1 < args.size(); ++i)
      if (args[i] == "-address" && args[i + 1] == address) out.push_back(pid);
  }
  return out;
}

std::vector<ResetStep> plan_reset(const NodeTraces& t) {
  Steps out;
  add_processes(t, &out);
  add_mounts(t, &out);
  add_namespaces(t, &out);
  add_links(t, &out);
  add_tables(t, &out);
  add_results(t, &out);
  for (const std::string& file : t.files)
    if (path_exists(file)) out.emplace_back("remove " + file, [file] { return remove_tree(file); });
  for (const std::string& root : t.roots)
    if (path_exists(root))
      out.emplace_back("remove " + root + " and all that is in it",
                       [root] { return remove_tree(root); });
  return out;
}

}  // namespace keles::machines
