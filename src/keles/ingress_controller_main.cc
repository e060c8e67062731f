// `keles ingress-controller`: Ingresses and Gateways served by HAProxy.
#include "base/flags.h"
#include "ingress/run.h"
#include "keles/commands.h"
#include "keles/log_flags.h"
#include "keles/remote_kinds.h"
#include "keles/runtime.h"
#include "machinery/codec_json.h"

namespace keles {
namespace {

struct IngressFlags {
  ingress::RunOptions run;
  std::string publish = "ingress-keles/ingress-keles";
  int64_t http_port = 8080, https_port = 8443, status_port = 10254;
  LogFlags logging;
};

Status take_port(int64_t value, const char* flag, uint16_t* into) {
  if (value < 1 || value > 65535)
    return Status::bad_request(std::string("--") + flag + " must be a port: 1 to 65535");
  *into = static_cast<uint16_t>(value);
  return Status();
}

Status complete(IngressFlags* f) {
  TRY(take_port(f->http_port, "http-port", &f->run.proxy.http_port));
  TRY(take_port(f->https_port, "https-port", &f->run.proxy.https_port));
  TRY(take_port(f->status_port, "status-port", &f->run.proxy.status_port));
  for (int64_t own : {f->http_port, f->https_port, f->status_port})
    if (!ingress::is_listener_port(own))
      return Status::bad_request("the ports of the flags are at most " +
                                 std::to_string(ingress::kLastListenerPort));
  if (f->publish.empty()) return Status();
  const size_t slash = f->publish.find('/');
  if (slash == std::string::npos)
    return Status::bad_request("--publish-service must be NAMESPACE/NAME");
  f->run.controller.publish_namespace = f->publish.substr(0, slash);
  f->run.controller.publish_service = f->publish.substr(slash + 1);
  return Status();
}

// The kinds of the Gateway API that are read, as discovery would tell them: each is asked for once
// its definition is there, in the first of its versions that is served.
Result<std::vector<KindRef>> gateway_kinds() {
  struct Row {
    const char *resource, *kind;
    std::vector<const char*> versions;
    bool cluster = false;
  };
  const Row rows[] = {{"gatewayclasses", "GatewayClass", {"v1"}, true},
                      {"gateways", "Gateway", {"v1"}},
                      {"httproutes", "HTTPRoute", {"v1"}},
                      {"grpcroutes", "GRPCRoute", {"v1"}},
                      {"tlsroutes", "TLSRoute", {"v1", "v1alpha3", "v1alpha2"}},
                      {"referencegrants", "ReferenceGrant", {"v1", "v1beta1"}}};
  std::vector<KindRef> out;
  for (const Row& row : rows) {
    for (const char* version : row.versions) {
      TRY_ASSIGN(doc, parse_json(std::string(R"({"version": ")") + version +
                                 R"(", "resources": [{"resource": ")" + row.resource +
                                 R"(", "scope": ")" + (row.cluster ? "Cluster" : "Namespaced") +
                                 R"(", "responseKind": {"kind": ")" + row.kind + R"("}}]})"));
      for (KindRef& k : read_remote_kinds(ingress::kGatewayGroup, doc.root))
        out.push_back(std::move(k));
    }
  }
  return out;
}

}  // namespace

int ingress_controller_main(const std::vector<std::string>& args) {
  IngressFlags f;
  Flags flags(
      "Serves the Ingresses and Gateways of its classes: runs HAProxy, and keeps its routes as "
      "they "
      "say.\n\nUsage:\n  keles ingress-controller [flags]");
  flags.add("kubeconfig", &f.run.kubeconfig,
            "Path to a kubeconfig file. Empty: the service account of the pod.");
  flags.add("controller-name", &f.run.controller.name,
            "The spec.controller of the IngressClasses that are served.");
  flags.add("publish-service", &f.publish,
            "The Service (NAMESPACE/NAME) before the proxy, whose addresses the Ingresses are "
            "told. Empty: they are told none.");
  flags.add("haproxy", &f.run.program, "HAProxy's program.");
  flags.add("directory", &f.run.proxy.directory,
            "Where its configuration, keys and sockets lie: better in memory.");
  flags.add("http-port", &f.http_port, "The port for HTTP.");
  flags.add("https-port", &f.https_port, "The port for HTTPS.");
  flags.add("status-port", &f.status_port, "The port for /healthz and /metrics.");
  f.logging.add(flags);
  return run_command(&flags, args, [&f](const std::vector<std::string>& rest) -> Status {
    TRY(no_arguments(rest));
    TRY(complete(&f));
    TRY_ASSIGN(kinds, gateway_kinds());
    f.run.controller.gateway_kinds = std::move(kinds);
    TRY(f.logging.apply());
    return run_program([&f](Context ctx) { return ingress::run_ingress_controller(ctx, f.run); });
  });
}

}  // namespace keles
