#include "node/server/node_server.h"

#include <algorithm>

#include "base/log.h"
#include "base/metrics.h"
#include "machinery/codec_json.h"
#include "node/node_metrics.h"
#include "node/pods/labels.h"
#include "node/server/answers.h"
#include "node/server/container_requests.h"
#include "node/server/log_query.h"
#include "node/server/reports.h"
#include "node/server/request_metrics.h"

namespace keles::node {

using net::Headers;
using net::Request;
using net::Responder;

namespace {

constexpr const char* kMetricsText = "text/plain; version=0.0.4; charset=utf-8";
constexpr std::string_view kChecks[] = {"ping", "log", "syncloop"};

double unix_seconds(WallTime t) { return static_cast<double>(t.ns) / 1e9; }

// "[+]ping ok" of each, and that all is well: who is answered is served by the loop that does all.
std::string health_text(bool verbose) {
  if (!verbose) return "ok";
  std::string out;
  for (std::string_view check : kChecks) out += "[+]" + std::string(check) + " ok\n";
  return out + "healthz check passed\n";
}

// What a runtime has, as pods: no more than names and images are known of it.
std::string runtime_pods(const std::vector<cri::Sandbox>& sandboxes,
                         const std::vector<cri::Container>& containers) {
  std::string out = R"({"kind":"PodList","apiVersion":"v1","metadata":{},"items":[)";
  bool first_pod = true;
  for (const cri::Sandbox& s : sandboxes) {
    if (s.state != cri::SandboxState::kReady) continue;
    if (!std::exchange(first_pod, false)) out += ',';
    out += R"({"metadata":{"name":)";
    write_json_string(out, s.name);
    out += R"(,"namespace":)";
    write_json_string(out, s.ns);
    out += R"(,"uid":)";
    write_json_string(out, s.uid);
    out += R"(},"spec":{"containers":[)";
    bool first = true;
    for (const cri::Container& c : containers) {
      if (c.sandbox_id != s.id || c.state != cri::ContainerState::kRunning) continue;
      if (!std::exchange(first, false)) out += ',';
      out += R"({"name":)";
      write_json_string(out, c.name);
      out += R"(,"image":)";
      write_json_string(out, c.image);
      out += R"(,"resources":{}})";
    }
    out += "]},\"status\":{}}";
  }
  return out + "]}\n";
}

}  // namespace

struct NodeServer::Impl {
  NodeServerOptions options;
  NodeView* view = nullptr;
  cri::Runtime* runtime = nullptr;
  std::unique_ptr<NodeAuth> auth;
  std::unique_ptr<Gatherer> gatherer;
  std::unique_ptr<ContainerRequests> containers;
  std::unique_ptr<net::Server> secure, open;

  static Task<void> serve_secure(Impl* self, Context ctx, Request* request, Responder* responder) {
    auto user = co_await self->auth->authenticate(ctx, request);
    if (!user.ok()) {
      if (!user.status().is(Reason::kUnauthorized)) {
        log::error("Unable to authenticate the request", {{"err", user.status()}});
      }
      co_await plain(responder, 401, "Unauthorized");
      co_return;
    }
    NodeAccess access = node_access(*request, split_path(request->path));
    Status allowed = co_await self->auth->authorize(ctx, *user, access);
    if (!allowed.ok()) {
      const int code = allowed.is(Reason::kForbidden) ? 403 : 500;
      std::string why = allowed.message();
      co_await plain(responder, code, std::move(why));
      co_return;
    }
    co_await serve(self, ctx, request, responder, true);
  }

  // Of the port for reading not `full`.
  static Task<void> serve(Impl* self, Context ctx, Request* request, Responder* responder,
                          bool full) {
    std::vector<std::string> path = split_path(request->path);
    const CountedRequest counted(ctx.loop(), request->method, path, !full);
    const std::string first = path.empty() ? "" : path[0];
    const bool alone = path.size() == 1;
    const std::string second = path.size() > 1 ? path[1] : "";
    if (first == "healthz" && path.size() <= 2) {
      co_await self->health(request, responder, std::move(path));
    } else if (first == "pods" && alone) {
      co_await self->list_pods(responder);
    } else if (first == "metrics" && path.size() <= 2) {
      co_await self->serve_metrics(ctx, responder, second);
    } else if (first == "stats" && path.size() == 2 && second == "summary") {
      co_await self->summary(ctx, request, responder);
    } else if (!full) {
      co_await not_found(responder);
    } else if (alone && ((first == "configz" && self->options.debugging) || first == "statusz" ||
                         first == "flagz")) {
      co_await self->about_itself(request, responder);
    } else if (!self->options.debugging && self->is_for_debugging(path)) {
      co_await plain(responder, 405, "Debug endpoints are disabled.\n");
    } else if (first == "runningpods" && alone) {
      co_await self->running_pods(ctx, responder);
    } else if (first == "logs") {
      co_await self->system_logs(ctx, request, responder, std::move(path));
    } else if (ContainerRequests::serves(path) && self->options.debugging) {
      co_await self->containers->serve(ctx, request, responder, std::move(path));
    } else {
      co_await not_found(responder);
    }
  }

