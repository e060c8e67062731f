// An extension API server over the project's libraries (see README.md): what aggregation relays to.
#include <algorithm>
#include <cstdio>

#include "base/encoding.h"
#include "base/flags.h"
#include "base/log.h"
#include "base/sync.h"
#include "client/https_client.h"
#include "client/kubeconfig.h"
#include "documents.h"
#include "fruits.h"
#include "keles/runtime.h"
#include "machinery/codec_json.h"
#include "net/http.h"
#include "serving.h"

namespace keles::extension {
namespace {

struct User {
  std::string name, uid;
  std::vector<std::string> groups;
  std::map<std::string, std::vector<std::string>> extra;
};

// A path of the group, taken apart.
struct Target {
  std::string ns, name, subresource;
};
std::optional<Target> target_of(std::string_view path) {
  constexpr std::string_view kRoot = "/apis/fruit.example.com/v1/";
  if (!path.starts_with(kRoot)) return std::nullopt;
  std::vector<std::string> parts;
  for (path.remove_prefix(kRoot.size()); !path.empty();) {
    const size_t slash = std::min(path.find('/'), path.size());
    parts.push_back(percent_decode(path.substr(0, slash)).value_or(""));
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  Target t;
  size_t at = 0;
  if (parts.size() >= 3 && parts[0] == "namespaces") {
    t.ns = parts[1];
    at = 2;
  }
  if (at >= parts.size() || parts[at] != "fruits") return std::nullopt;
  if (++at < parts.size()) t.name = parts[at];
  if (++at < parts.size()) t.subresource = parts[at];
  return t;
}

bool has(const std::vector<std::string>& list, std::string_view what) {
  return std::find(list.begin(), list.end(), what) != list.end();
}

std::string list_json(const std::vector<std::string>& values) {
  std::string out = "[";
  for (const std::string& v : values) {
    if (out.size() > 1) out += ',';
    write_json_string(out, v);
  }
  return out + "]";
}

std::string quoted(std::string_view s) {
  std::string out;
  write_json_string(out, s);
  return out;
}

class Server {
 public:
  Server(HttpsClient* cluster, std::vector<std::string> proxies)
      : cluster_(cluster), proxies_(std::move(proxies)) {}

  net::Handler handler() {
    return [this](Context ctx, net::Request* q, net::Responder* r) { return serve(ctx, q, r); };
  }

 private:
  Task<void> serve(Context ctx, net::Request* q, net::Responder* r) {
    if (q->path == "/healthz" || q->path == "/readyz" || q->path == "/livez") {
      co_await answer(r, 200, "ok");
      co_return;
    }
    auto who = co_await authenticate(ctx, q);
    if (!who.ok()) {
      co_await fail(r, who.status());
      co_return;
    }
    User user = std::move(*who);
    Status allowed = co_await authorize(ctx, user, q);
    if (!allowed.ok()) {
      co_await fail(r, allowed);
      co_return;
    }
    const std::string accept(q->headers.get("accept").value_or(""));
    if (auto text = document(q->path, accept)) {
      co_await answer(r, 200, std::move(text->body), std::move(text->content_type));
      co_return;
    }
    auto target = target_of(q->path);
    if (!target) {
      Status why(Reason::kNotFound, "the server could not find the requested resource");
      co_await fail(r, why);
      co_return;
    }
    Target t = std::move(*target);
    if (t.subresource == "echo") {
      co_await echo(ctx, r, std::move(user));
    } else if (q->method == "GET" && is_watch(*q)) {
      co_await watch(ctx, q, r, t.ns);
    } else {
      auto done = act(ctx, *q, t);
      if (done.ok()) {
        const int status = q->method == "POST" ? 201 : 200;
        co_await answer(r, status, std::move(*done));
      } else {
        co_await fail(r, done.status());
      }
    }
  }

  Result<std::string> act(Context ctx, const net::Request& q, const Target& t) {
    if (q.method == "GET") {
      return t.name.empty() ? Result<std::string>(fruits_.list(t.ns)) : fruits_.get(t.ns, t.name);
    }
    if (q.method == "POST") {
      return fruits_.create(t.ns, q.body, ctx.loop().wall_now(), ctx.loop().random());
    }
    if (q.method == "PUT") return fruits_.update(t.ns, t.name, q.body);
    if (q.method != "DELETE") return Status(Reason::kMethodNotAllowed, "no such verb");
    if (t.name.empty()) return fruits_.remove_all(t.ns);
    return fruits_.remove(t.ns, t.name);
  }

  static bool is_watch(const net::Request& q) {
    return q.query.find("watch=true") != q.query.npos || q.query.find("watch=1") != q.query.npos;
  }

  // Who shows the front proxy's certificate says for whom it asks; others show a token, which the
  // cluster is asked about.
  Task<Result<User>> authenticate(Context ctx, net::Request* q) {
    User u;
    if (q->peer && has(proxies_, q->peer->common_name)) {
      u.name = q->headers.get("x-remote-user").value_or("");
      u.uid = q->headers.get("x-remote-uid").value_or("");
      for (std::string_view g : q->headers.get_all("x-remote-group")) u.groups.emplace_back(g);
      constexpr std::string_view kExtra = "x-remote-extra-";
      for (const auto& [name, value] : q->headers) {
        std::string lower = name;
        for (char& c : lower) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
        if (!lower.starts_with(kExtra)) continue;
        u.extra[percent_decode(lower.substr(kExtra.size())).value_or("")].push_back(value);
      }
      if (!u.name.empty()) co_return u;
    }
    std::string token(q->headers.get("authorization").value_or(""));
    if (!token.starts_with("Bearer ")) co_return Status::unauthorized();
    std::string body =
        R"({"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","spec":{"token":)" +
        quoted(token.substr(7)) + "}}";
    auto told = co_await ask(ctx, "/apis/authentication.k8s.io/v1/tokenreviews", std::move(body));
    if (!told.ok()) co_return told.status();
    const Value& status = told->root["status"];
    if (!status["authenticated"].as_bool()) co_return Status::unauthorized();
    u.name = status["user"]["username"].as_string();
    u.uid = status["user"]["uid"].as_string();
    for (const Value& g : status["user"]["groups"].items()) u.groups.emplace_back(g.as_string());
    co_return u;
  }

  Task<Status> authorize(Context ctx, User user, net::Request* q) {
    if (has(user.groups, "system:masters")) co_return Status();
    std::string what;
    if (auto t = target_of(q->path)) {
      const std::string verb = q->method == "POST"  ? "create"
                               : q->method == "PUT" ? "update"
                               : q->method == "DELETE"
                                   ? (t->name.empty() ? "deletecollection" : "delete")
                               : !t->name.empty() ? "get"
                               : is_watch(*q)     ? "watch"
                                                  : "list";
      what =
          R"("resourceAttributes":{"group":"fruit.example.com","version":"v1","resource":"fruits","verb":)" +
          quoted(verb) + ",\"namespace\":" + quoted(t->ns) + ",\"name\":" + quoted(t->name) +
          ",\"subresource\":" + quoted(t->subresource) + "}";
    } else {
      what = R"("nonResourceAttributes":{"verb":"get","path":)" + quoted(q->path) + "}";
    }
    std::string body =
        R"({"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","spec":{"user":)" +
        quoted(user.name) + ",\"groups\":" + list_json(user.groups) + "," + what + "}}";
    auto told =
        co_await ask(ctx, "/apis/authorization.k8s.io/v1/subjectaccessreviews", std::move(body));
    if (!told.ok()) co_return told.status();
    if (told->root["status"]["allowed"].as_bool()) co_return Status();
    co_return Status::forbidden("fruit.example.com", "fruits", "",
                                "User \"" + user.name + "\" may not, says the cluster");
  }

  Task<Result<Document>> ask(Context ctx, std::string path, std::string body) {
    net::Headers h{{"Content-Type", "application/json"}, {"Accept", "application/json"}};
    Context limit = ctx.with_timeout(10s);
    auto got = co_await cluster_->raw(limit, "POST", path, "", std::move(h), std::move(body));
    if (!got.ok()) co_return got.status();
    if (got->status != 201) co_return Status::internal(path + ": " + got->body);
    co_return parse_json(got->body);
  }

  Task<void> watch(Context ctx, net::Request* q, net::Responder* r, std::string ns) {
    constexpr std::string_view kFrom = "resourceVersion=";
    int64_t seen = fruits_.revision();
    const size_t at = q->query.find(kFrom);
    if (at != q->query.npos) seen = std::atoll(q->query.c_str() + at + kFrom.size());
    net::Headers h{{"Content-Type", "application/json"}};
    Status s = co_await r->begin(200, std::move(h));
    while (s.ok()) {
      for (const Fruits::Event& e : fruits_.since(seen)) {
        seen = e.revision;
        if (!ns.empty() && e.ns != ns) continue;
        auto parts = net::as_body(e.json);
        s = co_await r->write(std::move(parts));
        if (!s.ok()) co_return;
      }
      s = co_await fruits_.wait(ctx);
    }
  }

  // Says who it is that came, then gives back what it gets.
  Task<void> echo(Context ctx, net::Responder* r, User user) {
    auto stream = co_await r->accept_upgrade("echo", net::Headers());
    if (!stream.ok()) co_return;
    std::string hello = "hello " + user.name + " ";
    for (const auto& [key, values] : user.extra) hello += key + " ";
    Status s = co_await (*stream)->write(ctx, hello + "\n");
    while (s.ok()) {
      auto piece = co_await (*stream)->read(ctx);
      if (!piece.ok() || piece->empty()) break;
      std::string back = std::move(*piece);
      s = co_await (*stream)->write(ctx, std::move(back));
    }
  }

  static Task<void> answer(net::Responder* r, int status, std::string body,
                           std::string type = "application/json") {
    net::Headers h{{"Content-Type", type}};
    auto parts = net::as_body(std::move(body));
    (void)co_await r->respond(status, std::move(h), std::move(parts));
  }
  static Task<void> fail(net::Responder* r, Status why) {
    std::string causes;
    for (const StatusCause& c : why.details().causes) {
      causes += (causes.empty() ? "" : ",") + std::string("{\"reason\":") + quoted(c.type) +
                ",\"message\":" + quoted(c.message) + ",\"field\":" + quoted(c.field) + "}";
    }
    std::string body =
        R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":)" +
        quoted(why.message()) + ",\"reason\":" + quoted(reason_name(why.reason())) +
        ",\"details\":{\"name\":" + quoted(why.details().name) +
        ",\"group\":\"fruit.example.com\",\"kind\":" + quoted(why.details().kind) +
        ",\"causes\":[" + causes + "]},\"code\":" + std::to_string(why.code()) + "}";
    co_await answer(r, why.code(), std::move(body));
  }

  HttpsClient* cluster_;
  std::vector<std::string> proxies_;
  Fruits fruits_;
};

struct ServerFlags {
  std::string kubeconfig;
  Serving serving;
};

std::vector<std::string> names_of(std::string_view json) {
  std::vector<std::string> out;
  if (auto list = parse_json(json); list.ok()) {
    for (const Value& v : list->root.items()) out.emplace_back(v.as_string());
  }
  return out;
}

Task<Status> run(Context ctx, ServerFlags f) {
  KubeconfigChoice choice;
  choice.path = f.kubeconfig;
  auto config = load_client_config(choice);
  if (!config.ok()) co_return config.status();
  HttpsClient cluster(ctx.loop(), *config);
  net::Headers h{{"Accept", "application/json"}};
  auto told = co_await cluster.raw(
      ctx, "GET", "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication",
      "", std::move(h), "");
  if (!told.ok()) co_return told.status();
  if (told->status != 200) co_return Status::internal(told->body);
  auto map = parse_json(told->body);
  if (!map.ok()) co_return map.status();
  const Value& data = map->root["data"];
  Server server(&cluster, names_of(data["requestheader-allowed-names"].as_string()));
  net::ServerOptions o;
  o.client_ca_pem = data["requestheader-client-ca-file"].as_string();
  auto handler = server.handler();
  co_return co_await serve_until_end(ctx, f.serving, std::move(o), std::move(handler));
}

int server_main(const std::vector<std::string>& args) {
  ServerFlags f;
  Flags flags("An extension API server that serves fruits.\n\nUsage:\n  extension_server [flags]");
  flags.add("kubeconfig", &f.kubeconfig, "How the cluster is asked.");
  flags.require("kubeconfig");
  f.serving.add_to(flags);
  return run_command(&flags, args, [&f](const std::vector<std::string>& rest) -> Status {
    TRY(no_arguments(rest));
    return run_program([&f](Context ctx) { return run(ctx, f); });
  });
}

}  // namespace
}  // namespace keles::extension

int main(int argc, char** argv) {
  return keles::extension::server_main(std::vector<std::string>(argv + 1, argv + argc));
}
