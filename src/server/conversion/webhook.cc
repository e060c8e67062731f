#include "server/conversion/webhook.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/encoding.h"
#include "base/metrics.h"
#include "base/random.h"
#include "base/sync.h"
#include "machinery/codec_json.h"
#include "net/http.h"
#include "server/conversion/review.h"

namespace keles::conversion {
namespace {

metrics::Histogram& durations() {
  static metrics::Histogram& h =
      metrics::histogram("apiserver_crd_conversion_webhook_duration_seconds",
                         "CRD webhook conversion duration in seconds",
                         {"crd_name", "from_version", "to_version", "succeeded"},
                         {0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512,
                          1.024, 2.048, 4.096, 8.192, 16.384});
  return h;
}

// "" for a call that went well.
std::string_view failure_type(bool answered, AnswerFault fault) {
  if (!answered) return "conversion_webhook_call_failure";
  switch (fault) {
    case AnswerFault::kNone:
      return "";
    case AnswerFault::kMalformed:
      return "conversion_webhook_malformed_response_failure";
    case AnswerFault::kPartial:
      return "conversion_webhook_partial_response_failure";
    case AnswerFault::kInvalidObject:
      break;
  }
  return "conversion_webhook_invalid_converted_object_failure";
}

void tell_call(double seconds, std::string_view failure) {
  static metrics::Counter& requests = metrics::counter(
      "apiserver_conversion_webhook_request_total",
      "Counter for conversion webhook requests with success/failure and failure error type",
      {"result", "failure_type"});
  static metrics::Histogram& took =
      metrics::histogram("apiserver_conversion_webhook_duration_seconds",
                         "Conversion webhook request latency", {"result", "failure_type"},
                         {0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 45, 60});
  const metrics::LabelValues labels{failure.empty() ? "success" : "failure", std::string(failure)};
  requests.with(labels).add();
  took.with(labels).observe(seconds);
}

bool not_link_local(const IpAddress& ip) {
  const IpAddress plain = ip.is_v4_mapped() ? ip.unmapped() : ip;
  return plain.is_loopback() || net::may_relay_to(plain);
}

// Where a definition's webhook is, as it says.
struct Config {
  std::string crd, review_version, ca_pem;
  std::string url;  // shown in errors
  std::string host, path, query;
  uint16_t port = 443;
  bool service = false;
  std::string service_namespace, service_name;
};

std::string trimmed(std::string s) {
  const auto blank = [](char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; };
  return std::all_of(s.begin(), s.end(), blank) ? std::string() : s;
}

// "https://host[:port][/path]", which validation has let pass.
bool split_url(const std::string& url, Config& c) {
  constexpr std::string_view kScheme = "https://";
  if (!url.starts_with(kScheme)) return false;
  const size_t slash = url.find('/', kScheme.size());
  std::string authority = url.substr(kScheme.size(), slash - kScheme.size());
  c.path = slash == std::string::npos ? "/" : url.substr(slash);
  size_t colon = authority.rfind(':');
  if (authority.starts_with('[')) {
    const size_t end = authority.find(']');
    if (end == std::string::npos) return false;
    c.host = authority.substr(1, end - 1);
    colon = end + 1 < authority.size() ? end + 1 : std::string::npos;
  } else {
    c.host = authority.substr(0, colon);
  }
  if (colon == std::string::npos) return true;
  auto port = net::parse_port(std::string_view(authority).substr(colon + 1));
  if (port) c.port = *port;
  return port.has_value();
}

std::optional<Config> read_config(const Value& crd) {
  const Value& conversion = crd["spec"]["conversion"];
  const Value& client = conversion["webhook"]["clientConfig"];
  if (conversion["strategy"].as_string() != "Webhook" || !client.is_map()) return std::nullopt;
  Config c;
  c.crd = crd["metadata"]["name"].as_string();
  c.review_version = known_version(conversion["webhook"]["conversionReviewVersions"]);
  if (auto pem = base64_decode(client["caBundle"].as_string()); pem.ok()) c.ca_pem = trimmed(*pem);
  if (client["url"].is_string()) {
    c.url = client["url"].as_string();
    if (!split_url(c.url, c)) return std::nullopt;
    return c;
  }
  const Value& service = client["service"];
  c.service = true;
  c.service_namespace = service["namespace"].as_string();
  c.service_name = service["name"].as_string();
  const int64_t port = service["port"].is_null() ? 443 : service["port"].as_int();
  c.port = static_cast<uint16_t>(std::clamp<int64_t>(port, 1, 65535));
  c.host = c.service_name + "." + c.service_namespace + ".svc";
  c.path = service["path"].as_string();
  if (!c.path.starts_with('/')) c.path = "/" + c.path;
  c.url = "https://" + c.host + ":" + std::to_string(c.port) + c.path;
  return c;
}

std::string answer_failure(const net::Response& r) {
  if (r.status == 404) return "the server could not find the requested resource";
  std::string body = r.body.substr(0, 2048);
  if (body.empty()) body = "unknown";
  return "an error on the server (" + quoted(body) + ") has prevented the request from succeeding";
}

class Webhook final : public Converter, public std::enable_shared_from_this<Webhook> {
 public:
  Webhook(Config config, WebhookOptions options)
      : config_(std::move(config)), options_(std::move(options)) {
    if (options_.may_dial_url == nullptr) options_.may_dial_url = not_link_local;
  }

