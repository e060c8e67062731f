#include "server/discovery/openapi_paths.h"

#include <algorithm>

#include "api/meta_v1.h"
#include "api/version_v1.h"

namespace keles::server {

namespace meta = api::meta_v1;

namespace {

struct ParameterInfo {
  std::string_view name, in, type, doc;
};

// Parameters that operations share.
constexpr ParameterInfo kParameters[] = {
    {"name", "path", "string", "The object's name."},
    {"namespace", "path", "string", "The object's namespace."},
    {"path", "path", "string", "The path to proxy to."},
    {"pretty", "query", "string", "Lay the output out for people to read."},
    {"allowWatchBookmarks", "query", "boolean", "Send BOOKMARK events now and then."},
    {"continue", "query", "string", "The token that the list before this part ended with."},
    {"fieldSelector", "query", "string", "Only objects whose fields match."},
    {"labelSelector", "query", "string", "Only objects whose labels match."},
    {"limit", "query", "integer", "The most items in one answer."},
    {"resourceVersion", "query", "string", "The version that the answer must have reached."},
    {"resourceVersionMatch", "query", "string", "How resourceVersion is meant."},
    {"sendInitialEvents", "query", "boolean", "Begin the watch with what there is."},
    {"shardSelector", "query", "string", "Only objects of these shards."},
    {"timeoutSeconds", "query", "integer", "The longest that the call may last."},
    {"watch", "query", "boolean", "Send changes as they happen."},
    {"dryRun", "query", "string", "All: do everything but store."},
    {"fieldManager", "query", "string", "The name of who makes these changes."},
    {"fieldValidation", "query", "string", "Ignore, Warn or Strict: how unknown fields are taken."},
    {"force", "query", "boolean", "Take fields over from other managers (apply only)."},
    {"gracePeriodSeconds", "query", "integer", "Seconds until the object is gone."},
    {"ignoreStoreReadErrorWithClusterBreakingPotential", "query", "boolean",
     "Delete an object that cannot be read."},
    {"orphanDependents", "query", "boolean", "Leave dependents be. Use propagationPolicy."},
    {"propagationPolicy", "query", "string", "Orphan, Background or Foreground."},
};

constexpr std::string_view kListParameters[] = {"allowWatchBookmarks",
                                                "continue",
                                                "fieldSelector",
                                                "labelSelector",
                                                "limit",
                                                "resourceVersion",
                                                "resourceVersionMatch",
                                                "sendInitialEvents",
                                                "shardSelector",
                                                "timeoutSeconds",
                                                "watch"};

// "RbacAuthorization" of "rbac.authorization.k8s.io": how operation ids name a group.
std::string group_words(std::string_view group, bool first_upper) {
  if (group.empty()) return first_upper ? "Core" : "core";
  if (group.ends_with(".k8s.io")) group.remove_suffix(7);
  std::string out;
  bool upper = first_upper;
  for (char c : group) {
    if (c == '.' || c == '-') {
      upper = true;
      continue;
    }
    out += upper ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
    upper = false;
  }
  return out;
}

std::string capital(std::string_view s) {
  std::string out(s);
  if (!out.empty()) out[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(out[0])));
  return out;
}

std::string id_prefix(const KindDesc& k) { return group_words(k.group, true) + capital(k.version); }

std::string base_path(const KindDesc& k) {
  return k.group.empty() ? "/api/" + std::string(k.version)
                         : "/apis/" + std::string(k.group) + '/' + std::string(k.version);
}

bool has_verb(std::span<const std::string_view> verbs, std::string_view verb) {
  return std::find(verbs.begin(), verbs.end(), verb) != verbs.end();
}

constexpr const char* kPatchTypes[] = {
    "application/json-patch+json", "application/merge-patch+json",
    "application/strategic-merge-patch+json", "application/apply-patch+yaml"};
constexpr const char* kCustomPatchTypes[] = {
    "application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"};
constexpr const char* kMediaTypes[] = {"application/json", "application/yaml",
                                       "application/vnd.kubernetes.protobuf"};
constexpr const char* kStreamTypes[] = {"application/json;stream=watch",
                                        "application/vnd.kubernetes.protobuf;stream=watch"};

std::span<const char* const> patch_types(bool custom) {
  if (custom) return kCustomPatchTypes;
  return kPatchTypes;
}

}  // namespace

