// Parts that the warnings of several kinds share. See warnings.h.
#include "server/registry/warnings.h"

#include <algorithm>
#include <optional>

#include "base/ip.h"
#include "machinery/quantity.h"
#include "server/objects/meta.h"

namespace keles::registry {

void warn(Warnings& out, const FieldPath& p, std::string_view text) {
  out.push_back(p.text() + ": " + std::string(text));
}

void warn_of_ip(Warnings& out, const FieldPath& p, std::string_view ip) {
  auto read = IpAddress::parse_sloppy(ip);
  if (!read) return;
  const std::string text = read->address.unmapped().text();
  if (read->leading_zeros || read->address.is_v4_mapped()) {
    warn(out, p, "non-standard IP address " + quoted(ip) + " is invalid: use " + quoted(text));
  } else if (text != ip) {
    warn(out, p,
         "IPv6 address " + quoted(ip) + " should be in RFC 5952 canonical format (" + quoted(text) +
             ")");
  }
}

void warn_of_cidr(Warnings& out, const FieldPath& p, std::string_view cidr) {
  auto read = IpPrefix::parse_sloppy(cidr);
  if (!read) return;
  const IpPrefix given = read->prefix;
  const std::string range = given.network().unmapped().text();
  const size_t warned = out.size();
  if (given.has_host_bits()) {
    const std::string single = given.base.unmapped().text() + "/" + std::to_string(given.whole());
    warn(out, p,
         "CIDR value " + quoted(cidr) + " is ambiguous in this context (should be " +
             quoted(range) + " or " + quoted(single) + "?)");
  }
  if (read->leading_zeros || given.base.is_v4_mapped()) {
    warn(out, p, "non-standard CIDR value " + quoted(cidr) + " is invalid: use " + quoted(range));
  }
  if (out.size() == warned && given.v6() && range != cidr) {
    warn(out, p,
         "IPv6 CIDR value " + quoted(cidr) + " should be in RFC 5952 canonical format (" +
             quoted(range) + ")");
  }
}

const char* deprecated_node_label(std::string_view key) {
  struct Label {
    std::string_view key;
    const char* why;
  };
  static constexpr std::array kLabels{
      Label{"beta.kubernetes.io/arch",
            "deprecated since v1.14; use \"kubernetes.io/arch\" instead"},
      Label{"beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"},
      Label{"failure-domain.beta.kubernetes.io/region",
            "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead"},
      Label{"failure-domain.beta.kubernetes.io/zone",
            "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"},
      Label{"beta.kubernetes.io/instance-type",
            "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"},
      Label{"app.kubernetes.io/created-by", "deprecated since v1.9"},
      Label{"scheduler.alpha.kubernetes.io/preferAvoidPods",
            "deprecated since v1.22; use Taints and Tolerations instead"},
      Label{"node-role.kubernetes.io/master",
            "use \"node-role.kubernetes.io/control-plane\" instead"},
  };
  for (const Label& l : kLabels) {
    if (l.key == key) return l.why;
  }
  return nullptr;
}

std::string listed(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (const std::string& t : texts) out += (out.size() > 1 ? " " : "") + t;
  return out + "]";
}

void warn_of_node_term(Warnings& out, const FieldPath& p, const Value& term, bool check_values) {
  size_t i = 0;
  for (const Value& expression : term["matchExpressions"].items()) {
    const FieldPath at = p["matchExpressions"][i++];
    const std::string_view key = expression["key"].as_string();
    if (const char* why = deprecated_node_label(key)) {
      warn(out, at["key"], std::string(key) + " is " + why);
    }
    if (!check_values) continue;
    size_t j = 0;
    for (const Value& v : expression["values"].items()) {
      const FieldPath value = at["values"][j++];
      for (const std::string& problem : check_label_value(v.as_string())) {
        warn(out, value, std::string(v.as_string()) + " is invalid, " + problem);
      }
    }
  }
}

void warn_of_fraction(Warnings& out, const FieldPath& p, const Value& quantities,
                      std::string_view name) {
  const Value* v = quantities.find(name);
  if (!v) return;
  const Quantity q = Quantity::parse_or_zero(v->as_string());
  if (q.milli_value() % 1000 == 0) return;
  warn(out, p.key(name),
       "fractional byte value " + quoted(q.to_string()) + " is invalid, must be an integer");
}

void warn_of_claim_spec(Warnings& out, const FieldPath& p, const Value& spec) {
  for (std::string_view list : {"requests", "limits"}) {
    warn_of_fraction(out, p["resources"][list], spec["resources"][list], "storage");
  }
}

void drop_duplicate_owners(Document& object, bool after_admission, Warnings* out) {
  const Value& owners = metadata(object.root)["ownerReferences"];
  if (owners.size() < 2) return;
  std::vector<Value> kept;
  std::string repeated;
  for (const Value& owner : owners.items()) {
    const bool there =
        std::any_of(kept.begin(), kept.end(), [&](const Value& k) { return k.equals(owner); });
    if (!there) {
      kept.push_back(owner);
      continue;
    }
    repeated += (repeated.empty() ? "" : ", ") + std::string(owner["uid"].as_string());
  }
  if (repeated.empty()) return;
  Value list = Value::list();
  for (const Value& k : kept) list.append(object.arena, k);
  edit_metadata(object).set(object.arena, "ownerReferences", list);
  if (!out) return;
  out->push_back(std::string(".metadata.ownerReferences contains duplicate entries") +
                 (after_admission ? " after mutating admission happens" : "") +
                 "; API server dedups owner references in 1.20+, and may reject such requests as "
                 "early as 1.24; please fix your requests; duplicate UID(s) observed: " +
                 repeated);
}

}  // namespace keles::registry