  // What belongs to a loop goes there to end.
  ~Webhook() override {
    for (auto& [loop, local] : locals_) {
      loop->post([held = std::shared_ptr<Local>(std::move(local))]() mutable { held.reset(); });
    }
  }

  Task<Result<std::vector<Document>>> convert(Context ctx, const KindDesc* to,
                                              std::vector<DocumentPtr> objects) override {
    auto self = shared_from_this();  // a definition that is replaced meanwhile goes on to the end
    const std::string desired(to->api_version());
    std::vector<Document> out(objects.size());
    std::vector<size_t> places;
    std::vector<DocumentPtr> waiting;
    size_t bytes = 0;
    for (size_t i = 0; i < objects.size(); ++i) {
      const Value& o = objects[i]->root;
      if (o["apiVersion"].as_string() == desired) {
        out[i] = objects[i]->clone();
        continue;
      }
      if (o.size() == 2 && o.find("kind") != nullptr && o.find("apiVersion") != nullptr) {
        out[i] = objects[i]->clone();
        out[i].root.set(out[i].arena, "apiVersion", Value::string(out[i].arena.copy(desired)));
        continue;
      }
      const size_t size = objects[i]->arena.bytes_reserved();
      if (!waiting.empty() &&
          (waiting.size() >= options_.objects || bytes + size > options_.bytes)) {
        Status s = co_await convert_some(ctx, desired, &waiting, &places, &out);
        if (!s.ok()) co_return s;
        bytes = 0;
      }
      bytes += size;
      places.push_back(i);
      waiting.push_back(objects[i]);
    }
    if (!waiting.empty()) {
      Status s = co_await convert_some(ctx, desired, &waiting, &places, &out);
      if (!s.ok()) co_return s;
    }
    co_return std::move(out);
  }

 private:
  // What one loop has of it.
  struct Local {
    explicit Local(int calls) : free(calls) {}
    Semaphore free;
    std::shared_ptr<net::HttpClient> client;
    std::string host;  // of the client
    uint16_t port = 0;
  };

  std::shared_ptr<Local> local(Loop& loop) {
    std::lock_guard lock(mutex_);
    auto& at = locals_[&loop];
    if (!at) at = std::make_shared<Local>(options_.calls);
    return at;
  }

