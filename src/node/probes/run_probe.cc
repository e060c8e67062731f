// One probe attempt: exec, httpGet, tcpSocket, grpc.
#include "base/host_port.h"
#include "machinery/codec_protobuf.h"
#include "net/grpc.h"
#include "net/http.h"
#include "net/stream.h"
#include "node/probes/probes.h"
#include "node/probes/url.h"

namespace keles::node {

using api::core_v1::Container;
using api::core_v1::Probe;

namespace {

constexpr size_t kMaxBody = 10 * 1024;
constexpr int kMaxRedirects = 10;

// A number, or the name of one of the container's ports; 0 when there is none.
int resolve_port(const Value& port, const Container& c) {
  if (port.is_number()) return static_cast<int>(port.as_int());
  for (auto p : c.ports())
    if (p.name() == port.as_string()) return static_cast<int>(p.container_port());
  int n = 0;
  for (char ch : port.as_string()) {
    if (ch < '0' || ch > '9' || n > 65535) return 0;
    n = n * 10 + (ch - '0');
  }
  return n;
}

// Dial errors as Go words them.
std::string dial_error(const Status& s, const std::string& where) {
  if (s.is(Reason::kTimeout)) return "dial tcp " + where + ": i/o timeout";
  std::string m = s.message();
  if (m.find("refused") != std::string::npos) m = "connect: connection refused";
  if (m.find("No route") != std::string::npos) m = "connect: no route to host";
  return "dial tcp " + where + ": " + m;
}

Task<ProbeOutcome> probe_exec(Context ctx, Probe p, std::string id, cri::Runtime* runtime) {
  std::vector<std::string> command;
  for (std::string_view s : p.exec().command()) command.emplace_back(s);
  int64_t seconds = p.timeout_seconds() > 0 ? p.timeout_seconds() : 1;
  auto r = co_await runtime->exec_sync(ctx, id, command, seconds);
  ProbeOutcome o;
  if (!r.ok()) {
    bool late = r.status().is(Reason::kTimeout);
    o.errored = !late;
    o.output = late ? "command timed out: timeout " + std::to_string(seconds) + "s exceeded"
                    : r.status().message();
    co_return o;
  }
  o.success = r->exit_code == 0;
  o.output = r->out + r->err;
  co_return o;
}

Task<ProbeOutcome> probe_tcp(Context ctx, std::string host, int port) {
  auto stream = co_await net::dial(ctx, host, static_cast<uint16_t>(port));
  ProbeOutcome o;
  o.success = stream.ok();
  if (!stream.ok()) o.output = dial_error(stream.status(), host_port(host, port));
  co_return o;
}

// One request. `late` and `error` tell why there is no answer.
struct HttpAnswer {
  int status = 0;  // 0: none
  std::string location, body, error;
};

Task<HttpAnswer> http_get(Context ctx, HttpUrl url, net::Headers headers) {
  net::Endpoint endpoint;
  endpoint.host = url.host;
  endpoint.port = url.port;
  if (url.tls) {
    endpoint.tls.emplace();
    endpoint.tls->insecure = true;
  }
  net::Request request;
  request.method = "GET";
  request.path = url.path;
  request.query = url.query;
  request.headers = std::move(headers);
  auto client = net::HttpClient::create(ctx.loop(), endpoint);
  auto stream = co_await client->open(ctx, std::move(request));
  HttpAnswer out;
  if (!stream.ok()) {
    bool late = stream.status().is(Reason::kTimeout);
    out.error = late ? "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
                     : dial_error(stream.status(), url.authority());
    co_return out;
  }
  out.status = (*stream)->status();
  out.location = (*stream)->headers().get("Location").value_or("");
  while (out.status >= 300 && out.status < 400 && out.body.size() < kMaxBody) {
    auto piece = co_await (*stream)->read(ctx);
    if (!piece.ok() || piece->empty()) break;
    out.body += piece->substr(0, kMaxBody - out.body.size());
  }
  co_return out;
}

HttpUrl first_url(const api::core_v1::HTTPGetAction& get, std::string host, int port) {
  HttpUrl url;
  url.tls = get.scheme() == "HTTPS";
  url.host = std::move(host);
  url.port = static_cast<uint16_t>(port);
  std::string path = net::encode_target(get.path());
  if (!path.starts_with('/')) path = "/" + path;
  size_t mark = path.find('?');
  url.path = path.substr(0, mark);
  if (mark != std::string::npos) url.query = path.substr(mark + 1);
  return url;
}

net::Headers probe_headers(const api::core_v1::HTTPGetAction& get) {
  net::Headers h;
  for (auto own : get.http_headers()) h.add(std::string(own.name()), std::string(own.value()));
  if (!h.get("User-Agent")) h.set("User-Agent", "kube-probe/1.36");
  if (!h.get("Accept")) h.set("Accept", "*/*");
  h.set("Connection", "close");
  return h;
}

bool is_redirect(int status) {
  return (status >= 301 && status <= 303) || status == 307 || status == 308;
}

// Redirects are followed to the same host name, ten at most; one that leads elsewhere is not, and
// counts as a success with a warning.
Task<ProbeOutcome> probe_http(Context ctx, Probe p, std::string host, int port) {
  auto get = p.http_get();
  HttpUrl url = first_url(get, host, port);
  net::Headers headers = probe_headers(get);
  std::string own_host(headers.get("Host").value_or(""));
  ProbeOutcome o;
  for (int hop = 0;; ++hop) {
    net::Headers sent = headers;
    sent.set("Host", own_host.empty() ? url.authority() : own_host);
    HttpAnswer answer = co_await http_get(ctx, url, std::move(sent));
    if (answer.status == 0) {
      o.output = "Get \"" + url.text() + "\": " + answer.error;
      co_return o;
    }
    o.answered = true;
    o.success = answer.status >= 200 && answer.status < 400;
    if (!o.success)
      o.output = "HTTP probe failed with statuscode: " + std::to_string(answer.status);
    if (answer.status < 300 || answer.status >= 400) co_return o;
    if (!is_redirect(answer.status) || answer.location.empty()) {
      o.warning = "Probe terminated redirects, Response body: " + answer.body;
      co_return o;
    }
    auto next = resolve_url(url, answer.location);
    o.success = next.has_value();
    if (!next) {
      o.output = "Get \"" + answer.location + "\": failed to parse Location header \"" +
                 answer.location + "\"";
      co_return o;
    }
    if (next->host != host) {
      o.warning = "Probe terminated redirects, Response body: " + answer.body;
      co_return o;
    }
    if (hop + 1 >= kMaxRedirects) {
      o.success = false;
      o.output = "Get \"" + answer.location + "\": stopped after 10 redirects";
      co_return o;
    }
    // A Host of the pod's own is kept only where the redirect names no host.
    bool relative = answer.location.find("//") == std::string::npos;
    if (!relative) own_host.clear();
    url = std::move(*next);
  }
}

// grpc.health.v1.Health/Check; status SERVING = 1.
Task<ProbeOutcome> probe_grpc(Context ctx, Probe p, std::string host, int port) {
  net::Endpoint endpoint;
  endpoint.host = host;
  endpoint.port = static_cast<uint16_t>(port);
  auto channel = net::GrpcChannel::create(ctx.loop(), endpoint);
  std::string request;  // HealthCheckRequest { service = 1 }
  append_bytes_field(request, 1, p.grpc().service());
  auto r = co_await channel->unary(ctx, "/grpc.health.v1.Health/Check", std::move(request));
  ProbeOutcome o;
  if (!r.ok()) {
    o.output = r.status().is(Reason::kTimeout)
                   ? "timeout: failed to connect service \"" + host_port(host, port) +
                         "\" within 1s: context deadline exceeded"
                   : "error: " + r.status().message();
    co_return o;
  }
  WireReader reader(*r);  // HealthCheckResponse { status = 1 }
  uint64_t status = 0;
  while (!reader.done() && reader.ok()) {
    const bool wanted = reader.tag() == 1 && reader.type() == 0;
    if (wanted) {
      status = reader.varint();
    } else {
      reader.skip();
    }
  }
  o.success = reader.ok() && status == 1;
  if (!o.success) o.output = "service unhealthy (responded with \"NOT_SERVING\")";
  co_return o;
}

}  // namespace

Task<ProbeOutcome> run_probe(Context ctx, Probe probe, Container c, std::string container_id,
                             std::string pod_ip, cri::Runtime* runtime) {
  ProbeOutcome bad;
  bad.errored = true;
  if (probe.exec()) {
    co_return co_await probe_exec(ctx, probe, container_id, runtime);
  }
  if (auto tcp = probe.tcp_socket()) {
    int port = resolve_port(tcp.port(), c);
    std::string host(tcp.host().empty() ? std::string_view(pod_ip) : tcp.host());
    bad.output = "invalid port number";
    if (port == 0) co_return bad;
    co_return co_await probe_tcp(ctx, host, port);
  }
  if (auto get = probe.http_get()) {
    int port = resolve_port(get.port(), c);
    std::string host(get.host().empty() ? std::string_view(pod_ip) : get.host());
    bad.output = "invalid port number";
    if (port == 0) co_return bad;
    co_return co_await probe_http(ctx, probe, host, port);
  }
  if (probe.grpc())
    co_return co_await probe_grpc(ctx, probe, pod_ip, static_cast<int>(probe.grpc().port()));
  bad.output = "missing probe handler";
  co_return bad;
}

}  // namespace keles::node
