#include "node/server/node_server.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "base/encoding.h"
#include "base/file.h"
#include "base/log.h"
#include "base/metrics.h"
#include "machinery/codec_json.h"
#include "machinery/time.h"
#include "node/logs/cri_log.h"
#include "node/node_metrics.h"

namespace keles::node {

using net::Headers;
using net::Request;
using net::Responder;
using net::SharedBytes;

std::vector<std::pair<std::string, std::string>> parse_query(std::string_view query) {
  std::vector<std::pair<std::string, std::string>> out;
  while (!query.empty() && out.size() < 1000) {
    std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    size_t eq = pair.find('=');
    auto name = percent_decode(pair.substr(0, eq), true);
    auto value = percent_decode(eq == pair.npos ? "" : pair.substr(eq + 1), true);
    if (name && value) out.emplace_back(std::move(*name), std::move(*value));
  }
  return out;
}

namespace {

std::vector<std::string> split_path(std::string_view path) {
  std::vector<std::string> out;
  while (!path.empty()) {
    if (path[0] == '/') {
      path.remove_prefix(1);
      continue;
    }
    std::string_view part = path.substr(0, path.find('/'));
    out.push_back(percent_decode_leniently(part));
    path.remove_prefix(part.size());
  }
  return out;
}

class Query {
 public:
  explicit Query(std::string_view text) : pairs_(parse_query(text)) {}
  std::string get(std::string_view name) const {
    for (const auto& [k, v] : pairs_)
      if (k == name) return v;
    return "";
  }
  std::vector<std::string> all(std::string_view name) const {
    std::vector<std::string> out;
    for (const auto& [k, v] : pairs_)
      if (k == name) out.push_back(v);
    return out;
  }
  bool flag(std::string_view name) const {
    std::string v = get(name);
    return v == "true" || v == "1";
  }
  std::optional<int64_t> number(std::string_view name) const {
    std::string v = get(name);
    int64_t n = 0;
    auto r = std::from_chars(v.data(), v.data() + v.size(), n);
    if (v.empty() || r.ec != std::errc()) return std::nullopt;
    return n;
  }

