// Values of Kubernetes' libraries: addresses, quantities, URLs, versions, formats, authorization.
// They lie in a Run's arena, or are constants: nothing here has a destructor.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip.h"
#include "cel/authorizer.h"
#include "cel/val.h"
#include "machinery/quantity.h"

namespace keles::cel {

struct IpValue : Opaque {
  explicit IpValue(const IpAddress& a) : Opaque(Kind::kIp), address(a) {}
  IpAddress address;
};
struct CidrValue : Opaque {
  explicit CidrValue(const IpPrefix& p) : Opaque(Kind::kCidr), prefix(p) {}
  IpPrefix prefix;
};
struct QuantityValue : Opaque {
  // Of a number that has digits behind the point, or was written as a fraction: upstream gives no
  // whole number for those, even where they are one ("1000m").
  QuantityValue(const Quantity& q, bool fraction)
      : Opaque(Kind::kQuantity), quantity(q), fractional(fraction) {}
  Quantity quantity;
  bool fractional;
};
// Views into its text.
struct UrlValue : Opaque {
  UrlValue() : Opaque(Kind::kUrl) {}
  std::string_view text;  // as it is printed
  std::string_view scheme, host, escaped_path, query;
};
struct SemverValue : Opaque {
  SemverValue() : Opaque(Kind::kSemver) {}
  uint64_t major = 0, minor = 0, patch = 0;
  std::string_view prerelease, build;  // without '-' and '+'
};
struct FormatValue : Opaque {
  using Check = std::vector<std::string> (*)(std::string_view);
  FormatValue(std::string_view n, Check c, int size)
      : Opaque(Kind::kFormat), name(n), check(c), pattern_size(size) {}
  std::string_view name;
  Check check;  // what is wrong, nothing if it is right
  int pattern_size;
};
struct AuthorizerValue : Opaque {
  AuthorizerValue(const Authorizer* a, const AuthorizationUser* u)
      : Opaque(Kind::kAuthorizer), authorizer(a), user(u) {}
  const Authorizer* authorizer;
  const AuthorizationUser* user;
};
struct CheckValue : Opaque {
  CheckValue(Kind k, const AuthorizerValue& a)
      : Opaque(k), authorizer(a.authorizer), user(a.user) {}
  const Authorizer* authorizer;
  const AuthorizationUser* user;
  AuthorizationQuery query;
};
struct DecisionValue : Opaque {
  DecisionValue() : Opaque(Kind::kDecision) {}
  bool allowed = false;
  std::string_view reason, error;
};

// An object that an expression made. Fields in the order in which they are written.
struct ObjectValue : Opaque {
  struct Field {
    std::string_view name;
    Val value;
  };
  ObjectValue(std::string_view t, std::span<const Field> f)
      : Opaque(Kind::kObject), type(t), fields(f) {}
  const Val* find(std::string_view name) const {
    for (const Field& f : fields) {
      if (f.name == name) return &f.value;
    }
    return nullptr;
  }
  // What a field is that was not given: the texts of a JSONPatch are empty then.
  Val absent(std::string_view name) const {
    return type == "JSONPatch" && name != "value" ? Val::string("") : Val::null();
  }
  std::string_view type;  // "Object.spec"
  std::span<const Field> fields;
};

std::string_view opaque_type_name(Opaque::Kind k);
std::string opaque_text(const Opaque* o);
// Addresses have one; -1 of the others.
int64_t opaque_size(const Opaque* o);
int format_pattern_size(const Opaque* format);
Val equal_opaque(Run& run, const Val& a, const Val& b);

int compare_semver(const SemverValue& a, const SemverValue& b);

}  // namespace keles::cel
