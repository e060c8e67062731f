#include "server/callout/callout.h"

#include <algorithm>
#include <list>
#include <optional>
#include <utility>

#include "base/encoding.h"
#include "base/file.h"
#include "base/sync.h"
#include "base/text_parts.h"
#include "machinery/codec_json.h"
#include "machinery/status_codec.h"
#include "net/http.h"
#include "net/transport.h"
#include "server/objects/service_address.h"

namespace keles::callout {
namespace {

constexpr size_t kMaxClients = 16;  // addresses of one callee, on one loop

bool not_link_local(const IpAddress& ip) {
  const IpAddress plain = ip.is_v4_mapped() ? ip.unmapped() : ip;
  return plain.is_loopback() || net::may_relay_to(plain);
}

// "https://host[:port][/path]".
bool split_url(const std::string& url, Target& t) {
  constexpr std::string_view kScheme = "https://";
  if (!url.starts_with(kScheme)) return false;
  const size_t slash = url.find('/', kScheme.size());
  std::string authority = url.substr(kScheme.size(), slash - kScheme.size());
  t.path = slash == std::string::npos ? "/" : url.substr(slash);
  t.authority = authority;
  size_t colon = authority.rfind(':');
  if (authority.starts_with('[')) {
    const size_t end = authority.find(']');
    if (end == std::string::npos) return false;
    t.host = authority.substr(1, end - 1);
    colon = end + 1 < authority.size() ? end + 1 : std::string::npos;
  } else {
    t.host = authority.substr(0, colon);
  }
  if (colon == std::string::npos) return !t.host.empty();
  auto port = net::parse_port(std::string_view(authority).substr(colon + 1));
  if (port) t.port = *port;
  return port.has_value() && !t.host.empty();
}

// The words for an answer that is none, by its code.
std::string words_for(int code, const std::string& said) {
  switch (code) {
    case 400:
      return "the server rejected our request for an unknown reason";
    case 401:
      return "the server has asked for the client to provide credentials";
    case 403:
    case 415:
      return said;
    case 404:
      return "the server could not find the requested resource";
    case 405:
      return "the server does not allow this method on the requested resource";
    case 406:
      return said == "unknown" ? "the server was unable to respond with a content type that the "
                                 "client supports"
                               : said;
    case 409:
      return "the server reported a conflict";
    case 422:
      return "the server rejected our request due to an error in our request";
    case 429:
      return "the server has received too many requests and has asked us to try again later";
    case 503:
      return "the server is currently unable to handle the request";
    case 504:
      return "the server was unable to return a response in the time allotted, but may still be "
             "processing the request";
    default:
      break;
  }
  if (code >= 500) {
    return "an error on the server (" + quoted(said) +
           ") has prevented the request from succeeding";
  }
  return "the server responded with the status code " + std::to_string(code) +
         " but did not return more information";
}

Status refusal(const net::Response& r) {
  constexpr size_t kMostTold = 2048;
  if (auto body = parse_json(r.body); body.ok() && body->root["kind"].as_string() == "Status" &&
                                      body->root["apiVersion"].as_string() == "v1") {
    Status told = status_from_value(body->root, r.status);
    if (!told.ok()) return told;
  }
  const auto type = r.headers.get("content-type");
  const bool text = !type || type->empty() || type->starts_with("text/");
  const std::string said(text ? trim(std::string_view(r.body).substr(0, kMostTold)) : "unknown");
  return Status(reason_from("", r.status), words_for(r.status, said), {}, r.status);
}

std::string why_not(const Context& ctx, const Status& s) {
  if (ctx.done()) {
    return ctx.status().is(Reason::kTimeout) ? "context deadline exceeded" : "context canceled";
  }
  return s.message();
}

}  // namespace

FindService services_of(Store* store) {
  return [store](const std::string& ns, const std::string& name, int64_t port,
                 Random& random) -> Result<ServicePlace> {
    auto found = registry::resolve_service(*store->snapshot(), ns, name, port, random);
    if (found.status().is(Reason::kNotFound)) return Status::not_found("", "service", name);
    if (!found.ok()) return found.status();
    return ServicePlace{std::move(found->host), found->port};
  };
}

Result<Target> Target::read(const Value& client) {
  Target t;
  if (auto pem = base64_decode(client["caBundle"].as_string()); pem.ok()) t.ca_pem = *pem;
  if (trim(t.ca_pem).empty()) t.ca_pem.clear();
  if (client["url"].is_string()) {
    t.url = client["url"].as_string();
    if (!split_url(t.url, t)) return Status::bad_request("Unparsable URL: " + t.url);
    return t;
  }
  const Value& service = client["service"];
  if (!service.is_map()) {
    return Status::bad_request("webhook configuration must have either service or URL");
  }
  t.service = true;
  t.service_namespace = service["namespace"].as_string();
  t.service_name = service["name"].as_string();
  const int64_t port = service["port"].is_null() ? 443 : service["port"].as_int();
  t.port = static_cast<uint16_t>(std::clamp<int64_t>(port, 1, 65535));
  t.host = t.service_name + "." + t.service_namespace + ".svc";
  t.path = service["path"].as_string();
  if (!t.path.starts_with('/')) t.path = "/" + t.path;
  t.authority = t.host + ":" + std::to_string(t.port);
  t.url = "https://" + t.authority + t.path;
  return t;
}

// What one loop has of it.
struct Callee::Local {
  struct Client {
    std::string host;
    uint16_t port = 0;
    std::shared_ptr<net::HttpClient> http;
  };
  explicit Local(int calls) : free(calls) {}
  Semaphore free;
  std::list<Client> clients;  // the one last used in front

