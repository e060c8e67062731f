#include <charconv>

#include "base/text_parts.h"
#include "kubectl/podspec.h"
#include "kubectl/verbs.h"
#include "kubectl/write.h"
#include "machinery/labels.h"

namespace keles::kubectl {
namespace {

struct ExposeFlags {
  std::string port, target_port, type, name, protocol, selector, external_ip, cluster_ip;
  std::string load_balancer_ip, session_affinity, labels;

  void add_to(Flags& flags) {
    flags.add("port", &port,
              "The port that the service should serve on. Copied from the resource "
              "being exposed, if unspecified");
    flags.add("target-port", &target_port,
              "Name or number for the port on the container that the service should direct "
              "traffic to.");
    flags.add("type", &type,
              "Type for this service: ClusterIP, NodePort, LoadBalancer, or "
              "ExternalName. Default is 'ClusterIP'.");
    flags.add("name", &name, "The name for the newly created object.");
    flags.add("protocol", &protocol,
              "The network protocol for the service to be created. Default "
              "is 'TCP'.");
    flags.add("selector", &selector, "A label selector to use for this service.");
    flags.add("external-ip", &external_ip,
              "Additional external IP address to set for the service.");
    flags.add("cluster-ip", &cluster_ip, "ClusterIP to be assigned to the service.");
    flags.add("load-balancer-ip", &load_balancer_ip, "IP to assign to the LoadBalancer.");
    flags.add("session-affinity", &session_affinity,
              "If non-empty, set the session affinity for the service to this; legal values: "
              "'None', 'ClientIP'");
    flags.add("labels", &labels, "Labels to apply to the service created by this call.", 'l');
  }
};

bool number(std::string_view s, int64_t* out) {
  auto r = std::from_chars(s.data(), s.data() + s.size(), *out);
  return r.ec == std::errc() && r.ptr == s.data() + s.size();
}

// "a=b,c=d" into a map of the tree.
Status put_pairs(Document& d, std::string_view path, std::string_view pairs) {
  for (std::string_view one : split_list(pairs)) {
    size_t eq = one.find('=');
    if (eq == one.npos || eq == 0) {
      return failure("couldn't parse selector string: unexpected label spec: " + std::string(one));
    }
    at(d, path).set(d.arena, d.arena.copy(one.substr(0, eq)), text(d, one.substr(eq + 1)));
  }
  return Status();
}

Status put_selector(Document& d, const Found& f) {
  const Value& o = f.object.root;
  const std::string& kind = f.resource->kind;
  const Value* labels = &Value::null();
  if (kind == "Pod") {
    labels = &o["metadata"]["labels"];
    if (labels->empty()) return failure("the pod has no labels and cannot be exposed");
  } else if (kind == "Service" || kind == "ReplicationController") {
    labels = &o["spec"]["selector"];
    if (labels->empty()) return failure("the service has no pod selector set");
  } else if (kind == "Deployment" || kind == "ReplicaSet") {
    if (!o["spec"]["selector"]["matchExpressions"].empty()) {
      return failure("couldn't convert expressions - \"" +
                     Selector::from_label_selector(o["spec"]["selector"]).value_or({}).to_string() +
                     "\" to map-based selector format");
    }
    labels = &o["spec"]["selector"]["matchLabels"];
  } else {
    return failure("cannot expose a " + kind +
                   (f.resource->group.empty() ? "" : "." + f.resource->group));
  }
  at(d, "spec.selector") = deep_copy(d.arena, *labels);
  return Status();
}

struct Port {
  int64_t number;
  std::string protocol;
};

// What the object's containers (a Service: its ports) say.
std::vector<Port> ports_of(const Value& o) {
  std::vector<Port> out;
  auto add = [&out](const Value& p, const char* field) {
    std::string protocol(p["protocol"].as_string());
    out.push_back({p[field].as_int(), protocol.empty() ? "TCP" : protocol});
  };
  if (o["kind"].as_string() == "Service") {
    for (const Value& p : o["spec"]["ports"].items()) add(p, "port");
  }
  for (const Value& c : pod_spec(o)["containers"].items()) {
    for (const Value& p : c["ports"].items()) add(p, "containerPort");
  }
  return out;
}

Status put_ports(Document& d, const ExposeFlags& f, const Invocation& in, const Value& o) {
  std::vector<Port> known = ports_of(o), wanted;
  for (std::string_view one : split_list(f.port)) {
    int64_t n = 0;
    if (!number(one, &n)) {
      return failure("strconv.Atoi: parsing \"" + std::string(one) + "\": invalid syntax");
    }
    Port p{n, "TCP"};
    for (const Port& k : known) {
      if (k.number == n) p.protocol = k.protocol;
    }
    wanted.push_back(p);
  }
  if (wanted.empty()) wanted = known;
  if (wanted.empty()) return in.usage("couldn't find port via --port flag or introspection");
  for (size_t i = 0; i < wanted.size(); ++i) {
    Value& p = at(d, "spec.ports").append(d.arena, Value::map());
    if (wanted.size() > 1) p.set(d.arena, "name", text(d, "port-" + std::to_string(i + 1)));
    p.set(d.arena, "port", Value(wanted[i].number));
    p.set(d.arena, "protocol", text(d, f.protocol.empty() ? wanted[i].protocol : f.protocol));
    int64_t n = 0;
    Value target = Value(wanted[i].number);
    if (!f.target_port.empty()) {
      target = number(f.target_port, &n) ? Value(n) : text(d, f.target_port);
    }
    p.set(d.arena, "targetPort", target);
  }
  return Status();
}

Result<Document> service_for(const ExposeFlags& flags, Invocation& in, const Found& f) {
  TRY_ASSIGN(session, in.session());
  Document d = new_object("v1", "Service", flags.name.empty() ? f.name : flags.name,
                          session->namespace_given() ? f.ns : "");
  if (flags.selector.empty()) {
    TRY(put_selector(d, f));
  } else {
    TRY(put_pairs(d, "spec.selector", flags.selector));
  }
  if (flags.labels.empty()) {
    const Value& labels = f.object.root["metadata"]["labels"];
    if (!labels.empty()) at(d, "metadata.labels") = deep_copy(d.arena, labels);
  } else {
    TRY(put_pairs(d, "metadata.labels", flags.labels));
  }
  TRY(put_ports(d, flags, in, f.object.root));
  at(d, "status.loadBalancer") = Value::map();
  if (!flags.type.empty()) put(d, "spec.type", flags.type);
  if (!flags.cluster_ip.empty()) put(d, "spec.clusterIP", flags.cluster_ip);
  if (!flags.load_balancer_ip.empty()) put(d, "spec.loadBalancerIP", flags.load_balancer_ip);
  if (!flags.session_affinity.empty()) put(d, "spec.sessionAffinity", flags.session_affinity);
  if (!flags.external_ip.empty()) {
    at(d, "spec.externalIPs").append(d.arena, text(d, flags.external_ip));
  }
  return d;
}

}  // namespace

Status expose(Invocation& in) {
  Query q;
  ExposeFlags flags;
  Writer writer("kubectl-expose");
  q.files.add_to(in.flags, "identifying the resource to expose a service");
  flags.add_to(in.flags);
  writer.add_to(in.flags);
  writer.add_save_config(in.flags, false);
  TRY(in.parse());
  TRY(writer.prepare());
  q.args = in.args;
  TRY_ASSIGN(session, in.session());
  TRY_ASSIGN(mapper, session->mapper());
  TRY_ASSIGN(services, mapper->find("services"));
  std::vector<Status> errors;
  TRY_ASSIGN(found, find_objects(*session, q, &errors));
  for (const Found& f : found) {
    Result<Document> service = service_for(flags, in, f);
    if (!service.ok()) return service.status();
    Result<Document> made = writer.create(*session, *services, f.ns, *service);
    if (made.ok()) {
      TRY(writer.report(made->root, "exposed"));
    } else {
      errors.push_back(made.status());
    }
  }
  return combine(std::move(errors));
}

}  // namespace keles::kubectl
