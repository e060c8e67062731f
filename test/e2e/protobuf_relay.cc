// Between kubectl, which speaks JSON, and an API server that is to hear and speak protobuf: bodies
// go on in protobuf, answers, lists and watches are asked for in protobuf and come back in JSON. A
// read is asked for a second time in JSON, and must be the same object. What has no protobuf
// (Tables, patches, discovery, text) and bodies that are no object pass as they are.
//
// Who calls is who the server would see: a client certificate becomes an impersonation by an
// administrator, everything else (tokens, --as) is handed on.
//
// protobuf_relay --data-dir DIR --server-port N --port N   (DIR: the server's, for its CA)
#include <algorithm>
#include <cstdio>
#include <string>

#include "base/file.h"
#include "base/flags.h"
#include "base/loop.h"
#include "keles/runtime.h"
#include "machinery/codec_json.h"
#include "machinery/codec_protobuf.h"
#include "machinery/convert.h"
#include "machinery/decode.h"
#include "net/http.h"
#include "net/pki.h"

namespace keles {
namespace {

constexpr std::string_view kProtobuf = "application/vnd.kubernetes.protobuf";
constexpr std::string_view kJson = "application/json";

std::vector<std::string_view> segments(std::string_view path) {
  std::vector<std::string_view> out;
  while (!path.empty()) {
    path.remove_prefix(1);  // '/'
    size_t slash = std::min(path.find('/'), path.size());
    if (slash > 0) out.push_back(path.substr(0, slash));
    path.remove_prefix(slash);
  }
  return out;
}

// The kind whose path this is; null when it is of no resource, or of more than one object's own.
const KindDesc* kind_of_path(std::string_view path) {
  auto s = segments(path);
  size_t at = !s.empty() && s[0] == "apis" ? 3 : 2;
  if (s.size() <= at || (s[0] != "api" && s[0] != "apis")) return nullptr;
  std::string_view group = at == 3 ? s[1] : "", version = s[at - 1];
  if (s[at] == "namespaces" && s.size() > at + 2 && s[at + 2] != "status" &&
      s[at + 2] != "finalize") {
    at += 2;
  }
  for (const KindDesc* k : all_kinds()) {
    if (k->group == group && k->version == version && k->plural == s[at]) return k;
  }
  return nullptr;
}

bool asks_to_watch(const net::Request& r) {
  return r.method == "GET" &&
         (r.query.find("watch=true") != r.query.npos || r.query.find("watch=1") != r.query.npos);
}

bool is_protobuf(const net::Headers& headers) {
  auto type = headers.get("Content-Type");
  return type && type->starts_with(kProtobuf);
}

// A request's body in protobuf; nothing when it is not an object, or would not stay the same.
std::optional<std::string> in_protobuf(const net::Request& r) {
  auto type = r.headers.get("Content-Type");
  if ((r.method != "POST" && r.method != "PUT") || !type || !type->starts_with(kJson)) return {};
  auto parsed = parse_json(r.body);
  if (!parsed.ok() || parsed->root["kind"].is_null()) return {};
  auto object = read_any_object(r.body);
  if (!object.ok()) return {};
  std::string out = encode_object(*object->kind, object->doc.root);
  auto back = decode_object_protobuf(*object->kind, out);
  if (!back.ok()) return {};
  return out;
}

// An object, list or Status in its envelope, as JSON.
Result<std::string> in_json(const std::string& body) {
  TRY_ASSIGN(envelope, open_protobuf(body));
  const KindDesc* kind = find_kind(envelope.api_version, envelope.kind);
  if (!kind) {
    return Status::internal("an answer of kind " + std::string(envelope.api_version) + " " +
                            std::string(envelope.kind));
  }
  TRY_ASSIGN(doc, decode_object_protobuf(*kind, body));
  // A list of nothing and no list are the same in protobuf.
  if (kind->kind.ends_with("List") && doc.root["items"].is_null())
    doc.root.set(doc.arena, "items", Value::list());
  std::string out;
  write_json(out, *kind, doc.root);
  return out;
}

// "" or what differs between one answer in both encodings.
std::string difference(const std::string& from_protobuf, const std::string& json) {
  auto a = parse_json(from_protobuf), b = parse_json(json);
  if (!a.ok() || !b.ok()) return "one of the answers is not JSON";
  auto revision = [](const Document& d) {
    return d.root["metadata"]["resourceVersion"].as_string();
  };
  if (revision(*a) != revision(*b)) return "";  // it has changed in between
  if (a->root.equals(b->root)) return "";
  return "protobuf says " + from_protobuf + "\nJSON says " + json;
}

// The watch events in a stream of protobuf frames (length, then the event), as lines of JSON.
class EventLines {
 public:
  // Appends the lines of the frames that `bytes` completes, and counts them.
  Status feed(const std::string& bytes, std::string* lines, int* events) {
    buffer_ += bytes;
    while (buffer_.size() >= 4) {
      size_t n = 0;
      for (int i = 0; i < 4; ++i)
        n = n << 8 | static_cast<uint8_t>(buffer_[static_cast<size_t>(i)]);
      if (buffer_.size() < 4 + n) break;
      TRY_ASSIGN(line, line_of(std::string_view(buffer_).substr(4, n)));
      *lines += line;
      ++*events;
      buffer_.erase(0, 4 + n);
    }
    return Status();
  }

