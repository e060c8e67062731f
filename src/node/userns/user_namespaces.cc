#include "node/userns/user_namespaces.h"

#include <pwd.h>

#include <algorithm>
#include <charconv>

#include "base/file.h"
#include "base/log.h"
#include "machinery/codec_json.h"

namespace keles::node {
namespace {

constexpr size_t kMaxFile = 64 << 10;

bool read_number(std::string_view text, uint32_t* out) {
  auto r = std::from_chars(text.data(), text.data() + text.size(), *out);
  return r.ec == std::errc() && r.ptr == text.data() + text.size();
}

// One of "uidMappings", "gidMappings".
Result<cri::IdMapping> only_mapping(const Value& list) {
  if (!list.is_list() || list.items().size() != 1)
    return Status::bad_request("there is not one mapping");
  cri::IdMapping out;
  const Value& v = list.items()[0];
  struct Field {
    const char* name;
    uint32_t* to;
  };
  for (const Field& f : {Field{"hostId", &out.host_id}, Field{"containerId", &out.container_id},
                         Field{"length", &out.length}}) {
    const Value& n = v[f.name];
    if (!n.is_int() || n.as_int() < 0 || n.as_int() > UINT32_MAX)
      return Status::bad_request(std::string(f.name) + " is not an id");
    *f.to = static_cast<uint32_t>(n.as_int());
  }
  return out;
}

}  // namespace

Result<UserIdRange> parse_sub_ids(std::string_view text, std::string_view name) {
  UserIdRange out;
  bool found = false;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const size_t first = line.find(':'), last = line.rfind(':');
    if (first == line.npos || line.substr(0, first) != name) continue;
    if (found) return Status::bad_request("only one range of ids can be used");
    found = true;
    if (last == first || !read_number(line.substr(first + 1, last - first - 1), &out.first) ||
        !read_number(line.substr(last + 1), &out.length))
      return Status::bad_request("\"" + std::string(line) + "\" is not a range of ids");
  }
  if (!found) return Status(Reason::kNotFound, "no ids are for the user " + std::string(name));
  return out;
}

Result<UserIdRange> node_user_ids(uint32_t ids_per_pod, int64_t max_pods) {
  constexpr const char* kUser = "kubelet";
  if (!getpwnam(kUser))
    return UserIdRange{ids_per_pod, ids_per_pod * static_cast<uint32_t>(max_pods)};
  TRY_ASSIGN(users, read_file("/etc/subuid", kMaxFile));
  TRY_ASSIGN(groups, read_file("/etc/subgid", kMaxFile));
  TRY_ASSIGN(uids, parse_sub_ids(users, kUser));
  TRY_ASSIGN(gids, parse_sub_ids(groups, kUser));
  if (uids.first != gids.first || uids.length != gids.length)
    return Status::bad_request("the user kubelet has other ids in /etc/subuid than in /etc/subgid");
  return uids;
}

Result<cri::IdMapping> parse_user_mappings(std::string_view json) {
  TRY_ASSIGN(doc, parse_json(json));
  TRY_ASSIGN(users, only_mapping(doc.root["uidMappings"]));
  TRY_ASSIGN(groups, only_mapping(doc.root["gidMappings"]));
  if (!(users == groups)) return Status::bad_request("users and groups are mapped differently");
  if (users.container_id != 0) return Status::bad_request("the id 0 is not mapped");
  return users;
}

std::string user_mappings_text(const cri::IdMapping& m) {
  const std::string one = "[{\"hostId\":" + std::to_string(m.host_id) +
                          ",\"containerId\":" + std::to_string(m.container_id) +
                          ",\"length\":" + std::to_string(m.length) + "}]";
  return "{\"uidMappings\":" + one + ",\"gidMappings\":" + one + "}";
}

Status UserNamespaces::check(UserIdRange all, uint32_t ids_per_pod, int64_t max_pods) {
  auto wrong = [&](const std::string& what) {
    return Status::bad_request("user namespaces: " + what);
  };
  const std::string each = std::to_string(ids_per_pod);
  if (ids_per_pod == 0 || ids_per_pod % kIdsPerPod != 0)
    return wrong(each + " ids a pod are not a multiple of 65536");
  if (all.first % ids_per_pod != 0)
    return wrong("the first id " + std::to_string(all.first) + " is not a multiple of " + each);
  if (all.first < ids_per_pod)
    return wrong("the first id " + std::to_string(all.first) + " must be " + each + " or more");
  if (all.length % ids_per_pod != 0)
    return wrong(std::to_string(all.length) + " ids are not a multiple of " + each);
  if (all.length / ids_per_pod < static_cast<uint64_t>(max_pods))
    return wrong("there are not enough ids for " + std::to_string(max_pods) + " pods");
  return {};
}

Status UserNamespaces::load() {
  auto pods = list_directory(root_ + "/pods");
  if (!pods.ok()) return {};  // there were none
  for (const std::string& uid : *pods) {
    auto text = read_file(file(uid), kMaxFile);
    if (!text.ok() || text->empty()) continue;
    auto mapping = parse_user_mappings(*text);
    Status s = mapping.ok() ? record(uid, *mapping) : mapping.status();
    if (!s.ok()) return s.with_prefix("the user namespace of the pod " + uid);
  }
  return {};
}

Status UserNamespaces::record(const std::string& uid, const cri::IdMapping& m) {
  const uint64_t end = uint64_t{m.host_id} + m.length, last = uint64_t{all_.first} + all_.length;
  if (m.length != ids_per_pod_) return Status::bad_request("it has another length");
  if (m.host_id % ids_per_pod_ != 0 || m.host_id < all_.first || end > last)
    return Status::bad_request("the id " + std::to_string(m.host_id) + " is out of range");
  if (!used_.insert(m.host_id).second) return Status::bad_request("it is another pod's too");
  by_pod_[uid] = m.host_id;
  return {};
}

Result<UserNamespaces::Given> UserNamespaces::give(const std::string& uid) {
  Given out;
  out.mapping.length = ids_per_pod_;
  auto known = by_pod_.find(uid);
  if (known != by_pod_.end()) {
    out.mapping.host_id = known->second;
    return Result<Given>(std::move(out));
  }
  const uint32_t ranges = all_.length / ids_per_pod_;
  for (uint32_t i = 0; i < ranges; ++i) {
    const uint32_t first = all_.first + i * ids_per_pod_;
    if (used_.contains(first)) continue;
    out.mapping.host_id = first;
    used_.insert(first);
    by_pod_[uid] = first;
    out.keep = [path = file(uid), text = user_mappings_text(out.mapping)] {
      TRY(make_directories(path.substr(0, path.rfind('/')), 0750));
      return write_file(path, text, 0600, true);
    };
    return Result<Given>(std::move(out));
  }
  return Status(Reason::kUnknown,
                "create user namespace: could not find an empty slot to allocate a user namespace");
}

void UserNamespaces::release(const std::string& uid) {
  auto it = by_pod_.find(uid);
  if (it == by_pod_.end()) return;
  used_.erase(it->second);
  by_pod_.erase(it);
}

}  // namespace keles::node
