// Requests for groups and versions that extension API servers serve in this server's place. They
// are authenticated and authorized here like any other, and go on with who asks in X-Remote-*
// fields, over a connection that shows this server's proxy certificate.
#include <algorithm>

#include "base/log.h"
#include "server/aggregation/aggregator.h"
#include "server/aggregation/identity.h"
#include "server/http/exchange.h"
#include "server/http/forward.h"
#include "server/http/front.h"

namespace keles::server {
namespace {

constexpr Duration kDiscoveryTimeout = 5s;
constexpr std::string_view kOpenApiV3 = "/openapi/v3";

// "/apis/GROUP/VERSION" and nothing more: every client asks for that, so it has to be quick.
bool is_discovery(const Exchange& x) {
  std::string_view path = x.info.path;
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  return !x.info.is_resource && std::count(path.begin(), path.end(), '/') == 3;
}

Task<void> pass_answer(Context ctx, Exchange* x, net::HttpClient* client, net::Request request) {
  auto stream = co_await client->open(ctx, std::move(request));
  if (!stream.ok()) {
    std::string why = "error trying to reach service: " + stream.status().message();
    if (ctx.done()) {
      co_await x->fail(ctx.status());
    } else {
      co_await x->answer_text(503, std::move(why));
    }
    co_return;
  }
  const int code = (*stream)->status();
  if (code >= 300 && code < 400 && (*stream)->headers().get("location")) {
    co_await x->answer_text(
        502, "the backend attempted to redirect this request, which is not permitted");
    co_return;
  }
  x->code = code;
  x->leave_gate();
  net::Headers h = passed_back((*stream)->headers(), false);
  x->say_flow(h);
  Status s = co_await x->responder->begin(code, std::move(h));
  if (!s.ok()) co_return;
  co_await pass_as_it_is(ctx, x, stream->get());
}

}  // namespace

aggregation::ApiServicePtr Front::elsewhere(const RequestInfo& info) const {
  const aggregation::Aggregator& aggregator = server_->aggregator();
  if (!aggregator.any()) return nullptr;
  std::string_view path = info.path;
  const bool schema = path.starts_with(kOpenApiV3);
  if (schema) path.remove_prefix(kOpenApiV3.size());
  auto gv = aggregation::group_version_of(path);
  if (!gv) return nullptr;
  if (!schema) return aggregator.elsewhere(gv->first, gv->second);
  aggregation::ViewPtr view = aggregator.view();
  const aggregation::Remote* r = view->find(gv->first, gv->second);
  return r && !r->documents->openapi_v3_url.empty() ? r->service : nullptr;
}

Task<void> Front::relay_elsewhere(Context ctx, Exchange* x) {
  const aggregation::ApiServicePtr service = x->elsewhere;
  if (!service->available) {
    co_await x->answer_text(503, "service unavailable\n");
    co_return;
  }
  const bool upgrade = asks_for_upgrade(*x);
  if (upgrade && tunnels_requests(*x)) {
    Status why = Status::bad_request("an upgrade to HTTP/2 is not permitted");
    co_await x->fail(why);
    co_return;
  }
  bool there = co_await x->receive(ctx);
  if (!there) co_return;
  auto where = co_await server_->aggregator().endpoint(ctx, service);
  if (!where.ok()) {
    log::warn("Error resolving an APIService's service",
              {{"name", service->name}, {"err", where.status()}});
    co_await x->answer_text(503, "service unavailable\n");
    co_return;
  }
  net::Request request(x->request->method, x->request->path, x->request->query, x->request->body);
  request.headers = forwarded_headers(*x, upgrade);
  aggregation::set_caller(&request.headers, x->caller());
  request.headers.erase("host");
  RelayPool::Lease client = relays_.take(ctx.loop(), std::move(*where));
  if (upgrade) {
    co_await relay_upgrade(ctx, x, client.get(), std::move(request), false);
  } else {
    Context limit = ctx;
    if (is_discovery(*x)) limit = ctx.with_timeout(kDiscoveryTimeout);
    co_await pass_answer(limit, x, client.get(), std::move(request));
  }
}

}  // namespace keles::server
