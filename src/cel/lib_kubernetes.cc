// Quantities, semantic versions, named formats, and the authorizer.
#include <algorithm>
#include <charconv>
#include <string>

#include "base/encoding.h"
#include "cel/libraries.h"
#include "cel/opaque.h"
#include "cel/run.h"
#include "cel/text.h"
#include "cel/url.h"
#include "machinery/text_formats.h"
#include "machinery/validation.h"

namespace keles::cel {
namespace {

using Args = std::span<const Val>;
using Tag = Val::Tag;

// --- quantities --------------------------------------------------------------------------------

Val made(Run& run, const Quantity& q, bool fractional) {
  return Val::opaque(run.make<QuantityValue>(q, fractional));
}
// Digits behind the point that the suffix does not take away, or a suffix below one.
bool is_fraction(std::string_view text) {
  const size_t end = std::min(text.find_first_not_of("+-.0123456789"), text.size());
  const std::string_view suffix = text.substr(end);
  const size_t point = text.find('.');
  const auto digits = static_cast<int64_t>(point == text.npos ? 0 : end - point - 1);
  if (suffix.ends_with('i')) return digits > 0;
  constexpr std::string_view kSmall = "num", kLarge = "kMGTPE";
  int64_t exponent = 0;
  if (suffix.size() == 1 && kSmall.find(suffix[0]) != kSmall.npos) return true;
  if (suffix.size() == 1 && kLarge.find(suffix[0]) != kLarge.npos) {
    exponent = 3 * static_cast<int64_t>(kLarge.find(suffix[0]) + 1);
  } else if (suffix.size() > 1) {
    const size_t from = suffix[1] == '+' ? 2 : 1;
    std::from_chars(suffix.data() + from, suffix.data() + suffix.size(), exponent);
  }
  return exponent < digits;
}
const Quantity& of(const Val& v) { return v.opaque_as<QuantityValue>().quantity; }

Val quantity(Run& run, Args a) {
  const Result<Quantity> q = Quantity::parse(a[0].text());
  return q.ok() ? made(run, *q, is_fraction(a[0].text())) : run.error(q.status().message());
}
Val is_quantity(Run&, Args a) { return Val::boolean(Quantity::parse(a[0].text()).ok()); }
Val sign(Run&, Args a) { return Val::integer(of(a[0]).sign()); }
bool whole(const Val& v) {
  if (v.opaque_as<QuantityValue>().fractional) return false;
  return of(v) == Quantity::from_int(of(v).value());
}
Val is_integer(Run&, Args a) { return Val::boolean(whole(a[0])); }
Val as_integer(Run&, Args a) {
  return whole(a[0]) ? Val::integer(of(a[0]).value())
                     : Val::error("cannot convert value to integer");
}
Val as_float(Run&, Args a) { return Val::real(of(a[0]).as_double()); }
Val quantity_greater(Run&, Args a) { return Val::boolean(of(a[0]) > of(a[1])); }
Val quantity_less(Run&, Args a) { return Val::boolean(of(a[0]) < of(a[1])); }
Val quantity_compare(Run&, Args a) {
  return Val::integer(of(a[0]) < of(a[1]) ? -1 : of(a[0]) == of(a[1]) ? 0 : 1);
}
bool fractional(Args a) {
  const auto is = [](const Val& v) {
    return v.is_opaque(Opaque::Kind::kQuantity) && v.opaque_as<QuantityValue>().fractional;
  };
  return is(a[0]) || is(a[1]);
}
Quantity operand(const Val& v) {
  return v.is(Tag::kInt) ? Quantity::from_int(v.as_int(), Quantity::Format::kDecimalExponent)
                         : of(v);
}
Val quantity_add(Run& run, Args a) {
  Quantity q = of(a[0]);
  q.add(operand(a[1]));
  return made(run, q, fractional(a));
}
Val quantity_sub(Run& run, Args a) {
  Quantity q = of(a[0]);
  q.sub(operand(a[1]));
  return made(run, q, fractional(a));
}

// --- semantic versions -------------------------------------------------------------------------

bool only(std::string_view s, bool letters) {
  for (const char c : s) {
    const bool digit = c >= '0' && c <= '9';
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
    if (!digit && !(letters && letter)) return false;
  }
  return true;
}
bool leading_zeros(std::string_view s) { return s.size() > 1 && s[0] == '0'; }

// "" or what is wrong with the number.
std::string read_part(std::string_view s, std::string_view what, uint64_t& out) {
  if (!only(s, false)) {
    return "Invalid character(s) found in " + std::string(what) + " number " + quoted(s);
  }
  if (leading_zeros(s)) {
    std::string name(what);
    name[0] = static_cast<char>(name[0] - 'a' + 'A');
    return name + " number must not contain leading zeroes " + quoted(s);
  }
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), out);
  if (error == std::errc() && end == s.data() + s.size()) return "";
  return "strconv.ParseUint: parsing " + quoted(s) +
         (s.empty() ? ": invalid syntax" : ": value out of range");
}

