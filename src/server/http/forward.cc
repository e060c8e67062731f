#include "server/http/forward.h"

#include <algorithm>
#include <array>

#include "base/text_parts.h"
#include "net/stream.h"
#include "server/http/auditing.h"

namespace keles::server {
namespace {

constexpr std::string_view kBearerProtocol = "base64url.bearer.authorization.k8s.io.";

bool hop_by_hop(std::string_view name) {
  static constexpr std::array<std::string_view, 11> kNames{
      "connection", "keep-alive", "transfer-encoding", "te",
      "upgrade",    "trailer",    "proxy-connection",  "content-length",
      "trailers",   "expect",     "http2-settings"};
  return std::any_of(kNames.begin(), kNames.end(),
                     [name](std::string_view n) { return same_name(n, name); });
}

// The caller's credentials stay here: the peer knows the API server by its own.
bool is_credential(std::string_view name) {
  constexpr std::string_view kImpersonate = "impersonate-";
  return same_name(name, "authorization") ||
         (name.size() > kImpersonate.size() && has_prefix(name, kImpersonate));
}

std::string client_address(const net::Request& r) {
  std::string out = r.remote_address.substr(0, r.remote_address.rfind(':'));
  if (out.size() > 2 && out.front() == '[') out = out.substr(1, out.size() - 2);
  return out;
}

}  // namespace

bool same_name(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    auto low = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    return low(x) == low(y);
  });
}

bool has_prefix(std::string_view name, std::string_view prefix) {
  return name.size() >= prefix.size() && same_name(name.substr(0, prefix.size()), prefix);
}

bool asks_for_upgrade(const Exchange& x) {
  return x.request->headers.has_token("Connection", "upgrade");
}

bool tunnels_requests(const Exchange& x) {
  return x.request->headers.has_token("Upgrade", "h2c") ||
         x.request->headers.has_token("Upgrade", "h2");
}

std::vector<std::string> offered_protocols(const net::Headers& headers) {
  std::vector<std::string> out;
  for (std::string_view v : headers.get_all("sec-websocket-protocol")) {
    for (std::string_view part : split_list(v)) {
      const std::string_view one = trim(part);
      if (!one.empty() && !one.starts_with(kBearerProtocol)) out.emplace_back(one);
    }
  }
  return out;
}

std::string joined(const std::vector<std::string>& list) {
  std::string out;
  for (const std::string& s : list) out += (out.empty() ? "" : ", ") + s;
  return out;
}

net::Headers forwarded_headers(const Exchange& x, bool upgrade) {
  net::Headers out;
  const net::Headers& from = x.request->headers;
  for (const auto& [name, value] : from) {
    const bool websocket_protocol = same_name(name, "sec-websocket-protocol");
    // What Connection names is for us, too.
    const bool ours = hop_by_hop(name) || from.has_token("connection", name);
    if (is_credential(name) || ours || websocket_protocol) continue;
    out.add(name, value);
  }
  if (upgrade) {
    out.set("Connection", "Upgrade");
    out.set("Upgrade", std::string(x.header("Upgrade")));
    auto offered = offered_protocols(from);
    if (!offered.empty()) out.set("Sec-WebSocket-Protocol", joined(offered));
  }
  std::string already(x.header("X-Forwarded-For"));
  out.set("X-Forwarded-For", (already.empty() ? "" : already + ", ") + client_address(*x.request));
  return out;
}

net::Headers passed_back(const net::Headers& from, bool cors) {
  net::Headers out;
  for (const auto& [name, value] : from) {
    const bool is_cors = name.size() > 21 && has_prefix(name, "access-control-allow-");
    if (!hop_by_hop(name) && (cors || !is_cors)) out.add(name, value);
  }
  return out;
}

Task<void> relay_upgrade(Context ctx, Exchange* x, net::HttpClient* client, net::Request request,
                         bool cors) {
  const std::string protocol(x->header("Upgrade"));
  auto up = co_await client->upgrade(ctx, std::move(request));
  if (!up.ok()) {
    Status why = Status::internal("error dialing backend: " + up.status().message());
    co_await x->fail(why);
    co_return;
  }
  if (up->status != 101 && up->status < 400) {
    Status why =
        Status::internal("invalid upgrade response: status code " + std::to_string(up->status));
    co_await x->fail(why);
    co_return;
  }
  net::Headers h = passed_back(up->headers, cors);
  if (up->status != 101 || !up->stream) {
    h.erase("location");
    x->code = up->status;
    Parts parts = net::as_body(std::move(up->body));
    Status s = co_await x->responder->respond(up->status, std::move(h), std::move(parts));
    (void)s;
    co_return;
  }
  x->code = 101;
  co_await audit_started(ctx, x);
  auto mine = co_await x->responder->accept_upgrade(protocol, std::move(h));
  if (!mine.ok()) co_return;
  Status s = co_await net::relay(ctx, mine->get(), up->stream.get());
  (void)s;  // either side ended: so does the other
}

Task<void> pass_as_it_is(Context ctx, Exchange* x, net::ResponseStream* stream) {
  for (;;) {
    auto piece = co_await stream->read(ctx);
    if (!piece.ok()) co_return;  // cut off there, cut off here: no end is written
    if (piece->empty()) break;
    Parts parts = net::as_body(std::move(*piece));
    Status s = co_await x->responder->write(std::move(parts));
    if (!s.ok()) co_return;
  }
  (void)co_await x->responder->finish();
}

}  // namespace keles::server
