#include "kubectl/mapper.h"

#include <algorithm>

#include "base/encoding.h"
#include "kubectl/errors.h"

namespace keles::kubectl {
namespace {

constexpr size_t kMaxResources = 20'000;

std::string lower(std::string_view s) {
  std::string out(s);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

std::vector<std::string> texts(const Value& list) {
  std::vector<std::string> out;
  for (const Value& v : list.items()) out.emplace_back(v.as_string());
  return out;
}

bool holds(const std::vector<std::string>& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

// By the three ways to name a type, best first: 0 plural or singular or kind, 1 short name.
int match_of(const Resource& r, std::string_view name) {
  if (name == r.plural || name == r.singular || name == lower(r.kind)) return 0;
  return holds(r.short_names, name) ? 1 : -1;
}

}  // namespace

std::string Resource::type_name() const {
  std::string s = lower(kind);
  return group.empty() ? s : s + "." + group;
}

std::string Resource::path(std::string_view ns, std::string_view name, std::string_view sub) const {
  std::string p = group.empty() ? "/api/" : "/apis/" + group + "/";
  p += version;
  auto escaped = [](std::string_view s) { return percent_encode(s, ":"); };
  if (namespaced && !ns.empty()) p += "/namespaces/" + escaped(ns);
  p += "/" + plural;
  if (!name.empty()) p += "/" + escaped(name);
  if (!sub.empty()) p += "/" + std::string(sub);
  return p;
}

void Mapper::add(const Value& discovery) {
  for (const Value& group : discovery["items"].items()) {
    std::string group_name(group["metadata"]["name"].as_string());
    bool first_version = true;
    size_t group_start = resources_.size();
    for (const Value& version : group["versions"].items()) {
      Version v{group_name, std::string(version["version"].as_string()), first_version,
                resources_.size(), 0};
      first_version = false;
      for (const Value& d : version["resources"].items()) {
        if (resources_.size() >= kMaxResources) return;
        Resource r;
        const Value& kind = d["responseKind"];
        r.group = group_name;
        r.version = v.version;
        r.kind = kind["kind"].as_string();
        r.plural = d["resource"].as_string();
        r.singular = d["singularResource"].as_string();
        if (r.singular.empty()) r.singular = lower(r.kind);
        r.namespaced = d["scope"].as_string() == "Namespaced";
        r.short_names = texts(d["shortNames"]);
        r.categories = texts(d["categories"]);
        r.verbs = texts(d["verbs"]);
        for (const Value& s : d["subresources"].items()) {
          r.subresources.emplace_back(s["subresource"].as_string());
        }
        if (r.verbs.empty()) continue;  // known by its subresources only
        bool seen =
            std::any_of(resources_.begin() + static_cast<long>(group_start), resources_.end(),
                        [&r](const Resource& o) { return o.plural == r.plural; });
        preferred_.push_back(seen ? 0 : 1);
        resources_.push_back(std::move(r));
      }
      v.last = resources_.size();
      versions_.push_back(std::move(v));
    }
  }
}

Result<const Resource*> Mapper::find(std::string_view word) const {
  std::string w = lower(word);
  // "deployments.apps" and "deployments.v1.apps": a first part that is a version decides.
  size_t dot = w.find('.');
  std::string name = w.substr(0, dot), group, version, rest;
  if (dot != w.npos) {
    group = w.substr(dot + 1);
    size_t second = group.find('.');
    version = group.substr(0, second);
    rest = second == group.npos ? "" : group.substr(second + 1);
  }
  auto search = [&](auto&& fits) -> const Resource* {
    const Resource* best = nullptr;
    int best_rank = 100;
    for (size_t i = 0; i < resources_.size(); ++i) {
      const Resource& r = resources_[i];
      int rank = match_of(r, name);
      if (rank < 0 || !fits(r)) continue;
      rank = rank * 2 + (preferred_[i] ? 0 : 1);
      if (rank < best_rank) best = &r, best_rank = rank;
    }
    return best;
  };
  const Resource* found = nullptr;
  if (dot == w.npos) {
    found = search([](const Resource&) { return true; });
  } else {
    found = search([&](const Resource& r) { return r.version == version && r.group == rest; });
    if (!found) found = search([&](const Resource& r) { return r.group == group; });
    if (!found) found = search([&](const Resource& r) { return r.group.starts_with(group); });
  }
  if (found) return found;
  return failure("the server doesn't have a resource type \"" +
                 std::string(word.substr(0, word.find('.'))) + "\"");
}

std::string Mapper::short_name_warning(std::string_view word) const {
  const Resource* first = nullptr;
  for (const Resource* r : all(true)) {
    if (!holds(r->short_names, word)) continue;
    if (first) {
      return "short name \"" + std::string(word) + "\" could also match lower priority resource " +
             r->group_resource();
    }
    first = r;
  }
  return "";
}

const Resource* Mapper::find_kind(std::string_view api_version, std::string_view kind) const {
  size_t slash = api_version.find('/');
  std::string_view group = slash == api_version.npos ? "" : api_version.substr(0, slash);
  std::string_view version =
      slash == api_version.npos ? api_version : api_version.substr(slash + 1);
  for (const Resource& r : resources_) {
    if (r.kind == kind && r.version == version && r.group == group) return &r;
  }
  return nullptr;
}

std::vector<const Resource*> Mapper::category(std::string_view name) const {
  std::vector<const Resource*> out;
  for (const Resource* r : all(true)) {
    if (holds(r->categories, name)) out.push_back(r);
  }
  return out;
}

std::vector<const Resource*> Mapper::all(bool preferred_only) const {
  std::vector<const Resource*> out;
  for (size_t i = 0; i < resources_.size(); ++i) {
    if (!preferred_only || preferred_[i]) out.push_back(&resources_[i]);
  }
  return out;
}

std::vector<std::string> Mapper::api_versions() const {
  std::vector<std::string> out;
  for (const Version& v : versions_) {
    out.push_back(v.group.empty() ? v.version : v.group + "/" + v.version);
  }
  return out;
}

}  // namespace keles::kubectl
