#include "node/dra/claim_book.h"

#include <algorithm>

#include "base/file.h"
#include "machinery/codec_json.h"
#include "node/topology/checkpoint.h"

namespace keles::node {

namespace {

constexpr const char* kFile = "dra_manager_state";
constexpr const char* kHead =
    "{\"kind\":\"DRACheckpoint\",\"apiVersion\":\"checkpoint.dra.kubelet.k8s.io/v1\","
    "\"ClaimInfoStateList\":[";

std::string quoted(std::string_view s) {
  std::string out;
  write_json_string(out, s);
  return out;
}

// Go writes lists that nobody set as null.
std::string list_text(const std::vector<std::string>& texts) {
  if (texts.empty()) return "null";
  std::string out;
  for (const std::string& s : texts) out += (out.empty() ? "" : ",") + quoted(s);
  return "[" + out + "]";
}

std::string device_text(const ClaimedDevice& d) {
  return "{\"PoolName\":" + quoted(d.pool) + ",\"DeviceName\":" + quoted(d.name) +
         ",\"ShareID\":" + (d.share_id ? quoted(*d.share_id) : "null") +
         ",\"RequestNames\":" + list_text(d.requests) +
         ",\"CDIDeviceIDs\":" + list_text(d.cdi_ids) + "}";
}

std::string claim_text(const PreparedClaim& c) {
  std::string pods, drivers;
  for (const std::string& uid : c.pods) pods += (pods.empty() ? "" : ",") + quoted(uid) + ":{}";
  for (const auto& [driver, devices] : c.drivers) {
    std::string list;
    for (const ClaimedDevice& d : devices) list += (list.empty() ? "" : ",") + device_text(d);
    drivers += (drivers.empty() ? "" : ",") + quoted(driver) +
               ":{\"Devices\":" + (list.empty() ? "null" : "[" + list + "]") + "}";
  }
  return "{\"ClaimUID\":" + quoted(c.uid) + ",\"ClaimName\":" + quoted(c.name) +
         ",\"Namespace\":" + quoted(c.ns) + ",\"PodUIDs\":{" + pods + "},\"DriverState\":{" +
         drivers + "}}";
}

std::vector<std::string> strings(const Value& list) {
  std::vector<std::string> out;
  for (const Value& v : list.items()) out.emplace_back(v.as_string());
  return out;
}

}  // namespace

bool ClaimedDevice::serves(const std::string& request) const {
  return request.empty() || requests.empty() ||
         std::find(requests.begin(), requests.end(), request) != requests.end();
}

std::vector<std::string> PreparedClaim::cdi_ids(const std::string& request) const {
  std::vector<std::string> out;
  for (const auto& [driver, devices] : drivers)
    for (const ClaimedDevice& d : devices)
      if (d.serves(request)) out.insert(out.end(), d.cdi_ids.begin(), d.cdi_ids.end());
  return out;
}

Result<ClaimBook> ClaimBook::open(const std::string& directory) {
  const std::string path = directory + "/" + kFile;
  auto text = read_file(path, kMostCheckpoint);
  ClaimBook out;
  if (text.ok()) {
    auto read = parse(*text);
    if (!read.ok())
      return read.status().with_prefix(
          "create ResourceClaim cache: GetOrCreate() on checkpoint state: " + path);
    out = std::move(*read);
  } else if (!text.status().is(Reason::kNotFound)) {
    return text.status();
  }
  out.path_ = path;
  if (!text.ok()) TRY(out.save());
  return out;
}

Result<ClaimBook> ClaimBook::parse(const std::string& text) {
  auto outer = parse_json(text);
  if (!outer.ok()) return outer.status();
  const std::string_view data = member(outer->root, "Data").as_string();
  TRY(verify_checksum(outer->root, crc32_ieee(data), false));
  auto inner = parse_json(data);
  if (!inner.ok()) return inner.status();
  ClaimBook out;
  for (const Value& v : member(inner->root, "ClaimInfoStateList").items()) {
    PreparedClaim c;
    c.uid = member(v, "ClaimUID").as_string();
    c.name = member(v, "ClaimName").as_string();
    c.ns = member(v, "Namespace").as_string();
    for (const Member& m : member(v, "PodUIDs").members()) c.pods.emplace(m.key());
    for (const Member& m : member(v, "DriverState").members()) {
      auto& devices = c.drivers[std::string(m.key())];
      for (const Value& d : member(m.value, "Devices").items()) {
        ClaimedDevice device;
        device.pool = member(d, "PoolName").as_string();
        device.name = member(d, "DeviceName").as_string();
        const Value& share = member(d, "ShareID");
        if (!share.is_null()) device.share_id = std::string(share.as_string());
        device.requests = strings(member(d, "RequestNames"));
        device.cdi_ids = strings(member(d, "CDIDeviceIDs"));
        devices.push_back(std::move(device));
      }
    }
    (void)out.put(std::move(c));
  }
  return out;
}

std::string ClaimBook::text() const {
  std::string data = kHead;
  bool first = true;
  for (const auto& [key, claim] : claims_) {
    if (!first) data += ',';
    first = false;
    data += claim_text(claim);
  }
  data += "]}";
  return "{\"Data\":" + quoted(data) + ",\"Checksum\":" + std::to_string(crc32_ieee(data)) + "}";
}

PreparedClaim* ClaimBook::find(const std::string& ns, const std::string& name) {
  auto it = claims_.find(ns + "/" + name);
  return it == claims_.end() ? nullptr : &it->second;
}
const PreparedClaim* ClaimBook::find(const std::string& ns, const std::string& name) const {
  auto it = claims_.find(ns + "/" + name);
  return it == claims_.end() ? nullptr : &it->second;
}

PreparedClaim& ClaimBook::put(PreparedClaim claim) {
  std::string key = claim.ns + "/" + claim.name;
  return claims_[key] = std::move(claim);
}

void ClaimBook::remove(const std::string& ns, const std::string& name) {
  claims_.erase(ns + "/" + name);
}

bool ClaimBook::has_pod(const std::string& uid) const {
  for (const auto& [key, claim] : claims_)
    if (claim.pods.contains(uid)) return true;
  return false;
}

Status ClaimBook::save() const {
  if (path_.empty()) return {};
  Status s = write_file(path_, text(), 0600);
  return s.ok() ? s : s.with_prefix("checkpoint ResourceClaim state");
}

}  // namespace keles::node
