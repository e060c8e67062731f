#include "ingress/haproxy_config.h"

#include <set>

#include "base/host_port.h"
#include "ingress/rules.h"

namespace keles::ingress {
namespace {

// Time limits: a backend has 5 s to take a connection, either side a minute between two bytes, a
// websocket an hour of silence. A process of before a change ends within five minutes.
constexpr char kHead[] = R"(global
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
@RULES  http-request set-var(txn.to) var(txn.host),concat(,txn.path),map_str(@PLACE/exact.map) if !{ var(txn.to) -m found }
  http-request set-var(txn.to) var(txn.host),concat(,txn.path,/),map_beg(@PLACE/prefix.map) if !{ var(txn.to) -m found }
  http-request set-var(txn.to) var(txn.wild),concat(,txn.path),map_str(@PLACE/exact.map) if !{ var(txn.to) -m found }
  http-request set-var(txn.to) var(txn.wild),concat(,txn.path,/),map_beg(@PLACE/prefix.map) if !{ var(txn.to) -m found }
  http-request set-var(txn.to) var(txn.path),map_str(@PLACE/exact.map) if !{ var(txn.to) -m found }
  http-request set-var(txn.to) var(txn.path),concat(/),map_beg(@PLACE/prefix.map) if !{ var(txn.to) -m found }
  http-request set-var(txn.to) var(txn.host),map_str(@PLACE/defaults.map) if !{ var(txn.to) -m found }
  http-request set-var(txn.to) var(txn.wild),map_str(@PLACE/defaults.map) if !{ var(txn.to) -m found }
  http-request set-var(txn.to) str(*),map_str(@PLACE/defaults.map) if !{ var(txn.to) -m found }
  http-request return status 404 content-type text/plain string "404 page not found" unless { var(txn.to) -m found }
  use_backend %[var(txn.to)]
)";

std::string with(std::string text, const std::map<std::string, std::string>& values) {
  for (const auto& [name, value] : values) {
    for (size_t at = 0; (at = text.find(name, at)) != std::string::npos; at += value.size())
      text.replace(at, name.size(), value);
  }
  return text;
}

// The rules come last into the text: what users wrote is no place to be filled in.
std::string routing(const RoutingTable& table, bool secure, const std::string& place) {
  std::string out = with(kRouting, {{"@SCHEME", secure ? "https" : "http"},
                                    {"@PUBLIC", secure ? "443" : "80"},
                                    {"@PLACE", place}});
  constexpr std::string_view kRules = "@RULES";
  return out.replace(out.find(kRules), kRules.size(), write_rules(table.rules, secure));
}

std::string backends(const RoutingTable& table) {
  std::string out;
  for (const auto& [name, backend] : table.backends) {
    out += "\nbackend " + name.text() + "\n  balance roundrobin\n";
    for (const Target& t : backend.targets) {
      const std::string address = host_port(t.address.text(), t.port);
      out += "  server " + t.address.text() + ":" + std::to_string(t.port) + " " + address;
      out += backend.http2 ? " proto h2\n" : "\n";
    }
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
std::string certificates(const RoutingTable& table, const std::string& place, ProxyFiles* files) {
  std::string out = place + "/fallback.pem\n";
  std::set<Host> taken;
  size_t n = 0;
  for (const Certificate& c : table.certificates) {
    std::string filters;
    for (const Host& h : c.hosts)
      if (taken.insert(h).second) filters += " " + h.text();
    if (!c.hosts.empty() && filters.empty()) continue;
    const std::string name = "certificate-" + std::to_string(n++) + ".pem";
    (*files)[name] = c.identity.certificate_pem + c.identity.key_pem;
    out += place + "/" + name + filters + "\n";
  }
  return out;
}

}  // namespace

ProxyFiles write_proxy_files(const RoutingTable& table, const ProxyOptions& options,
                             const std::string& place) {
  ProxyFiles out;
  out["fallback.pem"] = options.fallback.certificate_pem + options.fallback.key_pem;
  out["certificates.list"] = certificates(table, place, &out);
  out["exact.map"] = routes(table.exact);
  out["prefix.map"] = routes(table.prefix);
  std::string& defaults = out["defaults.map"];
  for (const auto& [host, backend] : table.defaults)
    defaults += (host.any() ? "*" : host.key()) + " " + backend.text() + "\n";
  const std::string http = std::to_string(options.http_port);
  const std::string https = std::to_string(options.https_port);
  std::string cfg = with(
      kHead, {{"@DIRECTORY", options.directory}, {"@STATUS", std::to_string(options.status_port)}});
  cfg += "\nfrontend http\n  bind :::" + http + " v4v6" + routing(table, false, place);
  cfg += "\nfrontend https\n  bind :::" + https + " v4v6 ssl crt-list " + place +
         "/certificates.list alpn h2,http/1.1" + routing(table, true, place);
  cfg += backends(table);
  out["haproxy.cfg"] = std::move(cfg);
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
