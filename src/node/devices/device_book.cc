#include "node/devices/device_book.h"

#include <algorithm>
#include <charconv>

#include "api/deviceplugin_v1beta1.h"
#include "base/encoding.h"
#include "base/list_text.h"
#include "machinery/codec_json.h"
#include "machinery/codec_protobuf.h"
#include "node/topology/checkpoint.h"

namespace keles::node {

namespace v1beta1 = api::deviceplugin_v1beta1;

namespace {

DeviceIds minus(const DeviceIds& a, const DeviceIds& b) {
  DeviceIds out;
  std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::inserter(out, out.end()));
  return out;
}

bool any_in(const std::vector<int64_t>& nodes, NumaMask mask) {
  return std::any_of(nodes.begin(), nodes.end(),
                     [&](int64_t n) { return n >= 0 && n < 64 && mask.has(static_cast<int>(n)); });
}

std::string list_text(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (const std::string& s : texts) {
    if (out.size() > 1) out += ',';
    write_json_string(out, s);
  }
  return out + "]";
}

std::vector<std::string> sorted(const DeviceIds& ids) { return {ids.begin(), ids.end()}; }

}  // namespace

Result<DeviceGrant> read_grant(std::string bytes) {
  TRY_ASSIGN(tree, decode_protobuf(v1beta1::ContainerAllocateResponse::descriptor(), bytes));
  const v1beta1::ContainerAllocateResponse r(tree.root);
  DeviceGrant out;
  for (auto [name, value] : r.envs()) out.extras.env.emplace_back(name, value);
  for (v1beta1::Mount m : r.mounts()) {
    cri::Mount mount;
    mount.container_path = m.container_path();
    mount.host_path = m.host_path();
    mount.readonly = m.read_only();
    out.extras.mounts.push_back(std::move(mount));
  }
  for (v1beta1::DeviceSpec d : r.devices()) {
    cri::Device device;
    device.container_path = d.container_path();
    device.host_path = d.host_path();
    device.permissions = d.permissions();
    out.extras.devices.push_back(std::move(device));
  }
  for (auto [key, value] : r.annotations())
    out.extras.annotations.emplace(std::string(key), std::string(value));
  for (v1beta1::CDIDevice d : r.cdi_devices()) out.extras.cdi_devices.emplace_back(d.name());
  out.bytes = std::move(bytes);
  return out;
}

DeviceIds GivenDevices::ids() const {
  DeviceIds out;
  for (const auto& [node, ids] : by_node) out.insert(ids.begin(), ids.end());
  return out;
}

std::set<std::string> DeviceBook::offer(const std::string& resource, Offered devices) {
  std::set<std::string> changed;
  Offered& before = offered_[resource];
  for (const auto& [uid, containers] : pods_) {
    for (const auto& [name, resources] : containers) {
      auto given = resources.find(resource);
      if (given == resources.end()) continue;
      for (const std::string& id : given->second.ids()) {
        auto was = before.find(id), is = devices.find(id);
        const bool same =
            was != before.end() && is != devices.end() && was->second.healthy == is->second.healthy;
        if (is != devices.end() && !same) changed.insert(uid);
      }
    }
  }
  before = std::move(devices);
  return changed;
}

void DeviceBook::lose(const std::string& resource) {
  auto it = offered_.find(resource);
  if (it == offered_.end()) return;
  for (auto& [id, device] : it->second) device.healthy = false;
}

void DeviceBook::forget(const std::string& resource) { offered_.erase(resource); }

bool DeviceBook::known(const std::string& resource) const {
  return offered_.contains(resource) || in_use_.contains(resource);
}

const DeviceBook::Offered& DeviceBook::offered(const std::string& resource) const {
  static const Offered kNone;
  auto it = offered_.find(resource);
  return it == offered_.end() ? kNone : it->second;
}

DeviceIds DeviceBook::healthy(const std::string& resource) const {
  DeviceIds out;
  for (const auto& [id, device] : offered(resource))
    if (device.healthy) out.insert(id);
  return out;
}

int DeviceBook::count(const std::string& resource, bool healthy_only) const {
  const Offered& all = offered(resource);
  return static_cast<int>(healthy_only ? healthy(resource).size() : all.size());
}

std::set<std::string> DeviceBook::resources() const {
  std::set<std::string> out;
  for (const auto& [resource, devices] : offered_) out.insert(resource);
  return out;
}

const DeviceBook::Container* DeviceBook::of(const std::string& pod,
                                            const std::string& container) const {
  auto p = pods_.find(pod);
  if (p == pods_.end()) return nullptr;
  auto c = p->second.find(container);
  return c == p->second.end() ? nullptr : &c->second;
}

const GivenDevices* DeviceBook::of(const std::string& pod, const std::string& container,
                                   const std::string& resource) const {
  const Container* c = of(pod, container);
  if (!c) return nullptr;
  auto r = c->find(resource);
  return r == c->end() ? nullptr : &r->second;
}

