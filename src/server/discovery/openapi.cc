#include "server/discovery/openapi.h"

#include <algorithm>
#include <atomic>
#include <map>

#include "machinery/codec_json.h"
#include "net/accept.h"
#include "server/discovery/content_name.h"
#include "server/discovery/openapi_paths.h"
#include "server/discovery/openapi_schema.h"

namespace keles::server {

namespace {

Value info(Arena& arena, std::string_view version) {
  Value v = Value::map();
  v.set(arena, "title", Value::string("Kubernetes"));
  v.set(arena, "version", Value::string(arena.copy(version)));
  return v;
}

Value bearer_token(Arena& arena) {
  Value token = Value::map();
  token.set(arena, "description", Value::string("Bearer Token authentication"));
  token.set(arena, "type", Value::string("apiKey"));
  token.set(arena, "name", Value::string("authorization"));
  token.set(arena, "in", Value::string("header"));
  Value out = Value::map();
  out.set(arena, "BearerToken", token);
  return out;
}

std::string part_path(const KindDesc& k) {
  return k.group.empty() ? "api/" + std::string(k.version)
                         : "apis/" + std::string(k.group) + '/' + std::string(k.version);
}

// Kinds, their lists, and their pages.
void add_all(std::span<const KindDesc* const> kinds, PathsBuilder& paths, Definitions& definitions,
             bool group_pages) {
  std::string_view group = "-", version = "-";
  const KindDesc* options = find_kind("", "v1", "DeleteOptions");
  const KindDesc* event = find_kind("", "v1", "WatchEvent");
  definitions.set_kind(*find_kind("", "v1", "Status"));
  if (group_pages) {
    for (const char* page : {"APIGroup", "APIGroupList", "APIResourceList", "APIVersions"}) {
      definitions.set_kind(*find_kind("", "v1", page));
    }
  }
  for (const KindDesc* k : kinds) {
    paths.add_kind(*k);
    definitions.set_kind(*k);
    if (const KindDesc* list = find_kind(k->group, k->version, k->list_kind)) {
      definitions.set_kind(*list);
    }
    for (const SubresourceDesc& s : k->subresources) {
      if (s.version.empty()) continue;
      if (const KindDesc* body = find_kind(s.group, s.version, s.kind)) definitions.set_kind(*body);
    }
    if (k->group == group && k->version == version) continue;
    if (k->group != group && group_pages) paths.add_group_page(k->group);
    group = k->group;
    version = k->version;
    paths.add_version_page(group, version);
    // Every group/version takes DeleteOptions and sends WatchEvents.
    for (const KindDesc* shared : {options, event}) {
      KindDesc here = *shared;
      here.group = group;
      here.version = version;
      definitions.set_kind(here);
    }
  }
}

Bytes shared(std::string s) { return std::make_shared<const std::string>(std::move(s)); }

constexpr std::string_view kGnosticV2 =
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
constexpr std::string_view kOldGnosticV2 =  // as older clients spell it
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
constexpr std::string_view kGnosticV3 =
    "application/com.github.proto-openapi.spec.v3.v1.0+protobuf";
constexpr std::string_view kOldGnosticV3 =
    "application/com.github.proto-openapi.spec.v3@v1.0+protobuf";

}  // namespace

Document openapi_v2(std::span<const KindDesc* const> kinds, std::string_view version) {
  Document doc;
  Arena& a = doc.arena;
  Definitions definitions(a, OpenApiVersion::kV2);
  PathsBuilder paths(a, OpenApiVersion::kV2, definitions);
  add_all(kinds, paths, definitions, true);
  paths.add_version();
  doc.root = Value::map();
  doc.root.set(a, "swagger", Value::string("2.0"));
  doc.root.set(a, "info", info(a, version));
  doc.root.set(a, "paths", paths.take_paths());
  doc.root.set(a, "definitions", definitions.take());
  doc.root.set(a, "parameters", paths.take_parameters());
  doc.root.set(a, "securityDefinitions", bearer_token(a));
  Value security = Value::list();
  Value one = Value::map();
  one.set(a, "BearerToken", Value::list());
  security.append(a, one);
  doc.root.set(a, "security", security);
  return doc;
}

Document openapi_v3(std::span<const KindDesc* const> kinds, std::string_view version) {
  Document doc;
  Arena& a = doc.arena;
  Definitions definitions(a, OpenApiVersion::kV3);
  PathsBuilder paths(a, OpenApiVersion::kV3, definitions);
  add_all(kinds, paths, definitions, false);
  doc.root = Value::map();
  doc.root.set(a, "openapi", Value::string("3.0.0"));
  doc.root.set(a, "info", info(a, version));
  doc.root.set(a, "paths", paths.take_paths());
  Value components = Value::map();
  components.set(a, "schemas", definitions.take());
  components.set(a, "securitySchemes", bearer_token(a));
  doc.root.set(a, "components", components);
  return doc;
}

struct OpenApi::Part {
  std::string path;  // "apis/apps/v1"
  std::vector<const KindDesc*> kinds;
  std::string version;
  // A document is large, quickly made and seldom asked for (clients keep it by its hash): only the
  // hash is kept. Two requests that come at once both make it, alike.
  mutable std::atomic<Bytes> hash;

