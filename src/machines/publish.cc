#include "machines/publish.h"

#include <algorithm>
#include <utility>

#include "api/core_v1.h"
#include "api/rbac_v1.h"
#include "base/log.h"

namespace keles::machines {
namespace {

using namespace api::core_v1;
using namespace api::rbac_v1;

constexpr std::string_view kGroup = "rbac.authorization.k8s.io";
constexpr std::string_view kConfig = "kubeadm-config";
constexpr Duration kFirstPause = 100ms, kLongestPause = 5s;

struct Binding {
  std::string_view name, role, group;
};
constexpr std::string_view kNodes = "system:nodes";
// The last two: a node that joined has one identity, with which its proxy and its pod network read
// services, slices, nodes and policies.
constexpr Binding kBindings[] = {
    {"kubeadm:kubelet-bootstrap", "system:node-bootstrapper", kNodeTokenGroup},
    {"kubeadm:node-autoapprove-bootstrap",
     "system:certificates.k8s.io:certificatesigningrequests:nodeclient", kNodeTokenGroup},
    {"kubeadm:node-autoapprove-certificate-rotation",
     "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient", kNodes},
    {"kubeadm:get-nodes", "kubeadm:get-nodes", kNodeTokenGroup},
    {"keles:node-proxier", "system:node-proxier", kNodes},
    {"keles:node-network-policy", "keles:network-policy", kNodes},
};

Status unless_there(Status s) { return s.is(Reason::kAlreadyExists) ? Status() : s; }

void refer(RoleRefEdit ref, std::string_view kind, std::string_view name) {
  ref.set_api_group(kGroup);
  ref.set_kind(kind);
  ref.set_name(name);
}

void add_group(ListEdit<SubjectEdit> subjects, std::string_view group) {
  auto s = subjects.add();
  s.set_api_group(kGroup);
  s.set_kind("Group");
  s.set_name(group);
}

Task<Status> bind(Context ctx, Client* client, Binding b) {
  Draft<ClusterRoleBindingEdit> d;
  d->edit_metadata().set_name(b.name);
  refer(d->edit_role_ref(), "ClusterRole", b.role);
  add_group(d->edit_subjects(), b.group);
  auto made = co_await client->create<ClusterRoleBinding>(ctx, d.take());
  co_return unless_there(made.status());
}

Task<Status> let_read_nodes(Context ctx, Client* client) {
  Draft<ClusterRoleEdit> role;
  role->edit_metadata().set_name("kubeadm:get-nodes");
  auto rule = role->edit_rules().add();
  rule.edit_verbs().add("get");
  rule.edit_api_groups().add("");
  rule.edit_resources().add("nodes");
  auto made = co_await client->create<ClusterRole>(ctx, role.take());
  co_return unless_there(made.status());
}

Task<Status> let_read_config(Context ctx, Client* client) {
  constexpr std::string_view kName = "kubeadm:nodes-kubeadm-config";
  Draft<RoleEdit> role;
  role->edit_metadata().set_namespace_("kube-system");
  role->edit_metadata().set_name(kName);
  auto rule = role->edit_rules().add();
  rule.edit_verbs().add("get");
  rule.edit_api_groups().add("");
  rule.edit_resources().add("configmaps");
  rule.edit_resource_names().add(kConfig);
  auto made = co_await client->create<Role>(ctx, role.take());
  Status s = unless_there(made.status());
  if (!s.ok()) co_return s;
  Draft<RoleBindingEdit> binding;
  binding->edit_metadata().set_namespace_("kube-system");
  binding->edit_metadata().set_name(kName);
  refer(binding->edit_role_ref(), "Role", kName);
  add_group(binding->edit_subjects(), kNodeTokenGroup);
  add_group(binding->edit_subjects(), kNodes);
  auto bound = co_await client->create<RoleBinding>(ctx, binding.take());
  co_return unless_there(bound.status());
}

Task<Status> publish_pool(Context ctx, Client* client, std::string pool) {
  auto map = co_await client->get<ConfigMap>(ctx, "kube-system", std::string(kConfig));
  if (!map.ok()) co_return map.status();
  if ((*map)->data().get(kPoolKey) == pool) co_return Status();
  Draft<ConfigMapEdit> d(**map);
  d->edit_data().set(kPoolKey, pool);
  auto r = co_await client->update<ConfigMap>(ctx, d.take());
  co_return r.status();
}

Task<Status> publish_once(Context ctx, Client* client, ClusterNetwork network) {
  Draft<ConfigMapEdit> map;
  map->edit_metadata().set_namespace_("kube-system");
  map->edit_metadata().set_name(kConfig);
  const std::string pool = std::exchange(network.load_balancer_pool, "");
  map->edit_data().set("ClusterConfiguration", format_network(network));
  auto made = co_await client->create<ConfigMap>(ctx, map.take());
  Status s = unless_there(made.status());
  if (s.ok()) s = co_await publish_pool(ctx, client, pool);
  if (s.ok()) s = co_await let_read_config(ctx, client);
  if (s.ok()) s = co_await let_read_nodes(ctx, client);
  for (const Binding& b : kBindings)
    if (s.ok()) s = co_await bind(ctx, client, b);
  co_return s;
}

}  // namespace

Task<Status> publish_cluster(Context ctx, Client* client, ClusterNetwork network) {
  Status s;
  for (Duration pause = kFirstPause; !ctx.done(); pause = std::min(pause * 2, kLongestPause)) {
    s = co_await publish_once(ctx, client, network);
    if (s.ok()) co_return s;
    log::info("The cluster cannot be joined yet", {{"error", s}});
    (void)co_await ctx.sleep(pause);
  }
  co_return ctx.status();
}

}  // namespace keles::machines
