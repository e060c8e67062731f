// The questions about identity and permission that the API answers without storing anything.
#include <algorithm>

#include "base/list_text.h"
#include "machinery/fields.h"
#include "machinery/labels.h"
#include "machinery/time.h"
#include "machinery/validation.h"
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

// What one selector of a SubjectAccessReview demands. What is said that cannot be taken is left
// out, which asks for more; `error` tells of it.
struct Selected {
  std::vector<SelectorDemand> demands;
  bool faulty = false;
};

Selected field_demands(const Value& selector) {
  Selected out;
  if (std::string_view raw = selector["rawSelector"].as_string(); !raw.empty()) {
    out.faulty = !FieldSelector::parse(raw).ok();
    Access a;
    a.demand(raw);
    out.demands = std::move(a.field_demands);
  }
  for (const Value& q : selector["requirements"].items()) {
    const std::string_view op = q["operator"].as_string();
    if ((op == "In" || op == "NotIn") && q["values"].size() == 1) {
      out.demands.push_back(
          {std::string(q["key"].as_string()), std::string(op), texts(q["values"])});
    } else {
      out.faulty = true;
    }
  }
  return out;
}

Selected label_demands(const Value& selector) {
  Selected out;
  if (std::string_view raw = selector["rawSelector"].as_string(); !raw.empty()) {
    out.faulty = !Selector::parse(raw).ok();
    Access a;
    a.demand_labels(raw);
    out.demands = std::move(a.label_demands);
  }
  for (const Value& q : selector["requirements"].items()) {
    SelectorDemand d{std::string(q["key"].as_string()), std::string(q["operator"].as_string()),
                     texts(q["values"])};
    const bool listed = d.op == "In" || d.op == "NotIn";
    const bool bare = d.op == "Exists" || d.op == "DoesNotExist";
    const bool fits = (listed && !d.values.empty()) || (bare && d.values.empty());
    if (!fits || !check_qualified_name(d.key).empty()) {
      out.faulty = true;
    } else {
      out.demands.push_back(std::move(d));
    }
  }
  return out;
}

// `error`: what of the selectors was not looked at.
Access access_of(const Value& spec, std::string* error) {
  Access a;
  const Value& r = spec["resourceAttributes"];
  if (!r.is_map()) {
    a.verb = spec["nonResourceAttributes"]["verb"].as_string();
    a.path = spec["nonResourceAttributes"]["path"].as_string();
    return a;
  }
  a.verb = r["verb"].as_string();
  a.group = r["group"].as_string();
  a.version = r["version"].as_string();
  a.resource = r["resource"].as_string();
  a.subresource = r["subresource"].as_string();
  a.ns = r["namespace"].as_string();
  a.name = r["name"].as_string();
  if (a.resource.empty()) a.resource = "*";
  if (a.version.empty()) a.version = "*";
  Selected fields = field_demands(r["fieldSelector"]), labels = label_demands(r["labelSelector"]);
  for (const SelectorDemand& d : fields.demands) {
    if (d.op == "In") a.fields.emplace_back(d.key, d.values[0]);
  }
  auto tell = [error](const char* which, const Selected& s) {
    if (!s.faulty) return;
    *error += (error->empty() ? "" : "; ") + std::string("spec.resourceAttributes.") + which +
              (s.demands.empty() ? "" : " partially") + " ignored due to parse error";
  };
  tell("fieldSelector", fields);
  tell("labelSelector", labels);
  a.field_demands = std::move(fields.demands);
  a.label_demands = std::move(labels.demands);
  return a;
}