PathsBuilder::Body PathsBuilder::body_of(const Place& at) const {
  const KindDesc& k = *at.kind;
  if (at.sub == nullptr || at.sub->kind.empty()) return {k.group, k.version, k.kind};
  if (at.sub->version.empty()) return {k.group, k.version, at.sub->kind};
  return {at.sub->group, at.sub->version, at.sub->kind};
}

Value PathsBuilder::make_parameter(std::string_view name, std::string_view in,
                                   std::string_view type) {
  Value p = Value::map();
  p.set(arena_, "name", text(name));
  p.set(arena_, "in", text(in));
  for (const ParameterInfo& info : kParameters) {
    if (info.name == name && info.in == in) p.set(arena_, "description", text(info.doc));
  }
  if (in == "path") p.set(arena_, "required", Value(true));
  if (version_ == OpenApiVersion::kV2) {
    p.set(arena_, "type", text(type));
    p.set(arena_, "uniqueItems", Value(true));
  } else {
    Value schema = Value::map();
    schema.set(arena_, "type", text(type));
    schema.set(arena_, "uniqueItems", Value(true));
    p.set(arena_, "schema", schema);
  }
  return p;
}

Value PathsBuilder::parameter(std::string_view name) {
  std::string_view in = "query", type = "string";
  for (const ParameterInfo& info : kParameters) {
    if (info.name != name) continue;
    in = info.in;
    type = info.type;
    break;
  }
  // Clients look for these two by name in the operation itself.
  const bool in_place = name == "dryRun" || name == "fieldValidation" || name == "name";
  if (version_ == OpenApiVersion::kV3 || in_place) return make_parameter(name, in, type);
  std::string key(name);
  if (!parameters_.contains(key)) parameters_[key] = make_parameter(name, in, type);
  Value ref = Value::map();
  ref.set(arena_, "$ref", copy("#/parameters/" + key));
  return ref;
}

void PathsBuilder::add_parameters(Value& holder, std::span<const std::string_view> names) {
  Value& list = holder.get_or_add(arena_, "parameters");
  if (!list.is_list()) list = Value::list();
  for (std::string_view n : names) list.append(arena_, parameter(n));
}

Value PathsBuilder::operation(std::string id, std::string_view action, const Body& about,
                              std::string_view tag_group, std::string_view tag_version) {
  Value op = Value::map();
  op.reserve_members(arena_, 10);
  std::string tag = group_words(tag_group, false);
  if (!tag_version.empty()) tag += '_' + std::string(tag_version);
  Value tags = Value::list();
  tags.append(arena_, copy(tag));
  op.set(arena_, "tags", tags);
  op.set(arena_, "operationId", copy(id));
  if (version_ == OpenApiVersion::kV2) {
    Value schemes = Value::list();
    schemes.append(arena_, text("https"));
    op.set(arena_, "schemes", schemes);
    Value consumes = Value::list();
    consumes.append(arena_, text("*/*"));
    op.set(arena_, "consumes", consumes);
  }
  if (action.empty()) return op;
  op.set(arena_, "x-kubernetes-action", text(action));
  Value gvk = Value::map();
  gvk.set(arena_, "group", text(about.group));
  gvk.set(arena_, "kind", text(about.kind));
  gvk.set(arena_, "version", text(about.version));
  op.set(arena_, "x-kubernetes-group-version-kind", gvk);
  return op;
}

