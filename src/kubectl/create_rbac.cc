// create role, clusterrole, rolebinding, clusterrolebinding, token.
#include <algorithm>
#include <map>

#include "kubectl/verbs.h"
#include "kubectl/write.h"
#include "machinery/codec_json.h"
#include "machinery/time.h"

namespace keles::kubectl {
namespace {

std::vector<std::string> unique(std::vector<std::string> list) {
  std::vector<std::string> out;
  for (std::string& s : list) {
    if (std::find(out.begin(), out.end(), s) == out.end()) out.push_back(std::move(s));
  }
  return out;
}

Value texts(Document& d, const std::vector<std::string>& list) {
  Value v = Value::list();
  for (const std::string& s : list) v.append(d.arena, text(d, s));
  return v;
}

// "deployments.apps/scale" -> group and resource, as the cluster names them.
std::pair<std::string, std::string> resource_of(const Mapper& mapper, const std::string& word) {
  size_t slash = word.find('/');
  std::string type = word.substr(0, slash), sub = slash == word.npos ? "" : word.substr(slash);
  size_t dot = type.find('.');
  std::string group = dot == type.npos ? "" : type.substr(dot + 1), plural = type.substr(0, dot);
  if (Result<const Resource*> r = mapper.find(type); r.ok()) {
    plural = (*r)->plural;
    group = (*r)->group;
  }
  return {group, plural + sub};
}

struct RoleFlags {
  std::vector<std::string> verbs, resources, names, urls;
};

void add_rules(Document& d, const Mapper& mapper, RoleFlags f) {
  f.verbs = unique(f.verbs);
  if (std::find(f.verbs.begin(), f.verbs.end(), "*") != f.verbs.end()) f.verbs = {"*"};
  std::map<std::string, std::vector<std::string>> by_group;
  for (const std::string& word : f.resources) {
    auto [group, resource] = resource_of(mapper, word);
    by_group[group].push_back(resource);
  }
  Value& rules = at(d, "rules");
  for (const auto& [group, resources] : by_group) {
    Value& rule = rules.append(d.arena, Value::map());
    rule.set(d.arena, "apiGroups", texts(d, {group}));
    if (!f.names.empty()) rule.set(d.arena, "resourceNames", texts(d, unique(f.names)));
    rule.set(d.arena, "resources", texts(d, unique(resources)));
    rule.set(d.arena, "verbs", texts(d, f.verbs));
  }
  if (f.urls.empty()) return;
  Value& rule = rules.append(d.arena, Value::map());
  rule.set(d.arena, "nonResourceURLs", texts(d, f.urls));
  rule.set(d.arena, "verbs", texts(d, f.verbs));
}

Status create_role_kind(Invocation& in, bool cluster) {
  RoleFlags f;
  std::string aggregation;
  Writer writer("kubectl-create");
  in.flags.add("verb", &f.verbs, "Verb that applies to the resources contained in the rule");
  in.flags.add("resource", &f.resources, "Resource that the rule applies to");
  in.flags.add_array("resource-name", &f.names,
                     "Resource in the white list that the rule applies to, repeat this flag for "
                     "multiple items");
  if (cluster) {
    in.flags.add("non-resource-url", &f.urls, "A partial url that user should have access to.");
    in.flags.add("aggregation-rule", &aggregation,
                 "An aggregation label selector for combining ClusterRoles.");
  }
  writer.add_to(in.flags);
  writer.add_save_config(in.flags);
  TRY(in.parse());
  TRY(writer.prepare());
  TRY_ASSIGN(name, one_name(in));
  if (aggregation.empty()) {
    if (f.verbs.empty()) return failure("at least one verb must be specified");
    if (f.resources.empty() && f.urls.empty()) {
      return failure(cluster ? "one of resource or nonResourceURL must be specified"
                             : "at least one resource must be specified");
    }
  }
  TRY_ASSIGN(session, in.session());
  TRY_ASSIGN(mapper, session->mapper());
  TRY_ASSIGN(resource, mapper->find(cluster ? "clusterroles" : "roles"));
  bool with_ns = !cluster && session->namespace_given();
  Document d = new_object("rbac.authorization.k8s.io/v1", cluster ? "ClusterRole" : "Role", name,
                          with_ns ? session->ns() : "");
  if (aggregation.empty()) {
    add_rules(d, *mapper, f);
  } else {
    size_t eq = aggregation.find('=');
    if (eq == aggregation.npos) return failure("invalid aggregation rule: " + aggregation);
    Value& one = at(d, "aggregationRule.clusterRoleSelectors").append(d.arena, Value::map());
    Value& labels = one.set(d.arena, "matchLabels", Value::map());
    labels.set(d.arena, d.arena.copy(aggregation.substr(0, eq)),
               text(d, aggregation.substr(eq + 1)));
  }
  Result<Document> made = writer.create(*session, *resource, cluster ? "" : session->ns(), d);
  if (!made.ok()) return made.status();
  return writer.report(made->root, "created");
}

Status create_binding(Invocation& in, bool cluster) {
  std::string role, cluster_role;
  std::vector<std::string> users, groups, accounts;
  Writer writer("kubectl-create");
  if (!cluster) in.flags.add("role", &role, "Role this RoleBinding should reference");
  in.flags.add("clusterrole", &cluster_role, "ClusterRole this binding should reference");
  in.flags.add_array(
      "user", &users,
      "Usernames to bind to the role. The flag can be repeated to add multiple users.");
  in.flags.add_array(
      "group", &groups,
      "Groups to bind to the role. The flag can be repeated to add multiple groups.");
  in.flags.add_array("serviceaccount", &accounts,
                     "Service accounts to bind to the role, in the format <namespace>:<name>. The "
                     "flag can be repeated to add multiple service accounts.");
  writer.add_to(in.flags);
  writer.add_save_config(in.flags);
  TRY(in.parse());
  TRY(writer.prepare());
  TRY_ASSIGN(name, one_name(in));
  if (role.empty() == cluster_role.empty()) {
    return failure(cluster ? "required flag(s) \"clusterrole\" not set"
                           : "exactly one of clusterrole or role must be specified");
  }
  TRY_ASSIGN(session, in.session());
  TRY_ASSIGN(mapper, session->mapper());
  TRY_ASSIGN(resource, mapper->find(cluster ? "clusterrolebindings" : "rolebindings"));
  bool with_ns = !cluster && session->namespace_given();
  Document d =
      new_object("rbac.authorization.k8s.io/v1", cluster ? "ClusterRoleBinding" : "RoleBinding",
                 name, with_ns ? session->ns() : "");
  put(d, "roleRef.apiGroup", "rbac.authorization.k8s.io");
  put(d, "roleRef.kind", role.empty() ? "ClusterRole" : "Role");
  put(d, "roleRef.name", role.empty() ? cluster_role : role);
  auto subject = [&d](std::string_view kind, std::string_view subject_name) -> Value& {
    Value& s = at(d, "subjects").append(d.arena, Value::map());
    if (kind != "ServiceAccount") {
      s.set(d.arena, "apiGroup", Value::string("rbac.authorization.k8s.io"));
    }
    s.set(d.arena, "kind", Value::string(kind));
    s.set(d.arena, "name", text(d, subject_name));
    return s;
  };
  for (const std::string& u : users) subject("User", u);
  for (const std::string& g : groups) subject("Group", g);
  for (const std::string& a : accounts) {
    size_t colon = a.find(':');
    if (colon == a.npos || colon == 0 || colon + 1 == a.size()) {
      return failure("serviceaccount must be <namespace>:<name>");
    }
    Value& s = subject("ServiceAccount", a.substr(colon + 1));
    s.set(d.arena, "namespace", text(d, a.substr(0, colon)));
  }
  Result<Document> made = writer.create(*session, *resource, cluster ? "" : session->ns(), d);
  if (!made.ok()) {
    return failure(std::string("failed to create ") +
                   (cluster ? "clusterrolebinding: " : "rolebinding: ") + made.status().message());
  }
  return writer.report(made->root, "created");
}

}  // namespace

Status create_role(Invocation& in) { return create_role_kind(in, false); }
Status create_clusterrole(Invocation& in) { return create_role_kind(in, true); }
Status create_rolebinding(Invocation& in) { return create_binding(in, false); }
Status create_clusterrolebinding(Invocation& in) { return create_binding(in, true); }

Status create_token(Invocation& in) {
  std::vector<std::string> audiences;
  std::string duration, bound_kind, bound_name, bound_uid;
  OutputFlags output;
  output.add_to(in.flags);
  in.flags.add_array("audience", &audiences,
                     "Audience of the requested token. May be repeated to request a token valid "
                     "for multiple audiences.");
  in.flags.add("duration", &duration,
               "Requested lifetime of the issued token. If not set or if set to 0, the lifetime "
               "will be determined by the server automatically.");
  in.flags.add("bound-object-kind", &bound_kind,
               "Kind of an object to bind the token to. Supported kinds are Node, Pod, Secret.");
  in.flags.add("bound-object-name", &bound_name, "Name of an object to bind the token to.");
  in.flags.add("bound-object-uid", &bound_uid, "UID of an object to bind the token to.");
  TRY(in.parse());
  TRY_ASSIGN(name, one_name(in));
  TRY_ASSIGN(printer, ObjectPrinter::make(output, false));
  Document d;
  put(d, "apiVersion", "authentication.k8s.io/v1");
  put(d, "kind", "TokenRequest");
  at(d, "spec") = Value::map();
  if (!audiences.empty()) at(d, "spec.audiences") = texts(d, audiences);
  if (!duration.empty()) {
    Result<Duration> t = parse_duration(duration);
    if (!t.ok()) return failure(t.status().message());
    if (t->count() < 0) return failure("--duration must be greater than or equal to 0");
    if (t->count() % 1'000'000'000 != 0) {
      return failure("--duration cannot be expressed in units less than seconds");
    }
    if (t->count() > 0) put(d, "spec.expirationSeconds", t->count() / 1'000'000'000);
  }
  if (bound_kind.empty()) {
    for (const auto& [flag, value] :
         {std::pair("name", &bound_name), std::pair("uid", &bound_uid)}) {
      if (value->empty()) continue;
      return failure(std::string("--bound-object-") + flag +
                     " can only be set if --bound-object-kind is provided");
    }
  } else {
    if (bound_kind != "Node" && bound_kind != "Pod" && bound_kind != "Secret") {
      return failure("supported --bound-object-kind values are Node, Pod, Secret");
    }
    if (bound_name.empty()) {
      return failure("--bound-object-name is required if --bound-object-kind is provided");
    }
    put(d, "spec.boundObjectRef.apiVersion", "v1");
    put(d, "spec.boundObjectRef.kind", bound_kind);
    put(d, "spec.boundObjectRef.name", bound_name);
    if (!bound_uid.empty()) put(d, "spec.boundObjectRef.uid", bound_uid);
  }
  // Not by discovery: whoever may ask for a token need not be able to discover.
  TRY_ASSIGN(session, in.session());
  Call c("POST", "/api/v1/namespaces/" + escape_query(session->ns()) + "/serviceaccounts/" +
                     escape_query(name) + "/token");
  c.content_type = "application/json";
  c.body = to_json(d.root);
  Result<Document> made = session->call(std::move(c));
  if (!made.ok()) return failure("failed to create token: " + made.status().message());
  if (printer) {
    TRY_ASSIGN(shown, printer->print(made->root));
    print(shown);
    return Status();
  }
  std::string token(made->root["status"]["token"].as_string());
  if (token.empty()) return failure("failed to create token: no token in server response");
  print(token + "\n");
  return Status();
}

}  // namespace keles::kubectl