  std::shared_ptr<net::HttpClient> client(Loop& loop, const std::string& host, uint16_t port,
                                          const Target& target, const Credentials& shown,
                                          const Dial& dial) {
    for (auto at = clients.begin(); at != clients.end(); ++at) {
      if (at->host != host || at->port != port) continue;
      clients.splice(clients.begin(), clients, at);
      return at->http;
    }
    net::Endpoint e;
    e.host = host;
    e.port = port;
    e.tls.emplace();
    e.tls->ca_pem = target.ca_pem;
    e.tls->server_name = target.host;
    e.tls->identity = shown.identity;
    if (dial) {
      e.dial = [dial, host, port](Context ctx) { return dial(std::move(ctx), host, port); };
    }
    clients.push_front({host, port, net::HttpClient::create(loop, std::move(e))});
    if (clients.size() > kMaxClients) clients.pop_back();
    return clients.front().http;
  }
};

Callee::Callee(Target target, Options options)
    : target_(std::move(target)), options_(std::move(options)) {
  if (options_.may_dial_url == nullptr) options_.may_dial_url = not_link_local;
  if (options_.credentials) {
    const bool bare = !target_.authority.ends_with(":" + std::to_string(target_.port));
    shown_ = options_.credentials(bare ? target_.authority + ":" + std::to_string(target_.port)
                                       : target_.authority);
  }
}

// What belongs to a loop goes there to end.
Callee::~Callee() {
  for (auto& [loop, local] : locals_) {
    loop->post([held = std::shared_ptr<Local>(std::move(local))]() mutable { held.reset(); });
  }
}

std::shared_ptr<Callee::Local> Callee::local(Loop& loop) {
  std::lock_guard lock(mutex_);
  auto& at = locals_[&loop];
  if (!at) at = std::make_shared<Local>(options_.calls);
  return at;
}

Task<Result<std::string>> Callee::post(Context ctx, Duration timeout, std::string body) {
  auto self = shared_from_this();  // one that is replaced meanwhile goes on to the end
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(timeout).count();
  std::string query = "timeout=" + std::to_string(std::max<int64_t>(seconds, 1)) + "s";
  const std::string failed = "Post " + quoted(target_.url + "?" + query) + ": ";
  auto mine = local(ctx.loop());
  Status turn = co_await mine->free.acquire(ctx);
  if (!turn.ok()) {
    co_return Status(Reason::kServiceUnavailable, failed + why_not(ctx, turn));
  }
  auto answer = co_await send(ctx, mine, std::move(query), std::move(body));
  mine->free.release();
  if (!answer.ok()) {
    co_return Status(Reason::kServiceUnavailable, failed + why_not(ctx, answer.status()));
  }
  if (answer->status < 200 || answer->status > 206) co_return refusal(*answer);
  co_return std::move(answer->body);
}

Task<Result<net::Response>> Callee::send(Context ctx, std::shared_ptr<Local> mine,
                                         std::string query, std::string body) {
  ServicePlace place;
  place.host = target_.host;
  place.port = target_.port;
  if (target_.service) {
    auto found = options_.find_service(target_.service_namespace, target_.service_name,
                                       target_.port, ctx.loop().random());
    if (!found.ok()) co_return found.status();
    place = std::move(*found);
  }
  std::string address = place.host;
  if (!options_.dial) {
    auto allowed = target_.service ? options_.may_dial_service : options_.may_dial_url;
    auto addresses = co_await net::relay_addresses(ctx, place.host, allowed);
    if (!addresses.ok()) co_return addresses.status();
    address = addresses->front().text();
  }
  auto client = mine->client(ctx.loop(), address, place.port, target_, shown_, options_.dial);
  net::Request request("POST", net::encode_target(target_.path), std::move(query), std::move(body));
  request.headers.add("Host", target_.authority);
  request.headers.add("Content-Type", "application/json");
  request.headers.add("Accept", "application/json, */*");
  std::string authorization = shown_.authorization;
  if (!shown_.token_file.empty()) {
    auto token = read_file(shown_.token_file);
    if (!token.ok()) co_return token.status();
    authorization = "Bearer " + std::string(trim(*token));
  }
  if (!authorization.empty()) request.headers.add("Authorization", std::move(authorization));
  auto response = co_await client->send(ctx, std::move(request), options_.answer_bytes);
  co_return std::move(response);
}

}  // namespace keles::callout