void PathsBuilder::set_responses(Value& op, const TypeDesc* type,
                                 std::initializer_list<const char*> codes, bool stream) {
  Value responses = Value::map();
  Value produces = Value::list();
  for (const char* t : std::span(kMediaTypes).first(custom_ ? 2 : 3)) {
    produces.append(arena_, text(t));
  }
  if (stream && !custom_) {
    for (const char* t : kStreamTypes) produces.append(arena_, text(t));
  }
  for (const char* code : codes) {
    Value r = Value::map();
    const std::string_view c = code;
    r.set(arena_, "description", text(c == "200" ? "OK" : c == "201" ? "Created" : "Accepted"));
    if (type != nullptr) {
      Value ref = definitions_.reference(*type);
      if (version_ == OpenApiVersion::kV2) {
        r.set(arena_, "schema", ref);
      } else {
        Value content = Value::map();
        for (const Value& t : produces.items()) {
          Value media = Value::map();
          media.set(arena_, "schema", ref);
          content.set(arena_, t.as_string(), media);
        }
        r.set(arena_, "content", content);
      }
    }
    responses.set(arena_, c, r);
  }
  Value unauthorized = Value::map();
  unauthorized.set(arena_, "description", text("Unauthorized"));
  responses.set(arena_, "401", unauthorized);
  if (version_ == OpenApiVersion::kV2) op.set(arena_, "produces", produces);
  op.set(arena_, "responses", responses);
}

void PathsBuilder::set_text_response(Value& op) {
  Value schema = Value::map();
  schema.set(arena_, "type", text("string"));
  Value ok = Value::map();
  ok.set(arena_, "description", text("OK"));
  if (version_ == OpenApiVersion::kV2) {
    ok.set(arena_, "schema", schema);
    Value produces = Value::list();
    produces.append(arena_, text("*/*"));
    op.set(arena_, "produces", produces);
  } else {
    Value media = Value::map();
    media.set(arena_, "schema", schema);
    Value content = Value::map();
    content.set(arena_, "*/*", media);
    ok.set(arena_, "content", content);
  }
  Value unauthorized = Value::map();
  unauthorized.set(arena_, "description", text("Unauthorized"));
  Value responses = Value::map();
  responses.set(arena_, "200", ok);
  responses.set(arena_, "401", unauthorized);
  op.set(arena_, "responses", responses);
}

void PathsBuilder::set_body(Value& op, const TypeDesc& type) {
  Value ref = definitions_.reference(type);
  if (version_ == OpenApiVersion::kV2) {
    Value p = Value::map();
    p.set(arena_, "name", text("body"));
    p.set(arena_, "in", text("body"));
    p.set(arena_, "required", Value(true));
    p.set(arena_, "schema", ref);
    Value& list = op.get_or_add(arena_, "parameters");
    if (!list.is_list()) list = Value::list();
    list.append(arena_, p);
    return;
  }
  Value media = Value::map();
  media.set(arena_, "schema", ref);
  Value content = Value::map();
  content.set(arena_, "*/*", media);
  Value body = Value::map();
  body.set(arena_, "content", content);
  body.set(arena_, "required", Value(true));
  op.set(arena_, "requestBody", body);
}

void PathsBuilder::set_patch_body(Value& op) {
  Value ref = definitions_.scalar_reference("io.k8s.apimachinery.pkg.apis.meta.v1.Patch");
  if (version_ == OpenApiVersion::kV2) {
    Value consumes = Value::list();
    for (const char* t : patch_types(custom_)) consumes.append(arena_, text(t));
    op.set(arena_, "consumes", consumes);
    Value p = Value::map();
    p.set(arena_, "name", text("body"));
    p.set(arena_, "in", text("body"));
    p.set(arena_, "required", Value(true));
    p.set(arena_, "schema", ref);
    Value list = Value::list();
    list.append(arena_, p);
    op.set(arena_, "parameters", list);
    return;
  }
  Value content = Value::map();
  for (const char* t : patch_types(custom_)) {
    Value media = Value::map();
    media.set(arena_, "schema", ref);
    content.set(arena_, t, media);
  }
  Value body = Value::map();
  body.set(arena_, "content", content);
  body.set(arena_, "required", Value(true));
  op.set(arena_, "requestBody", body);
}

void PathsBuilder::set_delete_options_body(Value& op) {
  set_body(op, meta::DeleteOptions::descriptor());
  if (version_ == OpenApiVersion::kV2) {
    for (Value& p : op.find("parameters")->items()) p.erase("required");
  } else {
    op.find("requestBody")->erase("required");
  }
}

