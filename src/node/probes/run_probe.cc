// One probe attempt: exec, httpGet, tcpSocket, grpc.
#include "net/grpc.h"
#include "net/http.h"
#include "net/stream.h"
#include "node/cri/wire.h"
#include "node/probes/probes.h"

namespace keles::node {

using api::core_v1::Container;
using api::core_v1::Probe;

namespace {

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

std::string address(const std::string& host, int port) {
  return (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":" +
         std::to_string(port);
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
  if (!stream.ok()) o.output = dial_error(stream.status(), address(host, port));
  co_return o;
}

Task<ProbeOutcome> probe_http(Context ctx, Probe p, std::string host, int port) {
  auto get = p.http_get();
  bool tls = get.scheme() == "HTTPS";
  net::Endpoint endpoint;
  endpoint.host = host;
  endpoint.port = static_cast<uint16_t>(port);
  if (tls) {
    endpoint.tls.emplace();
    endpoint.tls->insecure = true;
  }
  net::Request request;
  request.method = "GET";
  std::string path = net::encode_target(get.path().empty() ? "/" : get.path());
  if (!path.starts_with('/')) path = "/" + path;
  size_t mark = path.find('?');
  request.path = path.substr(0, mark);
  if (mark != std::string::npos) request.query = path.substr(mark + 1);
  request.headers.set("Host", address(host, port));
  request.headers.set("User-Agent", "kube-probe/1.36");
  request.headers.set("Accept", "*/*");
  request.headers.set("Connection", "close");
  for (auto h : get.http_headers())
    request.headers.set(std::string(h.name()), std::string(h.value()));
  std::string url = std::string(tls ? "https" : "http") + "://" + address(host, port) + path;
  auto client = net::HttpClient::create(ctx.loop(), endpoint);
  auto stream = co_await client->open(ctx, std::move(request));
  ProbeOutcome o;
  if (!stream.ok()) {
    bool late = stream.status().is(Reason::kTimeout);
    o.output = "Get \"" + url + "\": " +
               (late ? "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
                     : dial_error(stream.status(), address(host, port)));
    co_return o;
  }
  int code = (*stream)->status();
  o.success = code >= 200 && code < 400;
  if (!o.success) o.output = "HTTP probe failed with statuscode: " + std::to_string(code);
  co_return o;
}

// grpc.health.v1.Health/Check; status SERVING = 1.
Task<ProbeOutcome> probe_grpc(Context ctx, Probe p, std::string host, int port) {
  net::Endpoint endpoint;
  endpoint.host = host;
  endpoint.port = static_cast<uint16_t>(port);
  auto channel = net::GrpcChannel::create(ctx.loop(), endpoint);
  cri::WireWriter w;
  w.text(1, p.grpc().service());
  auto r = co_await channel->unary(ctx, "/grpc.health.v1.Health/Check", w.take());
  ProbeOutcome o;
  if (!r.ok()) {
    o.output = r.status().is(Reason::kTimeout)
                   ? "timeout: failed to connect service \"" + address(host, port) +
                         "\" within 1s: context deadline exceeded"
                   : "error: " + r.status().message();
    co_return o;
  }
  cri::WireReader reader(*r);
  uint64_t status = 0;
  while (reader.next())
    if (reader.field() == 1) status = reader.number();
  o.success = status == 1;
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
