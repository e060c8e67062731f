// create service clusterip|nodeport|loadbalancer|externalname.
#include <charconv>

#include "kubectl/verbs.h"
#include "kubectl/write.h"

namespace keles::kubectl {
namespace {

bool port_number(std::string_view s, int64_t* out) {
  auto r = std::from_chars(s.data(), s.data() + s.size(), *out);
  return r.ec == std::errc() && r.ptr == s.data() + s.size() && *out >= 0 && *out <= 65535;
}

// "5678:8080", "5678:web", "5678"
Status add_port(Document& d, std::string_view pair, int64_t node_port) {
  size_t colon = pair.find(':');
  std::string_view port = pair.substr(0, colon);
  int64_t number = 0;
  if (!port_number(port, &number)) {
    return failure("strconv.ParseUint: parsing \"" + std::string(port) + "\": invalid syntax");
  }
  std::string name(pair);
  for (char& c : name) c = c == ':' ? '-' : c;
  Value& ports = at(d, "spec.ports");
  Value& p = ports.append(d.arena, Value::map());
  p.set(d.arena, "name", text(d, name));
  p.set(d.arena, "port", Value(number));
  p.set(d.arena, "protocol", Value::string("TCP"));
  std::string_view target = colon == pair.npos ? port : pair.substr(colon + 1);
  int64_t target_number = 0;
  bool numeric = port_number(target, &target_number);
  p.set(d.arena, "targetPort", numeric ? Value(target_number) : text(d, target));
  if (node_port > 0) p.set(d.arena, "nodePort", Value(node_port));
  return Status();
}

Status create_service(Invocation& in, const std::string& type) {
  std::vector<std::string> tcp;
  std::string cluster_ip, external_name;
  int64_t node_port = 0;
  Writer writer("kubectl-create");
  in.flags.add("tcp", &tcp, "Port pairs can be specified as '<port>:<targetPort>'.");
  if (type == "ClusterIP") {
    in.flags.add("clusterip", &cluster_ip,
                 "Assign your own ClusterIP or set to 'None' for a 'headless' service.");
  }
  if (type == "NodePort") {
    in.flags.add("node-port", &node_port,
                 "Port used to expose the service on each node in a cluster.");
  }
  if (type == "ExternalName") {
    in.flags.add("external-name", &external_name, "External name of service");
  }
  writer.add_to(in.flags);
  writer.add_save_config(in.flags, false);
  TRY(in.parse());
  if (type == "ExternalName" && external_name.empty()) {
    return plain_failure("error: required flag(s) \"external-name\" not set");
  }
  TRY_ASSIGN(name, one_name(in));
  TRY(writer.prepare());
  if (tcp.empty() && cluster_ip != "None" && type != "ExternalName") {
    return failure("at least one tcp port specifier must be provided");
  }
  TRY_ASSIGN(session, in.session());
  TRY_ASSIGN(mapper, session->mapper());
  TRY_ASSIGN(resource, mapper->find("services"));
  Document d = new_object("v1", "Service", name, session->namespace_given() ? session->ns() : "");
  put(d, "metadata.labels.app", name);
  put(d, "spec.selector.app", name);
  put(d, "spec.type", type);
  at(d, "status.loadBalancer") = Value::map();
  if (!cluster_ip.empty()) put(d, "spec.clusterIP", cluster_ip);
  if (!external_name.empty()) put(d, "spec.externalName", external_name);
  for (const std::string& pair : tcp) TRY(add_port(d, pair, node_port));
  Result<Document> made = writer.create(*session, *resource, session->ns(), d);
  if (!made.ok()) {
    return failure("failed to create " + type + " service: " + made.status().message());
  }
  return writer.report(made->root, "created");
}

}  // namespace

Status create_service_clusterip(Invocation& in) { return create_service(in, "ClusterIP"); }
Status create_service_nodeport(Invocation& in) { return create_service(in, "NodePort"); }
Status create_service_loadbalancer(Invocation& in) { return create_service(in, "LoadBalancer"); }
Status create_service_externalname(Invocation& in) { return create_service(in, "ExternalName"); }

}  // namespace keles::kubectl
