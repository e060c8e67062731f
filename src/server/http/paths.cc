// Everything that is no resource: health, version, metrics, discovery, OpenAPI, token keys.
#include <algorithm>

#include "base/metrics.h"
#include "machinery/codec_json.h"
#include "server/http/exchange.h"
#include "server/http/front.h"
#include "server/registry/keys.h"

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
void count_objects(const StoreSnapshot& state) {
  static metrics::Gauge& objects = metrics::gauge(
      "apiserver_storage_objects",
      "Number of stored objects at the time of last check split by kind.", {"resource"});
  for (const KindDesc* k : all_kinds()) {
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
bool is_claimed(std::string_view path) {
  for (std::string_view own : {"/api", "/version", "/openid/v1/jwks"}) {
    if (below(path, own)) return true;
  }
  if (path == "/apis" || path == "/apis/") return true;
  if (!path.starts_with("/apis/")) return false;
  std::string_view group = path.substr(6);
  group = group.substr(0, group.find('/'));
  for (const KindDesc* kind : all_kinds()) {
    if (kind->group == group && !group.empty()) return true;
  }
  return false;
}

}  // namespace

Task<void> Front::serve_health(Exchange* x, std::string endpoint) {
  const std::string name(endpoint.substr(1));
  std::string only;
  if (x->info.path.size() > endpoint.size() + 1) only = x->info.path.substr(endpoint.size() + 1);
  const auto excluded = x->query.get_all("exclude");
  std::string report;
  bool well = true, found = only.empty();
  for (const HealthCheck& c : options_.checks) {
    if (c.ready_only && name != "readyz") continue;
    if (!only.empty() && c.name != only) continue;
    found = true;
    if (std::find(excluded.begin(), excluded.end(), c.name) != excluded.end()) {
      report += "[+]" + c.name + " excluded: ok\n";
      continue;
    }
    Status s = c.check();
    if (s.ok()) {
      report += "[+]" + c.name + " ok\n";
    } else {
      well = false;
      report += "[-]" + c.name + " failed: reason withheld\n";
    }
  }
  if (!found) {
    co_await x->answer_text(404, "404 page not found\n");
  } else if (!well) {
    co_await x->answer_text(500, report + name + " check failed\n");
  } else if (x->query.find("verbose") && only.empty()) {
    co_await x->answer_text(200, report + name + " check passed\n");
  } else {
    co_await x->answer_text(200, "ok");
  }
}

Task<void> Front::serve_path(Context, Exchange* x) {
  const std::string& path = x->info.path;
  if (x->request->method != "GET" && x->request->method != "HEAD") {
    if (!is_claimed(path)) {
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
    count_objects(*server_->registry().store().snapshot());
    std::string body = metrics::expose();
    co_await x->answer_text(200, std::move(body), "text/plain; version=0.0.4; charset=utf-8");
    co_return;
  }
  if (path == "/openid/v1/jwks") {
    std::string body = server_->auth().jwks();
    co_await x->answer_text(200, std::move(body), "application/jwk-set+json");
    co_return;
  }
  if (path == "/.well-known/openid-configuration") {
    std::string body = server_->auth().openid_configuration();
    co_await x->answer_text(200, std::move(body), "application/json");
    co_return;
  }
  if (path == "/" || path.empty()) {
    std::string body =
        R"({"paths":["/.well-known/openid-configuration","/api","/api/v1","/apis","/healthz",)"
        R"("/livez","/metrics","/openapi/v2","/openapi/v3","/openid/v1/jwks","/readyz","/version"]})";
    co_await x->answer_text(200, std::move(body), "application/json");
    co_return;
  }
  PathQuestion question{path, x->header("Accept"), x->header("If-None-Match"),
                        x->query.get("hash")};
  for (const PathSource& source : options_.paths) {
    auto found = source(question);
    if (!found) continue;
    x->code = found->status;
    net::Headers h = x->headers(found->content_type);
    if (!found->etag.empty()) {
      h.set("Cache-Control", found->immutable ? "public, immutable" : "public");
      h.add("ETag", found->etag);
      h.add("Vary", "Accept");
    }
    Parts parts;
    if (found->bytes) parts.push_back(found->bytes);
    Status s = co_await x->responder->respond(found->status, std::move(h), std::move(parts));
    (void)s;
    co_return;
  }
  co_await not_found(x);
}

Task<void> Front::not_found(Exchange* x) {
  if (!is_claimed(x->info.path)) {
    co_await x->answer_text(404, "404 page not found\n");
    co_return;
  }
  Status why(Reason::kNotFound, "the server could not find the requested resource");
  co_await x->fail(why);
}

}  // namespace keles::server