void check_values(FieldErrors& e, const FieldPath& at, const Value& requirement) {
  const std::string_view op = requirement["operator"].as_string();
  const bool listed = op == "In" || op == "NotIn", bare = op == "Exists" || op == "DoesNotExist";
  if (listed && requirement["values"].empty()) {
    field::required(e, at["values"], "must be specified when `operator` is 'In' or 'NotIn'");
  }
  if (bare && !requirement["values"].empty()) {
    field::forbidden(e, at["values"],
                     "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
  }
}

void check_field_requirement(FieldErrors& e, const FieldPath& at, const Value& requirement) {
  if (requirement["key"].as_string().empty()) field::required(e, at["key"], "must be specified");
  check_values(e, at, requirement);
}

void check_label_requirement(FieldErrors& e, const FieldPath& at, const Value& requirement) {
  check_values(e, at, requirement);
  const std::string_view key = requirement["key"].as_string();
  field::invalid_each(e, at["key"], key, check_qualified_name(key));
  size_t i = 0;
  for (const Value& v : requirement["values"].items()) {
    field::invalid_each(e, at["values"][i++], v.as_string(), check_label_value(v.as_string()));
  }
}

void check_selector(FieldErrors& e, const FieldPath& path, const Value& selector,
                    void (*check)(FieldErrors&, const FieldPath&, const Value&)) {
  if (!selector.is_map()) return;
  const std::string_view raw = selector["rawSelector"].as_string();
  const Value& requirements = selector["requirements"];
  if (!raw.empty() && !requirements.empty()) {
    field::invalid(e, path["rawSelector"], raw,
                   "may not specified at the same time as requirements");
  }
  if (raw.empty() && requirements.empty()) {
    field::required(
        e, path["requirements"],
        "when " + path.text() + " is specified, requirements or rawSelector is required");
  }
  size_t i = 0;
  for (const Value& q : requirements.items()) check(e, path["requirements"][i++], q);
}

// As upstream's messages show it: its unversioned struct, whose members have no other names.
void invalid_path(FieldErrors& e, const FieldPath& at, const Value& attributes, const char* why) {
  Arena a;
  Value shown = Value::map();
  shown.set(a, "Path", text(a, attributes["path"].as_string()));
  shown.set(a, "Verb", text(a, attributes["verb"].as_string()));
  field::invalid(e, at, shown, why);
}

// Whether the metadata says something (managed fields are the server's own).
bool says_something(const Value& metadata, bool namespaced) {
  for (const Member& m : metadata.members()) {
    const std::string_view key = m.key();
    if (key == "managedFields" || m.value.is_null()) continue;
    if (key == "namespace" && namespaced) continue;
    if (m.value.is_string() && m.value.as_string().empty()) continue;
    if ((m.value.is_map() || m.value.is_list()) && m.value.empty()) continue;
    return true;
  }
  return false;
}

Status check_spec(const KindDesc& kind, std::string_view ns, const Value& body) {
  const Value& spec = body["spec"];
  FieldErrors e;
  const FieldPath at("spec");
  const Value& resource = spec["resourceAttributes"];
  const Value& path = spec["nonResourceAttributes"];
  const bool self = kind.kind == "SelfSubjectAccessReview";
  const bool local = kind.kind == "LocalSubjectAccessReview";
  if (resource.is_map() && path.is_map()) {
    invalid_path(e, at["nonResourceAttributes"], path,
                 "cannot be specified in combination with resourceAttributes");
  }
  if (!resource.is_map() && !path.is_map()) {
    field::invalid(e, at["resourceAttributes"], Value(),
                   "exactly one of nonResourceAttributes or resourceAttributes must be specified");
  }
  if (!self && spec["user"].as_string().empty() && spec["groups"].empty()) {
    field::invalid(e, at["user"], "", "at least one of user or group must be specified");
  }
  const FieldPath attributes("spec.resourceAttributes");
  check_selector(e, attributes["fieldSelector"], resource["fieldSelector"],
                 check_field_requirement);
  check_selector(e, attributes["labelSelector"], resource["labelSelector"],
                 check_label_requirement);
  if (says_something(body["metadata"], local)) {
    field::invalid(e, FieldPath("metadata"), body["metadata"],
                   local ? "must be empty except for namespace" : "must be empty");
  }
  if (local && resource.is_map() && resource["namespace"].as_string() != ns) {
    field::invalid(e, FieldPath("spec.resourceAttributes.namespace"),
                   resource["namespace"].as_string(), "must match metadata.namespace");
  }
  if (local && path.is_map()) {
    invalid_path(e, at["nonResourceAttributes"], path, "disallowed on this kind of request");
  }
  if (e.empty()) return Status();
  return Status::invalid(kind.group, kind.kind, "", std::move(e));
}

// What the authorizers know of all that the caller may in a namespace.
struct RulesFound {
  std::vector<Rule> rules;
  bool incomplete = false;
  std::vector<std::string> errors;
};

void ask_for_rules(const Authorizer& whom, const RbacIndex& index, const Caller& caller,
                   std::string_view ns, RulesFound* out) {
  std::string_view node;
  switch (whom.mode) {
    case Mode::kNode:
      if (!is_node(caller, &node)) break;
      out->incomplete = true;
      out->errors.emplace_back("node authorizer does not support user rule resolution");
      break;
    case Mode::kRbac:
      index.visit(caller, ns, [out](const RbacIndex::Bound& b, const std::string&) {
        if (b.rules) {
          out->rules.insert(out->rules.end(), b.rules->begin(), b.rules->end());
        } else {
          out->errors.push_back(b.missing);
        }
        return true;
      });
      break;
    case Mode::kWebhook:
      out->incomplete = true;
      out->errors.emplace_back("webhook authorizer does not support user rule resolution");
      break;
    case Mode::kAlwaysAllow:
      out->rules.push_back({{"*"}, {"*"}, {"*"}, {}, {}});
      out->rules.push_back({{"*"}, {}, {}, {}, {"*"}});
      break;
    case Mode::kAlwaysDeny:
      break;
  }
}

void add_rules(Arena& a, const RulesFound& found, Value* status) {
  Value resources = Value::list(), paths = Value::list();
  for (const Rule& r : found.rules) {
    Value one = Value::map();
    one.set(a, "verbs", text_list(a, r.verbs));
    if (!r.urls.empty()) {
      one.set(a, "nonResourceURLs", text_list(a, r.urls));
      paths.append(a, one);
    }
    if (r.resources.empty()) continue;
    Value other = Value::map();
    other.set(a, "verbs", text_list(a, r.verbs));
    other.set(a, "apiGroups", text_list(a, r.groups));
    other.set(a, "resources", text_list(a, r.resources));
    if (!r.names.empty()) other.set(a, "resourceNames", text_list(a, r.names));
    resources.append(a, other);
  }
  status->set(a, "resourceRules", resources);
  status->set(a, "nonResourceRules", paths);
  status->set(a, "incomplete", Value(found.incomplete));
  const std::string why = aggregate(found.errors);
  if (!why.empty()) status->set(a, "evaluationError", text(a, why));
}

}  // namespace

