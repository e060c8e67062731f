// CertificateSigningRequests: who asks, what they may say, and who may write which part.
#include <algorithm>
#include <map>
#include <set>

#include "api/certificates_v1.h"
#include "base/encoding.h"
#include "machinery/time.h"
#include "machinery/validation.h"
#include "net/pem.h"
#include "net/pki.h"
#include "server/objects/meta.h"
#include "server/registry/cells.h"
#include "server/registry/checks.h"
#include "server/registry/strategy.h"
#include "server/registry/struct_diff.h"

namespace keles::registry {
namespace {

const FieldPath kSpec("spec");
const FieldPath kStatus("status");
constexpr std::string_view kLegacySigner = "kubernetes.io/legacy-unknown";
constexpr std::string_view kUsages[] = {"any",
                                        "cert sign",
                                        "client auth",
                                        "code signing",
                                        "content commitment",
                                        "crl sign",
                                        "data encipherment",
                                        "decipher only",
                                        "digital signature",
                                        "email protection",
                                        "encipher only",
                                        "ipsec end system",
                                        "ipsec tunnel",
                                        "ipsec user",
                                        "key agreement",
                                        "key encipherment",
                                        "microsoft sgc",
                                        "netscape sgc",
                                        "ocsp signing",
                                        "s/mime",
                                        "server auth",
                                        "signing",
                                        "timestamping"};
constexpr std::string_view kFinal[] = {"Approved", "Denied", "Failed"};  // True, and they stay

template <class Range>
bool contains(const Range& range, std::string_view v) {
  return std::find(std::begin(range), std::end(range), v) != std::end(range);
}

void cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  const Value& seconds = o["spec"]["expirationSeconds"];
  w.text("RequestedDuration",
         seconds.is_null() ? "<none>" : human_duration(std::chrono::seconds(seconds.as_int())));
  bool approved = false, denied = false, failed = false;
  for (const Value& c : o["status"]["conditions"].items()) {
    approved = approved || c["type"].as_string() == "Approved";
    denied = denied || c["type"].as_string() == "Denied";
    failed = failed || c["type"].as_string() == "Failed";
  }
  std::string text = denied ? "Denied" : approved ? "Approved" : "Pending";
  if (failed) text += ",Failed";
  if (!o["status"]["certificate"].as_string().empty()) text += ",Issued";
  w.text("Condition", text);
}

// --- preparation ---------------------------------------------------------------------------------

Value texts(Arena& a, const std::vector<std::string>& from) {
  Value list = Value::list();
  for (const std::string& s : from) list.append(a, Value::string(a.copy(s)));
  return list;
}

// Who asks is what the request was authenticated as, whatever the body says.
void prepare_create(const HookContext& ctx, Document& now) {
  Arena& a = now.arena;
  Value& spec = edit_map(now, now.root, "spec");
  for (std::string_view own : {"username", "uid", "groups", "extra"}) spec.erase(own);
  if (!ctx.user.empty()) spec.set(a, "username", Value::string(a.copy(ctx.user)));
  if (!ctx.uid.empty()) spec.set(a, "uid", Value::string(a.copy(ctx.uid)));
  if (ctx.groups && !ctx.groups->empty()) spec.set(a, "groups", texts(a, *ctx.groups));
  if (ctx.extra && !ctx.extra->empty()) {
    Value extra = Value::map();
    for (const auto& [key, values] : *ctx.extra) extra.set(a, a.copy(key), texts(a, values));
    spec.set(a, "extra", extra);
  }
  now.root.erase("status");
}

void prepare_update(const HookContext&, Document& now, const Value& before) {
  copy_member(now, now.root, "spec", before.find("spec"));
  copy_member(now, now.root, "status", before.find("status"));
}

std::vector<size_t> places(const Value& root, std::string_view type) {
  std::vector<size_t> out;
  size_t i = 0;
  for (const Value& c : root["status"]["conditions"].items()) {
    if (c["type"].as_string() == type) out.push_back(i);
    ++i;
  }
  return out;
}

// Times that the writer left open: now, or since when a condition has been so.
void fill_times(const HookContext& ctx, Document& now, const Value& before) {
  Value* status = now.root.find("status");
  Value* conditions = status && status->is_map() ? status->find("conditions") : nullptr;
  if (!conditions) return;
  const std::string time = time_text(ctx.now);
  for (Value& c : conditions->items()) {
    if (c["lastUpdateTime"].as_string().empty()) set_text(now, c, "lastUpdateTime", time);
    if (!c["lastTransitionTime"].as_string().empty()) continue;
    std::string since = time;
    for (const Value& old : before["status"]["conditions"].items()) {
      if (old["type"].equals(c["type"]) && old["status"].equals(c["status"]) &&
          !old["lastTransitionTime"].as_string().empty()) {
        since = old["lastTransitionTime"].as_string();
        break;
      }
    }
    set_text(now, c, "lastTransitionTime", since);
  }
}

// The signer writes certificate and failure; what approvers said stays.
void prepare_status(const HookContext& ctx, Document& now, const Value& before) {
  copy_member(now, now.root, "spec", before.find("spec"));
  for (std::string_view type : {"Approved", "Denied"}) {
    auto old = places(before, type), fresh = places(now.root, type);
    if (old.size() != fresh.size()) continue;  // refused by validation
    for (size_t i = 0; i < old.size(); ++i) {
      Value& c = edit_map(now, now.root, "status").find("conditions")->items()[fresh[i]];
      c = deep_copy(now.arena, before["status"]["conditions"].at(old[i]));
    }
  }
  fill_times(ctx, now, before);
}

// Approval writes conditions, and metadata.
void prepare_approval(const HookContext& ctx, std::string_view, Document& now,
                      const Value& before) {
  fill_times(ctx, now, before);
  Value conditions = now.root["status"]["conditions"];
  copy_member(now, now.root, "spec", before.find("spec"));
  copy_member(now, now.root, "status", before.find("status"));
  copy_member(now, edit_map(now, now.root, "status"), "conditions", &conditions);
}

// --- validation ----------------------------------------------------------------------------------

std::string decoded(std::string_view text) {
  auto bytes = base64_decode(text);
  return bytes.ok() ? *bytes : std::string();
}

// What is wrong with a request; "" when it is one that its own key has signed.
std::string request_error(std::string_view text) {
  const std::string pem = decoded(text);
  const auto blocks = net::pem_blocks(pem);
  if (blocks.empty() || blocks[0].label != "CERTIFICATE REQUEST") {
    return "PEM block type must be CERTIFICATE REQUEST";
  }
  auto parsed = net::parse_csr(blocks[0].text);
  return parsed.ok() ? "" : parsed.status().message();
}

std::string certificate_error(std::string_view text) {
  if (text.empty()) return {};
  const std::string pem = decoded(text);
  const auto blocks = net::pem_blocks(pem);
  for (const net::PemBlock& b : blocks) {
    if (b.label != "CERTIFICATE") {
      return "only CERTIFICATE PEM blocks are allowed, found \"" + std::string(b.label) + "\"";
    }
    if (b.headers) return "no PEM block headers are permitted";
    auto parsed = net::parse_certificate(b.text);
    if (!parsed.ok()) return parsed.status().message();
  }
  return blocks.empty() ? "must contain at least one CERTIFICATE PEM block" : "";
}

void validate_signer(FieldErrors& e, std::string_view signer) {
  const FieldPath at = kSpec["signerName"];
  if (signer.empty()) return;  // required is the description's
  if (std::count(signer.begin(), signer.end(), '/') != 1) {
    field::invalid(e, at, signer,
                   "must be a fully qualified domain and path of the form "
                   "'example.com/signer-name'");
    return;
  }
  const size_t slash = signer.find('/');
  std::string_view domain = signer.substr(0, slash), path = signer.substr(slash + 1);
  if (domain.size() > 253) field::too_long(e, at, 253);
  auto each = [&](std::string_view text, auto&& check) {
    for (std::string_view rest = text;;) {
      const size_t dot = rest.find('.');
      std::string_view label = rest.substr(0, dot);
      auto problems = check(label);
      for (const std::string& problem : problems) {
        field::invalid(e, at, text, "validating label \"" + std::string(label) + "\": " + problem);
      }
      if (!problems.empty() || dot == std::string_view::npos) return;
      rest.remove_prefix(dot + 1);
    }
  };
  each(domain, [](std::string_view label) { return check_dns1123_label(label); });
  if (domain.find('.') == std::string_view::npos) {
    field::invalid(e, at, domain,
                   "should be a domain with at least two segments separated by dots");
  }
  each(path, [](std::string_view label) { return check_dns1123_subdomain(label); });
  constexpr size_t kLongest = 253 + 1 + 253 + 63 + 1;
  if (signer.size() > kLongest) field::too_long(e, at, kLongest);
}

bool has_duplicates(const Value& list, std::string_view key) {
  std::set<std::string_view> seen;
  for (const Value& v : list.items()) {
    if (!seen.insert(key.empty() ? v.as_string() : v[key].as_string()).second) return true;
  }
  return false;
}

// `before` null: created. What is wrong in the stored object already is tolerated.
void validate_conditions(FieldErrors& e, const Value& now, const Value* before) {
  const FieldPath at = kStatus["conditions"];
  const Value& old = before ? (*before)["status"]["conditions"] : Value::null();
  const bool both =
      before && !places(*before, "Approved").empty() && !places(*before, "Denied").empty();
  const bool twice = has_duplicates(old, "type");
  const bool nameless = std::any_of(old.items().begin(), old.items().end(),
                                    [](const Value& c) { return c["type"].as_string().empty(); });
  std::set<std::string_view> seen;
  size_t i = 0;
  for (const Value& c : now["status"]["conditions"].items()) {
    const FieldPath here = at[i++];
    std::string_view type = c["type"].as_string(), status = c["status"].as_string();
    if (type.empty() && !nameless) field::required(e, here["type"]);
    const bool final = contains(kFinal, type);
    if (status.empty()) {
      field::required(e, here["status"]);
    } else if (final && status != "True") {
      field::not_supported(e, here["status"], status, {"True"});
    } else if (status != "True" && status != "False" && status != "Unknown") {
      field::not_supported(e, here["status"], status, {"False", "True", "Unknown"});
    }
    const char* opposite = type == "Approved" ? "Denied" : type == "Denied" ? "Approved" : nullptr;
    if (!both && opposite && seen.count(opposite)) {
      field::invalid(e, at, type, "Approved and Denied conditions are mutually exclusive");
    }
    if (!seen.insert(type).second && !twice) field::duplicate(e, here["type"], type);
  }
}

void validate_request(FieldErrors& e, const Value& now, const Value* before) {
  const Value& spec = now["spec"];
  const Value& old = before ? (*before)["spec"] : Value::null();
  std::string_view request = spec["request"].as_string();
  // It does not change after its creation, when it was read.
  if (std::string why = before ? "" : request_error(request); !why.empty()) {
    // Bytes that are not there are null.
    const std::string told = spec["request"].is_null() ? "null" : quoted(request);
    invalid_as(e, kSpec["request"], told, why);
  }
  if (spec["usages"].empty()) field::required(e, kSpec["usages"]);
  const bool unknown =
      std::any_of(old["usages"].items().begin(), old["usages"].items().end(),
                  [](const Value& u) { return !contains(kUsages, u.as_string()); });
  const bool twice = has_duplicates(old["usages"], "");
  std::set<std::string_view> seen;
  size_t i = 0;
  for (const Value& u : spec["usages"].items()) {
    const FieldPath at = kSpec["usages"][i++];
    if (!unknown && !contains(kUsages, u.as_string())) {
      field::not_supported(e, at, u.as_string(), kUsages);
    }
    if (!seen.insert(u.as_string()).second && !twice) field::duplicate(e, at, u);
  }
  std::string_view signer = spec["signerName"].as_string();
  if (signer == kLegacySigner && old["signerName"].as_string() != kLegacySigner) {
    field::invalid(e, kSpec["signerName"], signer,
                   "the legacy signerName is not allowed via this API version");
  } else {
    validate_signer(e, signer);
  }
  const Value& seconds = spec["expirationSeconds"];
  if (!seconds.is_null() && seconds.as_int() < 600) {
    field::invalid(e, kSpec["expirationSeconds"], seconds.as_int(),
                   "may not specify a duration less than 600 seconds (10 minutes)");
  }
  validate_conditions(e, now, before);
  const Value& certificate = now["status"]["certificate"];
  if (before && (certificate.equals((*before)["status"]["certificate"]) ||
                 !certificate_error((*before)["status"]["certificate"].as_string()).empty())) {
    return;
  }
  if (std::string why = certificate_error(certificate.as_string()); !why.empty()) {
    field::invalid(e, kStatus["certificate"], "<certificate data>", std::move(why));
  }
}

void validate(const HookContext&, const Value& now, FieldErrors& e) {
  validate_request(e, now, nullptr);
}

enum class Writer : uint8_t { kOwner, kApprover, kSigner };

// The conditions at these places, as upstream prints them.
std::string shown(const Value& root, const std::vector<size_t>& at) {
  if (at.empty()) return "null";
  std::string out = "[";
  for (size_t i : at) {
    if (out.size() > 1) out += ',';
    out += struct_text(api::certificates_v1::CertificateSigningRequestCondition::descriptor(),
                       root["status"]["conditions"].at(i));
  }
  return out + "]";
}

void validate_change(FieldErrors& e, const Value& now, const Value& before, Writer writer) {
  validate_request(e, now, &before);
  const FieldPath at = kStatus["conditions"];
  for (std::string_view type : kFinal) {
    if (places(now, type).size() < places(before, type).size()) {
      field::forbidden(e, at,
                       "updates may not remove a condition of type \"" + std::string(type) + "\"");
    }
  }
  for (std::string_view type : {"Approved", "Denied"}) {
    if (writer == Writer::kApprover) break;
    auto old = places(before, type), fresh = places(now, type);
    if (fresh.size() > old.size()) {
      field::forbidden(e, at,
                       "updates may not add a condition of type \"" + std::string(type) + "\"");
    }
    for (size_t i = 0; fresh.size() == old.size() && i < old.size(); ++i) {
      if (now["status"]["conditions"].at(fresh[i]).equals(
              before["status"]["conditions"].at(old[i]))) {
        continue;
      }
      field::forbidden(e, at,
                       "updates may not modify a condition of type \"" + std::string(type) +
                           "\"\n" + json_diff(shown(before, old), shown(now, fresh)));
      break;
    }
  }
  const Value& old = before["status"]["certificate"];
  if (now["status"]["certificate"].as_string() == old.as_string()) return;
  if (writer != Writer::kSigner) {
    field::forbidden(e, kStatus["certificate"], "updates may not set certificate content");
  } else if (!old.as_string().empty()) {
    field::forbidden(e, kStatus["certificate"],
                     "updates may not modify existing certificate content");
  }
}

void validate_update(const HookContext&, const Value& now, const Value& before, FieldErrors& e) {
  validate_change(e, now, before, Writer::kOwner);
}
void validate_status(const HookContext&, const Value& now, const Value& before, FieldErrors& e) {
  validate_change(e, now, before, Writer::kSigner);
}
void validate_approval(const HookContext&, std::string_view, const Value& now, const Value& before,
                       FieldErrors& e) {
  validate_change(e, now, before, Writer::kApprover);
}

}  // namespace

extern const Strategy kCsrStrategy{.prepare_for_create = prepare_create,
                                   .prepare_for_update = prepare_update,
                                   .prepare_for_status_update = prepare_status,
                                   .validate = validate,
                                   .validate_update = validate_update,
                                   .validate_status_update = validate_status,
                                   .prepare_for_subresource = prepare_approval,
                                   .validate_subresource = validate_approval,
                                   .validates_update_whole = true,
                                   .cells = cells};

}  // namespace keles::registry
