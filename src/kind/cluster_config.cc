#include "kind/cluster_config.h"

#include <algorithm>
#include <map>

#include "base/ip.h"
#include "base/text_parts.h"
#include "kind/kubeadm_patch.h"
#include "kind/layout.h"
#include "kind/toml.h"
#include "machinery/codec_yaml.h"
#include "machinery/value.h"

namespace keles::kind {
namespace {

using Names = std::vector<std::string_view>;

constexpr char kPodsV6[] = "fd00:10:244::/56", kServicesV6[] = "fd00:10:96::/112";

Status bad(const std::string& field, const std::string& why) {
  return Status::bad_request(field.empty() ? why : "field \"" + field + "\": " + why);
}

bool holds(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Every member of `v` is one of `known`, or of `moot`: what has no meaning for nodes that are no
// containers of an image is a warning.
Status check_fields(const Value& v, const std::string& path, const Names& known, const Names& moot,
                    std::vector<std::string>* warnings) {
  if (v.is_null()) return Status();
  if (!v.is_map()) return bad(path, "must be a map");
  for (const Member& m : v.members()) {
    std::string field = path + (path.empty() ? "" : ".") + std::string(m.key());
    if (holds(moot, m.key())) {
      bool empty =
          m.value.is_null() || ((m.value.is_map() || m.value.is_list()) && !m.value.size());
      if (!empty) warnings->push_back("field \"" + field + "\" has no effect on nodes of keles");
    } else if (!holds(known, m.key())) {
      return bad(field, "unknown field");
    }
  }
  return Status();
}

// Strings of a list of texts ("kubeadmConfigPatches").
Result<std::vector<std::string>> texts(const Value& v, const std::string& path) {
  std::vector<std::string> out;
  if (v.is_null()) return out;
  if (!v.is_list()) return bad(path, "must be a list of strings");
  for (size_t i = 0; i < v.size(); ++i) {
    if (!v.at(i).is_string()) return bad(path + "[" + std::to_string(i) + "]", "must be a string");
    out.emplace_back(v.at(i).as_string());
  }
  return out;
}

Result<std::string> text(const Value& v, std::string_view name, const std::string& path,
                         std::string fallback) {
  const Value& field = v[name];
  if (field.is_null()) return fallback;
  if (!field.is_string()) return bad(path + std::string(name), "must be a string");
  return std::string(field.as_string());
}

Result<uint16_t> port(const Value& v, std::string_view name, const std::string& path) {
  const Value& field = v[name];
  if (field.is_null()) return uint16_t{0};
  if (!field.is_int() || field.as_int() < -1 || field.as_int() > 65535)
    return bad(path + std::string(name), "must be a port number");
  return static_cast<uint16_t>(std::max<int64_t>(field.as_int(), 0));
}

Result<ExtraMount> parse_mount(const Value& v, const std::string& path,
                               std::vector<std::string>* warnings) {
  TRY(check_fields(v, path, {"hostPath", "containerPath", "readOnly"},
                   {"propagation", "selinuxRelabel"}, warnings));
  ExtraMount m;
  TRY_ASSIGN(host, text(v, "hostPath", path + ".", ""));
  TRY_ASSIGN(inside, text(v, "containerPath", path + ".", ""));
  if (host.empty() || inside.empty()) return bad(path, "hostPath and containerPath are required");
  if (inside[0] != '/') return bad(path + ".containerPath", "must be an absolute path");
  m.host_path = host;
  m.container_path = inside;
  m.read_only = v["readOnly"].as_bool();
  return m;
}

Result<PortMapping> parse_port(const Value& v, const std::string& path) {
  TRY(check_fields(v, path, {"containerPort", "hostPort", "listenAddress", "protocol"}, {},
                   nullptr));
  PortMapping p;
  TRY_ASSIGN(address, text(v, "listenAddress", path + ".", "0.0.0.0"));
  TRY_ASSIGN(protocol, text(v, "protocol", path + ".", "TCP"));
  TRY_ASSIGN(host, port(v, "hostPort", path + "."));
  TRY_ASSIGN(inside, port(v, "containerPort", path + "."));
  if (!inside) return bad(path + ".containerPort", "is required");
  if (!host) return bad(path + ".hostPort", "is required");
  p.udp = protocol == "UDP" || protocol == "udp";
  if (!p.udp && protocol != "TCP" && protocol != "tcp")
    return bad(path + ".protocol", "only TCP and UDP are supported by keles");
  p.listen_address = address;
  p.host_port = host;
  p.container_port = inside;
  return p;
}

// `as_text`: the same node with its scalars as they are written, as labels are.
Result<NodeConfig> parse_node(const Value& v, const Value& as_text, const std::string& path,
                              std::vector<std::string>* warnings) {
  TRY(check_fields(v, path,
                   {"role", "labels", "extraMounts", "extraPortMappings", "kubeadmConfigPatches"},
                   {"image", "kubeadmConfigPatchesJSON6902"}, warnings));
  NodeConfig n;
  TRY_ASSIGN(role, text(v, "role", path + ".", "control-plane"));
  if (role != "control-plane" && role != "worker")
    return bad(path + ".role", "\"" + role + "\" is not a valid node role");
  n.role = role;
  for (const Member& m : as_text["labels"].members()) {
    if (!m.value.is_string() && !m.value.is_null())
      return bad(path + ".labels." + std::string(m.key()), "must be a string");
    n.labels.emplace_back(m.key(), m.value.as_string());
  }
  for (size_t i = 0; i < v["extraMounts"].size(); ++i) {
    TRY_ASSIGN(m, parse_mount(v["extraMounts"].at(i),
                              path + ".extraMounts[" + std::to_string(i) + "]", warnings));
    n.mounts.push_back(m);
  }
  for (size_t i = 0; i < v["extraPortMappings"].size(); ++i) {
    TRY_ASSIGN(p, parse_port(v["extraPortMappings"].at(i),
                             path + ".extraPortMappings[" + std::to_string(i) + "]"));
    n.ports.push_back(p);
  }
  return n;
}

// kind's rules for podSubnet and serviceSubnet, in its words.
Status check_subnet(const std::string& field, const std::string& list, IpFamily family) {
  for (std::string_view one : split(list, ','))
    if (!IpPrefix::parse(one)) return bad(field, "invalid CIDR address: " + std::string(one));
  const auto ranges = subnets_of(list);
  if (family == IpFamily::kDual) {
    const bool two = ranges.size() == 2 && ranges[0].v6() != ranges[1].v6();
    if (ranges.size() == 1 || two) return Status();
    return bad(field,
               "expected one (IPv4 or IPv6) CIDR or two CIDRs from each family for dual-stack "
               "networking");
  }
  if (ranges.size() > 1) return bad(field, "only one CIDR allowed for single-stack networking");
  const std::string wanted = family == IpFamily::kV6 ? "IPv6" : "IPv4";
  if (ranges[0].v6() == (family == IpFamily::kV6)) return Status();
  return bad(field, "expected " + wanted + " CIDR for " + wanted + " family");
}

Result<IpFamily> parse_family(const std::string& text) {
  if (text == "ipv4" || text.empty()) return IpFamily::kV4;
  if (text == "ipv6") return IpFamily::kV6;
  if (text == "dual") return IpFamily::kDual;
  return bad("networking.ipFamily", "invalid ipFamily: " + text);
}

Status parse_networking(const Value& v, ClusterConfig* c) {
  TRY(check_fields(v, "networking",
                   {"podSubnet", "serviceSubnet", "apiServerPort", "apiServerAddress",
                    "disableDefaultCNI", "ipFamily", "kubeProxyMode"},
                   {"dnsSearch"}, &c->warnings));
  TRY_ASSIGN(family_name, text(v, "ipFamily", "networking.", "ipv4"));
  TRY_ASSIGN(family, parse_family(family_name));
  c->family = family;
  if (family == IpFamily::kV6) {
    c->pod_subnet = kPodsV6;
    c->service_subnet = kServicesV6;
  } else if (family == IpFamily::kDual) {
    c->pod_subnet += std::string(",") + kPodsV6;
    c->service_subnet += std::string(",") + kServicesV6;
  }
  TRY_ASSIGN(pods, text(v, "podSubnet", "networking.", c->pod_subnet));
  TRY_ASSIGN(services, text(v, "serviceSubnet", "networking.", c->service_subnet));
  TRY_ASSIGN(address, text(v, "apiServerAddress", "networking.", ""));
  TRY_ASSIGN(proxy, text(v, "kubeProxyMode", "networking.", "nftables"));
  TRY_ASSIGN(api_port, port(v, "apiServerPort", "networking."));
  TRY(check_subnet("networking.podSubnet", pods, family));
  TRY(check_subnet("networking.serviceSubnet", services, family));
  if (proxy != "nftables" && proxy != "none" && proxy != "iptables" && proxy != "ipvs")
    return bad("networking.kubeProxyMode", "\"" + proxy + "\" is not a valid mode");
  if (!address.empty() && !IpAddress::parse(address))
    return bad("networking.apiServerAddress", "\"" + address + "\" is not an IP address");
  c->pod_subnet = pods;
  c->service_subnet = services;
  c->api_server_address = address;
  c->api_server_port = api_port;
  c->disable_default_cni = v["disableDefaultCNI"].as_bool();
  return Status();
}

Status apply_patches(const std::vector<std::string>& patches, const std::string& path,
                     const std::vector<NodeConfig*>& nodes, ClusterConfig* c) {
  for (size_t i = 0; i < patches.size(); ++i)
    TRY(apply_kubeadm_patch(patches[i], path + "[" + std::to_string(i) + "]", nodes, c));
  return Status();
}

Status check_header(const Value& v) {
  auto kind = v["kind"].as_string(), version = v["apiVersion"].as_string();
  if (kind != "Cluster")
    return bad("kind", "unknown kind \"" + std::string(kind) + "\", expected \"Cluster\"");
  if (version != "kind.x-k8s.io/v1alpha4")
    return bad("apiVersion", "unknown apiVersion \"" + std::string(version) +
                                 "\", expected \"kind.x-k8s.io/v1alpha4\"");
  return Status();
}

}  // namespace

Status check_cluster_name(std::string_view name) {
  bool ok = !name.empty() && name.size() <= 50 && name[0] != '.' && name[0] != '-';
  for (char c : name)
    ok = ok && ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-');
  if (ok) return Status();
  return Status::bad_request("'" + std::string(name) +
                             "' is not a valid cluster name, cluster names must match "
                             "`^[a-z0-9][a-z0-9.-]{0,49}$`");
}

Result<ClusterConfig> parse_cluster_config(std::string_view yaml) {
  ClusterConfig c;
  if (!yaml.empty()) {
    TRY_ASSIGN(doc, parse_yaml(yaml));
    const Value& v = doc.root;
    TRY(check_header(v));
    TRY(check_fields(v, "",
                     {"kind", "apiVersion", "name", "nodes", "networking", "kubeadmConfigPatches",
                      "containerdConfigPatches"},
                     {"featureGates", "runtimeConfig", "kubeadmConfigPatchesJSON6902",
                      "containerdConfigPatchesJSON6902"},
                     &c.warnings));
    TRY_ASSIGN(name, text(v, "name", "", "kind"));
    c.name = name;
    if (!v["nodes"].is_null() && !v["nodes"].is_list()) return bad("nodes", "must be a list");
    TRY_ASSIGN(as_written, parse_yaml(yaml, {.scalars_as_text = true}));
    for (size_t i = 0; i < v["nodes"].size(); ++i) {
      std::string path = "nodes[" + std::to_string(i) + "]";
      TRY_ASSIGN(n,
                 parse_node(v["nodes"].at(i), as_written.root["nodes"].at(i), path, &c.warnings));
      n.joins = n.role != "control-plane" || c.control_planes() > 0;
      TRY_ASSIGN(patches,
                 texts(v["nodes"].at(i)["kubeadmConfigPatches"], path + ".kubeadmConfigPatches"));
      TRY(apply_patches(patches, path + ".kubeadmConfigPatches", {&n}, &c));
      c.nodes.push_back(n);
    }
    if (c.nodes.empty()) c.nodes.emplace_back();
    std::vector<NodeConfig*> all;
    for (NodeConfig& n : c.nodes) all.push_back(&n);
    TRY_ASSIGN(patches, texts(v["kubeadmConfigPatches"], "kubeadmConfigPatches"));
    TRY(apply_patches(patches, "kubeadmConfigPatches", all, &c));
    TRY_ASSIGN(toml, texts(v["containerdConfigPatches"], "containerdConfigPatches"));
    for (size_t i = 0; i < toml.size(); ++i) {
      auto parsed = Toml::parse(toml[i]);
      if (!parsed.ok()) {
        return bad("containerdConfigPatches[" + std::to_string(i) + "]", parsed.status().message());
      }
    }
    c.containerd_patches = std::move(toml);
    TRY(parse_networking(v["networking"], &c));
  }
  if (c.nodes.empty()) c.nodes.emplace_back();
  std::stable_sort(c.nodes.begin(), c.nodes.end(), [](const NodeConfig& a, const NodeConfig& b) {
    return a.role < b.role;  // "control-plane" < "worker"
  });
  if (c.control_planes() == 0) return bad("nodes", "must have at least one control-plane node");
  return c;
}

size_t ClusterConfig::control_planes() const {
  return static_cast<size_t>(std::count_if(
      nodes.begin(), nodes.end(), [](const NodeConfig& n) { return n.role == "control-plane"; }));
}

std::string cluster_dns(std::string_view service_subnet) {
  auto range = IpPrefix::parse(service_subnet.substr(0, service_subnet.find(',')));
  auto ip = range ? range->nth(10) : std::nullopt;
  return ip ? ip->text() : "";
}

std::vector<IpPrefix> subnets_of(std::string_view list) {
  std::vector<IpPrefix> out;
  for (std::string_view one : split_list(list))
    if (auto range = IpPrefix::parse(one)) out.push_back(*range);
  return out;
}

std::vector<std::string> node_names(const ClusterConfig& config) {
  std::vector<std::string> out;
  std::map<std::string, int> seen;
  for (const NodeConfig& n : config.nodes) {
    int count = ++seen[n.role];
    out.push_back(config.name + "-" + n.role + (count > 1 ? std::to_string(count) : ""));
  }
  return out;
}

}  // namespace keles::kind
