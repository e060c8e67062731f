// The questions about identity and permission that the API answers without storing anything.
#include <algorithm>

#include "machinery/time.h"
#include "server/auth/node.h"
#include "server/auth/state.h"

namespace keles::auth {
namespace {

std::vector<std::string> texts(const Value& list) {
  std::vector<std::string> out;
  for (const Value& v : list.items()) out.emplace_back(v.as_string());
  return out;
}
Value text(Arena& a, std::string_view s) { return Value::string(a.copy(s)); }
Value text_list(Arena& a, const std::vector<std::string>& list) {
  Value out = Value::list();
  for (const std::string& s : list) out.append(a, text(a, s));
  return out;
}

Value user_info(Arena& a, const Caller& c) {
  Value out = Value::map();
  out.set(a, "username", text(a, c.name));
  if (!c.uid.empty()) out.set(a, "uid", text(a, c.uid));
  if (!c.groups.empty()) out.set(a, "groups", text_list(a, c.groups));
  if (!c.extra.empty()) {
    Value extra = Value::map();
    for (const auto& [k, v] : c.extra) extra.set(a, a.copy(k), text_list(a, v));
    out.set(a, "extra", extra);
  }
  return out;
}

Access access_of(const Value& spec) {
  Access a;
  const Value& r = spec["resourceAttributes"];
  if (r.is_map()) {
    a.verb = r["verb"].as_string();
    a.group = r["group"].as_string();
    a.version = r["version"].as_string();
    a.resource = r["resource"].as_string();
    a.subresource = r["subresource"].as_string();
    a.ns = r["namespace"].as_string();
    a.name = r["name"].as_string();
    if (a.resource.empty()) a.resource = "*";
    a.demand(r["fieldSelector"]["rawSelector"].as_string());
    for (const Value& q : r["fieldSelector"]["requirements"].items()) {
      if (q["operator"].as_string() != "In" || q["values"].size() != 1) continue;
      a.fields.emplace_back(q["key"].as_string(), q["values"].at(0).as_string());
    }
  } else {
    a.verb = spec["nonResourceAttributes"]["verb"].as_string();
    a.path = spec["nonResourceAttributes"]["path"].as_string();
  }
  return a;
}

Status check_spec(const KindDesc& kind, std::string_view ns, const Value& spec) {
  std::vector<StatusCause> causes;
  bool resource = spec["resourceAttributes"].is_map();
  bool path = spec["nonResourceAttributes"].is_map();
  if (resource && path) {
    causes.push_back({"FieldValueInvalid",
                      "Invalid value: cannot be specified in combination with resourceAttributes",
                      "spec.nonResourceAttributes"});
  } else if (!resource && !path) {
    causes.push_back({"FieldValueInvalid",
                      "Invalid value: exactly one of nonResourceAttributes or resourceAttributes "
                      "must be specified",
                      "spec.resourceAttributes"});
  }
  bool self = kind.kind == "SelfSubjectAccessReview";
  if (!self && spec["user"].as_string().empty() && spec["groups"].empty()) {
    causes.push_back({"FieldValueInvalid",
                      "Invalid value: at least one of user or group must be specified",
                      "spec.user"});
  }
  if (kind.kind == "LocalSubjectAccessReview" &&
      spec["resourceAttributes"]["namespace"].as_string() != ns) {
    causes.push_back({"FieldValueInvalid", "Invalid value: must match metadata.namespace",
                      "spec.resourceAttributes.namespace"});
  }
  if (causes.empty()) return Status();
  return Status::invalid(kind.group, kind.kind, "", std::move(causes));
}

void add_rules(Arena& a, const std::vector<Rule>& rules, Value* status) {
  Value resources = Value::list(), paths = Value::list();
  for (const Rule& r : rules) {
    Value one = Value::map();
    one.set(a, "verbs", text_list(a, r.verbs));
    if (!r.urls.empty()) {
      one.set(a, "nonResourceURLs", text_list(a, r.urls));
      paths.append(a, one);
      continue;
    }
    one.set(a, "apiGroups", text_list(a, r.groups));
    one.set(a, "resources", text_list(a, r.resources));
    if (!r.names.empty()) one.set(a, "resourceNames", text_list(a, r.names));
    resources.append(a, one);
  }
  status->set(a, "resourceRules", resources);
  status->set(a, "nonResourceRules", paths);
  status->set(a, "incomplete", Value(false));
}

}  // namespace

bool Auth::is_review(const KindDesc& kind) {
  if (kind.group == "authentication.k8s.io") {
    return kind.kind == "TokenReview" || kind.kind == "SelfSubjectReview";
  }
  return kind.group == "authorization.k8s.io" && kind.kind.size() > 6 &&
         kind.kind.substr(kind.kind.size() - 6) == "Review";
}

Result<Document> Auth::review(const Caller& caller, const KindDesc& kind, std::string_view ns,
                              Document body, WallTime now) const {
  if (!body.root.is_map()) body.root = Value::map();
  Arena& a = body.arena;
  const Value& spec = body.root["spec"];
  Value status = Value::map();
  if (kind.kind == "TokenReview") {
    std::string token(spec["token"].as_string());
    if (token.empty()) {
      return Status::bad_request("token is required for TokenReview in authentication");
    }
    std::vector<std::string> audiences = texts(spec["audiences"]);
    auto found = state_->check_token(token, audiences, now);
    if (found.ok()) {
      status.set(a, "authenticated", Value(true));
      status.set(a, "user", user_info(a, found->caller));
      status.set(a, "audiences", text_list(a, found->audiences));
    } else {
      status.set(a, "user", Value::map());
      status.set(a, "error", text(a, "[invalid bearer token, " + found.status().message() + "]"));
    }
  } else if (kind.kind == "SelfSubjectReview") {
    status.set(a, "userInfo", user_info(a, caller));
    Value& meta = body.root.get_or_add(a, "metadata");
    if (!meta.is_map()) meta = Value::map();
    meta.set(a, "creationTimestamp", text(a, format_time(now)));
  } else if (kind.kind == "SelfSubjectRulesReview") {
    std::string_view in = spec["namespace"].as_string();
    if (in.empty()) return Status::bad_request("no namespace on request");
    std::vector<Rule> rules;
    if (caller.trusted || std::find(caller.groups.begin(), caller.groups.end(), "system:masters") !=
                              caller.groups.end()) {
      rules = {{{"*"}, {"*"}, {"*"}, {}, {}}, {{"*"}, {}, {}, {}, {"*"}}};
    } else {
      rules = state_->index.load()->rules_of(caller, in);
    }
    add_rules(a, rules, &status);
    std::string_view node;
    if (is_node(caller, &node)) {
      status.set(a, "incomplete", Value(true));
      status.set(a, "evaluationError",
                 text(a, "node authorizer does not support user rule resolution"));
    }
  } else {
    TRY(check_spec(kind, ns, spec));
    Caller who = caller;
    if (kind.kind != "SelfSubjectAccessReview") {
      who = Caller();
      who.name = spec["user"].as_string();
      who.uid = spec["uid"].as_string();
      who.groups = texts(spec["groups"]);
      for (const Member& m : spec["extra"].members()) {
        who.extra[std::string(m.key())] = texts(m.value);
      }
    }
    Decision d = decide(who, access_of(spec));
    status.set(a, "allowed", Value(d.allowed));
    if (!d.reason.empty()) status.set(a, "reason", text(a, d.reason));
  }
  body.root.set(a, "status", status);
  return body;
}

}  // namespace keles::auth
