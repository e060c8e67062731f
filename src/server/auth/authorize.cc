// What a caller may do: the authorizers in their order, and nobody grants more than they hold.
#include <algorithm>

#include "base/html.h"
#include "base/list_text.h"
#include "server/auth/decisions.h"
#include "server/auth/node.h"
#include "server/auth/rbac.h"
#include "server/auth/state.h"

namespace keles::auth {
namespace {

Verdict as_verdict(bool allowed, std::string reason) {
  Verdict out;
  if (allowed) out.word = Verdict::Word::kAllow;
  out.reason = std::move(reason);
  return out;
}

// Upstream's answers are looked at by browsers, too.
std::string for_people(const std::string& text) { return html_escaped(text, false); }

}  // namespace

Status refusal(const Caller& caller, const Access& a, const std::string& reason) {
  std::string why = "User \"" + caller.name + "\" cannot " + a.verb;
  if (a.resource.empty()) {
    why += " path \"" + a.path + "\"";
  } else {
    std::string resource = a.resource;
    if (!a.subresource.empty()) resource += "/" + a.subresource;
    why += " resource \"" + resource + "\" in API group \"" + a.group + "\"";
    why +=
        a.ns.empty() ? std::string(" at the cluster scope") : " in the namespace \"" + a.ns + "\"";
  }
  why = for_people(why);
  if (!reason.empty()) why += ": " + reason;
  return Status::forbidden(a.group, a.resource, a.name, why);
}

Verdict Auth::State::ask(const Authorizer& whom, const Caller& caller, const Access& access,
                         Questions* open) const {
  std::string_view node;
  switch (whom.mode) {
    case Mode::kNode: {
      if (!is_node(caller, &node)) break;
      if (node.empty()) return as_verdict(false, "unknown node for user \"" + caller.name + "\"");
      std::string reason;
      const bool allowed = node_allows(node, access, *store->snapshot(), &reason);
      return as_verdict(allowed, std::move(reason));
    }
    case Mode::kRbac: {
      Decision d = decide_by_rbac(index.load(), caller, access);
      return as_verdict(d.allowed, std::move(d.reason));
    }
    case Mode::kAlwaysAllow:
      return as_verdict(true, "");
    case Mode::kAlwaysDeny:
      return as_verdict(false, "Everything is forbidden.");
    case Mode::kWebhook: {
      if (!whom.outside) break;
      if (open == nullptr) return whom.outside->unasked();
      Verdict v = whom.outside->now(caller, access, open->now());
      if (v.word == Verdict::Word::kAsk) v = open->known(whom.outside, caller, access);
      return v;
    }
  }
  return Verdict();
}

Decision Auth::decide(const Caller& caller, const Access& access, Questions* open) const {
  Decision out;
  out.allowed = caller.trusted || has_group(caller, "system:masters");
  if (out.allowed) return out;
  auto chain = state_->live->authorizers.load();
  std::vector<std::string> errors;
  for (const Authorizer& whom : *chain) {
    Verdict v = state_->ask(whom, caller, access, open);
    if (v.word == Verdict::Word::kAsk) return Decision();  // is asked again
    if (v.word == Verdict::Word::kAllow || v.word == Verdict::Word::kDeny) {
      out = Decision();
      out.allowed = v.word == Verdict::Word::kAllow;
      out.denied = !out.allowed;
      out.reason = std::move(v.reason);
      out.error = std::move(v.error);
      // Who could have asked nobody is told whose word is missing.
      if (!open && out.error.empty() && !errors.empty()) out.error = errors[0];
      return out;
    }
    if (!v.error.empty()) errors.push_back(std::move(v.error));
    if (!v.reason.empty()) out.reason += (out.reason.empty() ? "" : "\n") + v.reason;
  }
  if (!errors.empty()) out.error = aggregate(errors);
  return out;
}

Status Auth::authorize(const Caller& caller, const Access& a, Questions* open,
                       Decision* how) const {
  Decision d = decide(caller, a, open);
  Status out;
  if (!d.allowed) out = d.error.empty() ? refusal(caller, a, d.reason) : Status::internal(d.error);
  if (how != nullptr) *how = std::move(d);
  return out;
}

Result<std::vector<Mode>> parse_modes(const std::vector<std::string>& names) {
  struct Known {
    std::string_view name;
    Mode mode;
  };
  constexpr Known kKnown[] = {{"Node", Mode::kNode},
                              {"RBAC", Mode::kRbac},
                              {"Webhook", Mode::kWebhook},
                              {"AlwaysAllow", Mode::kAlwaysAllow},
                              {"AlwaysDeny", Mode::kAlwaysDeny}};
  std::vector<Mode> out;
  for (const std::string& name : names) {
    const auto* found = std::find_if(std::begin(kKnown), std::end(kKnown),
                                     [&](const Known& k) { return k.name == name; });
    if (found == std::end(kKnown)) {
      return Status::bad_request("--authorization-mode: \"" + name + "\" is not " +
                                 (name == "ABAC" ? "supported by this server" : "a valid mode") +
                                 ": use any of Node, RBAC, Webhook, AlwaysAllow, AlwaysDeny");
    }
    if (std::find(out.begin(), out.end(), found->mode) != out.end()) {
      return Status::bad_request("--authorization-mode: \"" + name + "\" is given more than once");
    }
    out.push_back(found->mode);
  }
  if (out.empty()) return Status::bad_request("--authorization-mode: at least one mode is needed");
  return out;
}

namespace {

// An update that is none but for what the garbage collector needs to end an object.
bool only_for_the_collector(const Value& now, const Value& before) {
  Document a, b;
  for (auto [doc, from] : {std::pair<Document*, const Value*>(&a, &now), {&b, &before}}) {
    doc->root = deep_copy(doc->arena, *from);
    Value* meta = doc->root.find("metadata");
    if (meta == nullptr) continue;
    for (const char* key : {"ownerReferences", "finalizers", "managedFields", "resourceVersion"})
      meta->erase(key);
  }
  return a.root.equals(b.root);
}

std::vector<Rule> everything() {
  return {{{"*"}, {"*"}, {"*"}, {}, {}}, {{"*"}, {}, {}, {}, {"*"}}};
}

// Why the caller, who holds `held`, may not grant `wanted`; "" when all of it is held.
std::string not_held(const Caller& caller, const std::vector<Rule>& held,
                     const std::vector<Rule>& wanted) {
  std::vector<Rule> missing;
  for (const Rule& r : wanted) covers(held, r, &missing);
  if (missing.empty()) return "";
  std::string groups;
  for (const std::string& g : caller.groups) {
    groups += (groups.empty() ? "\"" : " \"") + g + "\"";
  }
  std::string why = "user \"" + caller.name + "\" (groups=[" + groups +
                    "]) is attempting to grant RBAC permissions not currently held:";
  std::set<std::string> lines;
  for (const Rule& r : missing) lines.insert(describe(r));
  for (const std::string& line : lines) why += "\n" + line;
  return why;
}

bool aggregates(const Value& role) {
  return !role["aggregationRule"]["clusterRoleSelectors"].empty();
}

}  // namespace

Status Auth::check_escalation(const Caller& caller, const KindDesc& kind, std::string_view ns,
                              const Value& object, const Value* old, Questions* open) const {
  if (kind.group != "rbac.authorization.k8s.io") return Status();
  if (caller.trusted || has_group(caller, "system:masters")) return Status();
  const bool role = kind.kind == "Role" || kind.kind == "ClusterRole";
  const bool binding = kind.kind == "RoleBinding" || kind.kind == "ClusterRoleBinding";
  if (!role && !binding) return Status();
  if (old != nullptr && only_for_the_collector(object, *old)) return Status();
  std::shared_ptr<const RbacIndex> index = state_->index.load();
  const std::string_view name = object["metadata"]["name"].as_string();
  Access a;
  a.group = kind.group;
  a.version = kind.version;
  a.ns = ns;
  std::vector<Rule> wanted;
  if (role) {
    a.verb = "escalate";
    a.resource = kind.plural;
    a.name = name;
    if (decide(caller, a, open).allowed) return Status();
    wanted = read_rules(object["rules"]);
  } else {
    const Value& ref = object["roleRef"];
    a.verb = "bind";
    a.resource = ref["kind"].as_string() == "Role" ? "roles" : "clusterroles";
    a.name = ref["name"].as_string();
    if (decide(caller, a, open).allowed) return Status();
    Rules rules = index->role(ref["kind"].as_string(), ns, a.name);
    if (!rules) return Status::not_found(kind.group, a.resource, a.name);
    wanted = *rules;
  }
  const std::vector<Rule> held = index->rules_of(caller, ns);
  std::string why = not_held(caller, held, wanted);
  // What is aggregated may become anything: whoever chooses it must hold everything.
  if (why.empty() && kind.kind == "ClusterRole" &&
      (aggregates(object) || (old != nullptr && aggregates(*old))) &&
      !not_held(caller, held, everything()).empty()) {
    why = "must have cluster-admin privileges to use the aggregationRule";
  }
  if (why.empty()) return Status();
  return Status::forbidden(kind.group, kind.plural, name, why);
}

}  // namespace keles::auth
