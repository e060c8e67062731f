#include "client/https_client.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/encoding.h"
#include "base/file.h"
#include "base/metrics.h"
#include "base/text_parts.h"
#include "client/without_managers.h"
#include "machinery/codec_json.h"
#include "machinery/codec_protobuf.h"
#include "machinery/decode.h"
#include "machinery/status_codec.h"
#include "net/pki.h"

namespace keles {

namespace {

constexpr std::string_view kProtobuf = "application/vnd.kubernetes.protobuf";
constexpr std::string_view kJson = "application/json";

void add_query(std::string& q, std::string_view key, std::string_view value) {
  if (value.empty()) return;
  if (!q.empty()) q += '&';
  q.append(key).append("=").append(percent_encode(value));
}

// Built-in kinds have descriptors that live as long as the process; custom ones speak JSON only.
bool is_built_in(const KindDesc& kind) {
  return find_kind(kind.group, kind.version, kind.kind) == &kind;
}

bool is_protobuf(std::string_view content_type) { return content_type.starts_with(kProtobuf); }

std::string accept_of(const KindDesc& kind, bool stream) {
  if (!is_built_in(kind)) return std::string(kJson);
  std::string s(kProtobuf);
  if (stream) s += ";stream=watch";
  return s + ", " + std::string(kJson);
}

int64_t revision_of(const Document& d) {
  std::string_view s = d.root["metadata"]["resourceVersion"].as_string();
  int64_t v = 0;
  std::from_chars(s.data(), s.data() + s.size(), v);
  return v;
}

Result<Document> decode_any(const KindDesc& kind, const std::string& body) {
  return decode_body(kind, body);
}

// The same of an object that came as JSON.
void drop_managers(Document& doc) {
  if (Value* metadata = doc.root.find("metadata")) metadata->erase("managedFields");
}

Result<ObjectPtr> to_object(const KindDesc& kind, const std::string& body) {
  TRY_ASSIGN(doc, decode_any(kind, body));
  return Object::from_document(kind, std::move(doc));
}

// metadata.resourceVersion and metadata.continue, and the items, of a list in either encoding.
Status read_list_protobuf(const KindDesc& kind, std::string_view body, ListResult* into) {
  TRY_ASSIGN(envelope, open_protobuf(body));
  WireReader list(envelope.raw);
  while (!list.done()) {
    uint32_t field = list.tag();
    if (field == 1 && list.type() == 2) {
      WireReader meta(list.bytes());
      while (!meta.done()) {
        uint32_t f = meta.tag();
        if (f == 2 && meta.type() == 2) {
          into->resource_version = meta.bytes();
        } else if (f == 3 && meta.type() == 2) {
          into->continue_ = meta.bytes();
        } else {
          meta.skip();
        }
        if (!meta.ok()) return Status::internal("malformed list metadata");
      }
    } else if (field == 2 && list.type() == 2) {
      std::string item =
          wrap_protobuf(kind.api_version(), kind.kind, without_managers(list.bytes()));
      TRY_ASSIGN(object, to_object(kind, item));
      into->items.push_back(object);
    } else {
      list.skip();
    }
    if (!list.ok()) return Status::internal("malformed list");
  }
  return Status();
}

Status read_list_json(const KindDesc& kind, const std::string& body, ListResult* into) {
  TRY_ASSIGN(doc, parse_json(body));
  into->resource_version = doc.root["metadata"]["resourceVersion"].as_string();
  into->continue_ = doc.root["metadata"]["continue"].as_string();
  for (const Value& item : doc.root["items"].items()) {
    Document one;
    one.root = deep_copy(one.arena, item);
    drop_managers(one);
    TRY(decode_object(kind, one, FieldValidation::kIgnore));
    into->items.push_back(Object::from_document(kind, std::move(one)));
  }
  return Status();
}

// What a subresource takes and answers, by its description; without a group and version of its own
// those of its parent.
const KindDesc& body_kind(const KindDesc& kind, const std::string& subresource) {
  const SubresourceDesc* sub = subresource.empty() ? nullptr : kind.subresource(subresource);
  if (!sub || sub->kind.empty()) return kind;
  bool foreign = !sub->group.empty() || !sub->version.empty();
  const KindDesc* own = find_kind(foreign ? sub->group : kind.group,
                                  foreign ? sub->version : kind.version, sub->kind);
  return own ? *own : kind;
}

std::string write_query(const WriteOptions& o) {
  std::string q;
  add_query(q, "fieldManager", o.field_manager);
  if (o.dry_run) add_query(q, "dryRun", "All");
  if (o.force) add_query(q, "force", "true");
  return q;
}

}  // namespace

namespace {

// What upstream's client refuses before it asks: a name that is no single part of a path could name
// another object, or a subresource. (Pods name their ConfigMaps and Secrets in any letters.)
Status check_segment(std::string_view what, std::string_view name) {
  std::string why;
  if (name == "." || name == "..") {
    why = "may not be '" + std::string(name) + "'";
  } else if (name.find('/') != name.npos) {
    why = "may not contain '/'";
  } else if (name.find('%') != name.npos) {
    why = "may not contain '%'";
  }
  if (why.empty()) return Status();
  return Status::bad_request("invalid " + std::string(what) + " \"" + std::string(name) + "\": [" +
                             why + "]");
}

Status check_segments(std::string_view ns, std::string_view name) {
  TRY(check_segment("namespace", ns));
  return check_segment("resource name", name);
}

}  // namespace

std::string HttpsClient::path_of(const KindDesc& kind, std::string_view ns, std::string_view name,
                                 std::string_view subresource) {
  std::string p = kind.group.empty() ? "/api/" : "/apis/" + std::string(kind.group) + "/";
  p += kind.version;
  if (kind.namespaced && !ns.empty()) p += "/namespaces/" + percent_encode(ns);
  p += "/" + std::string(kind.plural);
  if (!name.empty()) p += "/" + percent_encode(name);
  if (!subresource.empty()) p += "/" + std::string(subresource);
  return p;
}

HttpsClient::HttpsClient(Loop& loop, ClientConfig config, HttpsClientOptions options)
    : loop_(loop),
      config_(std::move(config)),
      options_(std::move(options)),
      http_(net::HttpClient::create(loop, config_.endpoint)),
      token_(config_.token) {}

void HttpsClient::set_identity(net::TlsIdentity identity) {
  if (!config_.endpoint.tls) return;
  config_.endpoint.tls->identity = std::move(identity);
  former_ = std::exchange(http_, net::HttpClient::create(loop_, config_.endpoint));
}

HttpsClient::~HttpsClient() = default;

Result<std::string> HttpsClient::authorization() {
  if (!config_.token_file.empty() && (token_read_.ns == 0 || loop_.now() - token_read_ >= 60s)) {
    auto text = read_file(config_.token_file, 1u << 20);
    if (text.ok()) {
      token_ = trim_right(*text);
      token_read_ = loop_.now();
    } else if (token_.empty()) {
      return text.status().with_prefix("reading the token file " + config_.token_file);
    }
  }
  if (!token_.empty()) return "Bearer " + token_;
  if (!config_.username.empty()) {
    return "Basic " + base64_encode(config_.username + ":" + config_.password);
  }
  return std::string();
}

Result<net::Request> HttpsClient::request(std::string method, std::string path, std::string query,
                                          net::Headers headers, std::string body) {
  net::Request r;
  r.method = std::move(method);
  r.path = config_.path_prefix + path;
  r.query = std::move(query);
  r.headers = std::move(headers);
  r.headers.set("User-Agent", options_.user_agent);
  TRY_ASSIGN(auth, authorization());
  if (!auth.empty()) r.headers.set("Authorization", auth);
  r.body = std::move(body);
  return r;
}

namespace {

// Upstream's names (k8s.io/component-base/metrics/prometheus/restclient).
void count_request(const std::string& verb, const std::string& host, const std::string& code,
                   Duration took) {
  static metrics::Counter& all =
      metrics::counter("rest_client_requests_total",
                       "Number of HTTP requests, partitioned by status code, method, and host.",
                       {"code", "method", "host"});
  static metrics::Histogram& seconds = metrics::histogram(
      "rest_client_request_duration_seconds",
      "Request latency in seconds. Broken down by verb, and host.", {"verb", "host"},
      {0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0});
  all.with({code, verb, host}).add();
  seconds.with({verb, host}).observe(std::chrono::duration<double>(took).count());
}

}  // namespace

Task<Result<net::Response>> HttpsClient::raw(Context ctx, std::string method, std::string path,
                                             std::string query, net::Headers headers,
                                             std::string body) {
  auto r = request(std::move(method), std::move(path), std::move(query), std::move(headers),
                   std::move(body));
  if (!r.ok()) co_return r.status();
  const std::string verb = r->method;
  const TimePoint start = ctx.loop().now();
  auto answer = co_await http_->send(ctx, std::move(*r));
  std::string code = "<error>";
  if (answer.ok()) code = std::to_string(answer->status);
  const net::Endpoint& server = config_.endpoint;
  count_request(verb, server.host + ":" + std::to_string(server.port), code,
                ctx.loop().now() - start);
  co_return answer;
}

Task<Result<std::unique_ptr<net::ResponseStream>>> HttpsClient::raw_stream(
    Context ctx, std::string method, std::string path, std::string query, net::Headers headers,
    std::string body) {
  auto r = request(std::move(method), std::move(path), std::move(query), std::move(headers),
                   std::move(body));
  if (!r.ok()) co_return r.status();
  co_return co_await http_->open(ctx, std::move(*r));
}

// Sends, waits out a busy server, and turns error answers into their Status.
Task<Result<net::Response>> HttpsClient::call(Context ctx, std::string method, std::string path,
                                              std::string query, net::Headers headers,
                                              std::string body) {
  Context limited = ctx.with_timeout(options_.timeout);
  for (int attempt = 0;; ++attempt) {
    auto r = co_await raw(limited, method, path, query, headers, body);
    if (!r.ok()) {
      // A connection that the server had closed meanwhile: what only reads may simply ask again.
      bool lost = r.status().is(Reason::kOutcomeUnknown) || r.status().is(Reason::kUnavailable);
      if (method == "GET" && lost && attempt == 0 && !limited.done()) continue;
      if (method == "GET" && r.status().is(Reason::kOutcomeUnknown)) {
        co_return Status::unavailable(r.status().message());
      }
      co_return r.status();
    }
    if (r->status < 300) co_return std::move(*r);
    auto after = r->headers.get("Retry-After");
    bool busy = (r->status == 429 || r->status == 503) && after;
    if (busy && attempt < options_.busy_retries) {
      int64_t seconds = 1;
      std::from_chars(after->data(), after->data() + after->size(), seconds);
      TRY_CO(limited.sleep(std::chrono::seconds(std::max<int64_t>(seconds, 1))));
      continue;
    }
    co_return status_from_body(r->body, r->status);
  }
}

Task<Result<ObjectPtr>> HttpsClient::get(Context ctx, const KindDesc* kind, std::string ns,
                                         std::string name) {
  if (Status bad = check_segments(ns, name); !bad.ok()) co_return bad;
  net::Headers headers{{"Accept", accept_of(*kind, false)}};
  auto r = co_await call(ctx, "GET", path_of(*kind, ns, name), "", headers, "");
  if (!r.ok()) co_return r.status();
  co_return to_object(*kind, r->body);
}

Task<Result<ListResult>> HttpsClient::list(Context ctx, const KindDesc* kind, std::string ns,
                                           ListOptions options) {
  if (Status bad = check_segments(ns, ""); !bad.ok()) co_return bad;
  ListResult out;
  bool whole = options.limit == 0;
  // A list from the server's memory ("0") comes at once; others page by page.
  int64_t page = whole && options.resource_version != "0" ? options_.list_page : options.limit;
  for (;;) {
    std::string q;
    add_query(q, "labelSelector", options.label_selector);
    add_query(q, "fieldSelector", options.field_selector);
    if (options.continue_.empty()) {
      add_query(q, "resourceVersion", options.resource_version);
      add_query(q, "resourceVersionMatch", options.resource_version_match);
    }
    add_query(q, "continue", options.continue_);
    if (page > 0) add_query(q, "limit", std::to_string(page));
    net::Headers headers{{"Accept", accept_of(*kind, false)}};
    auto r = co_await call(ctx, "GET", path_of(*kind, ns, ""), q, headers, "");
    if (!r.ok()) co_return r.status();
    out.continue_.clear();
    auto type = r->headers.get("Content-Type");
    bool protobuf = type && is_protobuf(*type);
    Status s =
        protobuf ? read_list_protobuf(*kind, r->body, &out) : read_list_json(*kind, r->body, &out);
    if (!s.ok()) co_return s;
    if (!whole || out.continue_.empty()) co_return std::move(out);
    options.continue_ = out.continue_;
  }
}

// --- watch ---

Result<bool> WatchDecoder::make(std::string_view type, Result<Document> object, WatchEvent* event) {
  if (!object.ok()) return object.status();
  event->revision = revision_of(*object);
  if (type == "BOOKMARK") {
    event->type = WatchEvent::Type::kBookmark;
    event->object = nullptr;
    return true;
  }
  event->type = type == "ADDED"     ? WatchEvent::Type::kAdded
                : type == "DELETED" ? WatchEvent::Type::kDeleted
                                    : WatchEvent::Type::kModified;
  event->object = Object::from_document(*kind_, std::move(*object));
  return true;
}

Result<bool> WatchDecoder::decode(std::string_view frame, WatchEvent* event) {
  WireReader r(frame);
  std::string_view type, object;
  while (!r.done()) {
    uint32_t field = r.tag();
    if (field == 1 && r.type() == 2) {
      type = r.bytes();
    } else if (field == 2 && r.type() == 2) {
      WireReader raw(r.bytes());
      while (!raw.done()) {
        if (raw.tag() == 1 && raw.type() == 2) {
          object = raw.bytes();
        } else {
          raw.skip();
        }
        if (!raw.ok()) return Status::unavailable("malformed watch event");
      }
    } else {
      r.skip();
    }
    if (!r.ok()) return Status::unavailable("malformed watch event");
  }
  if (type == "ERROR") return status_from_body(object, 500);
  auto envelope = open_protobuf(object);
  if (!envelope.ok()) return make(type, decode_body(*kind_, object), event);
  const std::string slim =
      wrap_protobuf(envelope->api_version, envelope->kind, without_managers(envelope->raw));
  return make(type, decode_body(*kind_, slim), event);
}

Result<bool> WatchDecoder::decode_json(std::string_view frame, WatchEvent* event) {
  auto doc = parse_json(frame);
  if (!doc.ok()) return doc.status();
  std::string_view type = doc->root["type"].as_string();
  const Value& object = doc->root["object"];
  if (type == "ERROR") return status_from_value(object);
  Document one;
  one.root = deep_copy(one.arena, object);
  drop_managers(one);
  if (type != "BOOKMARK") TRY(decode_object(*kind_, one, FieldValidation::kIgnore));
  return make(type, std::move(one), event);
}

Result<bool> WatchDecoder::next(WatchEvent* event) {
  if (at_ > (1u << 16) && at_ * 2 > buffer_.size()) {
    buffer_.erase(0, at_);
    at_ = 0;
  }
  std::string_view rest = std::string_view(buffer_).substr(at_);
  if (json_) {
    size_t end = rest.find('\n');
    if (end == std::string_view::npos) {
      if (rest.size() > max_frame_) return Status::unavailable("a watch event is too large");
      return false;
    }
    at_ += end + 1;
    return decode_json(rest.substr(0, end), event);
  }
  if (rest.size() < 4) return false;
  uint32_t size = 0;
  for (int i = 0; i < 4; ++i) size = size << 8 | static_cast<uint8_t>(rest[static_cast<size_t>(i)]);
  if (size > max_frame_) return Status::unavailable("a watch event is too large");
  if (rest.size() - 4 < size) return false;
  at_ += 4 + size;
  return decode(rest.substr(4, size), event);
}

namespace {

class HttpsWatch final : public Watch {
 public:
  HttpsWatch(std::unique_ptr<net::ResponseStream> stream, const KindDesc* kind, bool json)
      : stream_(std::move(stream)), decoder_(kind, json) {}
  Task<Result<WatchEvent>> next(Context ctx) override {
    for (;;) {
      WatchEvent e{};
      auto got = decoder_.next(&e);
      if (!got.ok()) co_return got.status();
      if (*got) co_return std::move(e);
      auto more = co_await stream_->read(ctx);
      if (!more.ok()) co_return more.status();
      if (more->empty()) co_return Status::cancelled("the server ended the watch");
      decoder_.feed(*more);
    }
  }