void DeviceBook::mark(const std::string& resource, const DeviceIds& ids) {
  in_use_[resource].insert(ids.begin(), ids.end());
}

void DeviceBook::recount() {
  in_use_.clear();
  for (const auto& [uid, containers] : pods_)
    for (const auto& [name, resources] : containers)
      for (const auto& [resource, given] : resources) mark(resource, given.ids());
}

void DeviceBook::give(const std::string& pod, const std::string& container,
                      const std::string& resource, const DeviceIds& ids, DeviceGrant grant) {
  GivenDevices given;
  given.grant = std::move(grant);
  const Offered& all = offered(resource);
  for (const std::string& id : ids) {
    auto device = all.find(id);
    if (device == all.end() || device->second.nodes.empty()) {
      given.by_node[GivenDevices::kNowhere].push_back(id);
      continue;
    }
    for (int64_t node : device->second.nodes) given.by_node[node].push_back(id);
  }
  pods_[pod][container][resource] = std::move(given);
  mark(resource, ids);
}

void DeviceBook::take_back(const std::string& pod, const std::string& container,
                           const std::string& resource) {
  Pod& containers = pods_[pod];
  Container& own = containers[container];
  own.erase(resource);
  if (own.empty()) containers.erase(container);
  if (containers.empty()) pods_.erase(pod);
  recount();
}

void DeviceBook::drop_pods(const std::set<std::string>& living) {
  const size_t before = pods_.size();
  std::erase_if(pods_, [&](const auto& entry) { return !living.contains(entry.first); });
  if (pods_.size() != before) recount();
}

DeviceIds DeviceBook::in_use(const std::string& resource) const {
  auto it = in_use_.find(resource);
  return it == in_use_.end() ? DeviceIds() : it->second;
}

// --- places ---

bool DeviceBook::has_places(const std::string& resource) const {
  for (const auto& [id, device] : offered(resource))
    if (!device.nodes.empty()) return true;
  return false;
}

DeviceBook::Ranked DeviceBook::rank(const std::string& resource, const DeviceIds& free,
                                    const TopologyHint& hint) const {
  Ranked out;
  if (!hint.affinity || !has_places(resource)) {
    out.nowhere = free;
    return out;
  }
  const Offered& all = offered(resource);
  for (const std::string& id : free) {
    auto device = all.find(id);
    if (device == all.end() || device->second.nodes.empty()) {
      out.nowhere.insert(id);
    } else if (any_in(device->second.nodes, *hint.affinity)) {
      out.near.insert(id);
    } else {
      out.far.insert(id);
    }
  }
  return out;
}

std::vector<TopologyHint> DeviceBook::hints(const std::string& resource, const DeviceIds& free,
                                            const DeviceIds& reusable, int count,
                                            const std::vector<int>& numa_nodes) const {
  const Offered& all = offered(resource);
  // Nodes that this machine does not have are a plug-in's fancy.
  CpuSet with_devices;
  for (const auto& [id, device] : all)
    for (int64_t n : device.nodes)
      if (std::find(numa_nodes.begin(), numa_nodes.end(), n) != numa_nodes.end())
        with_devices.add(static_cast<int>(n));
  const std::vector<int> nodes = with_devices.empty() ? numa_nodes : with_devices.list();
  auto places = [&](const std::string& id) -> const std::vector<int64_t>& {
    static const std::vector<int64_t> kNone;
    auto device = all.find(id);
    return device == all.end() ? kNone : device->second.nodes;
  };
  int smallest = static_cast<int>(nodes.size());
  std::vector<TopologyHint> out;
  for_each_mask(nodes, [&](NumaMask mask) {
    int in_mask = 0, matching = 0;
    for (const auto& [id, device] : all)
      if (any_in(device.nodes, mask)) ++in_mask;
    if (in_mask >= count) smallest = std::min(smallest, mask.count());
    for (const std::string& id : reusable) {
      if (places(id).empty()) continue;
      if (!any_in(places(id), mask)) return;
      ++matching;
    }
    for (const std::string& id : minus(free, reusable))
      if (any_in(places(id), mask)) ++matching;
    if (matching >= count) out.emplace_back(mask, false);
  });
  prefer_smallest(out, smallest);
  return out;
}

// --- the file ---

