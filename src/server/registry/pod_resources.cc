// What containers, and a pod as a whole, ask for. See pod_validation.h.
#include <map>

#include "machinery/quantity.h"
#include "server/registry/checks.h"
#include "server/registry/pod_validation.h"

namespace keles::registry {
namespace {

using NameCheckOf = void (*)(FieldErrors&, const FieldPath&, std::string_view);

Quantity amount_of(const Value& v) { return Quantity::parse_or_zero(v.as_string()); }

bool may_overcommit(std::string_view name) {
  return is_native_resource(name) && !is_huge_page(name);
}

// What is said of claims that a pod does not have.
std::string claims_text(const std::set<std::string_view>& claims) {
  std::string out = "must be one of the names in pod.spec.resourceClaims";
  if (claims.empty()) return out + " which is empty";
  const char* between = ": ";
  for (std::string_view c : claims) {
    out.append(between).append(c);
    between = ", ";
  }
  return out;
}

void check_claim(FieldErrors& e, const FieldPath& p, const core::ResourceClaim& claim,
                 std::set<std::string>& seen) {
  const std::string name(claim.name()), request(claim.request());
  if (seen.count(name) != 0) return field::duplicate(e, p, name);
  if (!request.empty()) field::invalid_each(e, p["request"], request, check_dns1123_label(request));
  const std::string key = request.empty() ? name : name + "/" + request;
  if (seen.count(key) != 0) {
    field::duplicate(e, p, key);
  } else if (request.empty()) {
    // The whole claim overlaps with each request of it.
    for (const std::string& other : seen) {
      if (other.starts_with(name + "/")) field::duplicate(e, p, name);
    }
  }
  seen.insert(key);
}

void check_claims(FieldErrors& e, const FieldPath& p, const List<core::ResourceClaim>& claims,
                  const std::set<std::string_view>& known) {
  std::set<std::string> seen;
  size_t i = 0;
  for (core::ResourceClaim claim : claims) {
    const FieldPath at = p[i++];
    if (claim.name().empty()) {
      field::required(e, at);
      continue;
    }
    check_claim(e, at, claim, seen);
    if (known.count(claim.name()) != 0) continue;
    e.push_back({"FieldValueNotFound",
                 "Not found: " + quoted(claim.name()) + ": " + claims_text(known), at.text()});
  }
}

class Requirements {
 public:
  Requirements(FieldErrors& e, const FieldPath& p, NameCheckOf check_name,
               const PodOptions& options)
      : e_(e), p_(p), check_name_(check_name), options_(options) {}

  void check(const Value& limits, const Value& requests) {
    for (const Member& m : limits.members()) amount(p_["limits"].key(m.key()), m);
    for (const Member& m : requests.members()) {
      const FieldPath at = p_["requests"].key(m.key());
      check_name_(e_, at, m.key());
      validate_amount(e_, at, m.key(), m.value.as_string());
      against_limit(m.key(), m.value, limits.find(m.key()));
      pages(at, m);
    }
    if (!computes_ && pages_) field::forbidden(e_, p_, "HugePages require cpu or memory");
  }

 private:
  void amount(const FieldPath& at, const Member& m) {
    check_name_(e_, at, m.key());
    validate_amount(e_, at, m.key(), m.value.as_string());
    pages(at, m);
  }

  void pages(const FieldPath& at, const Member& m) {
    computes_ |= m.key() == "cpu" || m.key() == "memory";
    if (!is_huge_page(m.key())) return;
    pages_ = true;
    if (options_.indivisible_huge_pages || !indivisible_huge_page(m.key(), m.value.as_string())) {
      return;
    }
    const std::string text = amount_of(m.value).to_string();
    field::invalid(e_, at, text,
                   text + " is not positive integer multiple of " + std::string(m.key()));
  }

  void against_limit(std::string_view name, const Value& request, const Value* limit) {
    if (!limit) {
      if (!may_overcommit(name)) {
        field::required(e_, p_["limits"], "Limit must be set for non overcommitable resources");
      }
      return;
    }
    const Quantity have = amount_of(request), most = amount_of(*limit);
    const std::string of = " to " + std::string(name) + " limit of " + most.to_string();
    if (have != most && !may_overcommit(name)) {
      field::invalid(e_, p_["requests"], have.to_string(), "must be equal" + of);
    } else if (have > most) {
      field::invalid(e_, p_["requests"], have.to_string(), "must be less than or equal" + of);
    }
  }

