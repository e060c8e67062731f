#include "ingress/haproxy_config.h"

#include <set>

#include "base/host_port.h"
#include "ingress/rules.h"

namespace keles::ingress {
namespace {

// Time limits: a backend has 5 s to take a connection, either side a minute between two bytes, a
// websocket an hour of silence. A process of before a change ends within five minutes.
constexpr char kHead[] = R"(global
  description @DESCRIPTION
  log stdout format raw daemon err
  stats socket @DIRECTORY/admin.sock mode 600 level admin expose-fd listeners
  hard-stop-after 5m
  ssl-default-bind-options ssl-min-ver TLSv1.2
  ssl-default-server-options ssl-min-ver TLSv1.2
  tune.ssl.default-dh-param 2048

defaults
  mode http
  log global
  option dontlog-normal
  option redispatch
  option forwardfor
  retries 3
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout http-request 30s
  timeout http-keep-alive 60s
  timeout tunnel 1h

frontend status
  bind :::@STATUS v4v6
  http-request use-service prometheus-exporter if { path /metrics }
  http-request return status 200 content-type text/plain string ok if { path /healthz }
  http-request return status 404
)";

// Whom a request came from is said by the proxy alone: backends believe these headers. A host that
// is none (a blank, a slash ...) is nobody's. The keys of the maps are host and path; prefixes end
// with '/', and so does what is looked up, which makes them elements.
constexpr char kRouting[] = R"(
  http-request del-header X-Forwarded-For
  http-request del-header Forwarded
  http-request set-header X-Real-IP %[src]
  http-request set-header X-Forwarded-Proto @SCHEME
  http-request set-header X-Forwarded-Port @PUBLIC
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-var(txn.host) req.hdr(host),field(1,:),lower,rtrim(.)
  http-request set-var(txn.host) str(-) unless { var(txn.host) -m reg ^[a-z0-9.-]+$ }
  http-request set-var(txn.wild) var(txn.host),regsub(^[^.]*,)
  http-request set-var(txn.path) path
  http-request set-var(txn.slashed) path,concat(/)
@RULES@INGRESSES  http-request return status 404 content-type text/plain string "404 page not found" unless { var(txn.to) -m found }
  use_backend %[var(txn.to)]
)";

constexpr char kIngresses[] =
    R"(  http-request set-var(txn.to) var(txn.host),concat(,txn.path),map_str(@PLACE/exact.map) if !{ var(txn.to) -m found }
  http-request set-var(txn.to) var(txn.host),concat(,txn.path,/),map_beg(@PLACE/prefix.map) if !{ var(txn.to) -m found }
  http-request set-var(txn.to) var(txn.wild),concat(,txn.path),map_str(@PLACE/exact.map) if !{ var(txn.to) -m found }
  http-request set-var(txn.to) var(txn.wild),concat(,txn.path,/),map_beg(@PLACE/prefix.map) if !{ var(txn.to) -m found }
  http-request set-var(txn.to) var(txn.path),map_str(@PLACE/exact.map) if !{ var(txn.to) -m found }
  http-request set-var(txn.to) var(txn.path),concat(/),map_beg(@PLACE/prefix.map) if !{ var(txn.to) -m found }
  http-request set-var(txn.to) var(txn.host),map_str(@PLACE/defaults.map) if !{ var(txn.to) -m found }
  http-request set-var(txn.to) var(txn.wild),map_str(@PLACE/defaults.map) if !{ var(txn.to) -m found }
  http-request set-var(txn.to) str(*),map_str(@PLACE/defaults.map) if !{ var(txn.to) -m found }
)";

// What is not TLS, or asks for nobody, goes on to those that terminate TLS at that port, or ends.
constexpr char kPassthrough[] = R"(
  tcp-request inspect-delay 5s
  tcp-request content reject unless { req.ssl_hello_type 1 }
  tcp-request content set-var(txn.sni) req.ssl_sni,lower