// Each part between dots by `f`, which says what is wrong with it.
template <class F>
std::string each_part(std::string_view s, const F& f) {
  for (;;) {
    const size_t dot = s.find('.');
    if (std::string wrong = f(s.substr(0, dot)); !wrong.empty()) return wrong;
    if (dot == s.npos) return "";
    s.remove_prefix(dot + 1);
  }
}

std::string read_semver(std::string_view s, SemverValue& v) {
  if (s.empty()) return "Version string empty";
  const size_t first = s.find('.');
  const size_t second = first == s.npos ? s.npos : s.find('.', first + 1);
  if (second == s.npos) return "No Major.Minor.Patch elements found";
  if (auto w = read_part(s.substr(0, first), "major", v.major); !w.empty()) return w;
  if (auto w = read_part(s.substr(first + 1, second - first - 1), "minor", v.minor); !w.empty()) {
    return w;
  }
  std::string_view patch = s.substr(second + 1);
  bool has_build = false, has_prerelease = false;
  if (const size_t plus = patch.find('+'); plus != patch.npos) {
    has_build = true;
    v.build = patch.substr(plus + 1);
    patch = patch.substr(0, plus);
  }
  if (const size_t minus = patch.find('-'); minus != patch.npos) {
    has_prerelease = true;
    v.prerelease = patch.substr(minus + 1);
    patch = patch.substr(0, minus);
  }
  if (auto w = read_part(patch, "patch", v.patch); !w.empty()) return w;
  if (has_prerelease) {
    std::string w = each_part(v.prerelease, [](std::string_view part) -> std::string {
      if (part.empty()) return "Prerelease is empty";
      if (only(part, false)) {
        return leading_zeros(part)
                   ? "Numeric PreRelease version must not contain leading zeroes " + quoted(part)
                   : "";
      }
      return only(part, true) ? "" : "Invalid character(s) found in prerelease " + quoted(part);
    });
    if (!w.empty()) return w;
  }
  if (!has_build) return "";
  return each_part(v.build, [](std::string_view part) -> std::string {
    if (part.empty()) return "Build meta data is empty";
    return only(part, true) ? "" : "Invalid character(s) found in build meta data " + quoted(part);
  });
}

// v1.02 is 1.2.0
std::string normalized(std::string_view s, std::string& fault) {
  if (s.starts_with('v')) s.remove_prefix(1);
  std::vector<std::string> parts;
  while (parts.size() < 2) {
    const size_t dot = s.find('.');
    if (dot == s.npos) break;
    parts.emplace_back(s.substr(0, dot));
    s.remove_prefix(dot + 1);
  }
  parts.emplace_back(s);
  for (std::string& p : parts) {
    if (p.size() <= 1) continue;
    p.erase(0, std::min(p.find_first_not_of('0'), p.size()));
    if (p.empty() || p[0] < '0' || p[0] > '9') p = "0" + p;
  }
  if (parts.size() < 3 && parts.back().find_first_of("+-") != std::string::npos) {
    fault = "short version cannot contain PreRelease/Build meta data";
  }
  while (parts.size() < 3) parts.emplace_back("0");
  return parts[0] + "." + parts[1] + "." + parts[2];
}

std::string read_semver(Run& run, Args a, SemverValue& v) {
  if (a.size() == 2 && a[1].as_bool()) {
    std::string fault;
    const std::string text = normalized(a[0].text(), fault);
    return fault.empty() ? read_semver(run.copy(text), v) : fault;
  }
  return read_semver(a[0].text(), v);
}