  // Those say so; a checkpoint is as if it were not there, as upstream's.
  static bool is_for_debugging(const std::vector<std::string>& path) {
    if (path[0] == "checkpoint") return false;
    return path[0] == "runningpods" || path[0] == "logs" || ContainerRequests::serves(path);
  }

  Task<void> health(Request* request, Responder* responder, std::vector<std::string> path) {
    const bool known = path.size() == 1 || std::find(std::begin(kChecks), std::end(kChecks),
                                                     path[1]) != std::end(kChecks);
    if (!known) {
      co_await not_found(responder);
      co_return;
    }
    const bool verbose = path.size() == 1 && Query(request->query).has("verbose");
    std::string text = health_text(verbose);
    co_await plain(responder, 200, std::move(text));
  }

  Task<void> list_pods(Responder* responder) {
    std::string out = "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{},\"items\":[";
    bool first = true;
    for (const Document& d : view->pods()) {
      if (!std::exchange(first, false)) out += ",";
      write_json(out, *kind_of<api::core_v1::Pod>().type, d.root);
    }
    out += "]}\n";
    co_await answer(responder, 200, "application/json", std::move(out));
  }

  // As the runtime has them, known to the API or not.
  Task<void> running_pods(Context ctx, Responder* responder) {
    std::vector<cri::Sandbox> sandboxes;
    std::vector<cri::Container> running;
    if (runtime) {
      auto some = co_await runtime->list_sandboxes(ctx, "");
      auto inside = co_await runtime->list_containers(ctx, "");
      if (!some.ok() || !inside.ok()) {
        std::string why = some.ok() ? inside.status().message() : some.status().message();
        co_await plain(responder, 500, std::move(why));
        co_return;
      }
      sandboxes = std::move(*some);
      running = std::move(*inside);
    }
    std::string out = runtime_pods(sandboxes, running);
    co_await answer(responder, 200, "application/json", std::move(out));
  }

  // `which`: "" for the kubelet's own.
  Task<void> serve_metrics(Context ctx, Responder* responder, std::string which) {
    std::string body;
    if (which.empty()) {
      node_metrics::look(*view, ctx.loop().wall_now());
      body = metrics::expose();
      auto figures = co_await gatherer->gather_claims(ctx);
      body += volume_metrics(*figures);
    } else if (which == "probes") {
      body = view->probe_metrics().text(unix_seconds(options.about.started));
    } else if (which == "cadvisor") {
      auto figures = co_await gatherer->gather(ctx, Gatherer::Depth::kAll);
      body = container_metrics(*figures, view->machine().cpus, view->machine().memory_bytes);
    } else if (which == "resource") {
      auto figures = co_await gatherer->gather(ctx, Gatherer::Depth::kCpuAndMemory);
      body = resource_metrics(*figures);
    } else {
      co_await not_found(responder);
      co_return;
    }
    co_await answer(responder, 200, kMetricsText, std::move(body));
  }

  Task<void> summary(Context ctx, Request* request, Responder* responder) {
    const bool all = !Query(request->query).flag("only_cpu_and_memory");
    const auto depth = all ? Gatherer::Depth::kAll : Gatherer::Depth::kCpuAndMemory;
    auto figures = co_await gatherer->gather(ctx, depth);
    std::string body = stats_summary(view->node_name(), *figures, all);
    co_await answer(responder, 200, "application/json", std::move(body));
  }

