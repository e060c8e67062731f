// What the aggregator itself asks extension API servers: whether they are there, and their
// documents.
#include "base/host_port.h"
#include "machinery/codec_json.h"
#include "server/aggregation/aggregator.h"
#include "server/aggregation/identity.h"
#include "server/discovery/content_name.h"

namespace keles::aggregation {
namespace {

constexpr Duration kAsk = 5s, kAskAll = 6s;
constexpr int kAttempts = 5;  // each at an endpoint chosen anew
constexpr size_t kMaxCheck = 1u << 20;
constexpr std::string_view kDiscovery =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";

std::string url_of(const net::Endpoint& e, const std::string& path) {
  return "https://" + host_port(e.host, e.port) + path;
}

Status unexpected(const std::string& what, int code) {
  return Status::unavailable(what + ": status code " + std::to_string(code));
}

}  // namespace

Task<Result<net::Response>> Aggregator::send(Context ctx, ApiServicePtr service, Caller who,
                                             net::Request request, size_t max_bytes) const {
  auto where = co_await endpoint(ctx, service);
  if (!where.ok()) co_return where.status();
  set_caller(&request.headers, who);
  auto client = net::HttpClient::create(ctx.loop(), *where);
  auto got = co_await client->send(ctx, std::move(request), max_bytes);
  client->close();
  co_return got;
}

Task<Result<net::Response>> Aggregator::ask(Context ctx, ApiServicePtr service, std::string path,
                                            net::Headers headers, size_t max_bytes) const {
  Context limit = ctx.with_timeout(kAsk);
  net::Request request("GET", path);
  request.headers = std::move(headers);
  Caller who = aggregator_caller();
  co_return co_await send(limit, service, std::move(who), std::move(request), max_bytes);
}

// "", or what went wrong, in upstream's words, last.
Task<std::string> Aggregator::ask_whether_there(Context ctx, ApiServicePtr service) const {
  Context all = ctx.with_timeout(kAskAll);
  std::string failure;
  for (int i = 0; i < kAttempts && !all.done(); ++i) {
    auto where = co_await endpoint(all, service);
    if (!where.ok()) {
      failure = where.status().message();
      continue;
    }
    Context limit = all.with_timeout(kAsk);
    const std::string path = "/" + service->path();
    const std::string url = url_of(*where, path);
    net::Request request("GET", path);
    set_caller(&request.headers, aggregator_caller());
    auto client = net::HttpClient::create(ctx.loop(), *where);
    auto got = co_await client->send(limit, std::move(request), kMaxCheck);
    client->close();
    if (got.ok() && got->status >= 200 && got->status < 300) co_return std::string();
    failure = "failing or missing response from " + url + ": ";
    if (got.ok()) {
      failure += "bad status from " + url + ": " + std::to_string(got->status);
    } else {
      failure += "Get \"" + url + "\": " + got.status().message();
    }
  }
  co_return failure;
}

Task<Result<DocumentPtr>> Aggregator::fetch_discovery(Context ctx, ApiServicePtr service) const {
  net::Headers accept;
  accept.set("Accept", std::string(kDiscovery));
  auto got = co_await ask(ctx, service, "/apis", std::move(accept), kMaxDiscovery);
  if (!got.ok()) co_return got.status();
  if (got->status == 503) co_return unexpected("/apis", 503);
  const std::string type(got->headers.get("content-type").value_or(""));
  if (got->status == 200 && type.find("as=APIGroupDiscoveryList") != type.npos) {
    co_return read_discovery(got->body, *service);
  }
  // An older server: its group and version alone.
  net::Headers json;
  json.set("Accept", "application/json");
  const std::string path = "/" + service->path();
  auto list = co_await ask(ctx, service, path, std::move(json), kMaxDiscovery);
  if (!list.ok()) co_return list.status();
  if (list->status != 200) co_return unexpected(path, list->status);
  co_return read_resource_list(list->body, *service);
}

// What it has not stays absent: OpenAPI is told by who wants to.
Task<void> Aggregator::fetch_openapi(Context ctx, ApiServicePtr service, Documents* into) const {
  net::Headers accept;
  accept.set("Accept", "application/json");
  if (into->openapi_v2 && !into->openapi_v2_etag.empty()) {
    accept.set("If-None-Match", into->openapi_v2_etag);
  }
  auto v2 = co_await ask(ctx, service, "/openapi/v2", std::move(accept), kMaxOpenApi);
  if (v2.ok() && v2->status == 200) {
    into->openapi_v2.reset();
    into->openapi_v2_etag = v2->headers.get("etag").value_or("");
    into->openapi_v2_name = server::content_name(v2->body);
    if (parse_json(v2->body).ok()) {
      into->openapi_v2 = std::make_shared<const std::string>(std::move(v2->body));
    }
  } else if (v2.ok() && v2->status != 304) {
    into->openapi_v2.reset();
  }
  net::Headers json;
  json.set("Accept", "application/json");
  auto v3 = co_await ask(ctx, service, "/openapi/v3", std::move(json), kMaxOpenApi);
  into->openapi_v3_url.clear();
  if (!v3.ok() || v3->status != 200) co_return;
  into->openapi_v3_url = read_openapi_v3_index(v3->body, *service).value_or("");
}

Task<Status> Aggregator::fetch(Context ctx, ApiServicePtr service) {
  auto discovery = co_await fetch_discovery(ctx, service);
  if (!discovery.ok()) co_return discovery.status();
  auto next = std::make_shared<Documents>();
  if (const Remote* r = view_.load()->find(service->group, service->version)) {
    *next = *r->documents;
  }
  next->discovery = *discovery;
  next->fresh = true;
  // Told at once: who waits for the resources need not wait for their schemas.
  publish(service->name, std::make_shared<const Documents>(*next));
  co_await fetch_openapi(ctx, service, next.get());
  if (ctx.done()) co_return ctx.status();
  publish(service->name, next);
  co_return Status();
}

}  // namespace keles::aggregation