Val semver(Run& run, Args a) {
  auto* v = run.make<SemverValue>();
  const std::string fault = read_semver(run, a, *v);
  return fault.empty() ? Val::opaque(v) : run.error(fault);
}
Val is_semver(Run& run, Args a) {
  SemverValue v;
  return Val::boolean(read_semver(run, a, v).empty());
}
int compared(Args a) {
  return compare_semver(a[0].opaque_as<SemverValue>(), a[1].opaque_as<SemverValue>());
}
Val semver_greater(Run&, Args a) { return Val::boolean(compared(a) > 0); }
Val semver_less(Run&, Args a) { return Val::boolean(compared(a) < 0); }
Val semver_compare(Run&, Args a) { return Val::integer(compared(a)); }
Val major_of(Run&, Args a) {
  return Val::integer(static_cast<int64_t>(a[0].opaque_as<SemverValue>().major));
}
Val minor_of(Run&, Args a) {
  return Val::integer(static_cast<int64_t>(a[0].opaque_as<SemverValue>().minor));
}
Val patch_of(Run&, Args a) {
  return Val::integer(static_cast<int64_t>(a[0].opaque_as<SemverValue>().patch));
}

// --- formats -----------------------------------------------------------------------------------

Messages check_uri(std::string_view s) {
  const Result<ParsedUrl> url = parse_url(s);
  return url.ok() ? Messages() : Messages{url.status().message()};
}
// Those that schemas have as well are checked alike.
Messages as_in_schemas(const char* format, std::string_view s, const char* fault) {
  return find_text_format(format)->valid(s) ? Messages() : Messages{fault};
}
Messages check_uuid(std::string_view s) {
  return as_in_schemas("uuid", s, "does not match the UUID format");
}
Messages check_byte(std::string_view s) { return as_in_schemas("byte", s, "invalid base64"); }
Messages check_date(std::string_view s) { return as_in_schemas("date", s, "invalid date"); }
Messages check_date_time(std::string_view s) {
  return as_in_schemas("datetime", s, "invalid datetime");
}

struct NamedFormat {
  std::string_view name;
  std::string_view function, id;
  FormatValue value;
  Function make;
};

template <size_t kIndex>
Val constant_format(Run&, Args);

const NamedFormat kFormats[] = {
    {"dns1123Label",
     "format.dns1123Label",
     "format.dns1123Label",
     {"DNS1123Label", [](std::string_view s) { return name_is_dns_label(s, false); }, 30},
     constant_format<0>},
    {"dns1123Subdomain",
     "format.dns1123Subdomain",
     "format.dns1123Subdomain",
     {"DNS1123Subdomain", [](std::string_view s) { return name_is_dns_subdomain(s, false); }, 60},
     constant_format<1>},
    {"dns1035Label",
     "format.dns1035Label",
     "format.dns1035Label",
     {"DNS1035Label", [](std::string_view s) { return name_is_dns1035_label(s, false); }, 30},
     constant_format<2>},
    {"qualifiedName",
     "format.qualifiedName",
     "format.qualifiedName",
     {"QualifiedName", check_qualified_name, 60},
     constant_format<3>},
    {"dns1123LabelPrefix",
     "format.dns1123LabelPrefix",
     "format.dns1123LabelPrefix",
     {"DNS1123LabelPrefix", [](std::string_view s) { return name_is_dns_label(s, true); }, 30},
     constant_format<4>},
    {"dns1123SubdomainPrefix",
     "format.dns1123SubdomainPrefix",
     "format.dns1123SubdomainPrefix",
     {"DNS1123SubdomainPrefix", [](std::string_view s) { return name_is_dns_subdomain(s, true); },
      60},
     constant_format<5>},
    {"dns1035LabelPrefix",
     "format.dns1035LabelPrefix",
     "format.dns1035LabelPrefix",
     {"DNS1035LabelPrefix", [](std::string_view s) { return name_is_dns1035_label(s, true); }, 30},
     constant_format<6>},
    {"labelValue",
     "format.labelValue",
     "format.labelValue",
     {"LabelValue", check_label_value, 40},
     constant_format<7>},
    {"uri", "format.uri", "format.uri", {"URI", check_uri, 1103}, constant_format<8>},
    {"uuid", "format.uuid", "format.uuid", {"uuid", check_uuid, 70}, constant_format<9>},
    {"byte", "format.byte", "format.byte", {"byte", check_byte, 84}, constant_format<10>},
    {"date", "format.date", "format.date", {"date", check_date, 71}, constant_format<11>},
    {"datetime",
     "format.datetime",
     "format.datetime",
     {"datetime", check_date_time, 71},
     constant_format<12>}};

