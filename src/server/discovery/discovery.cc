#include "server/discovery/discovery.h"

#include <algorithm>

#include "api/apidiscovery_v2.h"
#include "api/meta_v1.h"
#include "base/encoding.h"
#include "machinery/codec_json.h"
#include "machinery/codec_protobuf.h"
#include "machinery/codec_yaml.h"
#include "machinery/kind_facts.h"
#include "machinery/version_order.h"
#include "net/accept.h"
#include "net/pki.h"
#include "server/discovery/content_name.h"
#include "server/objects/keys.h"

namespace keles::server {

namespace meta = api::meta_v1;
namespace apidiscovery = api::apidiscovery_v2;

namespace {

// Where discovery names a group: the higher the earlier. Groups that the description does not know
// (custom resources) come after it, by name.
int group_priority(std::string_view group) {
  int most = 0;
  for (const GroupVersionFacts& g : all_group_versions()) {
    if (g.group == group) most = std::max(most, g.group_priority);
  }
  return most;
}

std::string group_version(std::string_view group, std::string_view version) {
  return group.empty() ? std::string(version) : std::string(group) + '/' + std::string(version);
}

enum class Form : uint8_t { kJson, kYaml, kProtobuf };
struct Choice {
  Form form = Form::kJson;
  bool aggregated = false;
};

// The first of the accepted media types that can be given; JSON when there is none.
Choice choose(std::string_view accept) {
  Choice out;
  auto take = [&](const net::MediaRange& range) {
    if (range.takes("application/json")) {
      out.form = Form::kJson;
    } else if (range.type() == "application/yaml") {
      out.form = Form::kYaml;
    } else if (range.type() == "application/vnd.kubernetes.protobuf") {
      out.form = Form::kProtobuf;
    } else {
      return false;
    }
    const std::string_view as = range.parameter("as");
    out.aggregated = as == "APIGroupDiscoveryList" && range.parameter("v") == "v2" &&
                     range.parameter("g") == "apidiscovery.k8s.io";
    return as.empty() || out.aggregated;
  };
  return net::best_range(accept, take) ? out : Choice();
}

// `versioned`: it says its own apiVersion. What was there before there were groups does not.
DiscoveryBody encode(const KindDesc& kind, const Document& doc, Choice choice,
                     bool versioned = true) {
  DiscoveryBody out;
  std::string bytes;
  if (choice.form == Form::kProtobuf) {
    bytes = encode_object(kind, doc.root);
    if (auto e = open_protobuf(bytes); !versioned && e.ok()) {
      bytes = wrap_protobuf("", kind.kind, e->raw);
    }
    out.content_type = "application/vnd.kubernetes.protobuf";
  } else {
    write_json(bytes, kind, doc.root);
    constexpr std::string_view kVersion = R"("apiVersion":"v1",)";
    if (const size_t at = bytes.find(kVersion); !versioned && at != bytes.npos) {
      bytes.erase(at, kVersion.size());
    }
    out.content_type = "application/json";
    if (choice.form == Form::kYaml) {
      if (auto tree = parse_json(bytes); tree.ok()) bytes = write_yaml(tree->root);
      out.content_type = "application/yaml";
    } else {
      bytes += '\n';
    }
  }
  if (choice.aggregated) {
    out.content_type += ";g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    out.etag = etag_of(bytes);
  }
  out.bytes = std::make_shared<const std::string>(std::move(bytes));
  return out;
}

// What is only answered (reviews, bindings, componentstatuses) has no version in the store.
bool is_stored(const KindDesc& k) {
  return !k.facts->computed && std::find(k.verbs.begin(), k.verbs.end(), "list") != k.verbs.end();
}

// A name for the form in which objects of the kind are stored: when it changes, migrations have
// work. As upstream computes it: the first eight bytes of a SHA-256 of "group/version/Kind".
std::string storage_version_hash(const KindDesc& k) {
  const KindDesc& stored = registry::storage_kind(k);
  std::string name = std::string(stored.group) + '/' + std::string(stored.version) + '/' +
                     std::string(stored.kind);
  return base64_encode(net::sha256(name).substr(0, 8));
}

template <class Edit>
void add_strings(Edit list, std::span<const std::string_view> values) {
  for (std::string_view v : values) list.add(v);
}

void add_any_address(ListEdit<meta::ServerAddressByClientCIDREdit> list,
                     std::string_view server_address) {
  auto a = list.add();
  a.set_client_cidr("0.0.0.0/0");
  a.set_server_address(server_address);
}

}  // namespace

Discovery::Discovery(std::span<const KindDesc* const> kinds) {
  for (const KindDesc* k : kinds) {
    auto g = std::find_if(groups_.begin(), groups_.end(),
                          [&](const Group& x) { return x.name == k->group; });
    if (g == groups_.end()) g = groups_.insert(groups_.end(), Group{k->group, {}});
    auto v = std::find_if(g->versions.begin(), g->versions.end(),
                          [&](const Version& x) { return x.version == k->version; });
    if (v == g->versions.end()) v = g->versions.insert(v, Version{k->version, {}});
    v->kinds.push_back(k);
  }
  std::sort(groups_.begin(), groups_.end(), [](const Group& a, const Group& b) {
    if (a.name.empty() != b.name.empty()) return a.name.empty();  // /api before /apis
    const int x = group_priority(a.name), y = group_priority(b.name);
    return x != y ? x > y : a.name < b.name;
  });
  for (Group& g : groups_) {
    std::sort(g.versions.begin(), g.versions.end(), [](const Version& a, const Version& b) {
      return version_before(a.version, b.version);
    });
    for (Version& v : g.versions) {
      std::sort(v.kinds.begin(), v.kinds.end(),
                [](const KindDesc* a, const KindDesc* b) { return a->plural < b->plural; });
    }
  }
}

const Discovery::Group* Discovery::find(std::string_view name) const {
  auto g =
      std::find_if(groups_.begin(), groups_.end(), [&](const Group& x) { return x.name == name; });
  return g == groups_.end() ? nullptr : &*g;
}

Document Discovery::api_versions(std::string_view server_address) const {
  Draft<meta::APIVersionsEdit> d;
  if (const Group* core = find("")) {
    for (const Version& v : core->versions) d->edit_versions().add(v.version);
  }
  add_any_address(d->edit_server_address_by_client_cidrs(), server_address);
  return d.take();
}

namespace {
template <class G>
void fill_group(meta::APIGroupEdit out, const G& g) {
  out.set_name(g.name);
  auto versions = out.edit_versions();
  for (const auto& v : g.versions) {
    auto x = versions.add();
    x.set_group_version(group_version(g.name, v.version));
    x.set_version(v.version);
  }
  auto preferred = out.edit_preferred_version();
  preferred.set_group_version(group_version(g.name, g.versions.front().version));
  preferred.set_version(g.versions.front().version);
}
}  // namespace

Document Discovery::group(const Group& g) const {
  Draft<meta::APIGroupEdit> d;
  fill_group(*d, g);
  return d.take();
}

Document Discovery::group_list() const {
  Draft<meta::APIGroupListEdit> d;
  auto list = d->edit_groups();
  for (const Group& g : groups_) {
    if (!g.name.empty()) fill_group(list.add(), g);
  }
  return d.take();
}

Document Discovery::resource_list(const Group& g, const Version& v) const {
  Draft<meta::APIResourceListEdit> d;
  d->set_group_version(group_version(g.name, v.version));
  auto list = d->edit_resources();
  for (const KindDesc* k : v.kinds) {
    auto r = list.add();
    r.set_name(k->plural);
    r.set_singular_name(k->singular);
    r.set_namespaced(k->namespaced);
    r.set_kind(k->kind);
    add_strings(r.edit_verbs(), k->verbs);
    if (!k->short_names.empty()) add_strings(r.edit_short_names(), k->short_names);
    if (!k->categories.empty()) add_strings(r.edit_categories(), k->categories);
    if (is_stored(*k)) r.set_storage_version_hash(storage_version_hash(*k));
    for (const SubresourceDesc& s : k->subresources) {
      auto sub = list.add();
      sub.set_name(std::string(k->plural) + '/' + std::string(s.name));
      sub.set_singular_name("");
      sub.set_namespaced(k->namespaced);
      if (!s.group.empty()) sub.set_group(s.group);
      if (!s.version.empty()) sub.set_version(s.version);
      sub.set_kind(s.kind.empty() ? k->kind : s.kind);
      add_strings(sub.edit_verbs(), s.verbs);
    }
  }
  return d.take();
}

namespace {

void set_response_kind(meta::GroupVersionKindEdit out, std::string_view group,
                       std::string_view version, std::string_view kind) {
  out.set_group(group);
  out.set_version(version);
  out.set_kind(kind);
}

void fill_resource(apidiscovery::APIResourceDiscoveryEdit r, const KindDesc& k) {
  r.set_resource(k.plural);
  // Group and version are said where they are not those of the list.
  set_response_kind(r.edit_response_kind(), "", "", k.kind);
  r.set_scope(k.namespaced ? "Namespaced" : "Cluster");
  r.set_singular_resource(k.singular);
  add_strings(r.edit_verbs(), k.verbs);
  if (!k.short_names.empty()) add_strings(r.edit_short_names(), k.short_names);
  if (!k.categories.empty()) add_strings(r.edit_categories(), k.categories);
  for (const SubresourceDesc& s : k.subresources) {
    auto sub = r.edit_subresources().add();
    sub.set_subresource(s.name);
    const bool foreign = !s.version.empty();
    set_response_kind(sub.edit_response_kind(), foreign ? s.group : "", foreign ? s.version : "",
                      s.kind.empty() ? k.kind : s.kind);
    add_strings(sub.edit_verbs(), s.verbs);
  }
}

}  // namespace

Document Discovery::aggregated(bool core) const {
  Document doc;
  doc.root = Value::map();
  EditTarget root{&doc.root, &doc.arena};
  Value& items = doc.root.set(doc.arena, "items", Value::list());
  ListEdit<apidiscovery::APIGroupDiscoveryEdit> list(EditTarget{&items, root.arena});
  for (const Group& g : groups_) {
    if (g.name.empty() != core) continue;
    auto out = list.add();
    auto metadata = out.edit_metadata();
    if (!core) metadata.set_name(g.name);
    auto versions = out.edit_versions();
    for (const Version& v : g.versions) {
      auto x = versions.add();
      x.set_version(v.version);
      auto resources = x.edit_resources();
      for (const KindDesc* k : v.kinds) fill_resource(resources.add(), *k);
      x.set_freshness("Current");
    }
  }
  return doc;
}

std::optional<DiscoveryBody> Discovery::get(std::string_view path, std::string_view accept,
                                            std::string_view server_address) const {
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  Choice choice = choose(accept);
  const bool api = path == "/api", apis = path == "/apis";
  if ((api || apis) && choice.aggregated) {
    const KindDesc* kind = find_kind("apidiscovery.k8s.io", "v2", "APIGroupDiscoveryList");
    return encode(*kind, aggregated(api), choice);
  }
  choice.aggregated = false;
  if (api) return encode(kind_of<meta::APIVersions>(), api_versions(server_address), choice, false);
  if (apis) return encode(kind_of<meta::APIGroupList>(), group_list(), choice);
  std::string_view group_name, version;
  if (path.starts_with("/api/")) {
    version = path.substr(5);
    if (version.empty()) return std::nullopt;
  } else if (path.starts_with("/apis/")) {
    std::string_view rest = path.substr(6);
    const size_t slash = rest.find('/');
    group_name = rest.substr(0, slash);
    version = slash == rest.npos ? "" : rest.substr(slash + 1);
    if (group_name.empty()) return std::nullopt;
  } else {
    return std::nullopt;
  }
  const Group* g = find(group_name);
  if (g == nullptr) return std::nullopt;
  if (version.empty()) return encode(kind_of<meta::APIGroup>(), group(*g), choice);
  for (const Version& v : g->versions) {
    if (v.version != version) continue;
    return encode(kind_of<meta::APIResourceList>(), resource_list(*g, v), choice,
                  !group_name.empty());
  }
  return std::nullopt;
}

}  // namespace keles::server