@RULES  tcp-request content accept
  use_backend %[var(txn.to)] if { var(txn.to) -m found }
)";
constexpr char kTcpDefaults[] = R"(
defaults
  mode tcp
  log global
  option dontlog-normal
  option redispatch
  retries 3
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 1h
)";

std::string with(std::string text, const std::map<std::string, std::string>& values) {
  for (const auto& [name, value] : values) {
    for (size_t at = 0; (at = text.find(name, at)) != std::string::npos; at += value.size())
      text.replace(at, name.size(), value);
  }
  return text;
}

// The rules come last into the text: what users wrote is no place to be filled in.
std::string with_rules(std::string text, const std::string& rules) {
  constexpr std::string_view kRules = "@RULES";
  return text.replace(text.find(kRules), kRules.size(), rules);
}

std::string routing(const RoutingTable& table, uint16_t port, bool secure,
                    const std::string& place) {
  const bool ingresses = port == 80 || port == 443;
  return with_rules(with(kRouting, {{"@SCHEME", secure ? "https" : "http"},
                                    {"@PUBLIC", std::to_string(port)},
                                    {"@INGRESSES", ingresses ? with(kIngresses, {{"@PLACE", place}})
                                                             : std::string()}}),
                    write_rules(table.rules, port, secure));
}

// "http", "https" at their usual ports, "http-8000" at others.
std::string frontend_name(const char* what, uint16_t port) {
  const bool usual = port == 80 || port == 443;
  return usual ? what : what + ("-" + std::to_string(port));
}

std::string how(const Backend& backend) {
  if (backend.tls && backend.http2) return " ssl verify none alpn h2 sni var(txn.host)";
  if (backend.tls) return " ssl verify none sni var(txn.host)";
  return backend.http2 ? " proto h2" : "";
}

std::string backends(const RoutingTable& table, bool tcp) {
  std::string out;
  for (const auto& [name, backend] : table.backends) {
    if ((name.protocol == BackendName::Protocol::kTls) != tcp) continue;
    out += "\nbackend " + name.text() + "\n  balance roundrobin\n";
    for (const Target& t : backend.targets)
      out += "  server " + server_line(name, backend, t) + "\n";
  }
  return out;
}

std::string routes(const std::map<std::pair<Host, std::string>, BackendName>& from) {
  std::string out;
  for (const auto& [key, backend] : from)
    out += key.first.key() + key.second + " " + backend.text() + "\n";
  return out;
}

// Of several certificates for a host the first one counts.
std::string certificates(const RoutingTable& table, uint16_t port, const std::string& place,
                         ProxyFiles* files) {
  std::string out = place + "/fallback.pem\n";
  std::set<Host> taken;
  size_t n = 0;
  for (const Certificate& c : table.certificates) {
    if (c.port != port) continue;
    std::string filters;
    for (const Host& h : c.hosts)
      if (taken.insert(h).second) filters += " " + h.text();
    if (!c.hosts.empty() && filters.empty()) continue;
    const std::string name =
        "certificate-" + std::to_string(port) + "-" + std::to_string(n++) + ".pem";
    (*files)[name] = c.identity.certificate_pem + c.identity.key_pem;
    out += place + "/" + name + filters + "\n";
  }
  return out;
}

// The frontends of TLS at one port: who terminates it, and before that, where there are connections
// to pass on, who looks at their first bytes.
std::string https_frontend(const RoutingTable& table, uint16_t port, const ProxyOptions& options,
                           const std::string& place, ProxyFiles* files) {
  const std::string list = "certificates-" + std::to_string(port) + ".list";
  std::string& certificates_list = (*files)[list];
  certificates_list = certificates(table, port, place, files);
  const std::string bind = table.passthrough.contains(port)
                               ? "unix@" + options.directory + "/https-" + std::to_string(port) +
                                     ".sock mode 600 accept-proxy"
                               : ":::" + std::to_string(options.inner_port(port)) + " v4v6";
  return "\nfrontend " + frontend_name("https", port) + "\n  bind " + bind + " ssl crt-list " +
         place + "/" + list + " alpn h2,http/1.1" + routing(table, port, true, place);
}