 private:
  // metav1.WatchEvent: type = 1, object = 2 (RawExtension: raw = 1).
  static Result<std::string> line_of(std::string_view frame) {
    std::string type, object;
    WireReader r(frame);
    while (!r.done() && r.ok()) {
      const uint32_t field = r.tag();
      if (field == 1 && r.type() == 2) {
        type = r.bytes();
      } else if (field == 2 && r.type() == 2) {
        WireReader raw(r.bytes());
        if (raw.tag() == 1 && raw.type() == 2) object = raw.bytes();
      } else {
        r.skip();
      }
    }
    TRY_ASSIGN(json, in_json(object));
    return "{\"type\":\"" + type + "\",\"object\":" + json + "}\n";
  }
  std::string buffer_;
};

net::Headers without_framing(const net::Headers& headers) {
  net::Headers out = headers;
  for (const char* name : {"Connection", "Content-Length", "Transfer-Encoding", "Accept-Encoding",
                           "Host", "Keep-Alive", "Upgrade", "TE"}) {
    out.erase(name);
  }
  return out;
}

class Relay {
 public:
  Relay(Loop& loop, net::Endpoint as_admin, net::Endpoint as_nobody)
      : admin_(net::HttpClient::create(loop, std::move(as_admin))),
        nobody_(net::HttpClient::create(loop, std::move(as_nobody))) {}

  Task<void> handle(Context ctx, net::Request* request, net::Responder* responder);
  // How much went through in protobuf: a run in which nothing did has proved nothing.
  std::string summary() const {
    return std::to_string(bodies_) + " bodies, " + std::to_string(answers_) + " answers, " +
           std::to_string(events_) + " events in protobuf; " + std::to_string(compared_) +
           " reads compared, " + std::to_string(different_) + " differ";
  }

 private:
  Task<Status> answer(net::Request out, net::HttpClient* client, Context ctx,
                      net::Responder* responder);
  Task<Status> watch(net::Request out, net::HttpClient* client, Context ctx,
                     net::Responder* responder);
  Task<Result<std::string>> convert(net::Request asked, const net::Response* got,
                                    net::HttpClient* client, Context ctx);

