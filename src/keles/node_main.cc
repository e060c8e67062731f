// `keles node`: drain a node, and take from a machine all that a server or an agent left on it.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>

#include "base/beneath.h"
#include "base/file.h"
#include "base/flags.h"
#include "keles/commands.h"
#include "keles/runtime.h"
#include "machines/certificates.h"
#include "machines/reset.h"
#include "node/cri/runtime.h"
#include "node/network/link_guard.h"
#include "node/network/node_network.h"
#include "node/network/overlay.h"
#include "node/network/pod_links.h"
#include "proxy/policy/ruleset.h"
#include "proxy/ruleset.h"

namespace keles {
namespace {

constexpr char kAdminConfig[] = "/etc/kubernetes/admin.conf";
constexpr char kFoundRuntime[] = "/run/containerd/containerd.sock";

struct ResetFlags {
  std::string data_dir = "/var/lib/keles", kubelet_dir = "/var/lib/kubelet", runtime;
  bool yes = false, dry_run = false;
};

machines::NodeTraces traces_of(const ResetFlags& f) {
  machines::NodeTraces t;
  t.roots = {f.kubelet_dir, "/run/keles", "/var/log/pods", "/var/log/containers"};
  // What else lies there (local clusters, backups) is not a server's or an agent's.
  for (const char* part : {"/agent", "/store", "/pki"}) t.roots.push_back(f.data_dir + part);
  t.files = {"/etc/cni/net.d/10-keles.conflist"};
  t.links = {kOverlayLink, kPodBridge};
  const std::string services = proxy::RulesetOptions().table;
  t.tables = {"ip " + services,
              "ip6 " + services,
              std::string("ip ") + kMasqueradeTable,
              std::string("ip6 ") + kMasqueradeTable,
              std::string("inet ") + policy::kPolicyTable,
              std::string("bridge ") + kPodLinkTable};
  t.cgroups = {"kubepods", "kubepods.slice"};
  t.results = LinkPlaces().results;
  t.network = kPodNetwork;
  t.route_protocol = kRouteProtocol;
  t.runtime_address = "/run/keles/containerd/containerd.sock";
  machines::CertificatePlaces places;
  places.data_dir = f.data_dir;
  places.kubelet_dir = f.kubelet_dir;
  // Of this cluster, which is no more.
  if (auto report = machines::read_certificates(places); report.ok())
    for (const machines::CertificateRow& row : report->certificates)
      if (row.name == "admin.conf") t.files.push_back(row.path);
  return t;
}

bool answers(const std::string& socket) {
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  if (socket.size() >= sizeof at.sun_path) return false;
  std::memcpy(at.sun_path, socket.c_str(), socket.size() + 1);
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return fd.open() && ::connect(fd.get(), reinterpret_cast<sockaddr*>(&at), sizeof at) == 0;
}

using Sandboxes = std::vector<std::pair<std::string, std::string>>;  // id, namespace/name

Task<Status> list_pods(Context ctx, std::string endpoint, Sandboxes* out) {
  auto runtime = node::cri::make_cri_runtime(ctx.loop(), endpoint);
  Context limit = ctx.with_timeout(30s);
  auto all = co_await runtime->list_sandboxes(limit, "");
  if (!all.ok()) co_return all.status();
  for (const node::cri::Sandbox& s : *all) out->emplace_back(s.id, s.ns + "/" + s.name);
  co_return Status();
}

Task<Status> remove_pod(Context ctx, std::string endpoint, std::string id) {
  auto runtime = node::cri::make_cri_runtime(ctx.loop(), endpoint);
  Context limit = ctx.with_timeout(60s);
  Status s = co_await runtime->stop_sandbox(limit, id);
  if (s.ok()) s = co_await runtime->remove_sandbox(limit, id);
  co_return s;
}

// The pods of a runtime that goes on: by its own calls, which unmount and unplug what they had.
Status add_pods(const ResetFlags& f, std::vector<machines::ResetStep>* out) {
  std::string endpoint = f.runtime;
  if (endpoint.empty() && answers(kFoundRuntime)) endpoint = std::string("unix://") + kFoundRuntime;
  if (endpoint.empty()) return {};
  Sandboxes pods;
  Status s = run_program([&](Context ctx) { return list_pods(ctx, endpoint, &pods); });
  if (!s.ok())
    return s.with_prefix("the container runtime at " + endpoint +
                         " does not tell its pods (start it, or say another by "
                         "--container-runtime-endpoint)");
  for (const auto& [id, name] : pods)
    out->emplace_back("remove the pod " + name + " from " + endpoint, [endpoint, id = id] {
      return run_program([&](Context ctx) { return remove_pod(ctx, endpoint, id); });
    });
  return {};
}

bool agreed() {
  std::printf("\nRemove all of this? [y/N]: ");
  std::fflush(stdout);
  std::string line;
  std::getline(std::cin, line);
  return line == "y" || line == "Y" || line == "yes";
}

Status reset(const ResetFlags& f) {
  if (::geteuid() != 0) return Status::bad_request("run it as root");
  std::string running;
  for (const machines::RunningPart& p : machines::running_parts())
    running += "\n\t" + p.what + " (pid " + std::to_string(p.pid) + ")";
  if (!running.empty() && !f.dry_run)
    return Status::bad_request(
        "stop them first (keles uninstall, or systemctl stop keles-server keles-agent):" + running);
  std::vector<machines::ResetStep> steps;
  TRY(add_pods(f, &steps));
  for (machines::ResetStep& s : machines::plan_reset(traces_of(f))) steps.push_back(std::move(s));
  if (steps.empty()) {
    std::printf("Nothing of a server or an agent is left on this machine\n");
    return {};
  }
  for (const machines::ResetStep& s : steps) std::printf("%s\n", s.what.c_str());
  if (path_exists(f.data_dir + "/store") && !f.yes)
    std::printf(
        "\nThe cluster's store is in %s: it is lost with it (keles store backup saves it)\n",
        f.data_dir.c_str());
  if (f.dry_run) return {};
  if (!f.yes && !agreed()) return Status::bad_request("nothing was removed");
  std::string failed;
  for (const machines::ResetStep& s : steps) {
    Status done = s.carry_out();
    if (!done.ok()) failed += "\n\t" + s.what + ": " + done.message();
  }
  if (!failed.empty())
    return Status::internal("some of it is left; run it again, or see to it by hand:" + failed);
  std::printf(
      "\nThis machine is as it was. If it was a node, delete it from the cluster: kubectl delete "
      "node NAME\n");
  return {};
}

int reset_main(const std::vector<std::string>& args) {
  ResetFlags f;
  Flags flags(
      "Removes from this machine all that a server or an agent left on it: pods, mounts, links, "
      "nftables, cgroups, data. Tells it first, and asks.\n\nUsage:\n  keles node reset [flags]");
  flags.add("data-dir", &f.data_dir, "The data directory of the server or the agent.");
  flags.add("kubelet-dir", &f.kubelet_dir, "The directory of its kubelet.");
  flags.add("container-runtime-endpoint", &f.runtime,
            "The runtime whose pods are removed. Empty: containerd's, where it answers.");
  flags.add("yes", &f.yes, "Do not ask.", 'y');
  flags.add("dry-run", &f.dry_run, "Only tell what there is.");
  return run_command(&flags, args, [&f](const std::vector<std::string>& rest) -> Status {
    TRY(no_arguments(rest));
    return reset(f);
  });
}

// kubectl's own, as the administrator of this machine's cluster unless told otherwise.
int drain_main(const std::string& verb, const std::vector<std::string>& args) {
  std::vector<std::string> all = {verb};
  bool told = std::getenv("KUBECONFIG") != nullptr;
  for (const std::string& a : args) told = told || a.starts_with("--kubeconfig");
  if (!told && path_exists(kAdminConfig))
    all.push_back(std::string("--kubeconfig=") + kAdminConfig);
  all.insert(all.end(), args.begin(), args.end());
  return kubectl_main(all);
}

constexpr char kHelp[] =
    "Nodes and what is left of them.\n\nUsage:\n"
    "  keles node drain NAME [flags]     move the pods of a node away, as kubectl drain\n"
    "  keles node cordon NAME            let no more pods come to it\n"
    "  keles node uncordon NAME          let them come again\n"
    "  keles node reset [flags]          remove what a server or an agent left on this machine\n\n"
    "Use \"keles node COMMAND --help\" for more.\n";

}  // namespace

int node_main(const std::vector<std::string>& args) {
  const std::string which = args.empty() ? "" : args[0];
  const std::vector<std::string> rest(args.begin() + (args.empty() ? 0 : 1), args.end());
  if (which == "drain" || which == "cordon" || which == "uncordon") return drain_main(which, rest);
  if (which == "reset") return reset_main(rest);
  const bool asked = which == "--help" || which == "-h" || which == "help";
  std::fputs(kHelp, asked ? stdout : stderr);
  return asked ? 0 : 1;
}

}  // namespace keles