std::string passthrough_frontend(const RoutingTable& table, uint16_t port,
                                 const ProxyOptions& options) {
  std::string out = "\nfrontend " + frontend_name("tls", port) +
                    "\n  bind :::" + std::to_string(options.inner_port(port)) + " v4v6" +
                    with_rules(kPassthrough, write_tls_rules(table.tls_rules, port));
  if (port != 443 && !table.https.contains(port)) return out;
  const std::string name = "terminate-" + std::to_string(port);
  return out + "  default_backend " + name + "\n\nbackend " + name + "\n  server here unix@" +
         options.directory + "/https-" + std::to_string(port) + ".sock send-proxy-v2\n";
}

}  // namespace

uint16_t ProxyOptions::inner_port(uint16_t listener) const {
  if (listener == 80) return http_port;
  if (listener == 443) return https_port;
  constexpr uint16_t kUnprivileged = 1024, kBeyond = kLastListenerPort + 1;
  if (listener < kUnprivileged) return kBeyond + listener;
  const uint16_t own[] = {http_port, https_port, status_port};
  for (uint16_t i = 0; i < 3; ++i)
    if (listener == own[i]) return kBeyond + kUnprivileged + i;
  return listener;
}

std::string server_name(const Target& target) {
  return target.address.text() + ":" + std::to_string(target.port);
}

std::string server_line(const BackendName& name, const Backend& backend, const Target& target) {
  std::string out = server_name(target) + " " + host_port(target.address.text(), target.port);
  return name.protocol == BackendName::Protocol::kTls ? out : out + how(backend);
}

std::string worker_description(const std::string& place) { return "routes of " + place + "/"; }

ProxyFiles write_proxy_files(const RoutingTable& table, const ProxyOptions& options,
                             const std::string& place) {
  ProxyFiles out;
  out["fallback.pem"] = options.fallback.certificate_pem + options.fallback.key_pem;
  out["exact.map"] = routes(table.exact);
  out["prefix.map"] = routes(table.prefix);
  std::string& defaults = out["defaults.map"];
  for (const auto& [host, backend] : table.defaults)
    defaults += (host.any() ? "*" : host.key()) + " " + backend.text() + "\n";
  std::string cfg = with(kHead, {{"@DIRECTORY", options.directory},
                                 {"@DESCRIPTION", worker_description(place)},
                                 {"@STATUS", std::to_string(options.status_port)}});
  std::set<uint16_t> http = table.http, https = table.https;
  http.insert(80);
  https.insert(443);
  for (uint16_t port : http)
    cfg += "\nfrontend " + frontend_name("http", port) +
           "\n  bind :::" + std::to_string(options.inner_port(port)) + " v4v6" +
           routing(table, port, false, place);
  for (uint16_t port : https) cfg += https_frontend(table, port, options, place, &out);
  cfg += backends(table, false);
  if (!table.passthrough.empty()) {
    cfg += kTcpDefaults;
    for (uint16_t port : table.passthrough) cfg += passthrough_frontend(table, port, options);
    cfg += backends(table, true);
  }
  out["haproxy.cfg"] = std::move(cfg);
  return out;
}

ProxyFiles write_expression_check(const std::string& expression, const std::string& place) {
  ProxyFiles out;
  out["haproxy.cfg"] =
      "defaults\n  mode http\n  timeout client 1s\n\nfrontend check\n  bind unix@" + place +
      "/check.sock\n  http-request deny if { path -m reg -- " + quoted(expression) + " }\n";
  return out;
}

ProxyFiles write_certificate_check(const net::TlsIdentity& identity, const std::string& place) {
  ProxyFiles out;
  out["certificate.pem"] = identity.certificate_pem + identity.key_pem;
  out["haproxy.cfg"] =
      "defaults\n  mode http\n  timeout client 1s\n\nfrontend check\n  bind unix@" + place +
      "/check.sock ssl crt " + place + "/certificate.pem\n";
  return out;
}

}  // namespace keles::ingress
