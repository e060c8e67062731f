// ResourceQuotas and LimitRanges.
#include <algorithm>
#include <cstdio>
#include <set>

#include "api/core_v1.h"
#include "machinery/quantity.h"
#include "server/registry/cells.h"
#include "server/registry/checks.h"
#include "server/registry/strategy.h"
#include "server/registry/warnings.h"

namespace keles::registry {
namespace {

using api::core_v1::LimitRange;
using api::core_v1::LimitRangeItem;
using api::core_v1::ResourceQuota;
using api::core_v1::ResourceQuotaSpec;
using api::core_v1::ScopedResourceSelectorRequirement;

const FieldPath kSpec("spec");
const FieldPath kStatus("status");

// --- ResourceQuota ------------------------------------------------------------------------------

using Amounts = Map<std::string_view>;

void validate_amounts(FieldErrors& e, const FieldPath& p, const Amounts& amounts) {
  for (auto [name, amount] : amounts) {
    validate_quota_resource_name(e, p.key(name), name);
    validate_amount(e, p.key(name), name, amount);
  }
}

bool is_scope(std::string_view s) {
  return is_one_of(s, {"Terminating", "NotTerminating", "BestEffort", "NotBestEffort",
                       "PriorityClass", "VolumeAttributesClass", "CrossNamespacePodAffinity"});
}

bool scope_covers(std::string_view scope, std::string_view resource) {
  if (scope == "VolumeAttributesClass") {
    return is_one_of(resource, {"persistentvolumeclaims", "requests.storage"});
  }
  if (!is_scope(scope) || resource == "pods") return true;
  return scope != "BestEffort" &&
         is_one_of(resource, {"cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu",
                              "requests.memory"});
}

// How many of the quota's resources such a scope has nothing to do with.
size_t uncovered(const ResourceQuotaSpec& spec, std::string_view scope) {
  size_t n = 0;
  for (auto [name, amount] : spec.hard()) {
    if (is_standard_quota_resource(name) && !scope_covers(scope, name)) ++n;
  }
  return n;
}

void validate_pairs(FieldErrors& e, const FieldPath& p, const ResourceQuotaSpec& spec,
                    const std::set<std::string_view>& scopes) {
  for (auto [one, other] :
       {std::pair{"BestEffort", "NotBestEffort"}, std::pair{"Terminating", "NotTerminating"}}) {
    if (scopes.count(one) && scopes.count(other)) {
      field::invalid(e, p, spec.scopes().value(), "conflicting scopes");
    }
  }
}

void validate_scopes(FieldErrors& e, const ResourceQuotaSpec& spec) {
  const FieldPath p = kSpec["scopes"];
  const Value& all = spec.scopes().value();
  std::set<std::string_view> scopes;
  for (std::string_view scope : spec.scopes()) {
    if (!is_scope(scope)) field::invalid(e, p, all, "unsupported scope");
    for (size_t n = uncovered(spec, scope); n > 0; --n) {
      field::invalid(e, p, all, "unsupported scope applied to resource");
    }
    scopes.insert(scope);
  }
  validate_pairs(e, p, spec, scopes);
}

void validate_scope_requirement(FieldErrors& e, const FieldPath& p, const ResourceQuotaSpec& spec,
                                const ScopedResourceSelectorRequirement& r) {
  const std::string_view scope = r.scope_name(), op = r.operator_();
  if (!is_scope(scope)) field::invalid(e, p["scopeName"], scope, "unsupported scope");
  for (size_t n = uncovered(spec, scope); n > 0; --n) {
    invalid_as(e, p, struct_text(spec.scope_selector()), "unsupported scope applied to resource");
  }
  const bool plain =
      is_scope(scope) && scope != "PriorityClass" && scope != "VolumeAttributesClass";
  if (plain && op != "Exists") {
    field::invalid(e, p["operator"], op,
                   "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, "
                   "ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
                   "ResourceQuotaScopeNotBestEffort or "
                   "ResourceQuotaScopeCrossNamespacePodAffinity");
  }
  if (op == "In" || op == "NotIn") {
    if (r.values().empty()) {
      field::required(e, p["values"],
                      "must be at least one value when `operator` is 'In' or 'NotIn' for scope "
                      "selector");
    }
  } else if (op == "Exists" || op == "DoesNotExist") {
    if (!r.values().empty()) {
      field::invalid(e, p["values"], r.values().value(),
                     "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope "
                     "selector");
    }
  } else {
    field::invalid(e, p["operator"], op, "not a valid selector operator");
  }
}

void validate_quota_spec(FieldErrors& e, const ResourceQuotaSpec& spec) {
  validate_amounts(e, kSpec["hard"], spec.hard());
  validate_scopes(e, spec);
  if (!spec.has_scope_selector()) return;
  const FieldPath p = kSpec["scopeSelector"]["matchExpressions"];
  std::set<std::string_view> scopes;
  for (const ScopedResourceSelectorRequirement& r : spec.scope_selector().match_expressions()) {
    validate_scope_requirement(e, p, spec, r);
    scopes.insert(r.scope_name());
  }
  validate_pairs(e, p, spec, scopes);
}

void validate_quota_status(FieldErrors& e, const ResourceQuota& quota) {
  validate_amounts(e, kStatus["hard"], quota.status().hard());
  validate_amounts(e, kStatus["used"], quota.status().used());
}

void validate_quota(const HookContext&, const Value& now, FieldErrors& e) {
  const ResourceQuota quota(now);
  validate_quota_spec(e, quota.spec());
  validate_quota_status(e, quota);
}

void validate_quota_update(const HookContext&, const Value& now, const Value& before,
                           FieldErrors& e) {
  const ResourceQuotaSpec spec = ResourceQuota(now).spec();
  validate_quota_spec(e, spec);
  std::set<std::string_view> is, was;
  for (std::string_view s : spec.scopes()) is.insert(s);
  for (std::string_view s : ResourceQuota(before).spec().scopes()) was.insert(s);
  if (is != was) field::invalid(e, kSpec["scopes"], spec.scopes().value(), "field is immutable");
}

void validate_status_update(const HookContext&, const Value& now, const Value&, FieldErrors& e) {
  validate_quota_status(e, ResourceQuota(now));
}

void quota_cells(const HookContext& ctx, const Value& o, Cells& out) {
  std::vector<std::string> requests, limits;
  for (const Member& m : o["status"]["hard"].members()) {
    std::string s = std::string(m.key()) + ": " +
                    or_else(o["status"]["used"][m.key()].as_string(), "0") + "/" +
                    std::string(m.value.as_string());
    (m.key().substr(0, 7) == "limits." ? limits : requests).push_back(s);
  }
  std::sort(requests.begin(), requests.end());
  std::sort(limits.begin(), limits.end());
  CellWriter w(ctx, out);
  w.text("Request", joined(requests, ", "));
  w.text("Limit", joined(limits, ", "));
}

// --- LimitRange ---------------------------------------------------------------------------------

struct Limit {
  const Amounts &max, &min, &normal, &request, &ratio;
};

std::optional<Quantity> amount_of(const Amounts& amounts, std::string_view name) {
  if (!amounts.contains(name)) return std::nullopt;
  return Quantity::parse_or_zero(amounts.get(name));
}

std::string fixed(double d) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%f", d);
  return buffer;
}

// The most that a ratio can be between such ends.
void validate_ratio(FieldErrors& e, const FieldPath& p, const Quantity& ratio,
                    const Quantity& least, const Quantity& most) {
  constexpr int64_t kMaxMilli = 9223372036854775;  // beyond it, thousandths do not fit
  double r = static_cast<double>(ratio.value());
  int64_t lo = least.value(), hi = most.value();
  if (ratio.value() < kMaxMilli && lo < kMaxMilli && hi < kMaxMilli) {
    r = static_cast<double>(ratio.milli_value()) / 1000;
    lo = least.milli_value();
    hi = most.milli_value();
  }
  const double limit = static_cast<double>(hi) / static_cast<double>(lo);
  if (r > limit) {
    field::invalid(e, p, ratio.to_string(),
                   "ratio " + ratio.to_string() + " is greater than max/min = " + fixed(limit));
  }
}

// What the five amounts of one resource say beside each other.
void validate_order(FieldErrors& e, const FieldPath& p, std::string_view name, const Limit& l) {
  const auto lo = amount_of(l.min, name), hi = amount_of(l.max, name),
             normal = amount_of(l.normal, name), request = amount_of(l.request, name),
             ratio = amount_of(l.ratio, name);
  auto greater = [&](const char* member, const Quantity& shown, const char* what, const Quantity& a,
                     const char* than, const Quantity& b) {
    field::invalid(e, p[member].key(name), shown.to_string(),
                   std::string(what) + " value " + a.to_string() + " is greater than " + than +
                       " value " + b.to_string());
  };
  if (lo && hi && *lo > *hi) greater("min", *lo, "min", *lo, "max", *hi);
  if (request && lo && *lo > *request) {
    greater("defaultRequest", *request, "min", *lo, "default request", *request);
  }
  if (request && hi && *request > *hi) {
    greater("defaultRequest", *request, "default request", *request, "max", *hi);
  }
  if (request && normal && *request > *normal) {
    greater("defaultRequest", *request, "default request", *request, "default limit", *normal);
  }
  if (normal && lo && *lo > *normal) greater("default", *lo, "min", *lo, "default", *normal);
  if (normal && hi && *normal > *hi) greater("default", *hi, "default", *normal, "max", *hi);
  const FieldPath at_ratio = p["maxLimitRequestRatio"].key(name);
  if (ratio && *ratio < Quantity::from_int(1)) {
    field::invalid(e, at_ratio, ratio->to_string(),
                   "ratio " + ratio->to_string() + " is less than 1");
  }
  if (ratio && lo && hi) validate_ratio(e, at_ratio, *ratio, *lo, *hi);
  const bool overcommits = is_native_resource(name) && !is_huge_page(name);
  if (!overcommits && normal && request && *normal != *request) {
    field::invalid(e, p["defaultRequest"].key(name), request->to_string(),
                   "default value " + normal->to_string() + " must equal to defaultRequest value " +
                       request->to_string() + " in " + std::string(name));
  }
}

void validate_limit(FieldErrors& e, const FieldPath& p, const LimitRangeItem& limit) {
  const std::string_view type = limit.type();
  const bool of_pods = type == "Pod" || type == "Container";
  std::set<std::string_view> names;
  auto each = [&](const char* member, const Amounts& amounts) {
    for (auto [name, amount] : amounts) {
      const FieldPath at = p[member].key(name);
      of_pods ? validate_container_resource_name(e, at, name) : validate_resource_name(e, at, name);
      names.insert(name);
    }
  };
  const Amounts max = limit.max(), min = limit.min(), ratio = limit.max_limit_request_ratio();
  Amounts normal = limit.default_(), request = limit.default_request();
  each("max", max);
  each("min", min);
  if (type == "Pod") {
    constexpr const char* kNot = "may not be specified when `type` is 'Pod'";
    if (!normal.empty()) field::forbidden(e, p["default"], kNot);
    if (!request.empty()) field::forbidden(e, p["defaultRequest"], kNot);
    normal = request = Amounts();
  } else {
    each("default", normal);
    each("defaultRequest", request);
  }
  if (type == "PersistentVolumeClaim" && !min.contains("storage") && !max.contains("storage")) {
    field::required(e, p["limits"],
                    "either minimum or maximum storage value is required, but neither was "
                    "provided");
  }
  each("maxLimitRequestRatio", ratio);
  for (std::string_view name : names) {
    validate_order(e, p, name, Limit{max, min, normal, request, ratio});
  }
}

void validate_limit_range(const HookContext&, const Value& now, FieldErrors& e) {
  std::set<std::string_view> types;
  size_t i = 0;
  for (const LimitRangeItem& limit : LimitRange(now).spec().limits()) {
    const FieldPath at = kSpec["limits"][i++];
    const std::string_view type = limit.type();
    auto bad = check_qualified_name(type);
    if (!bad.empty()) {
      field::invalid_each(e, at["type"], type, std::move(bad));
    } else if (type.find('/') == type.npos &&
               !is_one_of(type, {"Pod", "Container", "PersistentVolumeClaim"})) {
      field::invalid(e, at["type"], type, "must be a standard limit type or fully qualified");
    }
    if (!types.insert(type).second) field::duplicate(e, at["type"], type);
    validate_limit(e, at, limit);
  }
}

}  // namespace

extern const Strategy kResourceQuotaStrategy{.warnings = resource_quota_warnings,
                                             .validate = validate_quota,
                                             .validate_update = validate_quota_update,
                                             .validate_status_update = validate_status_update,
                                             .validates_update_whole = true,
                                             .described = false,
                                             .metadata_again = MetadataAgain::kChange,
                                             .status_metadata_again = MetadataAgain::kChange,
                                             .cells = quota_cells};
extern const Strategy kLimitRangeStrategy{
    .validate = validate_limit_range, .described = false, .metadata_again = MetadataAgain::kWhole};

}  // namespace keles::registry
