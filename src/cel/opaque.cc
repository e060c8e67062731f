#include "cel/opaque.h"

#include "cel/libraries.h"

namespace keles::cel {
namespace {

using Kind = Opaque::Kind;

// The parts of a prerelease, one after the other.
std::string_view next_part(std::string_view& rest) {
  const size_t dot = rest.find('.');
  const std::string_view part = rest.substr(0, dot);
  rest = dot == rest.npos ? std::string_view() : rest.substr(dot + 1);
  return part;
}
bool is_number(std::string_view s) {
  return !s.empty() && s.find_first_not_of("0123456789") == s.npos;
}
int compare_parts(std::string_view a, std::string_view b) {
  const bool x = is_number(a), y = is_number(b);
  if (x != y) return x ? -1 : 1;
  // Numbers have no leading zeros: the longer is the greater.
  if (x && a.size() != b.size()) return a.size() < b.size() ? -1 : 1;
  const int c = a.compare(b);
  return c < 0 ? -1 : c > 0 ? 1 : 0;
}

}  // namespace

int compare_semver(const SemverValue& a, const SemverValue& b) {
  const auto number = [](uint64_t x, uint64_t y) { return x < y ? -1 : x > y ? 1 : 0; };
  if (const int c = number(a.major, b.major)) return c;
  if (const int c = number(a.minor, b.minor)) return c;
  if (const int c = number(a.patch, b.patch)) return c;
  if (a.prerelease.empty() || b.prerelease.empty()) {
    return static_cast<int>(a.prerelease.empty()) - static_cast<int>(b.prerelease.empty());
  }
  std::string_view x = a.prerelease, y = b.prerelease;
  while (!x.empty() && !y.empty()) {
    const std::string_view p = next_part(x), q = next_part(y);
    if (const int c = compare_parts(p, q)) return c;
  }
  return static_cast<int>(!x.empty()) - static_cast<int>(!y.empty());
}

std::string_view opaque_type_name(Kind k) {
  switch (k) {
    case Kind::kIp:
      return "net.IP";
    case Kind::kCidr:
      return "net.CIDR";
    case Kind::kQuantity:
      return "kubernetes.Quantity";
    case Kind::kUrl:
      return "kubernetes.URL";
    case Kind::kSemver:
      return "kubernetes.Semver";
    case Kind::kFormat:
      return "kubernetes.NamedFormat";
    case Kind::kAuthorizer:
      return "kubernetes.authorization.Authorizer";
    case Kind::kPathCheck:
      return "kubernetes.authorization.PathCheck";
    case Kind::kGroupCheck:
      return "kubernetes.authorization.GroupCheck";
    case Kind::kResourceCheck:
      return "kubernetes.authorization.ResourceCheck";
    case Kind::kDecision:
      return "kubernetes.authorization.Decision";
    case Kind::kObject:
      break;  // see type_name(), each has its own
  }
  return "";
}

std::string opaque_text(const Opaque* o) {
  switch (o->kind) {
    case Kind::kIp:
      return static_cast<const IpValue*>(o)->address.text();
    case Kind::kCidr:
      return static_cast<const CidrValue*>(o)->prefix.text();
    case Kind::kQuantity:
      return static_cast<const QuantityValue*>(o)->quantity.to_string();
    case Kind::kUrl:
      return std::string(static_cast<const UrlValue*>(o)->text);
    case Kind::kSemver: {
      const auto& v = *static_cast<const SemverValue*>(o);
      std::string out =
          std::to_string(v.major) + "." + std::to_string(v.minor) + "." + std::to_string(v.patch);
      if (!v.prerelease.empty()) out += "-" + std::string(v.prerelease);
      if (!v.build.empty()) out += "+" + std::string(v.build);
      return out;
    }
    case Kind::kObject:
      return std::string(static_cast<const ObjectValue*>(o)->type);
    default:
      return std::string(opaque_type_name(o->kind));
  }
}

int64_t opaque_size(const Opaque* o) {
  if (o->kind == Kind::kIp) return static_cast<const IpValue*>(o)->address.v6() ? 16 : 4;
  if (o->kind == Kind::kCidr) return (static_cast<const CidrValue*>(o)->prefix.length + 7) / 8;
  return -1;
}

int format_pattern_size(const Opaque* format) {
  return static_cast<const FormatValue*>(format)->pattern_size;
}

namespace {

Val equal_objects(Run& run, const ObjectValue& a, const ObjectValue& b) {
  if (a.type != b.type || a.fields.size() != b.fields.size()) return Val::boolean(false);
  for (const ObjectValue::Field& f : a.fields) {
    const Val* other = b.find(f.name);
    if (other == nullptr || !equal(run, f.value, *other).is_true()) return Val::boolean(false);
  }
  return Val::boolean(true);
}

}  // namespace

Val equal_opaque(Run& run, const Val& a, const Val& b) {
  const Opaque* x = a.opaque_body();
  if (x->kind == Kind::kObject) {
    if (!b.is_opaque(Kind::kObject)) return Val::boolean(false);
    return equal_objects(run, a.opaque_as<ObjectValue>(), b.opaque_as<ObjectValue>());
  }
  if (!b.is_opaque(x->kind)) return no_such_overload();
  const Opaque* y = b.opaque_body();
  switch (x->kind) {
    case Kind::kIp:
      return Val::boolean(static_cast<const IpValue*>(x)->address ==
                          static_cast<const IpValue*>(y)->address);
    case Kind::kCidr:
      return Val::boolean(static_cast<const CidrValue*>(x)->prefix ==
                          static_cast<const CidrValue*>(y)->prefix);
    case Kind::kQuantity:
      return Val::boolean(static_cast<const QuantityValue*>(x)->quantity ==
                          static_cast<const QuantityValue*>(y)->quantity);
    case Kind::kUrl:
      return Val::boolean(static_cast<const UrlValue*>(x)->text ==
                          static_cast<const UrlValue*>(y)->text);
    case Kind::kSemver:
      return Val::boolean(compare_semver(*static_cast<const SemverValue*>(x),
                                         *static_cast<const SemverValue*>(y)) == 0);
    case Kind::kFormat:
      return Val::boolean(static_cast<const FormatValue*>(x)->name ==
                          static_cast<const FormatValue*>(y)->name);
    default:
      // What asks for permission is compared by nobody.
      return no_such_overload();
  }
}

}  // namespace keles::cel
