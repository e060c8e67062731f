#include <algorithm>
#include <map>

#include "kubectl/describe.h"
#include "machinery/quantity.h"

namespace keles::kubectl {
namespace {

using Amounts = std::map<std::string, Quantity>;

void add_amounts(Amounts& to, const Value& map) {
  for (const Member& m : map.members()) {
    to[std::string(m.key())].add(Quantity::parse_or_zero(m.value.as_string()));
  }
}

void at_least(Amounts& to, const Amounts& other) {
  for (const auto& [name, amount] : other) {
    auto [it, fresh] = to.try_emplace(name, amount);
    if (!fresh && it->second < amount) it->second = amount;
  }
}

// What a pod asks for ("requests", "limits"): its containers and sidecars together, or what an init
// container needs beside the sidecars before it, whichever is more; then its overhead.
Amounts pod_amounts(const Value& pod, const char* which) {
  const Value& spec = pod["spec"];
  Amounts total, sidecars, most;
  for (const Value& c : spec["containers"].items()) add_amounts(total, c["resources"][which]);
  for (const Value& c : spec["initContainers"].items()) {
    if (c["restartPolicy"].as_string() == "Always") {
      add_amounts(total, c["resources"][which]);
      add_amounts(sidecars, c["resources"][which]);
      at_least(most, sidecars);
    } else {
      Amounts now = sidecars;
      add_amounts(now, c["resources"][which]);
      at_least(most, now);
    }
  }
  at_least(total, most);
  for (const Member& m : spec["resources"][which].members()) {
    total[std::string(m.key())] = Quantity::parse_or_zero(m.value.as_string());
  }
  for (const Member& m : spec["overhead"].members()) {
    bool limits = std::string_view(which) == "limits";
    if (limits && !total.contains(std::string(m.key()))) continue;
    total[std::string(m.key())].add(Quantity::parse_or_zero(m.value.as_string()));
  }
  return total;
}

// "250m (12%)"
std::string share(const Amounts& amounts, const char* name, const Value& allocatable) {
  auto it = amounts.find(name);
  Quantity q = it == amounts.end() ? Quantity() : it->second;
  Quantity all = Quantity::parse_or_zero(allocatable[name].as_string());
  bool cpu = std::string_view(name) == "cpu";
  double part = static_cast<double>(cpu ? q.milli_value() : q.value());
  double whole = static_cast<double>(cpu ? all.milli_value() : all.value());
  int64_t percent = whole == 0 ? 0 : static_cast<int64_t>(part / whole * 100);
  return q.to_string() + " (" + std::to_string(percent) + "%)";
}

void write_pods(const std::vector<Document>& pages, const Value& allocatable, Description& d) {
  std::vector<const Value*> pods;
  for (const Document& page : pages) {
    for (const Value& p : page.root["items"].items()) pods.push_back(&p);
  }
  d.line(0, "Non-terminated Pods:\t(" + std::to_string(pods.size()) + " in total)");
  d.line(1, "Namespace\tName\t\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge");
  d.line(1, "---------\t----\t\t------------\t----------\t---------------\t-------------\t---");
  Amounts requests, limits;
  auto sum = [](Amounts& to, const Amounts& other) {
    for (const auto& [name, amount] : other) to[name].add(amount);
  };
  for (const Value* p : pods) {
    Amounts request = pod_amounts(*p, "requests"), limit = pod_amounts(*p, "limits");
    const Value& meta = (*p)["metadata"];
    d.line(1, str(meta["namespace"]) + "\t" + str(meta["name"]) + "\t\t" +
                  share(request, "cpu", allocatable) + "\t" + share(limit, "cpu", allocatable) +
                  "\t" + share(request, "memory", allocatable) + "\t" +
                  share(limit, "memory", allocatable) + "\t" + age_of(meta["creationTimestamp"]));
    sum(requests, request);
    sum(limits, limit);
  }
  d.line(0, "Allocated resources:");
  d.line(1, "(Total limits may be over 100 percent, i.e., overcommitted.)");
  d.line(1, "Resource\tRequests\tLimits");
  d.line(1, "--------\t--------\t------");
  auto row = [&](const char* name) {
    d.line(1, std::string(name) + "\t" + share(requests, name, allocatable) + "\t" +
                  share(limits, name, allocatable));
  };
  for (const char* name : {"cpu", "memory", "ephemeral-storage"}) row(name);
  std::vector<std::string> keys = sorted_keys(allocatable), extended;
  for (const std::string& key : keys) {
    if (key.starts_with("hugepages-")) {
      row(key.c_str());
    } else if (key != "cpu" && key != "memory" && key != "ephemeral-storage" && key != "pods") {
      extended.push_back(key);
    }
  }
  for (const std::string& key : extended) {
    d.line(1, key + "\t" + requests[key].to_string() + "\t" + limits[key].to_string());
  }
}

std::string roles_of(const Value& labels) {
  constexpr std::string_view kPrefix = "node-role.kubernetes.io/";
  std::vector<std::string> roles;
  for (const Member& m : labels.members()) {
    if (m.key().starts_with(kPrefix) && m.key().size() > kPrefix.size()) {
      roles.emplace_back(m.key().substr(kPrefix.size()));
    } else if (m.key() == "kubernetes.io/role" && !m.value.as_string().empty()) {
      roles.emplace_back(m.value.as_string());
    }
  }
  std::sort(roles.begin(), roles.end());
  roles.erase(std::unique(roles.begin(), roles.end()), roles.end());
  std::string out;
  for (const std::string& r : roles) out += (out.empty() ? "" : ",") + r;
  return out.empty() ? "<none>" : out;
}

void write_taints(const Value& taints, Description& d) {
  std::vector<std::pair<std::string, std::string>> lines;
  for (const Value& t : taints.items()) {
    std::string value = str(t["value"]);
    std::string text = str(t["key"]) + (value.empty() ? "" : "=" + value) + ":" + str(t["effect"]);
    lines.emplace_back(str(t["effect"]) + "," + str(t["key"]), text);
  }
  std::sort(lines.begin(), lines.end());
  std::string head = "Taints:\t";
  for (const auto& [key, text] : lines) {
    d.line(0, head + text);
    head = "\t";
  }
  if (lines.empty()) d.line(0, head + "<none>");
}

void write_lease(const PageContext& c, const std::string& name, Description& d) {
  Result<const Resource*> leases = c.mapper.find("leases");
  if (!leases.ok()) return;
  Result<Document> lease = c.session.call(Call("GET", (*leases)->path("kube-node-lease", name)));
  if (!lease.ok()) {
    d.line(0, "Lease:\tFailed to get lease: " + lease.status().message());
    return;
  }
  const Value& spec = lease->root["spec"];
  auto time = [](const Value& v) { return v.is_null() ? "<unset>" : local_time(v); };
  d.line(0, "Lease:");
  d.line(1, "HolderIdentity:\t" + str_or(spec["holderIdentity"], "<unset>"));
  d.line(1, "AcquireTime:\t" + time(spec["acquireTime"]));
  d.line(1, "RenewTime:\t" + time(spec["renewTime"]));
}

}  // namespace

void describe_node(const PageContext& c, const Value& o, Description& d) {
  const Value &meta = o["metadata"], &spec = o["spec"], &status = o["status"];
  std::string name = str(meta["name"]);
  d.line(0, "Name:\t" + name);
  d.line(0, "Roles:\t" + roles_of(meta["labels"]));
  d.labels("Labels", meta["labels"]);
  d.annotations("Annotations", meta["annotations"]);
  d.line(0, "CreationTimestamp:\t" + local_time(meta["creationTimestamp"]));
  write_taints(spec["taints"], d);
  d.line(0, std::string("Unschedulable:\t") + (spec["unschedulable"].as_bool() ? "true" : "false"));
  write_lease(c, name, d);
  if (!status["conditions"].empty()) {
    d.line(0, "Conditions:");
    d.line(1, "Type\tStatus\tLastHeartbeatTime\tLastTransitionTime\tReason\tMessage");
    d.line(1, "----\t------\t-----------------\t------------------\t------\t-------");
    for (const Value& one : status["conditions"].items()) {
      d.line(1, str(one["type"]) + " \t" + str(one["status"]) + " \t" +
                    local_time(one["lastHeartbeatTime"]) + " \t" +
                    local_time(one["lastTransitionTime"]) + " \t" + str(one["reason"]) + " \t" +
                    str(one["message"]));
    }
  }
  d.line(0, "Addresses:");
  for (const Value& a : status["addresses"].items()) {
    d.line(1, str(a["type"]) + ":\t" + str(a["address"]));
  }
  for (const char* which : {"capacity", "allocatable"}) {
    if (status[which].empty()) continue;
    d.line(0, which[0] == 'c' ? "Capacity:" : "Allocatable:");
    for (const std::string& key : sorted_keys(status[which])) {
      d.line(1, key + ":\t" + str(status[which][key]));
    }
  }
  const Value& info = status["nodeInfo"];
  d.line(0, "System Info:");
  for (const auto& [title, field] :
       {std::pair("Machine ID", "machineID"), std::pair("System UUID", "systemUUID"),
        std::pair("Boot ID", "bootID"), std::pair("Kernel Version", "kernelVersion"),
        std::pair("OS Image", "osImage"), std::pair("Operating System", "operatingSystem"),
        std::pair("Architecture", "architecture"),
        std::pair("Container Runtime Version", "containerRuntimeVersion"),
        std::pair("Kubelet Version", "kubeletVersion")}) {
    d.line(1, std::string(title) + ":\t" + str(info[field]));
  }
  if (!str(spec["podCIDR"]).empty()) d.line(0, "PodCIDR:\t" + str(spec["podCIDR"]));
  if (!spec["podCIDRs"].empty()) d.line(0, "PodCIDRs:\t" + join(spec["podCIDRs"], ","));
  if (!str(spec["providerID"]).empty()) d.line(0, "ProviderID:\t" + str(spec["providerID"]));
  std::vector<Document> pods = c.list(
      "pods", "", "", "spec.nodeName=" + name + ",status.phase!=Succeeded,status.phase!=Failed");
  const Value& allocatable =
      status["allocatable"].empty() ? status["capacity"] : status["allocatable"];
  if (pods.empty()) {
    d.line(0, "Pods:\tnot authorized");
  } else {
    write_pods(pods, allocatable, d);
  }
}

}  // namespace keles::kubectl
