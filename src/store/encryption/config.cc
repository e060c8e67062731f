#include "store/encryption/config.h"

#include <algorithm>
#include <set>

#include "api/apiserverconfig_v1.h"
#include "base/encoding.h"
#include "machinery/time.h"
#include "machinery/validation.h"

namespace keles::encryption {
namespace {

namespace v1 = api::apiserverconfig_v1;
const ConfigKind kKind{"apiserver.config.k8s.io/v1", "EncryptionConfiguration"};
constexpr std::string_view kRedacted = "REDACTED";

GroupResource parse_group_resource(std::string_view text) {
  const size_t dot = text.find('.');
  if (dot == std::string_view::npos) return {"", std::string(text)};
  return {std::string(text.substr(dot + 1)), std::string(text.substr(0, dot))};
}

// As it is written in a configuration.
std::string shown(const GroupResource& r) {
  return r.resource + (r.group.empty() ? (r.resource == "*" ? "." : "") : "." + r.group);
}

const char* wrong_name(std::string_view text) {
  if (std::any_of(text.begin(), text.end(), [](char c) { return c >= 'A' && c <= 'Z'; })) {
    return "resource name should not contain capital letters";
  }
  if (text == "*") {
    return "use '*.' to encrypt all the resources from core API group or *.* to encrypt all "
           "resources";
  }
  if (text == "apiserveripinfo" || text == "serviceipallocations" ||
      text == "servicenodeportallocations") {
    return "resources which do not have REST API/s cannot be encrypted";
  }
  const GroupResource r = parse_group_resource(text);
  if (r.group == "events.k8s.io") {
    return "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use "
           "'events' instead in the config file";
  }
  if (r.group == "extensions") {
    return "'extensions' group has been removed and cannot be used for encryption";
  }
  if (r.group == "*" && r.resource != "*") {
    return "encrypting the same resource across groups is not supported";
  }
  return nullptr;
}

void check_overlap(FieldErrors& e, const FieldPath& p, const Value& written,
                   const std::vector<GroupResource>& all) {
  bool twice = false, overlap = false;
  for (size_t i = 0; i < all.size(); ++i) {
    for (size_t j = i + 1; j < all.size(); ++j) {
      const GroupResource &a = all[i], &b = all[j];
      if (a == b) {
        twice = true;
      } else if (a == GroupResource{"*", "*"} || b == GroupResource{"*", "*"} ||
                 (a.group == b.group && (a.resource == "*" || b.resource == "*"))) {
        overlap = true;
      }
    }
  }
  if (twice) field::invalid(e, p, written, "the same resource cannot be specified multiple times");
  if (overlap) {
    field::invalid(e, p, written,
                   "using overlapping resources such as 'secrets' and '*.' in the same resource "
                   "list is not allowed as they will be masked");
  }
}

std::vector<Key> read_keys(FieldErrors& e, const FieldPath& p, const List<v1::Key>& keys,
                           std::vector<size_t> lengths) {
  std::vector<Key> out;
  if (keys.empty()) field::required(e, p, "at least one keys is required");
  for (const v1::Key& k : keys) {
    const FieldPath here = p[out.size()];
    out.push_back({std::string(k.name()), ""});
    if (k.name().empty()) field::required(e, here["name"], "name is a mandatory field for a key");
    if (k.secret().empty()) {
      field::required(e, here["secret"], "secret is a mandatory field for a key");
      continue;
    }
    auto secret = base64_decode(k.secret());
    if (!secret.ok()) {
      field::invalid(e, here["secret"], kRedacted, "secrets must be base64 encoded");
      continue;
    }
    if (std::find(lengths.begin(), lengths.end(), secret->size()) == lengths.end()) {
      std::string wanted;
      for (size_t n : lengths) wanted += (wanted.empty() ? "" : " ") + std::to_string(n);
      field::invalid(e, here["secret"], kRedacted,
                     "secret is not of the expected length, got " + std::to_string(secret->size()) +
                         ", expected one of [" + wanted + "]");
    }
    out.back().secret = std::move(*secret);
  }
  return out;
}

void read_kms(FieldErrors& e, const FieldPath& p, const v1::KMSConfiguration& kms,
              std::set<std::string>& names, ProviderConfig& out) {
  out.name = kms.name();
  const std::string_view version = kms.api_version();
  if (out.name.empty()) {
    field::required(e, p["name"], "name is a mandatory field for a provider");
  } else if (out.name.find(':') != std::string::npos) {
    field::invalid(e, p["name"], out.name,
                   "invalid KMS provider name " + out.name + ", must not contain ':'");
  }
  if (!names.insert(out.name).second) {
    field::invalid(e, p["name"], out.name,
                   "duplicate KMS provider name " + out.name + ", names must be unique");
  }
  auto timeout = parse_duration(kms.timeout());
  if (!timeout.ok() || *timeout <= Duration()) {
    field::invalid(e, p["timeout"], kms.timeout(), "timeout should be a positive value");
  } else {
    out.timeout = *timeout;
  }
  const std::string endpoint(kms.endpoint());
  constexpr std::string_view kScheme = "unix://";
  if (endpoint.empty()) {
    field::invalid(e, p["endpoint"], "", "endpoint is a mandatory field for a kms");
  } else if (!endpoint.starts_with(kScheme) || endpoint.size() == kScheme.size()) {
    const std::string scheme = endpoint.substr(0, endpoint.find("://"));
    field::invalid(e, p["endpoint"], endpoint,
                   "unsupported scheme " + quoted(scheme == endpoint ? "" : scheme) +
                       " for KMS provider, only unix is supported");
  } else {
    out.socket = endpoint.substr(kScheme.size());
    if (out.socket.starts_with("/@") || out.socket.starts_with("@")) {
      field::invalid(e, p["endpoint"], endpoint, "abstract sockets are not supported");
    }
  }
  if (version == "v1") {
    field::invalid(e, p["apiVersion"], version,
                   "KMSv1 is deprecated and will only receive security updates going forward. Use "
                   "KMSv2 instead");
  } else if (version != "v2") {
    field::invalid(e, p["apiVersion"], version,
                   "unsupported apiVersion apiVersion for KMS provider, only v1 and v2 are "
                   "supported");
  } else if (kms.has_cachesize()) {
    field::invalid(e, p["cachesize"], kms.cachesize(), "cachesize is not supported in v2");
  }
}

ProviderConfig read_provider(FieldErrors& e, const FieldPath& p, const v1::ProviderConfiguration& c,
                             std::set<std::string>& kms_names) {
  using Kind = ProviderConfig::Kind;
  ProviderConfig out;
  const int found =
      c.has_kms() + c.has_aesgcm() + c.has_aescbc() + c.has_secretbox() + c.has_identity();
  if (found != 1) {
    e.push_back({"FieldValueInvalid",
                 found == 0
                     ? "Invalid value: provider does not contain any of the expected providers: "
                       "KMS, AESGCM, AESCBC, Secretbox, Identity"
                     : "Invalid value: more than one provider specified in a single element, "
                       "should split into different list elements",
                 p.text()});
    return out;
  }
  if (c.has_kms()) {
    out.kind = Kind::kKms;
    read_kms(e, p["kms"], c.kms(), kms_names, out);
  } else if (c.has_aesgcm()) {
    out.kind = Kind::kAesGcm;
    out.keys = read_keys(e, p["aesgcm"]["keys"], c.aesgcm().keys(), {16, 24, 32});
  } else if (c.has_aescbc()) {
    out.kind = Kind::kAesCbc;
    out.keys = read_keys(e, p["aescbc"]["keys"], c.aescbc().keys(), {16, 24, 32});
  } else if (c.has_secretbox()) {
    out.kind = Kind::kSecretbox;
    out.keys = read_keys(e, p["secretbox"]["keys"], c.secretbox().keys(), {32});
  }
  return out;
}

// A rule behind one that covers it would never be used.
void check_masked(FieldErrors& e, const FieldPath& p, const GroupResource& r,
                  const std::set<GroupResource>& before) {
  for (const GroupResource& by : {GroupResource{r.group, "*"}, GroupResource{"*", "*"}}) {
    if (!before.contains(by)) continue;
    field::invalid(
        e, p, shown(r),
        "resource " + quoted(shown(r)) + " is masked by earlier rule " + quoted(shown(by)));
    return;
  }
}

}  // namespace

Result<std::vector<ResourceConfig>> read_config(const ConfigFile& file) {
  const v1::EncryptionConfiguration c(file.root());
  FieldErrors e;
  std::vector<ResourceConfig> out;
  std::set<std::string> kms_names;
  std::set<GroupResource> before;
  const FieldPath root("resources");
  if (c.resources().empty()) field::required(e, root, "at least one resources is required");
  for (const v1::ResourceConfiguration& r : c.resources()) {
    const FieldPath here = root[out.size()], list = here["resources"], each = here["providers"];
    ResourceConfig one;
    if (r.resources().empty()) {
      field::required(e, list, "at least one " + list.text() + " is required");
    }
    for (std::string_view text : r.resources()) {
      const FieldPath at = list[one.resources.size()];
      if (const char* why = wrong_name(text)) field::invalid(e, at, text, why);
      one.resources.push_back(parse_group_resource(text));
      check_masked(e, at, one.resources.back(), before);
    }
    check_overlap(e, list, r.resources().value(), one.resources);
    before.insert(one.resources.begin(), one.resources.end());
    if (r.providers().empty()) {
      field::required(e, each, "at least one " + each.text() + " is required");
    }
    for (const v1::ProviderConfiguration& p : r.providers()) {
      one.providers.push_back(read_provider(e, each[one.providers.size()], p, kms_names));
    }
    out.push_back(std::move(one));
  }
  TRY(file.check(e));
  return out;
}

Result<std::vector<ResourceConfig>> parse_config(std::string name, std::string text) {
  TRY_ASSIGN(file, ConfigFile::parse(std::move(name), std::move(text), kKind));
  return read_config(file);
}

}  // namespace keles::encryption
