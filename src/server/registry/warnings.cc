// Parts that the warnings of several kinds share. See warnings.h.
#include "server/registry/warnings.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>

#include "machinery/quantity.h"
#include "server/objects/meta.h"

namespace keles::registry {
namespace {

// An address as legacy readers take it: decimal numbers may begin with zeros.
struct Address {
  std::array<uint8_t, 16> bytes{};  // IPv4: the first four
  bool v6 = false;                  // an IPv4 address within IPv6 is not
  bool mapped = false;              // but this
  bool zeros = false;
};

std::string without_leading_zeros(std::string_view text) {
  auto digit = [&](size_t i) { return i < text.size() && text[i] >= '0' && text[i] <= '9'; };
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool leads = out.empty() || out.back() == '.';
    if (leads && text[i] == '0' && digit(i + 1)) continue;
    out.push_back(text[i]);
  }
  return out;
}

std::optional<Address> parse_address(std::string_view text) {
  Address a;
  const std::string copy(text);
  if (copy.size() > 64 || copy.find('\0') != copy.npos) return std::nullopt;
  if (inet_pton(AF_INET, copy.c_str(), a.bytes.data()) == 1) return a;
  if (copy.find(':') == copy.npos) {
    a.zeros = true;
    const std::string plain = without_leading_zeros(copy);
    if (inet_pton(AF_INET, plain.c_str(), a.bytes.data()) == 1) return a;
    return std::nullopt;
  }
  if (inet_pton(AF_INET6, copy.c_str(), a.bytes.data()) != 1) return std::nullopt;
  static constexpr std::array<uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  a.mapped = std::equal(kMapped.begin(), kMapped.end(), a.bytes.begin());
  a.v6 = !a.mapped;
  if (a.mapped) {
    std::copy(a.bytes.begin() + 12, a.bytes.end(), a.bytes.begin());
    std::fill(a.bytes.begin() + 4, a.bytes.end(), 0);
  }
  return a;
}

// RFC 5952: the longest run of zero groups is left out, the first of equals; never dotted.
std::string text6(const std::array<uint8_t, 16>& bytes) {
  std::array<unsigned, 8> group{};
  for (size_t i = 0; i < 8; ++i) group[i] = bytes[2 * i] * 256U + bytes[2 * i + 1];
  size_t from = 8, length = 1;
  for (size_t i = 0; i < 8; ++i) {
    size_t n = 0;
    while (i + n < 8 && group[i + n] == 0) ++n;
    if (n > length) {
      from = i;
      length = n;
    }
  }
  std::string out;
  for (size_t i = 0; i < 8; ++i) {
    if (i == from) {
      out += "::";
      i += length - 1;
      continue;
    }
    if (!out.empty() && out.back() != ':') out += ":";
    char hex[8];
    std::snprintf(hex, sizeof hex, "%x", group[i]);
    out += hex;
  }
  return out;
}

std::string text_of(const Address& a) {
  if (a.v6) return text6(a.bytes);
  char out[INET_ADDRSTRLEN] = {};
  inet_ntop(AF_INET, a.bytes.data(), out, sizeof out);
  return out;
}

Address masked(const Address& a, int bits) {
  Address out = a;
  for (int i = 0; i < (a.v6 ? 16 : 4); ++i) {
    const int keep = std::clamp(bits - 8 * i, 0, 8);
    out.bytes[static_cast<size_t>(i)] &= static_cast<uint8_t>(0xff00 >> keep);
  }
  return out;
}

}  // namespace

void warn(Warnings& out, const FieldPath& p, std::string_view text) {
  out.push_back(p.text() + ": " + std::string(text));
}

void warn_of_ip(Warnings& out, const FieldPath& p, std::string_view ip) {
  auto a = parse_address(ip);
  if (!a) return;
  const std::string text = text_of(*a);
  if (a->zeros || a->mapped) {
    warn(out, p, "non-standard IP address " + quoted(ip) + " is invalid: use " + quoted(text));
  } else if (a->v6 && text != ip) {
    warn(out, p,
         "IPv6 address " + quoted(ip) + " should be in RFC 5952 canonical format (" + quoted(text) +
             ")");
  }
}

void warn_of_cidr(Warnings& out, const FieldPath& p, std::string_view cidr) {
  const size_t slash = cidr.find('/');
  if (slash == cidr.npos) return;
  auto a = parse_address(cidr.substr(0, slash));
  auto bits = to_int(cidr.substr(slash + 1));
  if (!a || !bits || *bits < 0 || *bits > 128) return;
  const bool wide = a->v6 || a->mapped;
  if (!wide && *bits > 32) return;
  const int own = static_cast<int>(*bits) - (a->mapped ? 96 : 0);
  const Address net = masked(*a, std::max(own, 0));
  const std::string range = text_of(net) + "/" + std::to_string(own);
  const size_t warned = out.size();
  if (net.bytes != a->bytes) {
    warn(out, p,
         "CIDR value " + quoted(cidr) + " is ambiguous in this context (should be " +
             quoted(range) + " or " + quoted(text_of(*a) + (wide ? "/128" : "/32")) + "?)");
  }
  const bool padded = cidr.size() > slash + 2 && cidr[slash + 1] == '0';
  if (a->zeros || a->mapped || padded) {
    warn(out, p, "non-standard CIDR value " + quoted(cidr) + " is invalid: use " + quoted(range));
  }
  if (out.size() == warned && a->v6 && range != cidr) {
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