 private:
  std::vector<std::pair<std::string, std::string>> pairs_;
};

Task<void> answer(Responder* responder, int code, std::string type, std::string body) {
  Headers headers;
  headers.set("Content-Type", std::move(type));
  std::vector<SharedBytes> parts = net::as_body(std::move(body));
  (void)co_await responder->respond(code, std::move(headers), std::move(parts));
}

Task<void> plain(Responder* responder, int code, std::string body) {
  return answer(responder, code, "text/plain; charset=utf-8", std::move(body));
}

// RFC 3339 in UTC with nine decimals, to compare with log lines as text.
std::string log_stamp(WallTime t) {
  std::string s = format_time(t);
  char fraction[16];
  std::snprintf(fraction, sizeof fraction, ".%09ldZ", static_cast<long>(t.ns % 1'000'000'000));
  s.pop_back();
  return s + fraction;
}

}  // namespace

struct NodeServer::Impl {
  NodeServerOptions options;
  NodeView* view = nullptr;
  cri::Runtime* runtime = nullptr;
  std::unique_ptr<NodeAuth> auth;
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

  static Task<void> serve(Impl* self, Context ctx, Request* request, Responder* responder,
                          bool full) {
    std::vector<std::string> path = split_path(request->path);
    std::string first = path.empty() ? "" : path[0];
    if (first == "healthz") {
      co_await plain(responder, 200, "ok");
    } else if (first == "pods" || first == "runningpods") {
      co_await self->list_pods(responder, first == "runningpods");
    } else if (first == "metrics" && path.size() == 1) {
      node_metrics::look(*self->view, ctx.loop().wall_now());
      co_await answer(responder, 200, "text/plain; version=0.0.4; charset=utf-8",
                      metrics::expose());
    } else if (first == "metrics" && (path[1] == "cadvisor" || path[1] == "resource")) {
      auto made = path[1] == "cadvisor" ? container_metrics(ctx, self->view, self->runtime)
                                        : resource_metrics(ctx, self->view, self->runtime);
      auto text = co_await std::move(made);
      std::string body = text.ok() ? *text : text.status().message();
      const int code = text.ok() ? 200 : 500;
      co_await answer(responder, code, "text/plain; version=0.0.4; charset=utf-8", std::move(body));
    } else if (first == "metrics" && path[1] == "probes") {
      co_await answer(responder, 200, "text/plain; version=0.0.4; charset=utf-8", "");
    } else if (first == "stats" && path.size() >= 2 && path[1] == "summary") {
      auto text = co_await stats_summary(ctx, self->view, self->runtime);
      std::string body = text.ok() ? *text : text.status().message();
      const int code = text.ok() ? 200 : 500;
      co_await answer(responder, code, "application/json", std::move(body));
    } else if (!full) {
      co_await plain(responder, 404, "404 page not found\n");
    } else if (first == "logs") {
      path.erase(path.begin());
      co_await serve_logs(request, responder, self->options.system_logs, std::move(path));
    } else if (first == "containerLogs" && path.size() == 4) {
      co_await self->logs(ctx, request, responder, path);
    } else if ((first == "exec" || first == "attach") && (path.size() == 4 || path.size() == 5)) {
      co_await self->stream(ctx, request, responder, path);
    } else if (first == "portForward" && (path.size() == 3 || path.size() == 4)) {
      co_await self->port_forward(ctx, request, responder, path);
    } else if (first == "run" && path.size() == 4) {
      co_await self->run_command(ctx, request, responder, path);
    } else {
      co_await plain(responder, 404, "404 page not found\n");
    }
  }

  Task<void> list_pods(Responder* responder, bool running) {
    std::string out = "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{},\"items\":[";
    bool first = true;
    for (const Document& d : view->pods()) {
      if (running && d.root["status"]["phase"].as_string() != "Running") continue;
      if (!first) out += ",";
      first = false;
      write_json(out, *kind_of<api::core_v1::Pod>().type, d.root);
    }
    out += "]}\n";
    co_await answer(responder, 200, "application/json", std::move(out));
  }

  // The newest container of a name; `previous`: the one before it that has ended.
  static const cri::Container* pick(const PodWorker& w, std::string_view name, bool previous) {
    const cri::Container* latest = w.actual().latest(name);
    return previous ? w.actual().exited_before(name, latest) : latest;
  }

  Task<void> logs(Context ctx, Request* request, Responder* responder,
                  std::vector<std::string> path) {
    Query q(request->query);
    std::string name = path[3], where = path[2] + "_" + path[1];
    const PodWorker* w = view->find(path[1], path[2], "");
    if (!w) {
      co_await plain(responder, 404, "pod \"" + path[1] + "/" + path[2] + "\" not found\n");
      co_return;
    }
    bool previous = q.flag("previous");
    const cri::Container* c = pick(*w, name, previous);
    if (!c && previous) {
      co_await plain(
          responder, 400,
          "previous terminated container \"" + name + "\" in pod \"" + path[2] + "\" not found");
      co_return;
    }
    if (!c || c->log_path.empty()) {
      co_await plain(responder, 400, waiting_text(*w, name));
      co_return;
    }
    LogOptions options;
    options.follow = q.flag("follow");
    options.timestamps = q.flag("timestamps");
    options.tail_lines = q.number("tailLines");
    options.limit_bytes = q.number("limitBytes").value_or(-1);
    options.stream = q.get("stream");
    if (auto seconds = q.number("sinceSeconds"))
      options.since = log_stamp(ctx.loop().wall_now() - std::chrono::seconds(*seconds));
    if (auto since = parse_time(q.get("sinceTime")); since.ok()) options.since = log_stamp(*since);
    std::string id = c->id, log = c->log_path, uid = w->uid();
    Headers headers;
    headers.set("Content-Type", "text/plain");
    Status s = co_await responder->begin(200, std::move(headers));
    if (!s.ok()) co_return;
    NodeView* nodes = view;
    std::string ns = path[1], pod = path[2];
    std::function<bool()> running = [nodes, ns, pod, uid, id] {
      const PodWorker* now = nodes->find(ns, pod, uid);
      if (!now) return false;
      for (const cri::Container& c : now->actual().containers)
        if (c.id == id) return c.state == cri::ContainerState::kRunning;
      return false;
    };
    std::function<Task<Status>(std::string)> sink = [responder](std::string piece) {
      return responder->write(net::as_body(std::move(piece)));
    };
    s = co_await read_log(ctx, log, options, sink, running);
    if (!s.ok() && !ctx.done() && log::v(2))
      log::info("Log ended", {{"pod", where}, {"status", s}});
    (void)co_await responder->finish();
  }

  static std::string waiting_text(const PodWorker& w, const std::string& name) {
    Document d = w.current();
    api::core_v1::Pod pod(d.root);
    auto reason_in = [&](auto list) -> std::string {
      for (auto s : list)
        if (s.name() == name) {
          auto r = s.state().waiting().reason();
          if (r == "ErrImagePull" || r == "ImagePullBackOff")
            return "container \"" + name + "\" in pod \"" + std::string(pod.metadata().name()) +
                   "\" is waiting to start: trying and failing to pull image";
          return "container \"" + name + "\" in pod \"" + std::string(pod.metadata().name()) +
                 "\" is waiting to start: " + std::string(r);
        }
      return "";
    };
    std::string text = reason_in(pod.status().container_statuses());
    if (text.empty()) text = reason_in(pod.status().init_container_statuses());
    if (text.empty()) text = reason_in(pod.status().ephemeral_container_statuses());
    if (text.empty())
      text = "container " + name + " is not valid for pod " + std::string(pod.metadata().name());
    return text;
  }

  // The first attach's end of input is the container's (its stdinOnce, without a terminal).
  static bool ends_with_input(const api::core_v1::Pod& pod, std::string_view name) {
    bool once = false;
    auto look = [&](const auto& containers) {
      for (auto c : containers) once |= c.name() == name && c.stdin_once() && !c.tty();
    };
    look(pod.spec().containers());
    look(pod.spec().init_containers());
    look(pod.spec().ephemeral_containers());
    return once;
  }

  Task<void> stream(Context ctx, Request* request, Responder* responder,
                    std::vector<std::string> path) {
    Query q(request->query);
    bool exec = path[0] == "exec";
    std::string uid = path.size() == 5 ? path[3] : "", name = path.back();
    const PodWorker* w = view->find(path[1], path[2], uid);
    const cri::Container* c = w ? pick(*w, name, false) : nullptr;
    if (!w) {
      co_await plain(responder, 404, "pod does not exist\n");
      co_return;
    }
    if (!c || c->state != cri::ContainerState::kRunning) {
      co_await plain(responder, 500, "container not found (\"" + name + "\")");
      co_return;
    }
    cri::Runtime::StreamOptions o;
    o.in = q.flag("input") || q.flag("stdin");
    o.out = q.flag("output") || q.flag("stdout");
    o.err = q.flag("error") || q.flag("stderr");
    o.tty = q.flag("tty");
    if (o.tty) o.err = false;
    if (!o.in && !o.out && !o.err) {
      co_await plain(responder, 400, "you must specify at least 1 of stdin, stdout, stderr\n");
      co_return;
    }
    std::string id = c->id;
    AttachedContainer attached;
    if (!exec) {
      attached.runtime = runtime;
      attached.id = id;
      attached.name = name;
      attached.log_path = c->log_path;
      attached.detaches_at_end_of_input = !ends_with_input(*w->pod(), name);
    }
    std::vector<std::string> command = q.all("command");
    Result<std::string> url = Status::internal("");
    if (exec) {
      url = co_await runtime->exec_url(ctx, id, std::move(command), o);
    } else {
      url = co_await runtime->attach_url(ctx, id, o);
    }
    if (!url.ok()) {
      co_await plain(responder, 500, url.status().message());
      co_return;
    }
    std::string target = *url;
    co_await relay_stream(ctx, request, responder, std::move(target), o, false,
                          std::move(attached));
  }

  Task<void> port_forward(Context ctx, Request* request, Responder* responder,
                          std::vector<std::string> path) {
    const PodWorker* w = view->find(path[1], path[2], path.size() == 4 ? path[3] : "");
    const cri::Sandbox* sandbox = w ? w->actual().ready_sandbox() : nullptr;
    if (!sandbox) {
      co_await plain(responder, 404, "pod does not exist\n");
      co_return;
    }
    std::string id = sandbox->id;
    std::vector<int> ports;
    for (const std::string& p : Query(request->query).all("port"))
      ports.push_back(std::atoi(p.c_str()));
    auto url = co_await runtime->port_forward_url(ctx, id, std::move(ports));
    if (!url.ok()) {
      co_await plain(responder, 500, url.status().message());
      co_return;
    }
    std::string target = *url;
    cri::Runtime::StreamOptions o;
    AttachedContainer none;
    co_await relay_stream(ctx, request, responder, std::move(target), o, true, std::move(none));
  }

  Task<void> run_command(Context ctx, Request* request, Responder* responder,
                         std::vector<std::string> path) {
    const PodWorker* w = view->find(path[1], path[2], "");
    const cri::Container* c = w ? pick(*w, path[3], false) : nullptr;
    if (!c || request->method != "POST") {
      if (c) {
        co_await plain(responder, 405, "POST only\n");
      } else {
        co_await plain(responder, 404, "container not found\n");
      }
      co_return;
    }
    Query q(request->query);
    std::vector<std::string> command;
    std::string line = q.get("cmd");
    for (size_t at = 0; at < line.size();) {
      size_t end = std::min(line.find(' ', at), line.size());
      if (end > at) command.push_back(line.substr(at, end - at));
      at = end + 1;
    }
    auto r = co_await runtime->exec_sync(ctx, c->id, std::move(command), 60);
    std::string body = r.ok() ? r->out + r->err : r.status().message();
    const int code = r.ok() && r->exit_code == 0 ? 200 : 500;
    co_await plain(responder, code, std::move(body));
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
    s.port = options.read_only_port;
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

void NodeServer::set_identity(net::TlsIdentity identity) {
  if (impl_->secure) impl_->secure->set_identity(std::move(identity));
}

Task<void> NodeServer::stop(Context ctx) {
  if (impl_->secure) co_await impl_->secure->stop(ctx);
  if (impl_->open) co_await impl_->open->stop(ctx);
}

}  // namespace keles::node
