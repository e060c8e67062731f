#include "server/aggregation/documents.h"

#include <algorithm>
#include <map>

#include "machinery/codec_json.h"
#include "machinery/decode.h"
#include "server/objects/meta.h"

namespace keles::aggregation {
namespace {

Value text(Arena& a, std::string_view s) { return Value::string(a.copy(s)); }

DocumentPtr shared(Document d) { return std::make_shared<const Document>(std::move(d)); }

Document empty_version(const ApiService& service) {
  Document d;
  d.root = Value::map();
  registry::set_text(d, d.root, "version", service.version);
  return d;
}

// An object of that kind of the API, or why it is none.
Result<Document> read_kind(std::string_view json, std::string_view group, std::string_view version,
                           std::string_view kind) {
  TRY_ASSIGN(doc, parse_json(json));
  TRY(normalize(*find_kind(group, version, kind)->type, doc));
  return std::move(doc);
}

// Who reads discovery goes by the kinds: one that has none gets an empty one.
void complete_kinds(Arena& a, Value& resources) {
  for (Value& r : resources.items()) {
    if (r["responseKind"].is_null()) r.set(a, "responseKind", Value::map());
    Value* subs = r.find("subresources");
    if (!subs) continue;
    for (Value& s : subs->items()) {
      if (s["responseKind"].is_null()) s.set(a, "responseKind", Value::map());
    }
  }
}

Value group_version_kind(Arena& a, const Value& resource, const ApiService& service) {
  Value out = Value::map();
  const std::string_view group = resource["group"].as_string();
  const std::string_view version = resource["version"].as_string();
  const bool own = version.empty();
  out.set(a, "group", text(a, own ? service.group : group));
  out.set(a, "version", text(a, own ? service.version : version));
  out.set(a, "kind", text(a, resource["kind"].as_string()));
  return out;
}

}  // namespace

const Remote* View::find(std::string_view group, std::string_view version) const {
  for (const Remote& r : remotes) {
    if (r.service->version == version && r.service->group == group) return &r;
  }
  return nullptr;
}

std::vector<ApiServicePtr> View::group(std::string_view name) const {
  std::vector<ApiServicePtr> out;
  for (const ApiServicePtr& s : services) {
    if (s->group == name) out.push_back(s);
  }
  return out;
}

Result<DocumentPtr> read_discovery(std::string_view json, const ApiService& service) {
  TRY_ASSIGN(list, read_kind(json, "apidiscovery.k8s.io", "v2", "APIGroupDiscoveryList"));
  for (const Value& g : list.root["items"].items()) {
    if (g["metadata"]["name"].as_string() != service.group) continue;
    for (const Value& v : g["versions"].items()) {
      if (v["version"].as_string() != service.version) continue;
      Document d;
      d.root = deep_copy(d.arena, v);
      if (Value* resources = d.root.find("resources")) complete_kinds(d.arena, *resources);
      return shared(std::move(d));
    }
  }
  return shared(empty_version(service));
}

Result<DocumentPtr> read_resource_list(std::string_view json, const ApiService& service) {
  TRY_ASSIGN(list, read_kind(json, "", "v1", "APIResourceList"));
  Document d = empty_version(service);
  Arena& a = d.arena;
  std::map<std::string_view, Value> resources;  // by plural, as discovery has them
  auto copied = [&a](Value& to, std::string_view as, const Value& from) {
    if (!from.is_null()) to.set(a, as, deep_copy(a, from));
  };
  for (const Value& r : list.root["resources"].items()) {
    const std::string_view name = r["name"].as_string();
    if (name.find('/') != name.npos) continue;
    Value out = Value::map();
    out.set(a, "resource", text(a, name));
    out.set(a, "responseKind", group_version_kind(a, r, service));
    out.set(a, "scope", Value::string(r["namespaced"].as_bool() ? "Namespaced" : "Cluster"));
    out.set(a, "singularResource", text(a, r["singularName"].as_string()));
    copied(out, "verbs", r["verbs"]);
    copied(out, "shortNames", r["shortNames"]);
    copied(out, "categories", r["categories"]);
    resources[name] = out;
  }
  for (const Value& r : list.root["resources"].items()) {
    const std::string_view name = r["name"].as_string();
    const size_t slash = name.find('/');
    if (slash == name.npos) continue;
    auto parent = resources.find(name.substr(0, slash));
    if (parent == resources.end()) continue;
    Value& subs = parent->second.get_or_add(a, "subresources");
    if (!subs.is_list()) subs = Value::list();
    Value& sub = subs.append(a, Value::map());
    sub.set(a, "subresource", text(a, name.substr(slash + 1)));
    sub.set(a, "responseKind", group_version_kind(a, r, service));
    copied(sub, "verbs", r["verbs"]);
  }
  Value items = Value::list();
  for (auto& [name, r] : resources) items.append(a, r);
  d.root.set(a, "resources", items);
  return shared(std::move(d));
}

Result<std::string> read_openapi_v3_index(std::string_view json, const ApiService& service) {
  TRY_ASSIGN(index, parse_json(json));
  std::string url(index.root["paths"][service.path()]["serverRelativeURL"].as_string());
  // Only its own document is linked to: the rest of a URL would lead elsewhere on this server.
  const std::string own = "/openapi/v3/" + service.path();
  if (url != own && !url.starts_with(own + "?")) return std::string();
  return url;
}

namespace {

Value version_entry(Arena& a, const ApiService& s) {
  Value v = Value::map();
  v.set(a, "groupVersion", text(a, s.group + "/" + s.version));
  v.set(a, "version", text(a, s.version));
  return v;
}

// The group from its APIServices, as upstream's aggregator writes it: available or not.
Value group_entry(Arena& a, std::string_view name, const std::vector<ApiServicePtr>& versions) {
  Value g = Value::map();
  g.set(a, "name", text(a, name));
  Value list = Value::list();
  for (const ApiServicePtr& s : versions) list.append(a, version_entry(a, *s));
  g.set(a, "versions", list);
  g.set(a, "preferredVersion", version_entry(a, *versions.front()));
  return g;
}

// A merged list of groups: those that no APIService stands for, as they stand; then those of the
// APIServices in their order. Groups of which nothing is served elsewhere stay as they are.
class GroupMerge {
 public:
  GroupMerge(const View& view, std::span<const Value> local,
             std::string_view (*name_of)(const Value&))
      : view_(view) {
    for (const Value& g : local) local_[name_of(g)] = &g;
    for (const ApiServicePtr& s : view.services) {
      if (order_.empty() || order_.back() != s->group) order_.emplace_back(s->group);
    }
    for (const Value& g : local) {
      const std::string_view name = name_of(g);
      if (std::find(order_.begin(), order_.end(), name) == order_.end()) first_.push_back(&g);
    }
  }
  // Calls keep(local group) or make(name, local group or null, its APIServices).
  template <class Keep, class Make>
  void each(Keep keep, Make make) const {
    for (const Value* g : first_) keep(*g);
    for (std::string_view name : order_) {
      auto at = local_.find(name);
      const Value* local = at == local_.end() ? nullptr : at->second;
      auto versions = view_.group(name);
      const bool elsewhere =
          std::any_of(versions.begin(), versions.end(), [](const auto& s) { return s->remote; });
      if (elsewhere) {
        make(name, local, versions);
      } else if (local) {
        keep(*local);
      }
    }
  }