  Bytes json() const { return shared(to_json(openapi_v3(kinds, version).root)); }
  Bytes protobuf() const { return shared(gnostic_v3(openapi_v3(kinds, version).root)); }
  std::string known_hash() const {
    if (Bytes h = hash.load()) return *h;
    Bytes made = shared(content_name(*json()));
    hash.store(made);
    return *made;
  }
};

OpenApi::OpenApi(std::span<const KindDesc* const> kinds, std::string version, const OpenApi* before)
    : kinds_(kinds.begin(), kinds.end()), version_(std::move(version)) {
  std::stable_sort(kinds_.begin(), kinds_.end(), [](const KindDesc* a, const KindDesc* b) {
    return a->group != b->group ? a->group < b->group : a->version < b->version;
  });
  for (const KindDesc* k : kinds_) {
    const std::string path = part_path(*k);
    if (parts_.empty() || parts_.back()->path != path) {
      parts_.push_back(std::make_shared<Part>());
      parts_.back()->path = path;
      parts_.back()->version = version_;
    }
    parts_.back()->kinds.push_back(k);
  }
  if (!before || before->version_ != version_) return;
  std::map<std::string_view, const std::shared_ptr<Part>*> known;
  for (const auto& p : before->parts_) known[p->path] = &p;
  for (auto& p : parts_) {
    auto at = known.find(p->path);
    if (at != known.end() && (*at->second)->kinds == p->kinds) p = *at->second;
  }
}

OpenApi::~OpenApi() = default;

const OpenApi::Part* OpenApi::find(std::string_view path) const {
  for (const auto& p : parts_) {
    if (p->path == path) return p.get();
  }
  return nullptr;
}

Bytes OpenApi::v2_json() const { return shared(to_json(openapi_v2(kinds_, version_).root)); }

std::optional<OpenApiBody> OpenApi::get(std::string_view path, std::string_view hash,
                                        std::string_view accept) const {
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  auto body = [](Bytes bytes, std::string type, bool immutable) {
    std::string etag = '"' + content_name(*bytes) + '"';
    return OpenApiBody{std::move(bytes), std::move(type), std::move(etag), immutable};
  };
  if (path == "/openapi/v2") {
    bool protobuf = false;
    const bool any = accept.empty() || net::best_range(accept, [&](const net::MediaRange& range) {
                       protobuf = range.type() == kGnosticV2 || range.type() == kOldGnosticV2;
                       return protobuf || range.takes("application/json");
                     });
    if (!any) return OpenApiBody::not_acceptable();
    if (!protobuf) return body(v2_json(), "application/json", false);
    return body(shared(gnostic_v2(openapi_v2(kinds_, version_).root)), std::string(kGnosticV2),
                false);
  }
  if (path == "/openapi/v3") {
    std::string out = "{\"paths\":{";
    bool first = true;
    for (const auto& p : parts_) {
      if (!first) out += ',';
      first = false;
      write_json_string(out, p->path);
      out += ":{\"serverRelativeURL\":";
      write_json_string(out, "/openapi/v3/" + p->path + "?hash=" + p->known_hash(), false);
      out += '}';
    }
    return body(shared(out + "}}\n"), "application/json", false);
  }
  constexpr std::string_view kV3 = "/openapi/v3/";
  if (!path.starts_with(kV3)) return std::nullopt;
  const Part* part = find(path.substr(kV3.size()));
  if (part == nullptr) return std::nullopt;
  bool protobuf = false;
  const bool any = accept.empty() || net::best_range(accept, [&](const net::MediaRange& range) {
                     protobuf = range.type() == kGnosticV3 || range.type() == kOldGnosticV3;
                     return protobuf || range.takes("application/json");
                   });
  if (!any) return OpenApiBody::not_acceptable();
  if (!hash.empty() && hash != part->known_hash()) {
    OpenApiBody moved;
    moved.location = "/openapi/v3/" + part->path + "?hash=" + part->known_hash();
    return moved;
  }
  if (!protobuf) return body(part->json(), "application/json", !hash.empty());
  // Both forms are of one content, and have its name.
  return OpenApiBody{part->protobuf(), std::string(kGnosticV3), '"' + part->known_hash() + '"',
                     !hash.empty()};
}

}  // namespace keles::server
