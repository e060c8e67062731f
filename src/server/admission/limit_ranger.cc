// LimitRanger (https://kubernetes.io/docs/concepts/policy/limit-range): gives containers the
// requests and limits that they lack, and keeps containers, pods and claims within bounds.
#include <algorithm>
#include <cstdio>
#include <functional>
#include <set>

#include "machinery/quota/pod_resources.h"
#include "server/admission/plugins.h"
#include "server/objects/keys.h"
#include "server/objects/meta.h"
#include "store/unreadable.h"

namespace keles::admission {
namespace {

using quota::joined;
using quota::ResourceList;
using registry::edit_map;
using registry::set_text;

// Beyond it, thousandths do not fit.
constexpr int64_t kMaxMilli = INT64_MAX / 1000;

bool concerns(const Attributes& a, const Value* before) {
  // What is being deleted is left alone.
  if (before && registry::deleting(*before)) return false;
  if (a.is("", "Pod")) {
    return a.subresource.empty() ? a.operation == Operation::kCreate
                                 : a.subresource == "resize" && a.operation == Operation::kUpdate;
  }
  const bool writes = a.operation == Operation::kCreate || a.operation == Operation::kUpdate;
  return writes && a.subresource.empty() && a.is("", "PersistentVolumeClaim");
}

// The LimitRanges of the namespace. Fails when one cannot be read: nobody knows what it forbids.
Result<std::vector<DocumentPtr>> limit_ranges(const Attributes& a) {
  static const KindDesc* const kind = find_kind("", "v1", "LimitRange");
  std::vector<DocumentPtr> out;
  TRY(scan_whole(*a.state, registry::list_prefix(*kind, a.namespace_),
                 [&](std::string_view, const ObjectPtr& o) {
                   out.push_back(o->tree());
                   return true;
                 }));
  return out;
}

// --- defaults ---

// Gives `container` what `from` names and it lacks; the names of what was given, sorted.
std::string give(Document& d, Value& container, std::string_view field, const ResourceList& from) {
  std::vector<std::string> given;
  for (const auto& [name, amount] : from) {
    Value& into = edit_map(d, edit_map(d, container, "resources"), field);
    if (into.find(name)) continue;
    set_text(d, into, d.arena.copy(name), amount.to_string());
    given.push_back(name);
  }
  return joined(given, ", ");
}

struct Defaults {
  ResourceList requests, limits;
};

Defaults defaults_of(const Value& limit_range) {
  Defaults out;
  for (const Value& item : limit_range["spec"]["limits"].items()) {
    if (item["type"].as_string() != "Container") continue;
    for (auto& [name, q] : quota::read_resource_list(item["defaultRequest"])) {
      out.requests[name] = q;
    }
    for (auto& [name, q] : quota::read_resource_list(item["default"])) out.limits[name] = q;
  }
  return out;
}

void give_defaults(Document& pod, const Defaults& defaults) {
  std::vector<std::string> notes;
  Value& spec = edit_map(pod, pod.root, "spec");
  for (std::string_view field : {"containers", "initContainers"}) {
    Value* containers = spec.find(field);
    if (!containers) continue;
    for (Value& c : containers->items()) {
      const std::string limits = give(pod, c, "limits", defaults.limits);
      const std::string requests = give(pod, c, "requests", defaults.requests);
      const std::string whose =
          (field == "containers" ? " for container " : " for init container ") +
          std::string(c["name"].as_string());
      if (!requests.empty()) notes.push_back(requests + " request" + whose);
      if (!limits.empty()) notes.push_back(limits + " limit" + whose);
    }
  }
  if (notes.empty()) return;
  set_text(pod, edit_map(pod, registry::edit_metadata(pod), "annotations"),
           "kubernetes.io/limit-ranger", "LimitRanger plugin set: " + joined(notes, "; "));
}

// --- bounds ---

// What is asked for of one resource.
struct Asked {
  const Quantity *request = nullptr, *limit = nullptr;
};

Asked asked_of(const ResourceList& requests, const ResourceList& limits, const std::string& name) {
  auto find_in = [&](const ResourceList& list) {
    auto at = list.find(name);
    return at == list.end() ? nullptr : &at->second;
  };
  return {find_in(requests), find_in(limits)};
}

// At a precision that all of them have.
bool less(const Quantity& a, const Quantity& b) {
  if (a.value() <= kMaxMilli && b.value() <= kMaxMilli) return a.milli_value() < b.milli_value();
  return a.value() < b.value();
}

std::string check_min(const std::string& head, const Quantity& min, const Asked& asked) {
  const std::string bound = "minimum " + head + " is " + min.to_string();
  if (!asked.request) return bound + ".  No request is specified";
  if (less(*asked.request, min)) return bound + ", but request is " + asked.request->to_string();
  if (asked.limit && less(*asked.limit, min)) {
    return bound + ", but limit is " + asked.limit->to_string();
  }
  return "";
}

// `by_request`: of what has no limits (claims).
std::string check_max(const std::string& head, const Quantity& max, const Asked& asked,
                      bool by_request) {
  const std::string bound = "maximum " + head + " is " + max.to_string();
  if (by_request ? !asked.request : !asked.limit) {
    return bound + (by_request ? ".  No request is specified" : ".  No limit is specified");
  }
  if (asked.limit && less(max, *asked.limit)) {
    return bound + ", but limit is " + asked.limit->to_string();
  }
  if (asked.request && less(max, *asked.request)) {
    return bound + ", but request is " + asked.request->to_string();
  }
  return "";
}

std::string check_ratio(const std::string& name, const std::string& type, const Quantity& most,
                        const Asked& asked) {
  const std::string bound =
      name + " max limit to request ratio per " + type + " is " + most.to_string();
  if (!asked.request || asked.request->is_zero()) {
    return bound + ", but no request is specified or request is 0";
  }
  if (!asked.limit || asked.limit->is_zero()) {
    return bound + ", but no limit is specified or limit is 0";
  }
  const bool fine = asked.request->value() <= kMaxMilli && asked.limit->value() <= kMaxMilli;
  auto number = [fine](const Quantity& q) {
    return static_cast<double>(fine ? q.milli_value() : q.value());
  };
  const double ratio = number(*asked.limit) / number(*asked.request);
  const bool exceeded = most.value() <= kMaxMilli
                            ? ratio * 1000 > static_cast<double>(most.milli_value())
                            : ratio > static_cast<double>(most.value());
  if (!exceeded) return "";
  char text[64];
  std::snprintf(text, sizeof text, "%f", ratio);
  return bound + ", but provided ratio is " + text;
}

using Problems = std::vector<std::string>;

void note(Problems& problems, std::string problem) {
  if (problem.empty()) return;
  if (std::find(problems.begin(), problems.end(), problem) == problems.end()) {
    problems.push_back(std::move(problem));
  }
}

void check_item(const Value& item, const ResourceList& requests, const ResourceList& limits,
                bool by_request, Problems& problems) {
  const std::string type(item["type"].as_string());
  auto each = [&](std::string_view field, auto check) {
    for (const auto& [name, bound] : quota::read_resource_list(item[field])) {
      note(problems, check(name, bound, asked_of(requests, limits, name)));
    }
  };
  auto head = [&](const std::string& name) { return name + " usage per " + type; };
  each("min", [&](const std::string& name, const Quantity& bound, const Asked& asked) {
    return check_min(head(name), bound, asked);
  });
  each("max", [&](const std::string& name, const Quantity& bound, const Asked& asked) {
    return check_max(head(name), bound, asked, by_request);
  });
  if (by_request) return;
  each("maxLimitRequestRatio",
       [&](const std::string& name, const Quantity& bound, const Asked& asked) {
         return check_ratio(name, type, bound, asked);
       });
}

void check_pod(const Value& item, const Value& pod, Problems& problems) {
  using quota::Actual, quota::Overhead;
  if (item["type"].as_string() == "Pod") {
    check_item(item, quota::pod_requests(pod, Actual::kLeftOut, Overhead::kLeftOut),
               quota::pod_limits(pod, Actual::kLeftOut, Overhead::kLeftOut), false, problems);
  }
  if (item["type"].as_string() != "Container") return;
  for (std::string_view field : {"containers", "initContainers"}) {
    for (const Value& c : pod["spec"][field].items()) {
      check_item(item, quota::read_resource_list(c["resources"]["requests"]),
                 quota::read_resource_list(c["resources"]["limits"]), false, problems);
    }
  }
}

}  // namespace

Status limit_ranger(const Attributes& a, Document& pod, const Value* before) {
  if (!a.is("", "Pod") || !concerns(a, before)) return {};
  TRY_ASSIGN(ranges, limit_ranges(a));
  for (const DocumentPtr& range : ranges) give_defaults(pod, defaults_of(range->root));
  return {};
}

Status limit_ranger_validate(const Attributes& a, const Value* object, const Value* before) {
  if (!object || !concerns(a, before)) return {};
  TRY_ASSIGN(ranges, limit_ranges(a));
  for (const DocumentPtr& range : ranges) {
    Problems problems;
    for (const Value& item : range->root["spec"]["limits"].items()) {
      if (a.is("", "Pod")) {
        check_pod(item, *object, problems);
      } else if (item["type"].as_string() == "PersistentVolumeClaim") {
        check_item(item, quota::read_resource_list((*object)["spec"]["resources"]["requests"]), {},
                   true, problems);
      }
    }
    if (problems.size() == 1) return refuse(a, problems[0]);
    if (!problems.empty()) return refuse(a, "[" + joined(problems, ", ") + "]");
  }
  return {};
}

}  // namespace keles::admission