bool Auth::is_review(const KindDesc& kind) {
  if (kind.group == "authentication.k8s.io") {
    return kind.kind == "TokenReview" || kind.kind == "SelfSubjectReview";
  }
  return kind.group == "authorization.k8s.io" && kind.kind.size() > 6 &&
         kind.kind.substr(kind.kind.size() - 6) == "Review";
}

namespace {

Value token_review_status(Arena& a, const Result<TokenIdentity>& found) {
  Value status = Value::map();
  if (found.ok()) {
    status.set(a, "authenticated", Value(true));
    status.set(a, "user", user_info(a, found->caller));
    status.set(a, "audiences", text_list(a, found->audiences));
    return status;
  }
  const std::string why = found.status().message();
  status.set(a, "user", Value::map());
  status.set(a, "error",
             text(a, why.empty() ? "invalid bearer token" : "[invalid bearer token, " + why + "]"));
  return status;
}

Caller caller_in(const Value& spec) {
  Caller who;
  who.name = spec["user"].as_string();
  who.uid = spec["uid"].as_string();
  who.groups = texts(spec["groups"]);
  for (const Member& m : spec["extra"].members()) {
    who.extra[std::string(m.key())] = texts(m.value);
  }
  return who;
}

}  // namespace

Status Auth::check_review(const KindDesc& kind, std::string_view ns, const Value& body) {
  if (kind.kind == "SelfSubjectReview") return Status();
  if (kind.kind == "TokenReview") {
    if (!body["spec"]["token"].as_string().empty()) return Status();
    return Status::bad_request("token is required for TokenReview in authentication");
  }
  if (kind.kind == "SelfSubjectRulesReview") {
    if (!body["spec"]["namespace"].as_string().empty()) return Status();
    return Status::bad_request("no namespace on request");
  }
  return check_spec(kind, ns, body);
}

Result<Document> Auth::review(const Caller& caller, const KindDesc& kind, Document body,
                              WallTime now, Questions* open) const {
  if (!body.root.is_map()) body.root = Value::map();
  Arena& a = body.arena;
  const Value& spec = body.root["spec"];
  Value status = Value::map();
  if (kind.kind == "TokenReview") {
    std::string token(spec["token"].as_string());
    status =
        token_review_status(a, state_->check_token(token, texts(spec["audiences"]), now, open));
  } else if (kind.kind == "SelfSubjectReview") {
    status.set(a, "userInfo", user_info(a, caller));
    Value& meta = body.root.get_or_add(a, "metadata");
    if (!meta.is_map()) meta = Value::map();
    meta.set(a, "creationTimestamp", text(a, format_time(now)));
  } else if (kind.kind == "SelfSubjectRulesReview") {
    std::string_view in = spec["namespace"].as_string();
    RulesFound found;
    auto index = state_->index.load();
    auto chain = state_->live->authorizers.load();
    if (caller.trusted) {
      ask_for_rules({Mode::kAlwaysAllow, nullptr}, *index, caller, in, &found);
    } else {
      for (const Authorizer& whom : *chain) ask_for_rules(whom, *index, caller, in, &found);
    }
    add_rules(a, found, &status);
  } else {
    std::string ignored;
    const Access access = access_of(spec, &ignored);
    const bool self = kind.kind == "SelfSubjectAccessReview";
    Decision d = decide(self ? caller : caller_in(spec), access, open);
    status.set(a, "allowed", Value(d.allowed));
    if (d.denied) status.set(a, "denied", Value(true));
    if (!d.reason.empty()) status.set(a, "reason", text(a, d.reason));
    if (!d.error.empty() && !ignored.empty()) d.error += "; ";
    d.error += ignored;
    if (!d.error.empty()) status.set(a, "evaluationError", text(a, d.error));
  }
  body.root.set(a, "status", status);
  return body;
}

}  // namespace keles::auth