template <size_t kIndex>
Val constant_format(Run&, Args) {
  return Val::opaque(&kFormats[kIndex].value);
}

Val named_format(Run& run, Args a) {
  for (const NamedFormat& f : kFormats) {
    if (f.name == a[0].text()) return run.some(Val::opaque(&f.value));
  }
  return Val::optional(nullptr);
}

Val validate_format(Run& run, Args a) {
  const Messages messages = a[0].opaque_as<FormatValue>().check(a[1].text());
  if (messages.empty()) return Val::optional(nullptr);
  Val list = run.make_list(messages.size());
  for (const std::string& m : messages) list = run.append(list, run.string(m));
  return run.some(list);
}

// --- authorizer --------------------------------------------------------------------------------

using Kind = Opaque::Kind;

Val path_check(Run& run, Args a) {
  if (trim_space(a[1].text()).empty()) return run.error("path must not be empty");
  auto* c = run.make<CheckValue>(Kind::kPathCheck, a[0].opaque_as<AuthorizerValue>());
  c->query.path = a[1].text();
  return Val::opaque(c);
}
Val group_check(Run& run, Args a) {
  auto* c = run.make<CheckValue>(Kind::kGroupCheck, a[0].opaque_as<AuthorizerValue>());
  c->query.is_resource = true;
  c->query.group = a[1].text();
  return Val::opaque(c);
}
Val service_account(Run& run, Args a) {
  const std::string ns(a[1].text()), name(a[2].text());
  if (!name_is_dns_subdomain(name, false).empty()) return run.error("Invalid service account name");
  if (!name_is_dns_label(ns, false).empty()) return run.error("Invalid service account namespace");
  auto user = std::make_shared<AuthorizationUser>();
  user->name = "system:serviceaccount:" + ns + ":" + name;
  user->groups = {"system:serviceaccounts", "system:serviceaccounts:" + ns, "system:authenticated"};
  const AuthorizationUser* u = user.get();
  run.arena().adopt(std::move(user));
  return Val::opaque(run.make<AuthorizerValue>(a[0].opaque_as<AuthorizerValue>().authorizer, u));
}
Val resource_check(Run& run, Args a) {
  if (trim_space(a[1].text()).empty()) return run.error("resource must not be empty");
  auto* c = run.make<CheckValue>(a[0].opaque_as<CheckValue>());
  c->kind = Kind::kResourceCheck;
  c->query.resource = a[1].text();
  return Val::opaque(c);
}
template <std::string_view AuthorizationQuery::*kField>
Val with_field(Run& run, Args a) {
  auto* c = run.make<CheckValue>(a[0].opaque_as<CheckValue>());
  c->query.*kField = a[1].text();
  return Val::opaque(c);
}
Val authorize(Run& run, Args a) {
  const auto& c = a[0].opaque_as<CheckValue>();
  AuthorizationQuery query = c.query;
  query.verb = a[1].text();
  const AuthorizationAnswer answer = c.authorizer->authorize(*c.user, query);
  auto* d = run.make<DecisionValue>();
  d->allowed = answer.allowed;
  d->reason = run.copy(answer.reason);
  d->error = run.copy(answer.error);
  return Val::opaque(d);
}
const DecisionValue& decision(Args a) { return a[0].opaque_as<DecisionValue>(); }
Val errored(Run&, Args a) { return Val::boolean(!decision(a).error.empty()); }
Val error_of(Run&, Args a) { return Val::string(decision(a).error); }
Val allowed(Run&, Args a) { return Val::boolean(decision(a).allowed); }
Val reason(Run&, Args a) { return Val::string(decision(a).reason); }

}  // namespace

