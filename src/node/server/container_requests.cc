#include "node/server/container_requests.h"

#include <algorithm>
#include <cstdio>

#include "base/file.h"
#include "base/log.h"
#include "base/text_parts.h"
#include "machinery/time.h"
#include "node/logs/cri_log.h"
#include "node/pods/containers.h"
#include "node/server/answers.h"
#include "node/server/node_server.h"
#include "node/server/request_metrics.h"

namespace keles::node {

using net::Headers;
using net::Request;
using net::Responder;

namespace {

constexpr std::string_view kNoPod = "pod does not exist";
constexpr int64_t kRunSeconds = 60;
constexpr Duration kFirstLook = 5s;

// RFC 3339 in UTC with nine decimals, to compare with log lines as text.
std::string log_stamp(WallTime t) {
  std::string s = format_time(t);
  char fraction[16];
  std::snprintf(fraction, sizeof fraction, ".%09ldZ", static_cast<long>(t.ns % 1'000'000'000));
  s.pop_back();
  return s + fraction;
}

// The newest container of a name; `previous`: the one before it that has ended.
const cri::Container* pick(const PodWorker& w, std::string_view name, bool previous) {
  const cri::Container* latest = w.actual().latest(name);
  return previous ? w.actual().exited_before(name, latest) : latest;
}

// What there is to say of a container without a log, by its status.
std::string no_log_text(const PodWorker& w, const std::string& name, bool previous) {
  const Document d = w.current();
  const api::core_v1::Pod pod(d.root);
  const std::string who =
      "container \"" + name + "\" in pod \"" + std::string(pod.metadata().name()) + "\"";
  if (previous) return "previous terminated " + who + " not found";
  std::string text;
  const auto look = [&](const auto& list) {
    for (const api::core_v1::ContainerStatus& s : list) {
      if (s.name() != name || !text.empty()) continue;
      const std::string reason(s.state().waiting().reason());
      if (s.state().terminated()) {
        text = who + " is terminated";
      } else if (reason == "ErrImagePull") {
        text = who + " is waiting to start: image can't be pulled";
      } else if (reason == "ImagePullBackOff") {
        text = who + " is waiting to start: trying and failing to pull image";
      } else if (s.state().waiting()) {
        text = who + " is waiting to start: " + reason;
      } else {
        text = who + " is waiting to start - no logs yet";
      }
    }
  };
  look(pod.status().container_statuses());
  look(pod.status().init_container_statuses());
  look(pod.status().ephemeral_container_statuses());
  return text.empty() ? who + " is not available" : text;
}

// Numbers of a query: 400 when one is none, 422 when it cannot be meant; 0: all is well.
int read_log_options(const Query& q, WallTime now, LogOptions* out) {
  out->follow = q.flag("follow");
  out->timestamps = q.flag("timestamps");
  out->stream = q.get("stream");
  std::string tail = "tailLines";
  if (q.has("tail")) tail = "tail";  // its older name
  const bool all = tail == "tail" && q.get("tail") == "all";
  for (const std::string& name : {tail, std::string("limitBytes"), std::string("sinceSeconds")}) {
    if (q.get(name).empty() || (all && name == tail)) continue;
    if (!q.number(name)) return 400;
  }
  if (!all) out->tail_lines = q.number(tail);
  const auto bytes = q.number("limitBytes"), seconds = q.number("sinceSeconds");
  const std::string since = q.get("sinceTime");
  if (out->tail_lines.value_or(0) < 0 || bytes.value_or(1) < 1 || seconds.value_or(1) < 1) {
    return 422;
  }
  if (seconds && !since.empty()) return 422;
  const bool one_stream = !out->stream.empty() && out->stream != "All";
  if (one_stream && out->stream != "Stdout" && out->stream != "Stderr") return 422;
  if (one_stream && out->tail_lines) return 422;
  out->limit_bytes = bytes.value_or(-1);
  if (seconds) out->since = log_stamp(now - std::chrono::seconds(*seconds));
  if (!since.empty()) {
    auto at = parse_time(since);
    if (!at.ok()) return 400;
    out->since = log_stamp(*at);
  }
  return 0;
}

// The first attach's end of input is the container's (its stdinOnce, without a terminal).
bool ends_with_input(const api::core_v1::Pod& pod, std::string_view name) {
  const api::core_v1::Container c = find_container(pod, name).container;
  return c && c.stdin_once() && !c.tty();
}

void note_websocket(const Request& request, std::string_view subresource) {
  if (request.headers.has_token("Upgrade", "websocket")) count_websocket(subresource);
}

}  // namespace

bool ContainerRequests::serves(const std::vector<std::string>& path) {
  constexpr std::string_view kNames[] = {"containerLogs", "exec", "attach",
                                         "portForward",   "run",  "checkpoint"};
  return !path.empty() &&
         std::find(std::begin(kNames), std::end(kNames), path[0]) != std::end(kNames);
}

// Upstream asks the runtime at each request; what is known here is as good once it was asked.
Task<void> ContainerRequests::await_first_look(Context ctx, std::string ns, std::string pod) {
  const auto end = ctx.loop().now() + kFirstLook;
  while (ctx.loop().now() < end) {
    const PodWorker* w = view_->find(ns, pod, "");
    if (w == nullptr || w->has_looked()) co_return;
    const Status s = co_await ctx.sleep(20ms);
    if (!s.ok()) co_return;
  }
}

Task<void> ContainerRequests::serve(Context ctx, Request* request, Responder* responder,
                                    std::vector<std::string> path) {
  const std::string first = path[0];
  const size_t n = path.size();
  const bool get = request->method == "GET", post = request->method == "POST";
  if (n > 2) co_await await_first_look(ctx, path[1], path[2]);
  if (first == "containerLogs" && n == 4) {
    if (get) {
      co_await logs(ctx, request, responder, std::move(path));
      co_return;
    }
  } else if ((first == "exec" || first == "attach") && (n == 4 || n == 5)) {
    if (get || post) {
      co_await stream(ctx, request, responder, std::move(path));
      co_return;
    }
  } else if (first == "portForward" && (n == 3 || n == 4)) {
    if (get || post) {
      co_await port_forward(ctx, request, responder, std::move(path));
      co_return;
    }
  } else if (first == "run" && (n == 4 || n == 5)) {
    if (post) {
      co_await run_command(ctx, request, responder, std::move(path));
      co_return;
    }
  } else if (first == "checkpoint" && n == 4) {
    if (post) {
      co_await checkpoint(ctx, request, responder, std::move(path));
      co_return;
    }
  } else {
    co_await not_found(responder);
    co_return;
  }
  co_await plain(responder, 405, "405: Method Not Allowed");
}

Task<void> ContainerRequests::logs(Context ctx, Request* request, Responder* responder,
                                   std::vector<std::string> path) {
  const Query q(request->query);
  const std::string ns = path[1], pod = path[2], name = path[3];
  LogOptions options;
  const int wrong = read_log_options(q, ctx.loop().wall_now(), &options);
  if (wrong) {
    const char* why = wrong == 400 ? R"({"message": "Unable to decode query."})"
                                   : R"({"message": "Invalid request."})";
    co_await plain(responder, wrong, why);
    co_return;
  }
  const PodWorker* w = view_->find(ns, pod, "");
  if (!w) {
    co_await plain(responder, 404, "pod \"" + pod + "\" does not exist");
    co_return;
  }
  if (!find_container(*w->pod(), name).container) {
    co_await plain(responder, 404, "container \"" + name + "\" not found in pod \"" + pod + "\"");
    co_return;
  }
  const bool previous = q.flag("previous");
  const cri::Container* c = pick(*w, name, previous);
  if (!c || c->log_path.empty()) {
    std::string why = no_log_text(*w, name, previous);
    co_await plain(responder, 400, std::move(why));
    co_return;
  }
  const std::string id = c->id, log = c->log_path, uid = w->uid();
  Headers headers;
  headers.set("Content-Type", "text/plain");
  Status s = co_await responder->begin(200, std::move(headers));
  if (!s.ok()) co_return;
  const NodeView* nodes = view_;
  std::function<bool()> running = [nodes, ns, pod, uid, id] {
    const PodWorker* now = nodes->find(ns, pod, uid);
    if (!now) return false;
    for (const cri::Container& c : now->actual().containers) {
      if (c.id == id) return c.state == cri::ContainerState::kRunning;
    }
    return false;
  };
  std::function<Task<Status>(std::string)> sink = [responder](std::string piece) {
    return responder->write(net::as_body(std::move(piece)));
  };
  s = co_await read_log(ctx, log, options, sink, running);
  if (!s.ok() && !ctx.done() && log::v(2)) {
    log::info("Log ended", {{"pod", pod + "_" + ns}, {"status", s}});
  }
  (void)co_await responder->finish();
}

Task<void> ContainerRequests::stream(Context ctx, Request* request, Responder* responder,
                                     std::vector<std::string> path) {
  const Query q(request->query);
  const bool exec = path[0] == "exec";
  const std::string uid = path.size() == 5 ? path[3] : "", name = path.back();
  cri::Runtime::StreamOptions o;
  o.in = q.flag("input") || q.flag("stdin");
  o.out = q.flag("output") || q.flag("stdout");
  o.err = q.flag("error") || q.flag("stderr");
  o.tty = q.flag("tty");
  if (o.tty) o.err = false;
  if (!o.in && !o.out && !o.err) {
    co_await plain(responder, 400, "you must specify at least 1 of stdin, stdout, stderr");
    co_return;
  }
  const PodWorker* w = view_->find(path[1], path[2], uid);
  if (!w) {
    co_await plain(responder, 404, std::string(kNoPod));
    co_return;
  }
  const cri::Container* c = pick(*w, name, false);
  if (!c || c->state != cri::ContainerState::kRunning) {
    co_await plain(responder, 500, "container not found (\"" + name + "\")");
    co_return;
  }
  const std::string id = c->id;
  AttachedContainer attached;
  if (!exec) {
    attached.runtime = runtime_;
    attached.id = id;
    attached.name = name;
    attached.log_path = c->log_path;
    attached.detaches_at_end_of_input = !ends_with_input(*w->pod(), name);
  }
  std::vector<std::string> command = q.all("command");
  Result<std::string> url = Status::internal("");
  if (exec) {
    url = co_await runtime_->exec_url(ctx, id, std::move(command), o);
  } else {
    url = co_await runtime_->attach_url(ctx, id, o);
  }
  if (!url.ok()) {
    co_await plain(responder, 500, url.status().message());
    co_return;
  }
  note_websocket(*request, path[0]);
  std::string target = *url;
  co_await relay_stream(ctx, request, responder, std::move(target), o, false, std::move(attached));
}

Task<void> ContainerRequests::port_forward(Context ctx, Request* request, Responder* responder,
                                           std::vector<std::string> path) {
  const PodWorker* w = view_->find(path[1], path[2], "");
  const std::string uid = path.size() == 4 ? path[3] : "";
  if (!w || (!uid.empty() && w->uid() != uid)) {
    std::string why = w ? "pod not found" : std::string(kNoPod);
    co_await plain(responder, 404, std::move(why));
    co_return;
  }
  const cri::Sandbox* sandbox = w->actual().ready_sandbox();
  if (!sandbox) {
    co_await plain(responder, 500, "sandbox of pod \"" + path[2] + "\" is not running");
    co_return;
  }
  const std::string id = sandbox->id;
  std::vector<int> ports;
  for (const std::string& given : Query(request->query).all("port")) {
    // Of several in one value each, as upstream's.
    for (std::string_view one : split(given, ',')) {
      int port = 0;
      const char* end = one.data() + one.size();
      auto r = std::from_chars(one.data(), end, port);
      if (r.ec != std::errc() || r.ptr != end || port < 1 || port > 65535) {
        std::string why = "unable to parse \"" + std::string(one) + "\" as a port";
        co_await plain(responder, 400, std::move(why));
        co_return;
      }
      ports.push_back(port);
    }
  }
  auto url = co_await runtime_->port_forward_url(ctx, id, std::move(ports));
  if (!url.ok()) {
    co_await plain(responder, 500, url.status().message());
    co_return;
  }
  note_websocket(*request, "portforward");
  std::string target = *url;
  cri::Runtime::StreamOptions o;
  AttachedContainer none;
  co_await relay_stream(ctx, request, responder, std::move(target), o, true, std::move(none));
}

Task<void> ContainerRequests::run_command(Context ctx, Request* request, Responder* responder,
                                          std::vector<std::string> path) {
  const std::string uid = path.size() == 5 ? path[3] : "", name = path.back();
  const PodWorker* w = view_->find(path[1], path[2], uid);
  if (!w) {
    co_await plain(responder, 404, std::string(kNoPod));
    co_return;
  }
  const cri::Container* c = pick(*w, name, false);
  if (!c || c->state != cri::ContainerState::kRunning) {
    co_await plain(responder, 500, "container not found (\"" + name + "\")");
    co_return;
  }
  std::vector<std::string> command;
  const std::string line = Query(request->query).get("cmd");
  for (size_t at = 0; at < line.size();) {
    const size_t end = std::min(line.find(' ', at), line.size());
    if (end > at) command.push_back(line.substr(at, end - at));
    at = end + 1;
  }
  auto r = co_await runtime_->exec_sync(ctx, c->id, std::move(command), kRunSeconds);
  std::string body = r.ok() ? r->out + r->err : r.status().message();
  const int code = r.ok() && r->exit_code == 0 ? 200 : 500;
  std::string type = code == 200 ? "application/json" : "text/plain; charset=utf-8";
  co_await answer(responder, code, std::move(type), std::move(body));
}

namespace {

// The last `timeout` of the query, 0 without one; nullopt: it is no number.
std::optional<int64_t> checkpoint_timeout(const Query& q) {
  const std::vector<std::string> given = q.all("timeout");
  if (given.empty()) return 0;
  std::string_view text = given.back();
  if (text.starts_with('+')) text.remove_prefix(1);
  int64_t seconds = 0;
  auto r = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (r.ec != std::errc() || r.ptr != text.data() + text.size()) return std::nullopt;
  return seconds;
}

}  // namespace

Task<void> ContainerRequests::checkpoint(Context ctx, Request* request, Responder* responder,
                                         std::vector<std::string> path) {
  const std::string ns = path[1], pod = path[2], name = path[3];
  const PodWorker* w = view_->find(ns, pod, "");
  if (!w) {
    co_await plain(responder, 404, std::string(kNoPod));
    co_return;
  }
  if (!find_container(*w->pod(), name).container) {
    co_await plain(responder, 404, "container " + name + " does not exist");
    co_return;
  }
  const auto timeout = checkpoint_timeout(Query(request->query));
  if (!timeout) {
    co_await plain(responder, 404, "cannot parse value of timeout parameter");
    co_return;
  }
  const std::string directory = view_->root() + "/checkpoints";
  const std::string file = directory + "/checkpoint-" + pod + "_" + ns + "-" + name + "-" +
                           format_time(ctx.loop().wall_now()) + ".tar";
  const cri::Container* c = pick(*w, name, false);
  std::string wrong;
  if (!c || c->state != cri::ContainerState::kRunning) {
    wrong = "container " + name + " not found";
  } else if (*timeout < 0) {
    wrong = "CheckpointContainer requires the timeout value to be > 0";
  } else {
    const std::string id = c->id;
    Status s = make_directories(directory, 0700);  // what is in it is the memory of containers
    if (s.ok()) s = co_await runtime_->checkpoint_container(ctx, id, file, *timeout);
    if (!s.ok()) wrong = s.message();
  }
  if (!wrong.empty()) {
    std::string why = "checkpointing of " + ns + "/" + pod + "/" + name + " failed (" + wrong + ")";
    co_await plain(responder, 500, std::move(why));
    co_return;
  }
  std::string body = "{\"items\":[\"" + file + "\"]}";
  co_await answer(responder, 200, "application/json", std::move(body));
}

}  // namespace keles::node