  // /configz, /statusz, /flagz
  Task<void> about_itself(Request* request, Responder* responder) {
    if (request->path.find("configz") != std::string::npos && !options.configz.empty()) {
      std::string body = "{\"kubeletconfig\":" + options.configz + "}";
      co_await answer(responder, 200, "application/json", std::move(body));
      co_return;
    }
    const std::string path = "/" + split_path(request->path)[0];
    auto page = zpage(options.about, path, request->headers.get("accept").value_or(""));
    if (!page) {
      co_await not_found(responder);
      co_return;
    }
    Headers headers;
    if (!page->content_type.empty()) headers.set("Content-Type", page->content_type);
    if (!page->warning.empty()) headers.set("Warning", "299 - \"" + page->warning + "\"");
    std::vector<net::SharedBytes> parts = net::as_body(std::move(page->body));
    (void)co_await responder->respond(page->status, std::move(headers), std::move(parts));
  }

  Task<void> system_logs(Context ctx, Request* request, Responder* responder,
                         std::vector<std::string> path) {
    if (!options.show_system_logs) {
      co_await plain(responder, 405, "logs endpoint is disabled.\n");
      co_return;
    }
    path.erase(path.begin());
    const Query q(request->query);
    if (options.query_system_logs && request->method == "GET" && !q.pairs().empty()) {
      auto query = read_log_query(q.pairs());
      Status bad = query.status();
      if (query.ok()) bad = check_log_query(*query, options.system_logs);
      if (!bad.ok()) {
        const int code = query.ok() ? 406 : 400;
        std::string why = bad.message() + "\n";
        co_await plain(responder, code, std::move(why));
        co_return;
      }
      const bool journal = path.size() == 1 && path[0] == "journal";
      if (!query->services.empty() || journal) {
        co_await serve_service_logs(ctx, responder, std::move(*query), options.system_logs);
        co_return;
      }
      if (!query->files.empty()) {
        std::string file = query->files.front();
        std::replace(file.begin(), file.end(), '\\', '/');
        path = split_parts(file);
      }
    }
    co_await serve_logs(request, responder, options.system_logs, std::move(path));
  }

  // What a query names is decoded already.
  static std::vector<std::string> split_parts(const std::string& path) {
    std::vector<std::string> out;
    for (size_t at = 0; at < path.size();) {
      const size_t end = std::min(path.find('/', at), path.size());
      if (end > at) out.push_back(path.substr(at, end - at));
      at = end + 1;
    }
    return out;
  }
};

NodeServer::NodeServer() : impl_(std::make_unique<Impl>()) {}
NodeServer::~NodeServer() = default;

Status NodeServer::start(Context ctx, NodeServerOptions options, NodeView* view,
                         cri::Runtime* runtime, Client* client) {
  impl_->options = options;
  impl_->auth = std::make_unique<NodeAuth>(options.auth, view->node_name(), client);
  impl_->view = view;
  impl_->runtime = runtime;
  impl_->gatherer = std::make_unique<Gatherer>(view, runtime);
  impl_->containers = std::make_unique<ContainerRequests>(view, runtime);
  Impl* impl = impl_.get();
  if (options.tls) {
    net::ServerOptions s;
    s.address = options.address;
    s.port = options.port;
    s.tls = options.tls;
    s.client_ca_pem = options.client_ca_pem;
    s.bodies_on_demand = true;  // nobody here reads one: what strangers send is not kept
    TRY_ASSIGN(server, net::Server::start({&ctx.loop()}, s,
                                          [impl](Context c, Request* request, Responder* out) {
                                            return Impl::serve_secure(impl, c, request, out);
                                          }));
    impl_->secure = std::move(server);
  }
  if (options.read_only_port) {
    net::ServerOptions s;
    s.address = options.address;
    s.port = *options.read_only_port;
    s.bodies_on_demand = true;
    TRY_ASSIGN(server, net::Server::start({&ctx.loop()}, s,
                                          [impl](Context c, Request* request, Responder* out) {
                                            return Impl::serve(impl, c, request, out, false);
                                          }));
    impl_->open = std::move(server);
  }
  return {};
}

uint16_t NodeServer::port() const { return impl_->secure ? impl_->secure->port() : 0; }

uint16_t NodeServer::read_only_port() const { return impl_->open ? impl_->open->port() : 0; }

void NodeServer::set_identity(net::TlsIdentity identity) {
  if (impl_->secure) impl_->secure->set_identity(std::move(identity));
}

Task<void> NodeServer::stop(Context ctx) {
  if (impl_->secure) co_await impl_->secure->stop(ctx);
  if (impl_->open) co_await impl_->open->stop(ctx);
}

}  // namespace keles::node
