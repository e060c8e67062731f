#include "kind/node_spec.h"

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <map>

#include "base/encoding.h"
#include "base/file.h"
#include "kind/layout.h"
#include "net/pki.h"

namespace keles::kind {
namespace {

// "a b c" with spaces and backslashes inside a field escaped.
std::string joined(const std::vector<std::string>& fields) {
  std::string out;
  for (const std::string& f : fields) {
    if (!out.empty()) out += ' ';
    for (char c : f) {
      if (c == ' ' || c == '\\') out += '\\';
      out += c;
    }
  }
  return out;
}

std::vector<std::string> split(const std::string& line) {
  std::vector<std::string> out(1);
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '\\' && i + 1 < line.size()) {
      out.back() += line[++i];
    } else if (line[i] == ' ') {
      out.emplace_back();
    } else {
      out.back() += line[i];
    }
  }
  return out;
}

}  // namespace

const NodeSpec& front_of(const std::vector<NodeSpec>& nodes) {
  for (const NodeSpec& n : nodes)
    if (n.role == kLoadBalancerRole) return n;
  return nodes.front();
}

std::string format_node_spec(const NodeSpec& s) {
  std::string out;
  auto add = [&](std::vector<std::string> fields) { out += joined(fields) + "\n"; };
  add({"cluster", s.cluster});
  add({"name", s.name});
  add({"role", s.role});
  add({"number", std::to_string(s.number)});
  add({"address", s.address});
  add({"gateway", s.gateway});
  if (!s.second_address.empty()) {
    add({"second-address", s.second_address});
    add({"second-gateway", s.second_gateway});
  }
  add({"rootfs", s.rootfs});
  add({"binary", s.binary});
  for (const std::string& i : s.images) add({"image", i});
  for (const ExtraMount& m : s.mounts)
    add({"mount", m.host_path, m.container_path, m.read_only ? "ro" : "rw"});
  for (const PortMapping& p : s.ports)
    add({"port", p.listen_address, std::to_string(p.host_port), std::to_string(p.container_port),
         p.udp ? "udp" : "tcp"});
  for (const std::string& patch : s.containerd_patches) add({"containerd", base64_encode(patch)});
  for (const Service& v : s.services) {
    std::vector<std::string> fields{"service", v.name};
    fields.insert(fields.end(), v.argv.begin(), v.argv.end());
    add(fields);
  }
  return out;
}

Result<NodeSpec> parse_node_spec(const std::string& text) {
  NodeSpec s;
  std::map<std::string, std::string*> plain{{"cluster", &s.cluster},
                                            {"name", &s.name},
                                            {"role", &s.role},
                                            {"address", &s.address},
                                            {"gateway", &s.gateway},
                                            {"rootfs", &s.rootfs},
                                            {"binary", &s.binary},
                                            {"second-address", &s.second_address},
                                            {"second-gateway", &s.second_gateway}};
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find('\n', at), text.size());
    auto f = split(text.substr(at, end - at));
    at = end + 1;
    if (f.size() < 2) continue;
    if (auto it = plain.find(f[0]); it != plain.end()) {
      *it->second = f[1];
    } else if (f[0] == "number") {
      s.number = std::atoi(f[1].c_str());
    } else if (f[0] == "image") {
      s.images.push_back(f[1]);
    } else if (f[0] == "mount" && f.size() == 4) {
      s.mounts.push_back({f[1], f[2], f[3] == "ro"});
    } else if (f[0] == "port" && (f.size() == 4 || f.size() == 5)) {
      s.ports.push_back({f[1], static_cast<uint16_t>(std::atoi(f[2].c_str())),
                         static_cast<uint16_t>(std::atoi(f[3].c_str())),
                         f.size() == 5 && f[4] == "udp"});
    } else if (f[0] == "containerd") {
      TRY_ASSIGN(patch, base64_decode(f[1]));
      s.containerd_patches.push_back(std::move(patch));
    } else if (f[0] == "service") {
      s.services.push_back({f[1], {f.begin() + 2, f.end()}});
    } else {
      return Status::internal("node.conf: unknown line \"" + f[0] + "\"");
    }
  }
  if (s.name.empty() || s.rootfs.empty()) return Status::internal("node.conf: no name or rootfs");
  return s;
}

std::string node_spec_path(const std::string& cluster, const std::string& node) {
  return node_directory(cluster, node) + "/node.conf";
}

Result<NodeSpec> load_node_spec(const std::string& cluster, const std::string& node) {
  TRY_ASSIGN(text, read_file(node_spec_path(cluster, node)));
  return parse_node_spec(text);
}

}  // namespace keles::kind