 private:
  const View& view_;
  std::map<std::string_view, const Value*> local_;
  std::vector<std::string_view> order_;
  std::vector<const Value*> first_;
};

Document emptied(const Value& local, std::string_view list) {
  Document d;
  d.root = Value::map();
  for (const Member& m : local.members()) {
    if (m.key() != list) d.root.set(d.arena, d.arena.copy(m.key()), deep_copy(d.arena, m.value));
  }
  return d;
}

}  // namespace

Document merge_group_list(const Value& local, const View& view) {
  Document d = emptied(local, "groups");
  Arena& a = d.arena;
  Value groups = Value::list();
  GroupMerge merge(view, local["groups"].items(),
                   [](const Value& g) { return g["name"].as_string(); });
  merge.each([&](const Value& g) { groups.append(a, deep_copy(a, g)); },
             [&](std::string_view name, const Value*, const auto& versions) {
               if (!name.empty()) groups.append(a, group_entry(a, name, versions));
             });
  d.root.set(a, "groups", groups);
  return d;
}

std::optional<Document> merged_group(std::string_view group, const View& view) {
  auto versions = view.group(group);
  if (std::none_of(versions.begin(), versions.end(), [](const auto& s) { return s->remote; })) {
    return std::nullopt;
  }
  Document d;
  d.root = group_entry(d.arena, group, versions);
  return d;
}

Document merge_discovery(const Value& local, const View& view) {
  Document d = emptied(local, "items");
  Arena& a = d.arena;
  Value items = Value::list();
  auto make = [&](std::string_view name, const Value* own, const auto& versions) {
    if (name.empty()) return;  // the core group has a document of its own
    Value g = Value::map();
    Value metadata = Value::map();
    metadata.set(a, "name", text(a, name));
    g.set(a, "metadata", metadata);
    Value list = Value::list();
    for (const ApiServicePtr& s : versions) {
      if (!s->remote) {
        for (const Value& v : own ? (*own)["versions"].items() : std::span<const Value>()) {
          if (v["version"].as_string() == s->version) list.append(a, deep_copy(a, v));
        }
        continue;
      }
      const Documents& have = *view.find(s->group, s->version)->documents;
      Value v = have.discovery ? deep_copy(a, have.discovery->root) : Value::map();
      if (!have.discovery) v.set(a, "version", text(a, s->version));
      v.set(a, "freshness", Value::string(have.fresh ? "Current" : "Stale"));
      list.append(a, v);
    }
    g.set(a, "versions", list);
    items.append(a, g);
  };
  GroupMerge merge(view, local["items"].items(),
                   [](const Value& g) { return g["metadata"]["name"].as_string(); });
  merge.each([&](const Value& g) { items.append(a, deep_copy(a, g)); }, make);
  d.root.set(a, "items", items);
  return d;
}

}  // namespace keles::aggregation