 private:
  std::unique_ptr<net::ResponseStream> stream_;
  WatchDecoder decoder_;
};

}  // namespace

Task<Result<std::unique_ptr<Watch>>> HttpsClient::watch(Context ctx, const KindDesc* kind,
                                                        std::string ns, WatchOptions options) {
  if (Status bad = check_segments(ns, ""); !bad.ok()) co_return bad;
  std::string q = "watch=true";
  add_query(q, "labelSelector", options.label_selector);
  add_query(q, "fieldSelector", options.field_selector);
  add_query(q, "resourceVersion", options.resource_version);
  if (options.allow_bookmarks) add_query(q, "allowWatchBookmarks", "true");
  if (options.timeout_seconds > 0) {
    add_query(q, "timeoutSeconds", std::to_string(options.timeout_seconds));
  }
  net::Headers headers{{"Accept", accept_of(*kind, true)}};
  auto r = co_await raw_stream(ctx, "GET", path_of(*kind, ns, ""), q, headers, "");
  if (!r.ok()) {
    if (r.status().is(Reason::kOutcomeUnknown)) {
      co_return Status::unavailable(r.status().message());
    }
    co_return r.status();
  }
  std::unique_ptr<net::ResponseStream> stream = std::move(*r);
  if (stream->status() >= 300) {
    std::string body;
    while (body.size() < (1u << 20)) {
      auto more = co_await stream->read(ctx);
      if (!more.ok() || more->empty()) break;
      body += *more;
    }
    co_return status_from_body(body, stream->status());
  }
  auto type = stream->headers().get("Content-Type");
  bool json = !type || !is_protobuf(*type);
  co_return std::unique_ptr<Watch>(std::make_unique<HttpsWatch>(std::move(stream), kind, json));
}

// --- writes ---

Task<Result<ObjectPtr>> HttpsClient::write(Context ctx, std::string method, const KindDesc* kind,
                                           std::string ns, std::string name,
                                           std::string content_type, std::string body,
                                           WriteOptions options, std::string query) {
  if (Status bad = check_segments(ns, name); !bad.ok()) co_return bad;
  net::Headers headers{{"Accept", accept_of(*kind, false)}};
  if (!body.empty()) headers.add("Content-Type", content_type);
  std::string path = path_of(*kind, ns, name, options.subresource);
  auto r = co_await call(ctx, std::move(method), std::move(path), std::move(query), headers,
                         std::move(body));
  if (!r.ok()) co_return r.status();
  // A binding or an eviction answers a Status; a scale or a token request an object of its own.
  if (options.subresource == "binding" || options.subresource == "eviction") {
    co_return ObjectPtr();
  }
  const KindDesc* answers = &body_kind(*kind, options.subresource);
  co_return to_object(*answers, r->body);
}

namespace {

// The body of a create or update, in the encoding that the kind travels in.
std::string encode_body(const KindDesc& kind, const Document& body, bool* protobuf) {
  std::string out;
  *protobuf = is_built_in(kind);
  if (*protobuf) return encode_object(kind, body.root);
  write_json(out, kind, body.root);
  return out;
}

}  // namespace

Task<Result<ObjectPtr>> HttpsClient::create(Context ctx, const KindDesc* kind, std::string ns,
                                            std::string name, Document body, WriteOptions options) {
  bool protobuf = false;
  std::string bytes = encode_body(body_kind(*kind, options.subresource), body, &protobuf);
  std::string q = write_query(options);
  std::string type(protobuf ? kProtobuf : kJson);
  if (options.subresource.empty()) name.clear();
  co_return co_await write(ctx, "POST", kind, ns, name, type, std::move(bytes), options, q);
}

Task<Result<ObjectPtr>> HttpsClient::update(Context ctx, const KindDesc* kind, std::string ns,
                                            std::string name, Document body, WriteOptions options) {
  bool protobuf = false;
  std::string bytes = encode_body(body_kind(*kind, options.subresource), body, &protobuf);
  std::string q = write_query(options);
  std::string type(protobuf ? kProtobuf : kJson);
  co_return co_await write(ctx, "PUT", kind, ns, name, type, std::move(bytes), options, q);
}

Task<Result<ObjectPtr>> HttpsClient::patch(Context ctx, const KindDesc* kind, std::string ns,
                                           std::string name, PatchType type, Document body,
                                           WriteOptions options) {
  std::string bytes = to_json(body.root);
  std::string q = write_query(options);
  std::string media(patch_media_type(type));
  co_return co_await write(ctx, "PATCH", kind, ns, name, media, std::move(bytes), options, q);
}

Task<Result<ObjectPtr>> HttpsClient::remove(Context ctx, const KindDesc* kind, std::string ns,
                                            std::string name, DeleteOptions options) {
  if (Status bad = check_segments(ns, name); !bad.ok()) co_return bad;
  Document d;
  d.root = Value::map();
  auto text = [&d](std::string_view s) { return Value::string(d.arena.copy(s)); };
  d.root.set(d.arena, "kind", Value::string("DeleteOptions"));
  d.root.set(d.arena, "apiVersion", Value::string("v1"));
  if (options.grace_period_seconds) {
    d.root.set(d.arena, "gracePeriodSeconds", Value(*options.grace_period_seconds));
  }
  if (!options.propagation_policy.empty()) {
    d.root.set(d.arena, "propagationPolicy", text(options.propagation_policy));
  }
  if (!options.uid.empty() || !options.resource_version.empty()) {
    Value& p = d.root.set(d.arena, "preconditions", Value::map());
    if (!options.uid.empty()) p.set(d.arena, "uid", text(options.uid));
    if (!options.resource_version.empty()) {
      p.set(d.arena, "resourceVersion", text(options.resource_version));
    }
  }
  std::string bytes = to_json(d.root);
  net::Headers headers{{"Accept", accept_of(*kind, false)}, {"Content-Type", std::string(kJson)}};
  auto r = co_await call(ctx, "DELETE", path_of(*kind, ns, name), "", headers, std::move(bytes));
  if (!r.ok()) co_return r.status();
  // The object while it is only marked for deletion; a Status {Success} once it is gone.
  auto object = to_object(*kind, r->body);
  if (!object.ok()) co_return ObjectPtr();
  co_return *object;
}

}  // namespace keles
