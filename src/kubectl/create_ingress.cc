#include <algorithm>
#include <set>

#include "kubectl/ingress_rule.h"
#include "kubectl/verbs.h"
#include "kubectl/write.h"

namespace keles::kubectl {
namespace {

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-';
}

bool is_words(std::string_view s, std::string_view more = {}) {
  return std::all_of(s.begin(), s.end(),
                     [&](char c) { return is_word(c) || more.find(c) != more.npos; });
}

Value backend(Document& d, std::string_view name, const std::string& port) {
  Value out = Value::map();
  Value& service = out.set(d.arena, "service", Value::map());
  service.set(d.arena, "name", text(d, name));
  Value& p = service.set(d.arena, "port", Value::map());
  const bool digits =
      !port.empty() && port.size() < 10 && port.find_first_not_of("0123456789") == port.npos;
  if (digits) {
    p.set(d.arena, "number", Value(static_cast<int64_t>(std::stol(port))));
  } else if (!port.empty()) {
    p.set(d.arena, "name", text(d, port));
  }
  return out;
}

Value* find_member(Value& list, std::string_view key, std::string_view wanted) {
  for (Value& v : list.items()) {
    if (v[key].as_string() == wanted) return &v;
  }
  return nullptr;
}

void put_tls(Document& d, const std::vector<IngressRuleText>& rules) {
  std::set<std::string> hosts;
  Value all = Value::list();
  for (const IngressRuleText& r : rules) {
    // The first that is said of a host counts.
    if (!r.tls || !hosts.insert(r.host).second) continue;
    if (Value* same = find_member(all, "secretName", r.secret)) {
      same->get_or_add(d.arena, "hosts").append(d.arena, text(d, r.host));
      continue;
    }
    if (r.host.empty() && r.secret.empty()) continue;
    Value& one = all.append(d.arena, Value::map());
    if (!r.host.empty()) one.get_or_add(d.arena, "hosts").append(d.arena, text(d, r.host));
    if (!r.secret.empty()) one.set(d.arena, "secretName", text(d, r.secret));
  }
  if (!all.empty()) at(d, "spec.tls") = all;
}

}  // namespace

Result<IngressRuleText> parse_ingress_rule(const std::string& given) {
  const Status wrong = failure("rule " + given +
                               " is invalid and should be in format "
                               "host/path=svcname:svcport[,tls[=secret]]");
  IngressRuleText r;
  const std::string_view all = given;
  const std::string_view rule = all.substr(0, all.find(','));
  const size_t slash = rule.find('/'), eq = rule.find('=');
  if (slash == rule.npos || eq == rule.npos || eq < slash) return wrong;
  r.host = rule.substr(0, slash);
  r.path = rule.substr(slash, eq - slash);
  const std::string_view target = rule.substr(eq + 1);
  const size_t colon = target.find(':');
  if (colon == target.npos) return wrong;
  r.service = target.substr(0, colon);
  r.port = target.substr(colon + 1);
  const bool fits = is_words(r.host, "*.") && !r.service.empty() && is_words(r.service) &&
                    !r.port.empty() && is_words(r.port);
  if (!fits) return wrong;
  if (r.path.ends_with('*')) {
    r.prefix = true;
    r.path.pop_back();
  }
  if (rule.size() < all.size()) {
    const std::string_view tls = all.substr(rule.size() + 1);
    if (tls != "tls" && !tls.starts_with("tls=")) return wrong;
    r.tls = true;
    r.secret = tls.size() > 4 ? tls.substr(4) : "";
    if (!is_words(r.secret, ".")) return wrong;
  }
  return r;
}

void put_ingress_rules(Document& d, const std::vector<IngressRuleText>& rules) {
  put_tls(d, rules);
  if (rules.empty()) return;
  Value& out = at(d, "spec.rules");
  out = Value::list();
  for (const IngressRuleText& r : rules) {
    Value* rule = find_member(out, "host", r.host);
    if (!rule) {
      rule = &out.append(d.arena, Value::map());
      if (!r.host.empty()) rule->set(d.arena, "host", text(d, r.host));
      rule->set(d.arena, "http", Value::map()).set(d.arena, "paths", Value::list());
    }
    Value& path = rule->find("http")->find("paths")->append(d.arena, Value::map());
    path.set(d.arena, "path", text(d, r.path));
    path.set(d.arena, "pathType", Value::string(r.prefix ? "Prefix" : "Exact"));
    path.set(d.arena, "backend", backend(d, r.service, r.port));
  }
}

Status create_ingress(Invocation& in) {
  std::string ingress_class, default_backend;
  std::vector<std::string> rules, annotations;
  Writer writer("kubectl-create");
  in.flags.add("class", &ingress_class, "Ingress Class to be used");
  in.flags.add_array("rule", &rules,
                     "Rule in format host/path=service:port[,tls=secretname]. Paths that end with "
                     "'*' are considered pathType=Prefix. tls argument is optional.");
  in.flags.add("default-backend", &default_backend,
               "Default service for backend, in format of svcname:port");
  in.flags.add_array("annotation", &annotations,
                     "Annotation to insert in the ingress object, in the format annotation=value");
  writer.add_to(in.flags);
  writer.add_save_config(in.flags);
  TRY(in.parse());
  TRY_ASSIGN(name, one_name(in));
  TRY(writer.prepare());
  if (rules.empty() && default_backend.empty()) {
    return failure(
        "not enough information provided: every ingress has to either specify a default-backend "
        "(which catches all traffic) or a list of rules (which catch specific paths)");
  }
  std::vector<IngressRuleText> parsed;
  for (const std::string& r : rules) {
    TRY_ASSIGN(one, parse_ingress_rule(r));
    parsed.push_back(std::move(one));
  }
  TRY_ASSIGN(session, in.session());
  Document d = new_object("networking.k8s.io/v1", "Ingress", name,
                          session->namespace_given() ? session->ns() : "");
  at(d, "spec") = Value::map();
  for (const std::string& a : annotations) {
    const size_t eq = a.find('=');
    if (eq == a.npos) {
      return failure("annotation " + a + " is invalid and should be in format key=[value]");
    }
    at(d, "metadata.annotations")
        .set(d.arena, d.arena.copy(a.substr(0, eq)), text(d, a.substr(eq + 1)));
  }
  if (!default_backend.empty()) {
    const size_t colon = default_backend.find(':');
    if (colon == default_backend.npos ||
        default_backend.find(':', colon + 1) != default_backend.npos) {
      return failure("default-backend should be in format servicename:serviceport");
    }
    at(d, "spec.defaultBackend") =
        backend(d, default_backend.substr(0, colon), default_backend.substr(colon + 1));
  }
  if (!ingress_class.empty()) put(d, "spec.ingressClassName", ingress_class);
  put_ingress_rules(d, parsed);
  at(d, "status.loadBalancer") = Value::map();
  TRY_ASSIGN(mapper, session->mapper());
  TRY_ASSIGN(resource, mapper->find("ingresses.v1.networking.k8s.io"));
  Result<Document> made = writer.create(*session, *resource, session->ns(), d);
  if (!made.ok()) return failure("failed to create ingress: " + made.status().message());
  return writer.report(made->root, "created");
}

}  // namespace keles::kubectl
