// Everything that is no resource: health, version, metrics, discovery, OpenAPI, token keys.
#include <algorithm>
#include <set>

#include "base/log.h"
#include "base/metrics.h"
#include "machinery/codec_json.h"
#include "server/health_page.h"
#include "server/http/backup.h"
#include "server/http/exchange.h"
#include "server/http/front.h"
#include "server/http/slis.h"
#include "server/objects/keys.h"

namespace keles::server {
namespace {

std::string version_json(const std::string& git_version) {
  std::string out =
      "{\n  \"major\": \"1\",\n  \"minor\": \"36\",\n"
      "  \"emulationMajor\": \"1\",\n  \"emulationMinor\": \"36\",\n"
      "  \"minCompatibilityMajor\": \"1\",\n  \"minCompatibilityMinor\": \"35\",\n"
      "  \"gitVersion\": ";
  write_json_string(out, git_version);
  out +=
      ",\n  \"gitCommit\": \"\",\n  \"gitTreeState\": \"clean\",\n  \"buildDate\": "
      "\"1970-01-01T00:00:00Z\",\n  \"goVersion\": \"\",\n  \"compiler\": \"gcc\",\n"
      "  \"platform\": \"linux/amd64\"\n}";
  return out;
}

// Objects in the store, by resource; counted when somebody asks.
void count_objects(const StoreSnapshot& state, const Catalog& catalog) {
  static metrics::Gauge& objects = metrics::gauge(
      "apiserver_storage_objects",
      "Number of stored objects at the time of last check split by kind.", {"resource"});
  for (const KindDesc* k : catalog.kinds()) {
    if (&registry::storage_kind(*k) != k) continue;
    const size_t n = state.count(registry::kind_prefix(*k));
    objects.with({std::string(k->group_resource())}).set(static_cast<double>(n));
  }
}

bool below(std::string_view path, std::string_view root) {
  return path == root || (path.starts_with(root) && path[root.size()] == '/');
}

// Paths of a served group (of any version), and others that speak the API: what is missing there is
// said with a Status, anywhere else in plain text.
bool is_claimed(std::string_view path, const Catalog& catalog) {
  for (std::string_view own : {"/api", "/version", "/openid/v1/jwks", kBackupPath.data()}) {
    if (below(path, own)) return true;
  }
  if (path == "/apis" || path == "/apis/") return true;
  if (!path.starts_with("/apis/")) return false;
  std::string_view group = path.substr(6);
  group = group.substr(0, group.find('/'));
  return !group.empty() && catalog.serves_group(group);
}

}  // namespace

Task<void> Front::serve_health(Exchange* x, std::string endpoint) {
  HealthQuestion q;
  q.endpoint = endpoint.substr(1);
  if (x->info.path.size() > endpoint.size() + 1) q.only = x->info.path.substr(endpoint.size() + 1);
  for (std::string& e : x->query.get_all("exclude")) q.excluded.insert(std::move(e));
  q.verbose = x->query.find("verbose") != nullptr;
  HealthPage page = health_page(server_->health(), q, [&q](const std::string& check, bool good) {
    note_health(check, q.endpoint, good);
  });
  co_await x->answer_text(page.status, std::move(page.text));
}

Task<void> Front::serve_path(Context ctx, Exchange* x) {
  const std::string& path = x->info.path;
  // What tells of the API takes no HEAD, as objects do not.
  const bool no_head = below(path, "/api") || below(path, "/apis") || path == "/version";
  const std::string& method = x->request->method;
  if (method != "GET" && (method != "HEAD" || no_head)) {
    if (!is_claimed(path, *server_->kinds().current())) {
      co_await not_found(x);
      co_return;
    }
    Status why(Reason::kMethodNotAllowed,
               "the server does not allow this method on the requested resource");
    co_await x->fail(why);
    co_return;
  }
  for (const char* endpoint : {"/healthz", "/livez", "/readyz"}) {
    if (below(path, endpoint)) {
      co_await serve_health(x, endpoint);
      co_return;
    }
  }
  if (path == "/version" || path == "/version/") {
    std::string body = version_json(options_.git_version);
    co_await x->answer_text(200, std::move(body), "application/json");
    co_return;
  }
  if (path == "/metrics") {
    count_objects(*server_->registry().store().snapshot(), *server_->kinds().current());
    std::string body = metrics::expose() + server_->flow().metrics(ctx.loop());
    co_await x->answer_text(200, std::move(body), "text/plain; version=0.0.4; charset=utf-8");
    co_return;
  }
  if (path == "/metrics/slis") {
    std::string body = slis_text();
    co_await x->answer_text(200, std::move(body), "text/plain; version=0.0.4; charset=utf-8");
    co_return;
  }
  if (path.starts_with("/debug/")) {
    const bool details = !x->query.get("includeRequestDetails").empty();
    auto text = server_->flow().dump(ctx.loop(), path, details);
    if (text) {
      co_await x->answer_text(200, std::move(*text));
      co_return;
    }
  }
  if (path == kBackupPath) {
    co_await serve_backup(ctx, x, &server_->registry().store());
    co_return;
  }
  if (path == "/openid/v1/jwks") {
    std::string body = server_->auth().jwks();
    co_await x->answer_text(200, std::move(body), "application/jwk-set+json");
    co_return;
  }
  if (path == "/.well-known/openid-configuration") {
    std::optional<std::string> body = server_->auth().openid_configuration();
    if (body) {
      co_await x->answer_text(200, std::move(*body), "application/json");
      co_return;
    }
  }
  if (path == "/" || path.empty()) {
    std::string body =
        R"({"paths":["/.well-known/openid-configuration","/api","/api/v1","/apis","/healthz",)"
        R"("/livez","/metrics","/openapi/v2","/openapi/v3","/openid/v1/jwks","/readyz","/version"]})";
    co_await x->answer_text(200, std::move(body), "application/json");
    co_return;
  }
  PathQuestion question{path, std::string(x->header("Accept")),
                        std::string(x->header("If-None-Match")), x->query.get("hash")};
  for (const PathSource& source : options_.paths) {
    auto found = source(question);
    if (!found) continue;
    const bool aggregated = found->content_type.find(";as=") != std::string::npos;
    if (no_head && !aggregated) {  // what tells of the API is chosen as objects are
      Offer plain;
      plain.transforms = false;
      auto form = negotiate(question.accept, plain);
      if (!form.ok()) {
        co_await x->fail(form.status());
        co_return;
      }
    }
    x->code = found->status;
    net::Headers h = x->headers(found->content_type);
    if (!found->location.empty()) h.add("Location", found->location);
    if (!found->warning.empty()) h.add("Warning", "299 - " + quoted(found->warning));
    if (!found->etag.empty()) {
      if (found->immutable) {
        h.set("Cache-Control", "public, immutable");
      } else if (no_head) {
        h.set("Cache-Control", "public");
      }
      h.add("ETag", found->etag);
      h.add("Vary", "Accept");
    }
    Parts parts;
    const bool indent = found->may_indent && x->rendering.pretty;
    if (found->bytes && !indent) parts.push_back(found->bytes);
    if (found->bytes && indent) parts.push_back(text_part(finished(*found->bytes, x->rendering)));
    constexpr size_t kSmall = 1400;
    if (no_head) x->compress(h, parts);
    if (path == "/openapi/v2") x->compress(h, parts, kSmall);
    Status s = co_await x->responder->respond(found->status, std::move(h), std::move(parts));
    (void)s;
    co_return;
  }
  co_await not_found(x);
}

Task<void> Front::not_found(Exchange* x) {
  if (!is_claimed(x->info.path, *server_->kinds().current())) {
    co_await x->answer_text(404, "404 page not found\n");
    co_return;
  }
  Status why(Reason::kNotFound, "the server could not find the requested resource");
  co_await x->fail(why);
}

}  // namespace keles::server