  std::unique_ptr<net::HttpClient> admin_, nobody_;
  int bodies_ = 0, answers_ = 0, events_ = 0, compared_ = 0, different_ = 0;
};

Task<void> Relay::handle(Context ctx, net::Request* request, net::Responder* responder) {
  net::Request out(request->method, request->path, request->query, request->body);
  out.headers = without_framing(request->headers);
  net::HttpClient* client = request->peer ? admin_.get() : nobody_.get();
  if (request->peer && !out.headers.get("Impersonate-User")) {
    out.headers.add("Impersonate-User", request->peer->common_name);
    for (const std::string& group : request->peer->organizations)
      out.headers.add("Impersonate-Group", group);
  }
  auto body = in_protobuf(*request);
  if (body) {
    ++bodies_;
    out.body = std::move(*body);
    out.headers.set("Content-Type", std::string(kProtobuf));
  }
  const KindDesc* kind = kind_of_path(out.path);
  std::string accept(out.headers.get("Accept").value_or("*/*"));
  bool plain = kind && accept.find("as=") == accept.npos;
  const bool watches = plain && asks_to_watch(*request);
  if (plain) {
    out.headers.set("Accept", std::string(kProtobuf) + (watches ? ";stream=watch, " : ", ") +
                                  std::string(kJson));
  }
  Status s;
  if (watches) {
    s = co_await watch(std::move(out), client, ctx, responder);
  } else {
    s = co_await answer(std::move(out), client, ctx, responder);
  }
  if (!s.ok() && !ctx.done()) std::fprintf(stderr, "%s\n", s.to_string().c_str());
}

// The JSON of an answer in protobuf, after a look at what JSON itself would have said.
Task<Result<std::string>> Relay::convert(net::Request asked, const net::Response* got,
                                         net::HttpClient* client, Context ctx) {
  auto json = in_json(got->body);
  if (!json.ok()) co_return json;
  ++answers_;
  if (asked.method != "GET" || got->status != 200) co_return json;
  asked.headers.set("Accept", std::string(kJson));
  auto other = co_await client->send(ctx, std::move(asked));
  if (!other.ok() || other->status != 200) co_return json;
  ++compared_;
  std::string wrong = difference(*json, other->body);
  if (wrong.empty()) co_return json;
  ++different_;
  co_return Status::internal(wrong);
}

Task<Status> Relay::answer(net::Request out, net::HttpClient* client, Context ctx,
                           net::Responder* responder) {
  net::Request again = out;
  auto got = co_await client->send(ctx, std::move(out));
  if (!got.ok()) {
    auto sorry = net::as_body(got.status().to_string());
    co_return co_await responder->respond(502, net::Headers(), std::move(sorry));
  }
  net::Headers headers = without_framing(got->headers);
  if (!is_protobuf(got->headers)) {
    auto body = net::as_body(std::move(got->body));
    co_return co_await responder->respond(got->status, std::move(headers), std::move(body));
  }
  const net::Response* seen = &*got;
  auto json = co_await convert(std::move(again), seen, client, ctx);
  if (!json.ok()) {
    std::fprintf(stderr, "%s\n", json.status().message().c_str());
    auto sorry = net::as_body("protobuf relay: " + json.status().message());
    co_return co_await responder->respond(500, net::Headers(), std::move(sorry));
  }
  headers.set("Content-Type", std::string(kJson));
  auto body = net::as_body(std::move(*json));
  co_return co_await responder->respond(got->status, std::move(headers), std::move(body));
}

Task<Status> Relay::watch(net::Request out, net::HttpClient* client, Context ctx,
                          net::Responder* responder) {
  auto opened = co_await client->open(ctx, std::move(out));
  if (!opened.ok()) co_return opened.status();
  std::unique_ptr<net::ResponseStream> stream = std::move(*opened);
  const bool protobuf = is_protobuf(stream->headers());
  net::Headers headers = without_framing(stream->headers());
  if (protobuf) headers.set("Content-Type", std::string(kJson));
  TRY_CO(responder->begin(stream->status(), std::move(headers)));
  EventLines lines;
  std::string refused;  // an error's body, whole
  for (;;) {
    auto piece = co_await stream->read(ctx);
    if (!piece.ok() || piece->empty()) break;
    std::string text;
    if (!protobuf) {
      text = std::move(*piece);
    } else if (stream->status() != 200) {
      refused += *piece;
    } else {
      Status s = lines.feed(*piece, &text, &events_);
      if (!s.ok()) co_return s;
    }
    if (text.empty()) continue;
    auto parts = net::as_body(std::move(text));
    TRY_CO(responder->write(std::move(parts)));
  }
  if (!refused.empty()) {
    auto json = in_json(refused);
    std::string text = json.status().message();
    if (json.ok()) text = std::move(*json);
    auto parts = net::as_body(std::move(text));
    TRY_CO(responder->write(std::move(parts)));
  }
  co_return co_await responder->finish();
}

struct Flagged {
  std::string data_dir;
  int64_t port = 0, server_port = 0;
};

net::Endpoint server_of(const Flagged& f, const std::string& ca,
                        std::optional<net::TlsIdentity> identity) {
  net::Endpoint e;
  e.host = "127.0.0.1";
  e.port = static_cast<uint16_t>(f.server_port);
  e.tls.emplace();
  e.tls->ca_pem = ca;
  e.tls->identity = std::move(identity);
  return e;
}

// Whom its clients meet, and as whom it goes on.
struct Identities {
  std::string ca_pem;
  net::TlsIdentity own, admin;
};

Result<Identities> make_identities(const std::string& data_dir, WallTime now) {
  net::TlsIdentity ca;
  TRY_ASSIGN(certificate, read_file(data_dir + "/pki/ca.crt"));
  TRY_ASSIGN(key, read_file(data_dir + "/pki/ca.key"));
  ca.certificate_pem = certificate;
  ca.key_pem = key;
  net::CertificateSpec spec;
  spec.common_name = "protobuf-relay";
  spec.ip_addresses = {"127.0.0.1"};
  spec.server = true;
  spec.not_before = now - 1h;
  spec.not_after = now + 24h;
  TRY_ASSIGN(own, net::issue_certificate(ca, spec));
  TRY_ASSIGN(admin, net::issue_client(ca, "relay", {"system:masters"}, now));
  return Identities{ca.certificate_pem, own, admin};
}

Task<Status> serve(Context ctx, const Flagged* f) {
  auto made = make_identities(f->data_dir, ctx.loop().wall_now());
  if (!made.ok()) co_return made.status();
  net::Endpoint as_admin = server_of(*f, made->ca_pem, made->admin);
  net::Endpoint as_nobody = server_of(*f, made->ca_pem, std::nullopt);
  auto relay = std::make_shared<Relay>(ctx.loop(), std::move(as_admin), std::move(as_nobody));
  net::ServerOptions options;
  options.port = static_cast<uint16_t>(f->port);
  options.tls = made->own;
  options.client_ca_pem = made->ca_pem;
  options.max_body_bytes = 64u << 20;
  std::vector<Loop*> loops(1, &ctx.loop());
  net::Handler handler = [relay](Context c, net::Request* request, net::Responder* responder) {
    return relay->handle(std::move(c), request, responder);
  };
  auto server = net::Server::start(std::move(loops), std::move(options), std::move(handler));
  if (!server.ok()) co_return server.status();
  (void)co_await ctx.sleep(24h);
  Context closing = Context::root(ctx.loop()).with_timeout(5s);
  co_await (*server)->stop(closing);
  std::fprintf(stderr, "%s\n", relay->summary().c_str());
  co_return Status();
}

}  // namespace
}  // namespace keles

int main(int argc, char** argv) {
  keles::Flagged f;
  keles::Flags flags("Usage: protobuf_relay --data-dir DIR --server-port N --port N\n");
  flags.add("data-dir", &f.data_dir, "The server's, for its CA.");
  flags.add("server-port", &f.server_port, "Where it listens.");
  flags.add("port", &f.port, "Where to listen.");
  const std::vector<std::string> args(argv + 1, argv + argc);
  return keles::run_command(&flags, args, [&](const std::vector<std::string>&) -> keles::Status {
    return keles::run_program([&](keles::Context ctx) { return keles::serve(ctx, &f); });
  });
}
