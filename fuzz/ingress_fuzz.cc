// Hosts and paths of an Ingress are what they are parsed as, again, and one line of a map of the
// proxy's; a Secret's certificate is made of whole blocks. Gateways and routes of any shape make no
// line of the configuration that is not of the lines of rules.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/encoding.h"
#include "ingress/gateway_plan.h"
#include "ingress/haproxy_config.h"
#include "ingress/ingress_plan.h"
#include "machinery/codec_yaml.h"
#include "machinery/schema.h"
#include "seeds.h"

namespace {

using namespace keles;
using namespace keles::ingress;

void check(bool holds) {
  if (!holds) std::abort();
}

void plan(std::string_view host_text, std::string_view path_text) {
  const auto host = Host::parse(host_text);
  const auto path = Path::parse(path_text);
  if (host) check(Host::parse(host->text()) == host);
  if (path) check(Path::parse(path->text()) == path);
  const auto backend = backend_name(host_text, path_text, 80);
  if (backend)
    check(backend->text() == std::string(host_text) + ":" + std::string(path_text) + ":80");
  if (!host || !path) return;
  RoutingTable table;
  table.prefix[{*host, path->elements()}] = *backend_name("ns", "web", 80);
  table.defaults[*host] = *backend_name("ns", "web", 80);
  ProxyFiles files = write_proxy_files(table, ProxyOptions(), "/place");
  check(files["haproxy.cfg"] == write_proxy_files({}, ProxyOptions(), "/place")["haproxy.cfg"]);
  const std::string& map = files["prefix.map"];
  check(map.find(' ') == map.size() - sizeof " ns:web:80");
  check(map.find('\n') == map.size() - 1 && !map.starts_with('#'));
  for (char c : map) check(c == '\n' || (c >= ' ' && c <= '~'));
}

// Each line of rules begins as the writer's lines do: nothing that a user wrote begins one.
void read_lines(const std::string& lines) {
  std::string_view rest = lines;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    bool known = false;
    for (std::string_view begin :
         {"  acl ", "  http-request ", "  http-response ", "  tcp-request content "})
      known = known || line.starts_with(begin);
    check(known);
    for (char c : line) check(c >= ' ' && c <= '~');
    rest.remove_prefix(line.size() + 1);
  }
}

// `yaml`: a route's rules; what of them is not refused is written.
void read_route(std::string_view yaml) {
  auto doc = parse_yaml(yaml);
  if (!doc.ok()) return;
  for (bool grpc : {false, true}) {
    std::vector<Rule> all;
    for (const Value& v : doc->root.items()) {
      auto rules = read_rule(v, grpc);
      if (!rules.ok()) continue;
      for (Rule& r : *rules) {
        for (const Value& b : v["backendRefs"].items()) {
          Share s;
          if (read_share_filters(b["filters"], &s).ok()) r.shares.push_back(std::move(s));
        }
        (void)expressions_of(r);
        all.push_back(std::move(r));
      }
    }
    read_lines(write_rules(all, 80, false));
  }
}

// As a Gateway's, and a route's, spec.
void plan_gateway(std::string_view yaml) {
  auto spec = parse_yaml(yaml);
  if (!spec.ok()) return;
  auto object = [&](const char* kind) {
    Document d;
    d.root = Value::map();
    Value& meta = d.root.get_or_add(d.arena, "metadata");
    meta = Value::map();
    meta.set(d.arena, "name", Value::string(kind));
    meta.set(d.arena, "namespace", Value::string("a"));
    d.root.set(d.arena, "spec", deep_copy(d.arena, spec->root));
    return std::make_shared<const Document>(std::move(d));
  };
  Cluster others;
  others.service = [](auto, auto) { return Ref<api::core_v1::Service>(); };
  others.tls_secret = [](auto, auto) { return Ref<api::core_v1::Secret>(); };
  others.slices = [](auto, auto) { return std::vector<Ref<api::discovery_v1::EndpointSlice>>(); };
  GatewayCluster cluster;
  cluster.others = &others;
  cluster.ns = [](std::string_view) { return DocumentPtr(); };
  auto klass = parse_yaml("{metadata: {name: k}, spec: {controllerName: keles.dev/gateway}}");
  cluster.classes = {std::make_shared<const Document>(std::move(*klass))};
  cluster.gateways = {object("g")};
  cluster.routes = cluster.grpc_routes = cluster.tls_routes = {object("r")};
  RoutingTable table;
  const GatewayPlan plan = plan_gateways(cluster, &table);
  for (const ParentState& p :
       plan.routes.empty() ? std::vector<ParentState>() : plan.routes[0].parents)
    check(p.conditions.size() == 2);
  for (uint16_t port : table.http) read_lines(write_rules(table.rules, port, false));
  for (uint16_t port : table.passthrough) read_lines(write_tls_rules(table.tls_rules, port));
  (void)write_proxy_files(table, ProxyOptions(), "/place");
}

void read_secret(std::string_view crt, std::string_view key) {
  Draft<api::core_v1::SecretEdit> secret;
  secret->edit_data().set("tls.crt", base64_encode(crt));
  secret->edit_data().set("tls.key", base64_encode(key));
  const Document d = secret.take();
  (void)identity_of(api::core_v1::Secret(d.root));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t at = text.find('\0');
  const std::string_view first = text.substr(0, at);
  const std::string_view second =
      at == std::string_view::npos ? std::string_view() : text.substr(at + 1);
  plan(first, second);
  read_secret(first, second);
  read_route(text);
  plan_gateway(text);
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  using namespace std::string_view_literals;
  return {
      "shop.example.com\0/a/b%20c"sv,
      "*.Example.com\0/\n x"sv,
      "\0/"sv,
      "a\0b"sv,
      "[{matches: [{path: {type: RegularExpression, value: \"/'} %[src]\"}, headers: [{name: x, value: \"' or\"}]}], filters: [{type: CORS, cors: {allowOrigins: ['https://*.a.com:80'], maxAge: 3}}], backendRefs: [{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: y, value: z}]}}]}]}]"sv,
      "[{matches: [{method: {type: RegularExpression, service: 'a|b'}}, {method: {method: M}}]}]"sv,
      "{gatewayClassName: k, listeners: [{name: h, port: 81, protocol: HTTP, hostname: '*.a.com'}, {name: t, port: 443, protocol: TLS, tls: {mode: Passthrough}}], parentRefs: [{name: g}], hostnames: [b.a.com], rules: [{backendRefs: [{name: w, port: 80, weight: 3}]}]}"sv,
      "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n\0-----BEGIN EC PRIVATE KEY-----\n-----END EC PRIVATE KEY-----"sv};
}