Value& PathsBuilder::path_item(const std::string& path) {
  auto [at, fresh] = paths_.try_emplace(path);
  if (fresh) at->second = Value::map();
  return at->second;
}

void PathsBuilder::collection(const KindDesc& k, const std::string& path, bool namespaced,
                              bool everything) {
  const Body about{k.group, k.version, k.kind};
  const std::string prefix = id_prefix(k);
  const std::string name = (namespaced ? "Namespaced" : "") + std::string(k.kind);
  const TypeDesc* list = definitions_.list_type_of(k);
  Value& item = path_item(path);
  if (namespaced) {
    add_parameters(item, {"namespace", "pretty"});
  } else {
    add_parameters(item, {"pretty"});
  }
  auto op = [&](std::string id, std::string_view action) {
    return operation(std::move(id), action, about, k.group, k.version);
  };
  if (has_verb(k.verbs, "list")) {
    Value o = op("list" + prefix + name + (everything ? "ForAllNamespaces" : ""), "list");
    add_parameters(o, kListParameters);
    set_responses(o, list, {"200"}, true);
    item.set(arena_, "get", o);
  }
  if (everything) return;
  if (has_verb(k.verbs, "create")) {
    Value o = op("create" + prefix + name, "post");
    set_body(o, definitions_.type_of(k));
    add_parameters(o, {"dryRun", "fieldManager", "fieldValidation"});
    set_responses(o, &definitions_.type_of(k), {"200", "201", "202"});
    item.set(arena_, "post", o);
  }
  if (has_verb(k.verbs, "deletecollection")) {
    Value o = op("delete" + prefix + "Collection" + name, "deletecollection");
    set_delete_options_body(o);
    add_parameters(
        o, {"continue", "dryRun", "fieldSelector", "gracePeriodSeconds",
            "ignoreStoreReadErrorWithClusterBreakingPotential", "labelSelector", "limit",
            "orphanDependents", "propagationPolicy", "resourceVersion", "resourceVersionMatch",
            "sendInitialEvents", "shardSelector", "timeoutSeconds"});
    set_responses(o, &meta::Status::descriptor(), {"200"});
    item.set(arena_, "delete", o);
  }
}

void PathsBuilder::watches(const KindDesc& k) {
  if (!has_verb(k.verbs, "watch")) return;
  const std::string watch = base_path(k) + "/watch";
  const std::string plural(k.plural), kind(k.kind), prefix = "watch" + id_prefix(k);
  const Body about{k.group, k.version, k.kind};
  auto add = [&](const std::string& path, const std::string& id, std::string_view action, bool name,
                 bool namespaced) {
    Value& item = path_item(path);
    add_parameters(item, kListParameters);
    if (name) add_parameters(item, {"name"});
    if (namespaced) add_parameters(item, {"namespace"});
    add_parameters(item, {"pretty"});
    Value o = operation(id, action, about, k.group, k.version);
    set_responses(o, &meta::WatchEvent::descriptor(), {"200"}, true);
    item.set(arena_, "get", o);
  };
  if (!k.namespaced) {
    add(watch + '/' + plural, prefix + kind + "List", "watchlist", false, false);
    add(watch + '/' + plural + "/{name}", prefix + kind, "watch", true, false);
    return;
  }
  const std::string inside = watch + "/namespaces/{namespace}/" + plural;
  add(watch + '/' + plural, prefix + kind + "ListForAllNamespaces", "watchlist", false, false);
  add(inside, prefix + "Namespaced" + kind + "List", "watchlist", false, true);
  add(inside + "/{name}", prefix + "Namespaced" + kind, "watch", true, true);
}

