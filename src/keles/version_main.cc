// `keles version`: what this build is, and with --check whether a cluster's parts are of versions
// that work together.
#include <cstdio>
#include <cstdlib>

#include "api/core_v1.h"
#include "base/file.h"
#include "base/flags.h"
#include "base/version.h"
#include "client/https_client.h"
#include "client/kubeconfig.h"
#include "keles/commands.h"
#include "keles/runtime.h"
#include "machinery/codec_json.h"
#include "machines/version_skew.h"

namespace keles {
namespace {

using machines::VersionOf;

constexpr char kAdminConfig[] = "/etc/kubernetes/admin.conf";

VersionOf version_of(std::string component, std::string_view name, std::string_view version) {
  VersionOf out;
  out.component = std::move(component);
  out.name = name;
  out.version = version;
  return out;
}

// The server's first.
Task<Status> ask_versions(Context ctx, ClientConfig config, std::vector<VersionOf>* out) {
  constexpr Duration kLimit = 30s;
  Context limit = ctx.with_timeout(kLimit);
  const std::string where = config.endpoint.host;
  HttpsClientOptions options;
  options.user_agent = "keles-version/" + std::string(kGitVersion);
  HttpsClient client(ctx.loop(), std::move(config), options);
  auto answer = co_await client.raw(limit, "GET", "/version", "", net::Headers(), "");
  if (!answer.ok()) co_return answer.status();
  auto told = parse_json(answer->body);
  if (answer->status != 200 || !told.ok())
    co_return Status::unavailable("/version: status " + std::to_string(answer->status));
  out->push_back(version_of("server", where, told->root["gitVersion"].as_string()));
  out->push_back(version_of("client", "keles", kGitVersion));
  auto nodes = co_await client.list(limit, &kind_of<api::core_v1::Node>(), "", ListOptions());
  if (!nodes.ok()) co_return nodes.status();
  for (const ObjectPtr& object : nodes->items) {
    const auto node = read<api::core_v1::Node>(object);
    const auto info = node->status().node_info();
    out->push_back(version_of("kubelet", object->name(), info.kubelet_version()));
    if (!info.kube_proxy_version().empty())
      out->push_back(version_of("kube-proxy", object->name(), info.kube_proxy_version()));
  }
  co_return Status();
}

Status check_versions(const std::string& kubeconfig) {
  KubeconfigChoice choice;
  choice.path = kubeconfig;
  if (choice.path.empty() && !std::getenv("KUBECONFIG") && path_exists(kAdminConfig))
    choice.path = kAdminConfig;
  TRY_ASSIGN(config, load_client_config(choice));
  std::vector<VersionOf> all;
  TRY(run_program(
      [&](Context ctx) -> Task<Status> { return ask_versions(std::move(ctx), config, &all); }));
  const std::string server = all.front().version;
  std::fputs(machines::skew_table(all, server).c_str(), stdout);
  for (size_t i = 1; i < all.size(); ++i) {
    if (machines::skew_problem(all[i], server).empty()) continue;
    return Status::bad_request(
        "not all of these versions work together: upgrade servers first, then nodes, minor by "
        "minor");
  }
  return {};
}

}  // namespace

int version_main(const std::vector<std::string>& args) {
  bool check = false;
  std::string kubeconfig;
  Flags flags(
      "Prints the version; with --check those of a cluster's server and nodes, and whether they "
      "work "
      "together: a node may be up to three minors older than the server, a client one older or "
      "newer.\n\nUsage:\n  keles version [flags]");
  flags.add("check", &check,
            "Compare with the versions of a cluster. An error when they do not "
            "work together.");
  flags.add("kubeconfig", &kubeconfig,
            "Which cluster, with --check. Empty: $KUBECONFIG, /etc/kubernetes/admin.conf, or "
            "~/.kube/config.");
  return run_command(&flags, args, [&](const std::vector<std::string>& rest) -> Status {
    TRY(no_arguments(rest));
    std::printf("keles %s (Kubernetes %s)\n", kKelesVersion, kGitVersion);
    if (check) return check_versions(kubeconfig);
    if (!kubeconfig.empty()) return Status::bad_request("--kubeconfig: of use with --check alone");
    return {};
  });
}

}  // namespace keles
