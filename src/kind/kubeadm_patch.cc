#include "kind/kubeadm_patch.h"

#include <algorithm>
#include <functional>

#include "base/text_parts.h"
#include "machinery/codec_yaml.h"
#include "machinery/value.h"

namespace keles::kind {
namespace {

using Arguments = std::vector<std::pair<std::string, std::string>>;

// Flags of upstream's programs that ours take by the same name.
constexpr std::string_view kServerFlags[] = {
    "service-node-port-range", "enable-admission-plugins", "disable-admission-plugins",
    "authorization-mode",      "anonymous-auth",           "node-monitor-grace-period",
    "node-monitor-period",     "cluster-signing-duration"};
constexpr std::string_view kKubeletFlags[] = {"max-pods", "allowed-unsafe-sysctls",
                                              "rotate-server-certificates", "rotate-certificates"};

template <size_t n>
bool holds(const std::string_view (&names)[n], std::string_view name) {
  return std::find(names, names + n, name) != names + n;
}

class Patch {
 public:
  Patch(std::string field, const std::vector<NodeConfig*>& nodes, ClusterConfig* cluster)
      : field_(std::move(field)), nodes_(nodes), cluster_(cluster) {}

  Status apply(const Value& v) {
    if (!v.is_map()) return bad("", "must be a map");
    std::string_view kind = v["kind"].as_string();
    if (kind == "InitConfiguration" || kind == "JoinConfiguration") return apply_registration(v);
    if (kind == "ClusterConfiguration") return apply_cluster(v);
    if (kind == "KubeletConfiguration") return apply_kubelet(v);
    moot("kind " + std::string(kind));
    return Status();
  }

 private:
  Status bad(const std::string& where, const std::string& why) const {
    return Status::bad_request("field \"" + field_ + (where.empty() ? "" : "." + where) +
                               "\": " + why);
  }
  void moot(const std::string& what) {
    cluster_->warnings.push_back("field \"" + field_ + "\": " + what +
                                 " has no effect on nodes of keles");
  }
  // Names every member of `v` but those that are acted upon.
  void moot_but(const Value& v, const std::string& path, std::vector<std::string_view> known) {
    for (const Member& m : v.members())
      if (std::find(known.begin(), known.end(), m.key()) == known.end())
        moot(path + std::string(m.key()));
  }

  // kubeadm writes arguments as a map (v1beta3) or as a list of name and value (v1beta4).
  Result<Arguments> arguments(const Value& v, const std::string& path) const {
    Arguments out;
    if (v.is_list()) {
      for (size_t i = 0; i < v.size(); ++i) {
        if (!v.at(i)["name"].is_string())
          return bad(path + "[" + std::to_string(i) + "].name", "must be a string");
        out.emplace_back(v.at(i)["name"].as_string(), v.at(i)["value"].as_string());
      }
    } else if (v.is_map()) {
      for (const Member& m : v.members()) out.emplace_back(m.key(), m.value.as_string());
    } else if (!v.is_null()) {
      return bad(path, "must be a map or a list of names and values");
    }
    return out;
  }

  Status apply_registration(const Value& v) {
    moot_but(v, "", {"kind", "apiVersion", "nodeRegistration"});
    const Value& registration = v["nodeRegistration"];
    moot_but(registration, "nodeRegistration.", {"kubeletExtraArgs", "taints"});
    TRY_ASSIGN(args,
               arguments(registration["kubeletExtraArgs"], "nodeRegistration.kubeletExtraArgs"));
    bool init = v["kind"].as_string() == "InitConfiguration", used = false;
    for (NodeConfig* n : nodes_) {
      // The first control plane is initialised, the others join.
      if (init == n->joins) continue;
      used = true;
      for (const auto& [name, value] : args) TRY(apply_kubelet_flag(name, value, n));
      if (registration["taints"].is_list()) TRY(apply_taints(registration["taints"], n));
    }
    if (!used)
      cluster_->warnings.push_back(
          "field \"" + field_ + "\": " + std::string(v["kind"].as_string()) + " is for " +
          (init ? "the first control plane" : "nodes that join") + ": no node here takes it");
    else
      for (const auto& [name, value] : args)
        if (name != "node-labels" && !holds(kKubeletFlags, name))
          moot("nodeRegistration.kubeletExtraArgs." + name);
    return Status();
  }

  Status apply_kubelet_flag(const std::string& name, const std::string& value, NodeConfig* n) {
    if (holds(kKubeletFlags, name)) n->kubelet_flags.push_back("--" + name + "=" + value);
    if (name != "node-labels") return Status();
    for (std::string_view part : split_list(value)) {
      const std::string label(part);
      size_t equals = label.find('=');
      if (label.empty()) continue;
      if (equals == 0)
        return bad("nodeRegistration.kubeletExtraArgs.node-labels",
                   "\"" + label + "\": want <key>=<value>");
      n->labels.emplace_back(label.substr(0, equals),
                             equals == std::string::npos ? "" : label.substr(equals + 1));
    }
    return Status();
  }

  Status apply_taints(const Value& list, NodeConfig* n) {
    n->taints.emplace();
    for (size_t i = 0; i < list.size(); ++i) {
      const Value& t = list.at(i);
      if (!t["key"].is_string() || !t["effect"].is_string())
        return bad("nodeRegistration.taints[" + std::to_string(i) + "]",
                   "needs a key and an effect");
      n->taints->push_back(std::string(t["key"].as_string()) + "=" +
                           std::string(t["value"].as_string()) + ":" +
                           std::string(t["effect"].as_string()));
    }
    return Status();
  }

  Status apply_cluster(const Value& v) {
    moot_but(v, "", {"kind", "apiVersion", "apiServer", "controllerManager"});
    moot_but(v["apiServer"], "apiServer.", {"certSANs", "extraArgs"});
    moot_but(v["controllerManager"], "controllerManager.", {"extraArgs"});
    for (size_t i = 0; i < v["apiServer"]["certSANs"].size(); ++i)
      cluster_->tls_sans.emplace_back(v["apiServer"]["certSANs"].at(i).as_string());
    for (const char* part : {"apiServer", "controllerManager"}) {
      TRY_ASSIGN(args, arguments(v[part]["extraArgs"], std::string(part) + ".extraArgs"));
      for (const auto& [name, value] : args) {
        if (holds(kServerFlags, name))
          cluster_->server_flags.push_back("--" + name + "=" + value);
        else
          moot(std::string(part) + ".extraArgs." + name);
      }
    }
    return Status();
  }

  Status apply_kubelet(const Value& v) {
    moot_but(v, "", {"kind", "apiVersion", "maxPods", "serverTLSBootstrap"});
    for (NodeConfig* n : nodes_) {
      if (!v["maxPods"].is_null())
        n->kubelet_flags.push_back("--max-pods=" + std::string(v["maxPods"].as_string()));
      if (v["serverTLSBootstrap"].as_string() == "true")
        n->kubelet_flags.emplace_back("--rotate-server-certificates=true");
    }
    return Status();
  }

  std::string field_;
  const std::vector<NodeConfig*>& nodes_;
  ClusterConfig* cluster_;
};

}  // namespace

Status apply_kubeadm_patch(std::string_view yaml, const std::string& field,
                           const std::vector<NodeConfig*>& nodes, ClusterConfig* cluster) {
  auto documents = parse_yaml_all(yaml, {.scalars_as_text = true});
  if (!documents.ok()) return documents.status().with_prefix("field \"" + field + "\"");
  Patch patch(field, nodes, cluster);
  for (const Document& d : *documents) TRY(patch.apply(d.root));
  return Status();
}

}  // namespace keles::kind