void PathsBuilder::item(const KindDesc& k, const std::string& path) {
  if (!has_verb(k.verbs, "get") && !has_verb(k.verbs, "delete")) return;
  const Body about{k.group, k.version, k.kind};
  const std::string name = id_prefix(k) + (k.namespaced ? "Namespaced" : "") + std::string(k.kind);
  Value& item = path_item(path);
  add_parameters(item, {"name"});
  if (k.namespaced) add_parameters(item, {"namespace"});
  add_parameters(item, {"pretty"});
  auto op = [&](std::string verb, std::string_view action) {
    return operation(verb + name, action, about, k.group, k.version);
  };
  if (has_verb(k.verbs, "get")) {
    Value o = op("read", "get");
    set_responses(o, &definitions_.type_of(k), {"200"});
    item.set(arena_, "get", o);
  }
  if (has_verb(k.verbs, "update")) {
    Value o = op("replace", "put");
    set_body(o, definitions_.type_of(k));
    add_parameters(o, {"dryRun", "fieldManager", "fieldValidation"});
    set_responses(o, &definitions_.type_of(k), {"200", "201"});
    item.set(arena_, "put", o);
  }
  if (has_verb(k.verbs, "delete")) {
    Value o = op("delete", "delete");
    set_delete_options_body(o);
    add_parameters(
        o, {"dryRun", "gracePeriodSeconds", "ignoreStoreReadErrorWithClusterBreakingPotential",
            "orphanDependents", "propagationPolicy"});
    set_responses(o, &meta::Status::descriptor(), {"200", "202"});
    item.set(arena_, "delete", o);
  }
  if (has_verb(k.verbs, "patch")) {
    Value o = op("patch", "patch");
    set_patch_body(o);
    add_parameters(o, {"dryRun", "fieldManager", "fieldValidation", "force"});
    set_responses(o, &definitions_.type_of(k), {"200", "201"});
    item.set(arena_, "patch", o);
  }
}

void PathsBuilder::connect(const KindDesc& k, const SubresourceDesc& sub, const std::string& path,
                           const KindDesc* options) {
  const Body about{k.group, k.version, sub.kind};
  const bool proxy = sub.name == "proxy";
  auto add = [&](const std::string& at, const std::string& suffix) {
    Value& item = path_item(at);
    add_parameters(item, {"name"});
    if (k.namespaced) add_parameters(item, {"namespace"});
    if (!suffix.empty()) add_parameters(item, {"path"});
    if (options != nullptr) {
      Value& list = *item.find("parameters");
      for (const FieldDesc& f : options->type->fields) {
        if (f.name == "kind" || f.name == "apiVersion") continue;
        std::string_view type = f.type == FieldType::kBool     ? "boolean"
                                : f.type == FieldType::kString ? "string"
                                                               : "integer";
        list.append(arena_, make_parameter(f.name, "query", type));
      }
    }
    auto method = [&](std::string_view http) {
      Value o =
          operation("connect" + id_prefix(k) + capital(http) + (k.namespaced ? "Namespaced" : "") +
                        std::string(k.kind) + capital(sub.name) + suffix,
                    "connect", about, k.group, k.version);
      set_text_response(o);
      item.set(arena_, http, o);
    };
    if (proxy) {
      for (std::string_view m : {"delete", "get", "head", "options", "patch", "post", "put"}) {
        method(m);
      }
    } else {
      method("get");
      method("post");
    }
  };
  add(path, "");
  if (proxy) add(path + "/{path}", "WithPath");
}

