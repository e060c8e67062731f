#include <functional>

#include "machinery/quantity.h"
#include "server/admission/plugins.h"
#include "server/objects/keys.h"
#include "server/objects/meta.h"
#include "store/unreadable.h"

namespace keles::admission {
namespace {

using registry::edit_map;
using registry::set_text;

// Fails when a LimitRange cannot be read: nobody knows what it forbids.
Status each_limit(const Attributes& a, const std::function<void(const Value& item)>& fn) {
  const KindDesc* kind = find_kind("", "v1", "LimitRange");
  if (!kind) return Status();
  return scan_whole(*a.state, registry::list_prefix(*kind, a.namespace_),
                    [&](std::string_view, const ObjectPtr& o) {
                      DocumentPtr tree = o->tree();
                      for (const Value& item : tree->root["spec"]["limits"].items()) fn(item);
                      return true;
                    });
}

// Gives `container` what `from` names and it lacks; the names of what was given.
std::vector<std::string> give(Document& d, Value& container, std::string_view field,
                              const Value& from) {
  std::vector<std::string> given;
  for (const Member& m : from.members()) {
    Value& into = edit_map(d, edit_map(d, container, "resources"), field);
    if (into.find(m.key())) continue;
    set_text(d, into, m.key(), m.value.as_string());
    given.emplace_back(m.key());
  }
  return given;
}

std::string joined(const std::vector<std::string>& v, std::string_view separator) {
  std::string out;
  for (const std::string& s : v) out += (out.empty() ? "" : std::string(separator)) + s;
  return out;
}

struct Sums {
  Quantity requests, limits;
  bool has_request = false, has_limit = false;
};

void check(const Value& item, std::string_view resource, const Sums& s,
           std::vector<std::string>& errors) {
  const std::string type(item["type"].as_string()), r(resource);
  auto bound = [&](std::string_view f) { return item[f].find(resource); };
  if (const Value* min = bound("min")) {
    Quantity least = Quantity::parse_or_zero(min->as_string());
    std::string head =
        "minimum " + r + " usage per " + type + " is " + std::string(min->as_string());
    if (!s.has_request) {
      errors.push_back(head + ".  No request is specified");
    } else if (s.requests < least) {
      errors.push_back(head + ", but request is " + s.requests.to_string());
    }
    if (s.has_limit && s.limits < least) {
      errors.push_back(head + ", but limit is " + s.limits.to_string());
    }
  }
  if (const Value* max = bound("max")) {
    Quantity most = Quantity::parse_or_zero(max->as_string());
    std::string head =
        "maximum " + r + " usage per " + type + " is " + std::string(max->as_string());
    if (!s.has_limit) {
      errors.push_back(head + ".  No limit is specified");
    } else if (s.limits > most) {
      errors.push_back(head + ", but limit is " + s.limits.to_string());
    }
    if (s.has_request && s.requests > most) {
      errors.push_back(head + ", but request is " + s.requests.to_string());
    }
  }
}

void add(const Value& container, std::string_view resource, Sums& s, bool all) {
  const Value* request = container["resources"]["requests"].find(resource);
  const Value* limit = container["resources"]["limits"].find(resource);
  if (request) s.requests.add(Quantity::parse_or_zero(request->as_string()));
  if (limit) s.limits.add(Quantity::parse_or_zero(limit->as_string()));
  s.has_request |= request != nullptr;
  s.has_limit = all ? s.has_limit && limit : limit != nullptr;
}

}  // namespace

Status limit_ranger(const Attributes& a, Document& pod, const Value*) {
  if (!pod_create(a)) return {};
  std::vector<std::string> notes;
  Value& spec = edit_map(pod, pod.root, "spec");
  for (std::string_view field : {"initContainers", "containers"}) {
    Value* containers = spec.find(field);
    if (!containers) continue;
    for (Value& c : containers->items()) {
      std::vector<std::string> requests, limits;
      auto give_defaults = [&](const Value& item) {
        if (item["type"].as_string() != "Container") return;
        for (auto& n : give(pod, c, "limits", item["default"])) limits.push_back(n);
        for (auto& n : give(pod, c, "requests", item["defaultRequest"])) requests.push_back(n);
      };
      TRY(each_limit(a, give_defaults));
      const std::string suffix =
          (field == "containers" ? " for container " : " for init container ") +
          std::string(c["name"].as_string());
      if (!requests.empty()) notes.push_back(joined(requests, ", ") + " request" + suffix);
      if (!limits.empty()) notes.push_back(joined(limits, ", ") + " limit" + suffix);
    }
  }
  if (!notes.empty()) {
    set_text(pod, edit_map(pod, registry::edit_metadata(pod), "annotations"),
             "kubernetes.io/limit-ranger", "LimitRanger plugin set: " + joined(notes, "; "));
  }
  return {};
}

Status limit_ranger_validate(const Attributes& a, const Value* pod, const Value*) {
  if (!pod || !pod_create(a)) return {};
  std::vector<std::string> errors;
  const Value& containers = (*pod)["spec"]["containers"];
  auto check_item = [&](const Value& item) {
    const bool whole = item["type"].as_string() == "Pod";
    if (!whole && item["type"].as_string() != "Container") return;
    std::vector<std::string_view> resources;
    for (std::string_view f : {"min", "max"}) {
      for (const Member& m : item[f].members()) {
        bool known = false;
        for (auto r : resources) known |= r == m.key();
        if (!known) resources.push_back(m.key());
      }
    }
    for (std::string_view r : resources) {
      if (whole) {
        Sums s;
        s.has_limit = true;
        for (const Value& c : containers.items()) add(c, r, s, true);
        check(item, r, s, errors);
        continue;
      }
      for (const Value& c : containers.items()) {
        Sums s;
        add(c, r, s, false);
        check(item, r, s, errors);
      }
    }
  };
  TRY(each_limit(a, check_item));
  if (errors.empty()) return {};
  return refuse(a, errors.size() == 1 ? errors[0] : "[" + joined(errors, ", ") + "]");
}

}  // namespace keles::admission