// As Go's spew prints checkpoint.checkpointData.
std::string DeviceBook::dump() const {
  std::string entries, offered;
  for (const auto& [uid, containers] : pods_) {
    for (const auto& [name, resources] : containers) {
      for (const auto& [resource, given] : resources) {
        std::string ids, bytes;
        for (const auto& [node, list] : given.by_node)
          ids += (ids.empty() ? "" : " ") + std::to_string(node) + ":" + go_list(list);
        for (unsigned char c : given.grant.bytes)
          bytes += (bytes.empty() ? "" : " ") + std::to_string(c);
        entries += (entries.empty() ? "" : " ") + ("{PodUID:(string)" + uid) +
                   " ContainerName:(string)" + name + " ResourceName:(string)" + resource +
                   " DeviceIDs:(checkpoint.DevicesPerNUMA)map[" + ids + "] AllocResp:([]uint8)[" +
                   bytes + "]}";
      }
    }
  }
  for (const auto& [resource, devices] : offered_)
    offered += (offered.empty() ? "" : " ") + resource + ":" + go_list(sorted(healthy(resource)));
  return "(checkpoint.checkpointData){PodDeviceEntries:([]checkpoint.PodDevicesEntry)" +
         (entries.empty() ? "<nil>" : "[" + entries + "]") +
         " RegisteredDevices:(map[string][]string)map[" + offered + "]}";
}

std::string DeviceBook::text() const {
  std::string entries, offered;
  auto quoted = [](std::string_view s) {
    std::string out;
    write_json_string(out, s);
    return out;
  };
  for (const auto& [uid, containers] : pods_) {
    for (const auto& [name, resources] : containers) {
      for (const auto& [resource, given] : resources) {
        std::string ids;
        for (const auto& [node, list] : given.by_node)
          ids += (ids.empty() ? "" : ",") + quoted(std::to_string(node)) + ":" + list_text(list);
        entries += (entries.empty() ? "" : ",") + ("{\"PodUID\":" + quoted(uid)) +
                   ",\"ContainerName\":" + quoted(name) + ",\"ResourceName\":" + quoted(resource) +
                   ",\"DeviceIDs\":{" + ids +
                   "},\"AllocResp\":" + quoted(base64_encode(given.grant.bytes)) + "}";
      }
    }
  }
  for (const auto& [resource, devices] : offered_)
    offered += (offered.empty() ? "" : ",") + quoted(resource) + ":" +
               list_text(sorted(healthy(resource)));
  return "{\"Data\":{\"PodDeviceEntries\":" + (entries.empty() ? "null" : "[" + entries + "]") +
         ",\"RegisteredDevices\":{" + offered +
         "}},\"Checksum\":" + std::to_string(fnv1a_32(dump())) + "}";
}

// The checksum depends on the order of lists, which Go leaves to chance: it is made of them as they
// stand in the text.
Result<DeviceBook> DeviceBook::parse(const std::string& text) {
  auto tree = parse_json(text);
  if (!tree.ok()) return tree.status();
  const Value& data = member(tree->root, "Data");
  DeviceBook out;
  std::string entries, offered;
  auto strings = [](const Value& list) {
    std::vector<std::string> all;
    for (const Value& v : list.items()) all.emplace_back(v.as_string());
    return all;
  };
  for (const Value& e : member(data, "PodDeviceEntries").items()) {
    GivenDevices given;
    for (const Member& m : member(e, "DeviceIDs").members()) {
      int64_t node = 0;
      std::from_chars(m.key().data(), m.key().data() + m.key().size(), node);
      given.by_node[node] = strings(m.value);
    }
    TRY_ASSIGN(bytes, base64_decode(member(e, "AllocResp").as_string()));
    std::string uid(member(e, "PodUID").as_string()), name(member(e, "ContainerName").as_string()),
        resource(member(e, "ResourceName").as_string());
    std::string ids, numbers;
    for (const auto& [node, list] : given.by_node)
      ids += (ids.empty() ? "" : " ") + std::to_string(node) + ":" + go_list(list);
    for (unsigned char c : bytes) numbers += (numbers.empty() ? "" : " ") + std::to_string(c);
    entries += (entries.empty() ? "" : " ") + ("{PodUID:(string)" + uid) +
               " ContainerName:(string)" + name + " ResourceName:(string)" + resource +
               " DeviceIDs:(checkpoint.DevicesPerNUMA)map[" + ids + "] AllocResp:([]uint8)[" +
               numbers + "]}";
    auto grant = read_grant(bytes);
    if (!grant.ok()) continue;
    given.grant = std::move(*grant);
    out.pods_[uid][name][resource] = std::move(given);
  }
  std::map<std::string, std::vector<std::string>> registered;
  for (const Member& m : member(data, "RegisteredDevices").members()) {
    registered[std::string(m.key())] = strings(m.value);
    out.offered_[std::string(m.key())];
  }
  for (const auto& [resource, list] : registered)
    offered += (offered.empty() ? "" : " ") + resource + ":" + go_list(list);
  const std::string dump =
      "(checkpoint.checkpointData){PodDeviceEntries:([]checkpoint.PodDevicesEntry)" +
      (entries.empty() ? "<nil>" : "[" + entries + "]") +
      " RegisteredDevices:(map[string][]string)map[" + offered + "]}";
  TRY(verify_checksum(tree->root, fnv1a_32(dump), false));
  out.recount();
  return out;
}

}  // namespace keles::node