  FieldErrors& e_;
  const FieldPath& p_;
  NameCheckOf check_name_;
  const PodOptions& options_;
  bool computes_ = false, pages_ = false;
};

void check_pod_resource_name(FieldErrors& e, const FieldPath& p, std::string_view name) {
  const size_t before = e.size();
  validate_resource_name(e, p, name);
  if (e.size() != before || name == "cpu" || name == "memory" || is_huge_page(name)) return;
  field::not_supported(e, p, name, {"cpu", "memory"});
}

using Amounts = std::map<std::string_view, Quantity>;

void add_amounts(Amounts& into, const Value& amounts) {
  for (const Member& m : amounts.members()) into[m.key()].add(amount_of(m.value));
}

void take_larger(Amounts& into, const Amounts& other) {
  for (const auto& [name, amount] : other) {
    if (into[name] < amount) into[name] = amount;
  }
}

// What containers need together: those that run at a time, init containers beside the sidecars that
// were started before them.
Amounts together(const core::PodSpec& spec, std::string_view list) {
  Amounts all, sidecars, starting;
  for (core::Container c : spec.containers()) add_amounts(all, c.resources().value()[list]);
  for (core::Container c : spec.init_containers()) {
    const Value& own = c.resources().value()[list];
    if (c.restart_policy() == "Always") {
      add_amounts(all, own);
      add_amounts(sidecars, own);
      take_larger(starting, sidecars);
    } else {
      Amounts now = sidecars;
      add_amounts(now, own);
      take_larger(starting, now);
    }
  }
  take_larger(all, starting);
  return all;
}

void check_together(FieldErrors& e, const FieldPath& p, const PodContext& pod) {
  const Value& own = pod.spec.resources().value();
  for (const auto& [name, sum] : together(pod.spec, "requests")) {
    const Value* mine = own["requests"].find(name);
    if (!mine || sum <= amount_of(*mine)) continue;
    field::invalid(
        e, p["requests"].key(name), amount_of(*mine).to_string(),
        "must be greater than or equal to aggregate container requests of " + sum.to_string());
  }
  for (const auto& [name, sum] : together(pod.spec, "limits")) {
    const Value* mine = own["limits"].find(name);
    if (!mine || !is_huge_page(name) || sum <= amount_of(*mine)) continue;
    field::invalid(
        e, p["limits"].key(name), amount_of(*mine).to_string(),
        "must be greater than or equal to aggregate container limits of " + sum.to_string());
  }
  size_t i = 0;
  for (core::Container c : pod.spec.containers()) {
    const FieldPath at = p["containers"][i++];
    for (const Member& m : c.resources().value()["limits"].members()) {
      const Value* mine = own["limits"].find(m.key());
      if (!mine || amount_of(m.value) <= amount_of(*mine)) continue;
      field::invalid(e, at.key(m.key())["limits"], amount_of(m.value).to_string(),
                     "must be less than or equal to pod limits of " + amount_of(*mine).to_string());
    }
  }
}

}  // namespace

bool indivisible_huge_page(std::string_view name, std::string_view amount) {
  if (!is_huge_page(name)) return false;
  auto size = Quantity::parse(name.substr(std::string_view("hugepages-").size()));
  if (!size.ok() || size->sign() <= 0 || size->milli_value() % 1000 != 0) return true;
  return Quantity::parse_or_zero(amount).value() % size->value() != 0;
}

void validate_container_resources(FieldErrors& e, const FieldPath& p,
                                  const core::ResourceRequirements& resources,
                                  const std::set<std::string_view>* claims,
                                  const PodOptions& options) {
  Requirements(e, p, validate_container_resource_name, options)
      .check(resources.value()["limits"], resources.value()["requests"]);
  static const std::set<std::string_view> kNone;
  check_claims(e, p["claims"], resources.claims(), claims ? *claims : kNone);
}

void validate_overhead(FieldErrors& e, const FieldPath& p, const Value& overhead,
                       const PodOptions& options) {
  Requirements(e, p, validate_container_resource_name, options).check(overhead, Value::null());
}

void validate_pod_resources(FieldErrors& e, const FieldPath& p, const PodContext& pod,
                            const PodOptions& options) {
  if (!pod.spec.has_resources()) return;
  if (pod.spec.os().name() == "windows") {
    field::forbidden(e, p, "may not be set for a windows pod");
    return;
  }
  const core::ResourceRequirements own = pod.spec.resources();
  if (!own.claims().empty()) {
    field::forbidden(e, p["claims"], "claims may not be set for Resources at pod-level");
  }
  Requirements(e, p, check_pod_resource_name, options)
      .check(own.value()["limits"], own.value()["requests"]);
  check_claims(e, p["claims"], own.claims(), pod.claims);
  check_together(e, p, pod);
}

void validate_quantity(FieldErrors& e, const FieldPath& p, const Value& quantity) {
  nonnegative_quantity(e, p, quantity.as_string());
}

}  // namespace keles::registry