void PathsBuilder::subresource(const KindDesc& k, const SubresourceDesc& sub,
                               const std::string& path) {
  Place at{&k, &sub, k.namespaced, {}};
  const Body about = body_of(at);
  const KindDesc* body = find_kind(about.group, about.version, about.kind);
  if (about.kind.ends_with("Options")) {
    connect(k, sub, path, body);
    return;
  }
  const TypeDesc& type = body != nullptr ? *body->type : definitions_.type_of(k);
  Value& item = path_item(path);
  add_parameters(item, {"name"});
  if (k.namespaced) add_parameters(item, {"namespace"});
  add_parameters(item, {"pretty"});
  const std::string name =
      id_prefix(k) + (k.namespaced ? "Namespaced" : "") + std::string(k.kind) + capital(sub.name);
  auto op = [&](std::string verb, std::string_view action) {
    return operation(verb + name, action, about, k.group, k.version);
  };
  if (has_verb(sub.verbs, "get")) {
    Value o = op("read", "get");
    if (sub.name == "log") {
      if (const KindDesc* options = find_kind("", "v1", "PodLogOptions")) {
        Value& list = *item.find("parameters");
        for (const FieldDesc& f : options->type->fields) {
          if (f.name == "kind" || f.name == "apiVersion" || f.name == "sinceTime") continue;
          list.append(arena_, make_parameter(f.name, "query",
                                             f.type == FieldType::kBool     ? "boolean"
                                             : f.type == FieldType::kString ? "string"
                                                                            : "integer"));
        }
      }
      set_text_response(o);
    } else {
      set_responses(o, &type, {"200"});
    }
    item.set(arena_, "get", o);
  }
  if (has_verb(sub.verbs, "update")) {
    Value o = op("replace", "put");
    set_body(o, type);
    add_parameters(o, {"dryRun", "fieldManager", "fieldValidation"});
    set_responses(o, &type, {"200", "201"});
    item.set(arena_, "put", o);
  }
  if (has_verb(sub.verbs, "create")) {
    Value o = op("create", "post");
    set_body(o, type);
    add_parameters(o, {"dryRun", "fieldManager", "fieldValidation"});
    set_responses(o, &type, {"200", "201", "202"});
    item.set(arena_, "post", o);
  }
  if (has_verb(sub.verbs, "patch")) {
    Value o = op("patch", "patch");
    set_patch_body(o);
    add_parameters(o, {"dryRun", "fieldManager", "fieldValidation", "force"});
    set_responses(o, &type, {"200", "201"});
    item.set(arena_, "patch", o);
  }
}

void PathsBuilder::add_kind(const KindDesc& k) {
  custom_ = k.owner != nullptr;
  const std::string base = base_path(k);
  const std::string plural(k.plural);
  const std::string home =
      k.namespaced ? base + "/namespaces/{namespace}/" + plural : base + '/' + plural;
  collection(k, home, k.namespaced, false);
  if (k.namespaced && has_verb(k.verbs, "list")) {
    collection(k, base + '/' + plural, false, true);
  }
  item(k, home + "/{name}");
  for (const SubresourceDesc& s : k.subresources) {
    subresource(k, s, home + "/{name}/" + std::string(s.name));
  }
  watches(k);
}

void PathsBuilder::add_group_page(std::string_view group) {
  const std::string path = group.empty() ? "/api/" : "/apis/" + std::string(group) + '/';
  Value o =
      operation("get" + group_words(group, true) + (group.empty() ? "APIVersions" : "APIGroup"), "",
                {}, group, "");
  set_responses(o, group.empty() ? &meta::APIVersions::descriptor() : &meta::APIGroup::descriptor(),
                {"200"});
  path_item(path).set(arena_, "get", o);
}

void PathsBuilder::add_version_page(std::string_view group, std::string_view version) {
  const std::string path = group.empty()
                               ? "/api/" + std::string(version) + '/'
                               : "/apis/" + std::string(group) + '/' + std::string(version) + '/';
  Value o = operation("get" + group_words(group, true) + capital(version) + "APIResources", "", {},
                      group, version);
  set_responses(o, &meta::APIResourceList::descriptor(), {"200"});
  path_item(path).set(arena_, "get", o);
}

void PathsBuilder::add_version() {
  Value o = operation("getCodeVersion", "", {}, "version", "");
  set_responses(o, &api::version_v1::Info::descriptor(), {"200"});
  path_item("/version/").set(arena_, "get", o);
  Value groups = operation("getAPIVersions", "", {}, "apis", "");
  set_responses(groups, &meta::APIGroupList::descriptor(), {"200"});
  path_item("/apis/").set(arena_, "get", groups);
}

Value PathsBuilder::take_paths() {
  Value out = Value::map();
  out.reserve_members(arena_, paths_.size());
  for (auto& [path, item] : paths_) out.append_member(arena_, arena_.copy(path), item);
  return out;
}

Value PathsBuilder::take_parameters() {
  Value out = Value::map();
  for (auto& [name, p] : parameters_) out.append_member(arena_, arena_.copy(name), p);
  return out;
}

}  // namespace keles::server