void add_quantities(Library& lib) {
  const TypePtr q = struct_type("kubernetes.Quantity");
  const TypePtr &s = string_type(), &b = bool_type(), &i = int_type();
  lib.global("quantity", "string_to_quantity", {s}, q, quantity);
  lib.global("isQuantity", "is_quantity_string", {s}, b, is_quantity);
  lib.global("sign", "quantity_sign", {q}, i, sign);
  lib.member("isGreaterThan", "quantity_is_greater_than", {q, q}, b, quantity_greater);
  lib.member("isLessThan", "quantity_is_less_than", {q, q}, b, quantity_less);
  lib.member("compareTo", "quantity_compare_to", {q, q}, i, quantity_compare);
  lib.member("asApproximateFloat", "quantity_get_float", {q}, double_type(), as_float);
  lib.member("asInteger", "quantity_get_int", {q}, i, as_integer);
  lib.member("isInteger", "quantity_is_integer", {q}, b, is_integer);
  lib.member("add", "quantity_add", {q, q}, q, quantity_add);
  lib.member("add", "quantity_add_int", {q, i}, q, quantity_add);
  lib.member("sub", "quantity_sub", {q, q}, q, quantity_sub);
  lib.member("sub", "quantity_sub_int", {q, i}, q, quantity_sub);
}

void add_semver(Library& lib) {
  const TypePtr v = struct_type("kubernetes.Semver");
  const TypePtr &s = string_type(), &b = bool_type(), &i = int_type();
  lib.global("semver", "string_to_semver", {s}, v, semver);
  lib.global("semver", "string_bool_to_semver", {s, b}, v, semver);
  lib.global("isSemver", "is_semver_string", {s}, b, is_semver);
  lib.global("isSemver", "is_semver_string_bool", {s, b}, b, is_semver);
  lib.member("isGreaterThan", "semver_is_greater_than", {v, v}, b, semver_greater);
  lib.member("isLessThan", "semver_is_less_than", {v, v}, b, semver_less);
  lib.member("compareTo", "semver_compare_to", {v, v}, i, semver_compare);
  lib.member("major", "semver_major", {v}, i, major_of);
  lib.member("minor", "semver_minor", {v}, i, minor_of);
  lib.member("patch", "semver_patch", {v}, i, patch_of);
}

void add_formats(Library& lib) {
  const TypePtr f = struct_type("kubernetes.NamedFormat");
  const TypePtr& s = string_type();
  lib.member("validate", "format-validate", {f, s}, optional_type(list_type(s)), validate_format);
  lib.global("format.named", "format-named", {s}, optional_type(f), named_format);
  for (const NamedFormat& n : kFormats) lib.global(n.function, n.id, {}, f, n.make);
}

void add_authorizer(Library& lib) {
  const TypePtr a = struct_type("kubernetes.authorization.Authorizer");
  const TypePtr p = struct_type("kubernetes.authorization.PathCheck");
  const TypePtr g = struct_type("kubernetes.authorization.GroupCheck");
  const TypePtr r = struct_type("kubernetes.authorization.ResourceCheck");
  const TypePtr d = struct_type("kubernetes.authorization.Decision");
  const TypePtr& s = string_type();
  using Q = AuthorizationQuery;
  lib.member("path", "authorizer_path", {a, s}, p, path_check);
  lib.member("group", "authorizer_group", {a, s}, g, group_check);
  lib.member("serviceAccount", "authorizer_serviceaccount", {a, s, s}, a, service_account);
  lib.member("resource", "groupcheck_resource", {g, s}, r, resource_check);
  lib.member("subresource", "resourcecheck_subresource", {r, s}, r, with_field<&Q::subresource>);
  lib.member("namespace", "resourcecheck_namespace", {r, s}, r, with_field<&Q::namespace_>);
  lib.member("name", "resourcecheck_name", {r, s}, r, with_field<&Q::name>);
  lib.member("fieldSelector", "authorizer_fieldselector", {r, s}, r,
             with_field<&Q::field_selector>);
  lib.member("labelSelector", "authorizer_labelselector", {r, s}, r,
             with_field<&Q::label_selector>);
  lib.member("check", "pathcheck_check", {p, s}, d, authorize);
  lib.member("check", "resourcecheck_check", {r, s}, d, authorize);
  lib.member("errored", "decision_errored", {d}, bool_type(), errored);
  lib.member("error", "decision_error", {d}, s, error_of);
  lib.member("allowed", "decision_allowed", {d}, bool_type(), allowed);
  lib.member("reason", "decision_reason", {d}, s, reason);
}

}  // namespace keles::cel
