// Values as upstream prints its internal structs (checks.h: struct_text): Go's names, nothing left
// out, in the order of the internal types, which is not quite that of the served ones. What comes
// from meta/v1 has JSON names of its own.
#include <algorithm>
#include <cctype>
#include <map>
#include <span>
#include <vector>

#include "base/encoding.h"
#include "machinery/codec_json.h"
#include "server/registry/checks.h"

namespace keles::registry {
namespace {

constexpr std::string_view kCore = "io.k8s.api.core.v1.";

bool is_core(const TypeDesc& type, std::string_view name) {
  return type.name.size() == kCore.size() + name.size() && type.name.starts_with(kCore) &&
         type.name.ends_with(name);
}
bool is_meta(const TypeDesc& type) {
  return type.name.starts_with("io.k8s.apimachinery.pkg.apis.meta.v1.");
}

// Names that follow no rule; those of one type first.
struct OwnName {
  std::string_view type, json, go;
};
constexpr OwnName kOwnNames[] = {{"AzureDiskVolumeSource", "diskURI", "DataDiskURI"},
                                 {"GlusterfsVolumeSource", "endpoints", "EndpointsName"},
                                 {"ISCSIVolumeSource", "chapAuthDiscovery", "DiscoveryCHAPAuth"},
                                 {"ISCSIVolumeSource", "chapAuthSession", "SessionCHAPAuth"},
                                 {"RBDVolumeSource", "monitors", "CephMonitors"},
                                 {"RBDVolumeSource", "image", "RBDImage"},
                                 {"RBDVolumeSource", "pool", "RBDPool"},
                                 {"RBDVolumeSource", "user", "RadosUser"},
                                 {"", "cephfs", "CephFS"},
                                 {"", "cidrs", "CIDRs"},
                                 {"", "storageos", "StorageOS"},
                                 {"", "wwids", "WWIDs"}};

// "clusterIPs" is ClusterIPs, "apiGroup" APIGroup: Go writes initial letters of abbreviations
// alike.
std::string go_name(const TypeDesc& type, std::string_view name) {
  static constexpr std::string_view kAbbreviations[] = {
      "api", "aws",  "ca",   "cel",  "cidr", "csi", "dns", "fc",    "fs",
      "gce", "gmsa", "grpc", "http", "id",   "ip",  "iqn", "iscsi", "nfs",
      "os",  "pd",   "rbd",  "ssl",  "tcp",  "tls", "tty", "uid",   "url"};
  for (const OwnName& n : kOwnNames) {
    if (n.json == name && (n.type.empty() || is_core(type, n.type))) return std::string(n.go);
  }
  if (name.starts_with("seLinux")) return "SE" + std::string(name.substr(2));
  size_t end = 0;
  while (end < name.size() && std::islower(static_cast<unsigned char>(name[end]))) ++end;
  const std::string_view first = name.substr(0, end);
  std::string out(name);
  const bool short_form = std::find(std::begin(kAbbreviations), std::end(kAbbreviations), first) !=
                          std::end(kAbbreviations);
  for (size_t i = 0; i < (short_form ? end : 1) && i < out.size(); ++i) {
    out[i] = static_cast<char>(std::toupper(static_cast<unsigned char>(out[i])));
  }
  return out;
}

// --- the internal types that are laid out otherwise ---

constexpr std::string_view kOfHost[] = {"hostNetwork", "hostPID", "hostIPC",
                                        "shareProcessNamespace", "hostUsers"};

// Fields that stand elsewhere than in the served type: each after the one that it follows ("":
// first), in this order.
struct Moved {
  std::string_view type, field, after;
};
constexpr Moved kMoved[] = {{"PodSpec", "setHostnameAsFQDN", "subdomain"},
                            {"PodSpec", "preemptionPolicy", "priority"},
                            {"PodSpec", "overhead", "runtimeClassName"},
                            {"PodSecurityContext", "fsGroupChangePolicy", "fsGroup"},
                            {"Volume", "quobyte", "rbd"},
                            {"VolumeSource", "quobyte", "rbd"}};

bool is_left_out(const TypeDesc& type, std::string_view field) {
  if (!is_core(type, "PodSpec")) return false;
  return field == "serviceAccount" ||
         std::find(std::begin(kOfHost), std::end(kOfHost), field) != std::end(kOfHost);
}

std::vector<const FieldDesc*> internal_order(const TypeDesc& type) {
  std::vector<const FieldDesc*> out;
  for (const FieldDesc& f : type.fields) {
    if (!is_left_out(type, f.name)) out.push_back(&f);
  }
  for (const Moved& m : kMoved) {
    if (!is_core(type, m.type)) continue;
    auto at = [&](std::string_view name) {
      return std::find_if(out.begin(), out.end(),
                          [&](const FieldDesc* f) { return f->name == name; });
    };
    auto from = at(m.field);
    if (from == out.end()) continue;
    const FieldDesc* field = *from;
    out.erase(from);
    auto before = at(m.after);
    out.insert(before == out.end() ? before : before + 1, field);
  }
  return out;
}

void append_struct(std::string& out, const TypeDesc& type, const Value& v);

void append_scalar(std::string& out, const FieldDesc& f, const Value& v) {
  switch (f.type) {
    case FieldType::kMessage:
      if (v.is_null() && f.pointer) {
        out += "null";
      } else if (is_meta(*f.message)) {
        write_json(out, *f.message, v);
      } else {
        append_struct(out, *f.message, v);
      }
      return;
    case FieldType::kString:
      if (v.is_null()) {
        out += f.pointer ? "null" : "\"\"";
      } else {
        write_json_string(out, v.as_string());
      }
      return;
    case FieldType::kQuantity:
      out += v.is_null() ? (f.pointer ? "null" : "\"0\"") : quoted(v.as_string());
      return;
    case FieldType::kBool:
      out += v.is_null() && f.pointer ? "null" : v.as_bool() ? "true" : "false";
      return;
    case FieldType::kIntOrString:
      out += v.is_string()              ? quoted(v.as_string())
             : v.is_null() && f.pointer ? "null"
                                        : std::to_string(v.as_int());
      return;
    case FieldType::kInt32:
    case FieldType::kInt64:
    case FieldType::kUint32:
    case FieldType::kUint64:
      out += v.is_null() && f.pointer ? "null" : std::to_string(v.as_int());
      return;
    default:
      out += v.is_null() ? "null" : value_text(v);
  }
}

void append_field(std::string& out, const FieldDesc& f, const Value& v) {
  if (f.cardinality == Cardinality::kSingle) return append_scalar(out, f, v);
  if (v.is_null() || v.empty()) {
    out += "null";
    return;
  }
  const bool list = f.cardinality == Cardinality::kList;
  FieldDesc one = f;
  one.pointer = false;
  out += list ? '[' : '{';
  bool first = true;
  auto next = [&] {
    if (!first) out += ',';
    first = false;
  };
  if (list) {
    for (const Value& item : v.items()) next(), append_scalar(out, one, item);
  } else {
    std::map<std::string_view, const Value*> sorted;
    for (const Member& m : v.members()) sorted[m.key()] = &m.value;
    for (const auto& [key, value] : sorted) {
      next();
      write_json_string(out, key);
      out += ':';
      append_scalar(out, one, *value);
    }
  }
  out += list ? ']' : '}';
}

// `first`: members that come before its own.
void append_members(std::string& out, const TypeDesc& type, const Value& v, std::string first,
                    const Value* pod) {
  out += '{' + first;
  bool any = !first.empty();
  for (const FieldDesc* f : internal_order(type)) {
    if (any) out += ',';
    any = true;
    out += quoted(go_name(type, f->name)) + ":";
    if (pod && f->name == "securityContext") {
      std::string host;
      for (std::string_view name : kOfHost) {
        const FieldDesc* h = type.find(name);
        if (!host.empty()) host += ',';
        host += quoted(go_name(type, name)) + ":";
        append_field(host, *h, (*pod)[name]);
      }
      append_members(out, *f->message, v[f->name], std::move(host), nullptr);
      continue;
    }
    append_field(out, *f, v[f->name]);
  }
  out += '}';
}

void append_struct(std::string& out, const TypeDesc& type, const Value& v) {
  if (is_core(type, "PodSpec")) return append_members(out, type, v, "", &v);
  // Go embeds their metadata: its members are theirs.
  const FieldDesc* metadata = type.find("metadata");
  if (!metadata || metadata->type != FieldType::kMessage || !is_meta(*metadata->message)) {
    return append_members(out, type, v, "", nullptr);
  }
  std::string inside;
  write_json(inside, *metadata->message, v["metadata"]);
  out += inside.substr(0, inside.size() - 1);
  for (const FieldDesc* f : internal_order(type)) {
    if (f == metadata) continue;
    if (out.back() != '{') out += ',';
    out += quoted(go_name(type, f->name)) + ":";
    append_field(out, *f, v[f->name]);
  }
  out += '}';
}

}  // namespace

std::string struct_text(const TypeDesc& type, const Value& v) {
  std::string out;
  append_struct(out, type, v);
  return out;
}

}  // namespace keles::registry