  // One review. Empties `objects` and `places`.
  Task<Status> convert_some(Context ctx, std::string desired, std::vector<DocumentPtr>* objects,
                            std::vector<size_t>* places, std::vector<Document>* out) {
    Loop& loop = ctx.loop();
    const TimePoint began = loop.now();
    Review review;
    review.version = config_.review_version;
    review.uid = loop.random().uuid();
    review.desired = std::move(desired);
    review.objects = *objects;
    auto answer = co_await ask(ctx, &review);
    Result<std::vector<Document>> converted = Status(Reason::kUnknown, "no answer");
    AnswerFault fault = AnswerFault::kNone;
    if (answer.ok()) {
      converted = converted_objects(review, *answer, &fault);
    } else {
      converted = answer.status();
    }
    const std::string_view from = (*objects)[0]->root["apiVersion"].as_string();
    auto version = [](std::string_view api) { return std::string(api.substr(api.rfind('/') + 1)); };
    const std::chrono::duration<double> took = loop.now() - began;
    metrics::LabelValues labels{config_.crd, version(from), version(review.desired),
                                converted.ok() ? "true" : "false"};
    durations().with(labels).observe(took.count());
    tell_call(took.count(), failure_type(answer.ok(), fault));
    if (!converted.ok()) co_return converted.status();
    for (size_t i = 0; i < places->size(); ++i) (*out)[(*places)[i]] = std::move((*converted)[i]);
    objects->clear();
    places->clear();
    co_return Status();
  }

  // The webhook's answer; errors in upstream's words.
  Task<Result<std::string>> ask(Context ctx, const Review* review) {
    if (review->version.empty()) {
      co_return Status(Reason::kUnknown, "no supported conversion review versions");
    }
    auto mine = local(ctx.loop());
    Context call = ctx.with_timeout(options_.timeout);
    Status turn = co_await mine->free.acquire(call);
    if (!turn.ok()) co_return failed(*review, turn);
    auto response = co_await send(call, mine, request_text(*review));
    mine->free.release();
    if (!response.ok()) co_return failed(*review, response.status());
    if (response->status < 200 || response->status > 299) {
      co_return call_failed(*review, answer_failure(*response));
    }
    co_return std::move(response->body);
  }

  Status failed(const Review& review, const Status& why) const {
    return call_failed(
        review, "Post " + quoted(config_.url + "?timeout=30s") + ": " + std::string(why.message()));
  }

  Task<Result<net::Response>> send(Context ctx, std::shared_ptr<Local> mine, std::string body) {
    ServicePlace place;
    place.host = config_.host;
    place.port = config_.port;
    if (config_.service) {
      auto found = options_.find_service(config_.service_namespace, config_.service_name,
                                         config_.port, ctx.loop().random());
      if (!found.ok()) co_return found.status();
      place = std::move(*found);
    }
    auto allowed = config_.service ? options_.may_dial_service : options_.may_dial_url;
    auto addresses = co_await net::relay_addresses(ctx, place.host, allowed);
    if (!addresses.ok()) co_return addresses.status();
    const std::string address = addresses->front().text();
    if (!mine->client || mine->host != address || mine->port != place.port) {
      net::Endpoint e;
      e.host = address;
      e.port = place.port;
      e.tls.emplace();
      e.tls->ca_pem = config_.ca_pem;
      e.tls->server_name = config_.host;
      mine->client = net::HttpClient::create(ctx.loop(), std::move(e));
      mine->host = address;
      mine->port = place.port;
    }
    auto client = mine->client;
    net::Request request("POST", net::encode_target(config_.path), "timeout=30s", std::move(body));
    request.headers.add("Content-Type", "application/json");
    request.headers.add("Accept", "application/json");
    auto response = co_await client->send(ctx, std::move(request), kMaxAnswerBytes);
    co_return std::move(response);
  }

  Config config_;
  WebhookOptions options_;
  std::mutex mutex_;
  std::map<Loop*, std::shared_ptr<Local>> locals_;
};

}  // namespace

std::shared_ptr<Converter> make_webhook_converter(const ObjectPtr& definition,
                                                  const WebhookOptions& options) {
  auto config = read_config(definition->tree()->root);
  if (!config) return nullptr;
  return std::make_shared<Webhook>(std::move(*config), options);
}

}  // namespace keles::conversion
