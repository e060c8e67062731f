#include "kubectl/access_rules.h"

#include <algorithm>

namespace keles::kubectl {
namespace {

std::vector<std::string> texts(const Value& list) {
  std::vector<std::string> out;
  for (const Value& v : list.items()) out.emplace_back(v.as_string());
  return out;
}

std::string listed(const std::vector<std::string>& all) {
  std::string out;
  for (const std::string& s : all) out += (out.empty() ? "" : " ") + s;
  return "[" + out + "]";
}

// Rules are ordered by what their protobuf form prints.
std::string sort_key(const AccessRule& r) {
  return "&PolicyRule{Verbs:" + listed(r.verbs) + ",APIGroups:" + listed(r.groups) +
         ",Resources:" + listed(r.resources) + ",ResourceNames:" + listed(r.names) +
         ",NonResourceURLs:" + listed(r.urls) + ",}";
}

// The verb joins the rule that differs by its verbs alone.
void add(std::vector<AccessRule>& all, AccessRule one) {
  const auto same = [&one](const AccessRule& r) {
    return one.urls.empty() && r.groups == one.groups && r.resources == one.resources &&
           r.names == one.names && r.urls == one.urls;
  };
  auto it = std::find_if(all.begin(), all.end(), same);
  if (it == all.end()) {
    all.push_back(std::move(one));
    return;
  }
  for (std::string& verb : one.verbs) {
    const bool there = std::find(it->verbs.begin(), it->verbs.end(), verb) != it->verbs.end();
    if (!there) it->verbs.push_back(std::move(verb));
  }
}

void add_resource_rule(std::vector<AccessRule>& out, const Value& rule) {
  std::vector<std::string> names = texts(rule["resourceNames"]);
  for (const std::string& group : texts(rule["apiGroups"])) {
    for (const std::string& resource : texts(rule["resources"])) {
      for (const std::string& verb : texts(rule["verbs"])) {
        if (names.empty()) add(out, {{verb}, {group}, {resource}, {}, {}});
        for (const std::string& name : names) add(out, {{verb}, {group}, {resource}, {name}, {}});
      }
    }
  }
}

}  // namespace

std::vector<AccessRule> access_rules(const Value& status) {
  std::vector<AccessRule> out;
  for (const Value& rule : status["resourceRules"].items()) add_resource_rule(out, rule);
  for (const Value& rule : status["nonResourceRules"].items()) {
    for (const std::string& url : texts(rule["nonResourceURLs"])) {
      for (const std::string& verb : texts(rule["verbs"])) add(out, {{verb}, {}, {}, {}, {url}});
    }
  }
  std::stable_sort(out.begin(), out.end(), [](const AccessRule& a, const AccessRule& b) {
    return sort_key(a) < sort_key(b);
  });
  return out;
}

std::string resource_and_group(const AccessRule& r) {
  if (r.resources.empty()) return "";
  const std::string& resource = r.resources[0];
  const size_t slash = resource.find('/');
  std::string out = resource.substr(0, slash);
  if (!r.groups.empty() && !r.groups[0].empty()) out += "." + r.groups[0];
  return slash == resource.npos ? out : out + resource.substr(slash);
}

}  // namespace keles::kubectl
