#include "kubectl/prune.h"

#include <algorithm>
#include <cstdlib>

#include "base/encoding.h"
#include "base/text_parts.h"
#include "base/version.h"
#include "machinery/codec_json.h"
#include "machinery/labels.h"
#include "net/pki.h"

namespace keles::kubectl {
namespace {

constexpr std::string_view kTooling = "applyset.kubernetes.io/tooling";
constexpr std::string_view kNamespaces = "applyset.kubernetes.io/additional-namespaces";
constexpr std::string_view kResources = "applyset.kubernetes.io/contains-group-resources";  // once
constexpr std::string_view kKinds = "applyset.kubernetes.io/contains-group-kinds";
constexpr std::string_view kId = "applyset.kubernetes.io/id";
constexpr std::string_view kPartOf = "applyset.kubernetes.io/part-of";
constexpr std::string_view kParentType = "applyset.kubernetes.io/is-parent-type";
constexpr std::string_view kTool = "kubectl";

struct UsualKind {
  std::string_view group, version, kind;
};
constexpr UsualKind kUsual[] = {{"", "v1", "ConfigMap"},
                                {"", "v1", "Endpoints"},
                                {"", "v1", "PersistentVolumeClaim"},
                                {"", "v1", "Pod"},
                                {"", "v1", "ReplicationController"},
                                {"", "v1", "Secret"},
                                {"", "v1", "Service"},
                                {"batch", "v1", "Job"},
                                {"batch", "v1", "CronJob"},
                                {"networking.k8s.io", "v1", "Ingress"},
                                {"apps", "v1", "DaemonSet"},
                                {"apps", "v1", "Deployment"},
                                {"apps", "v1", "ReplicaSet"},
                                {"apps", "v1", "StatefulSet"},
                                {"", "v1", "Namespace"},
                                {"", "v1", "PersistentVolume"}};

std::string joined(const std::set<std::string>& all) {
  std::string out;
  for (const std::string& s : all) out += (out.empty() ? "" : ",") + s;
  return out;
}

std::string group_kind(const Resource& r) {
  return r.group.empty() ? r.kind : r.kind + "." + r.group;
}

bool is_usual_parent(const Resource& r) {
  return r.group.empty() && (r.plural == "secrets" || r.plural == "configmaps");
}

// The kinds of an allowlist, or the usual ones.
Result<std::vector<const Resource*>> kinds_of(const Mapper& mapper,
                                              const std::vector<std::string>& allowlist) {
  std::vector<const Resource*> out;
  for (const std::string& text : allowlist) {
    const Split all = split_list(text, '/');
    const std::vector<std::string> parts(all.begin(), all.end());
    if (parts.size() != 3) {
      return failure("invalid GroupVersionKind format: " + text +
                     ", please follow <group/version/kind>");
    }
    const std::string group = parts[0] == "core" ? "" : parts[0];
    const std::string version = group.empty() ? parts[1] : group + "/" + parts[1];
    const Resource* r = mapper.find_kind(version, parts[2]);
    if (!r) {
      return failure("no matches for kind \"" + parts[2] + "\" in version \"" + version + "\"");
    }
    out.push_back(r);
  }
  if (!allowlist.empty()) return out;
  for (const UsualKind& k : kUsual) {
    const std::string version = k.group.empty()
                                    ? std::string(k.version)
                                    : std::string(k.group) + "/" + std::string(k.version);
    if (const Resource* r = mapper.find_kind(version, k.kind)) out.push_back(r);
  }
  return out;
}

Status remove(Session& session, const Writer& writer, const Resource& r, const std::string& ns,
              const std::string& name) {
  if (writer.client_only()) return {};
  Call c("DELETE", r.path(ns, name));
  if (writer.dry()) c.query = "dryRun=All";
  c.content_type = "application/json";
  c.body = R"({"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Background"})";
  return session.call(std::move(c)).status();
}

}  // namespace

Status prune_kind(Session& session, Writer& writer, const Resource& r, const std::string& ns,
                  const std::string& selector, bool only_applied, const Applied& applied) {
  Call list("GET", r.path(ns, ""));
  add_query(list.query, "labelSelector", selector);
  TRY_ASSIGN(found, session.call(std::move(list)));
  for (const Value& item : found.root["items"].items()) {
    const Value& meta = item["metadata"];
    if (only_applied && meta["annotations"].find(kLastApplied) == nullptr) continue;
    if (applied.uids.contains(std::string(meta["uid"].as_string()))) continue;
    const std::string name(meta["name"].as_string());
    if (Status s = remove(session, writer, r, ns, name); !s.ok()) {
      return s.with_prefix("pruning " + group_kind(r) + " " + (ns.empty() ? "" : ns + "/") + name);
    }
    Document object;
    object.root = deep_copy(object.arena, item);
    put(object, "apiVersion", r.api_version());  // items of lists may leave out what they are
    put(object, "kind", r.kind);
    TRY(writer.report(object.root, "pruned"));
  }
  return {};
}

Status check_allowlist(Session& session, const std::vector<std::string>& allowlist) {
  TRY_ASSIGN(mapper, session.mapper());
  return kinds_of(*mapper, allowlist).status();
}

Status prune_by_labels(Session& session, Writer& writer, const std::vector<std::string>& allowlist,
                       const std::string& selector, const Applied& applied) {
  TRY_ASSIGN(mapper, session.mapper());
  TRY_ASSIGN(kinds, kinds_of(*mapper, allowlist));
  for (const std::string& ns : applied.namespaces) {
    for (const Resource* r : kinds) {
      if (r->namespaced) TRY(prune_kind(session, writer, *r, ns, selector, true, applied));
    }
  }
  for (const Resource* r : kinds) {
    if (!r->namespaced) TRY(prune_kind(session, writer, *r, "", selector, true, applied));
  }
  return {};
}

bool apply_sets_enabled() {
  const char* set = std::getenv("KUBECTL_APPLYSET");
  std::string text = set ? set : "";
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return text == "true";
}

std::string apply_set_id(std::string_view name, std::string_view ns, std::string_view kind,
                         std::string_view group) {
  std::string text(name);
  for (std::string_view part : {ns, kind, group}) text.append(".").append(part);
  return "applyset-" + base64url_encode(net::sha256(text)) + "-v1";
}

Result<std::unique_ptr<ApplySet>> ApplySet::open(Session& session, const std::string& parent) {
  auto invalid = [&](const std::string& why) {
    return failure("invalid parent reference \"" + parent + "\": " + why);
  };
  const size_t slash = parent.find('/');
  const std::string type = slash == parent.npos ? "secrets" : parent.substr(0, slash);
  const std::string name = slash == parent.npos ? parent : parent.substr(slash + 1);
  if (name.empty()) return invalid("name cannot be blank");
  TRY_ASSIGN(mapper, session.mapper());
  auto resource = mapper->find(type);
  if (!resource.ok()) return invalid(resource.status().message());
  // Not the kubeconfig's namespace: where a set is has to be said.
  const bool placed = (*resource)->namespaced && session.namespace_given();
  std::unique_ptr<ApplySet> out(
      new ApplySet(session, **resource, placed ? session.ns() : std::string(), name));
  TRY(out->check_type());
  return out;
}

ApplySet::ApplySet(Session& session, const Resource& type, std::string ns, std::string name)
    : session_(session),
      type_(type),
      ns_(std::move(ns)),
      name_(std::move(name)),
      id_(apply_set_id(name_, ns_, type.kind, type.group)) {}

std::string ApplySet::shown() const {
  return quoted(type_.plural + "." + type_.group + "/" + name_);
}

Status ApplySet::check_type() {
  if (type_.namespaced && ns_.empty()) {
    return failure("namespace is required to use namespace-scoped ApplySet");
  }
  if (is_usual_parent(type_)) return {};
  Call list("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions");
  add_query(list.query, "labelSelector", kParentType);
  auto found = session_.call(std::move(list));
  if (!found.ok()) {
    return found.status().with_prefix("identifying allowed custom resource parent types");
  }
  for (const Value& crd : found->root["items"].items()) {
    if (crd["metadata"]["name"].as_string() == type_.group_resource()) return {};
  }
  return failure("resource " +
                 quoted(type_.group + "/" + type_.version + ", Resource=" + type_.plural) +
                 " is not permitted as an ApplySet parent");
}

Status ApplySet::label(std::vector<Target>& objects) const {
  for (Target& t : objects) {
    Value& labels = at(*t.object, "metadata.labels");
    if (labels.find(kPartOf) != nullptr) {
      return failure("ApplySet label " + quoted(kPartOf) + " already set in input data");
    }
    if (!labels.is_map()) labels = Value::map();
    labels.set(t.object->arena, kPartOf, text(*t.object, id_));
  }
  return {};
}

Status ApplySet::read_kinds(const Value& annotations) {
  TRY_ASSIGN(mapper, session_.mapper());
  const Value* kinds = annotations.find(kKinds);
  if (kinds == nullptr && annotations[kResources].as_string().empty()) {
    return failure("kubectl requires the " + quoted(kKinds) +
                   " annotation to be set on all ApplySet parent objects");
  }
  if (kinds == nullptr) {
    for (std::string_view one : split_list(annotations[kResources].as_string())) {
      auto r = mapper->find(one);
      if (!r.ok()) {
        return failure("invalid group resource in " + quoted(kResources) +
                       " annotation: " + r.status().message());
      }
      before_.kinds.emplace(group_kind(**r), *r);
    }
    return {};
  }
  const auto all = mapper->all(true);
  for (std::string_view one : split_list(kinds->as_string())) {
    const auto at = std::find_if(all.begin(), all.end(),
                                 [one](const Resource* r) { return group_kind(*r) == one; });
    if (at == all.end()) {
      const size_t dot = one.find('.');
      const std::string group(dot == one.npos ? "" : one.substr(dot + 1));
      return failure("could not find mapping for kind in " + quoted(kKinds) +
                     " annotation: no matches for kind " + quoted(one.substr(0, dot)) +
                     " in group " + quoted(group));
    }
    before_.kinds.emplace(one, *at);
  }
  return {};
}

Status ApplySet::read_parent() {
  auto found = session_.call(Call("GET", type_.path(ns_, name_)));
  if (found.status().is(Reason::kNotFound)) {
    if (is_usual_parent(type_)) return {};
    return failure("custom resource ApplySet parents cannot be created automatically");
  }
  const std::string parent = "ApplySet parent object " + shown();
  if (!found.ok()) return found.status().with_prefix("failed to fetch " + parent);
  const Value& meta = found->root["metadata"];
  const Value* tool = meta["annotations"].find(kTooling);
  if (tool == nullptr) {
    return failure(parent + " already exists and is missing required annotation " +
                   quoted(kTooling));
  }
  const std::string_view whose = tool->as_string().substr(0, tool->as_string().rfind('/'));
  if (whose != kTool) {
    return failure(parent + " already exists and is managed by tooling " + quoted(whose) +
                   " instead of " + quoted(kTool));
  }
  const Value* id = meta["labels"].find(kId);
  if (id == nullptr) {
    return failure(parent + " exists and does not have required label " + std::string(kId));
  }
  if (id->as_string() != id_) {
    return failure(parent + " exists and has incorrect value for label " + quoted(kId) +
                   " (got: " + std::string(id->as_string()) + ", want: " + id_ + ")");
  }
  if (Status s = read_kinds(meta["annotations"]); !s.ok()) {
    return s.with_prefix("parsing ApplySet annotation on " + shown());
  }
  for (std::string_view ns : split_list(meta["annotations"][kNamespaces].as_string())) {
    before_.namespaces.emplace(ns);
  }
  if (!ns_.empty()) before_.namespaces.insert(ns_);
  return {};
}

// With server-side apply, so that what it does not say any more goes.
Status ApplySet::write_parent(Writer& writer, const Members& members) {
  if (writer.client_only()) return {};
  std::set<std::string> kinds, namespaces = members.namespaces;
  for (const auto& [kind, r] : members.kinds) kinds.insert(kind);
  namespaces.erase(ns_);
  Document d = new_object(type_.api_version(), type_.kind, name_, ns_);
  Value& annotations = at(d, "metadata.annotations");
  annotations = Value::map();
  annotations.set(d.arena, kTooling, text(d, std::string(kTool) + "/" + std::string(kGitVersion)));
  annotations.set(d.arena, kKinds, text(d, joined(kinds)));
  annotations.set(d.arena, kNamespaces, text(d, joined(namespaces)));
  Value& labels = at(d, "metadata.labels");
  labels = Value::map();
  labels.set(d.arena, kId, text(d, id_));
  Status done;
  for (bool force : {false, true}) {
    Call c("PATCH", type_.path(ns_, name_));
    c.query = writer.parameters_as(std::string(kTool) + "-applyset");
    add_query(c.query, "force", force ? "true" : "false");
    c.content_type = patch_media_type(PatchType::kApply);
    c.body = to_json(d.root);
    done = session_.call(std::move(c)).status();
    if (!done.is(Reason::kConflict)) break;
    if (!force) {
      print_error("W: WARNING: failed to update ApplySet: " + done.message() +
                  "\nApplySet field manager kubectl-applyset should own these fields. Retrying "
                  "with conflicts forced.\n");
    }
  }
  return done.ok() ? done : done.with_prefix("failed to update ApplySet");
}

Status ApplySet::begin(Writer& writer, const std::vector<Target>& objects) {
  TRY(read_parent());
  for (const Target& t : objects) {
    now_.kinds.emplace(group_kind(*t.resource), t.resource);
    if (t.resource->namespaced && !t.ns.empty()) now_.namespaces.insert(t.ns);
  }
  Members both = before_;
  both.kinds.insert(now_.kinds.begin(), now_.kinds.end());
  both.namespaces.insert(now_.namespaces.begin(), now_.namespaces.end());
  return write_parent(writer, both);
}

Status ApplySet::prune(Writer& writer, const Applied& applied) {
  const std::string members = std::string(kPartOf) + "=" + id_;
  for (const auto& [kind, r] : before_.kinds) {
    std::set<std::string> places = r->namespaced ? before_.namespaces : std::set<std::string>{""};
    for (const std::string& ns : places) {
      TRY(prune_kind(session_, writer, *r, ns, members, false, applied));
    }
  }
  if (Status s = write_parent(writer, now_); !s.ok()) {
    return s.with_prefix("apply and prune succeeded, but ApplySet update failed");
  }
  return {};
}

}  // namespace keles::kubectl
