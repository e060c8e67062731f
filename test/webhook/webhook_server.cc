// An admission webhook over the project's libraries (see README.md): what admission asks.
#include <cstdio>

#include "base/encoding.h"
#include "base/file.h"
#include "base/flags.h"
#include "base/sync.h"
#include "keles/runtime.h"
#include "machinery/codec_json.h"
#include "net/http.h"
#include "net/pki.h"

namespace keles::webhook {
namespace {

constexpr size_t kMaxLog = 64 * 1024;

std::string json_text(std::string_view s) {
  std::string out;
  write_json_string(out, s);
  return out;
}

bool marked(const Value& object) { return !object["metadata"]["labels"]["refuse"].is_null(); }

std::string refusal(std::string_view why) {
  return R"("allowed":false,"status":{"code":403,"reason":"Forbidden","message":)" +
         json_text(why) + "}";
}

std::string patch(std::string_view operations) {
  return R"("allowed":true,"patchType":"JSONPatch","patch":)" +
         json_text(base64_encode(operations));
}

class Server {
 public:
  net::Handler handler() {
    return [this](Context ctx, net::Request* q, net::Responder* r) { return serve(ctx, q, r); };
  }

 private:
  Task<void> serve(Context ctx, net::Request* q, net::Responder* r) {
    std::string body = log_, type = "text/plain";
    if (q->method == "POST") {
      auto review = parse_json(q->body);
      if (review.ok()) note(review->root["request"]);
      if (q->path == "/late") (void)co_await ctx.sleep(10s);
      body = review.ok() ? answer(q->path, review->root) : "";
      type = "application/json";
    }
    net::Headers h{{"Content-Type", type}};
    auto parts = net::as_body(std::move(body));
    (void)co_await r->respond(200, std::move(h), std::move(parts));
  }

  void note(const Value& request) {
    if (log_.size() > kMaxLog) log_.clear();
    log_ += std::string(request["operation"].as_string()) + " " +
            std::string(request["resource"]["resource"].as_string());
    if (request["subResource"].is_string()) {
      log_ += "/" + std::string(request["subResource"].as_string());
    }
    log_ += " " + std::string(request["kind"]["kind"].as_string()) + " " +
            std::string(request["name"].as_string()) + " by " +
            std::string(request["userInfo"]["username"].as_string()) +
            (request["dryRun"].as_bool() ? " (dry run)\n" : "\n");
  }

  static std::string answer(std::string_view path, const Value& review) {
    const Value& request = review["request"];
    if (path == "/ill") return "I am ill";
    std::string out = R"({"kind":"AdmissionReview","apiVersion":)";
    write_json(out, review["apiVersion"]);
    out += R"(,"response":{"uid":)";
    write_json(out, request["uid"]);
    return out + "," + decide(path, request) + "}}";
  }

  static std::string decide(std::string_view path, const Value& request) {
    if (path == "/deny-marked" && (marked(request["object"]) || marked(request["oldObject"]))) {
      return refusal("it is marked");
    }
    if (path == "/no-attach" && request["name"].as_string() == "locked") {
      return refusal("nobody attaches to it");
    }
    if (path == "/warn") return R"("allowed":true,"warnings":["think again"])";
    if (path == "/label") {
      const bool has = request["object"]["metadata"]["labels"].is_map();
      return patch(
          has ? R"([{"op":"add","path":"/metadata/labels/seen-by","value":"webhook"}])"
              : R"([{"op":"add","path":"/metadata/labels","value":{"seen-by":"webhook"}}])");
    }
    if (path == "/sidecar") {
      return patch(
          R"([{"op":"add","path":"/spec/containers/-","value":{"name":"side","image":"keles.dev/hello:1"}}])");
    }
    return R"("allowed":true)";
  }

  std::string log_;
};

struct ServerFlags {
  std::string address, name, directory;
};

// The certificate that shows it is NAME, by a CA of its own that is left in the directory.
Result<net::TlsIdentity> make_identity(const ServerFlags& f, WallTime now) {
  net::CertificateSpec spec;
  spec.common_name = "webhook-ca";
  spec.not_before = now - 1h;
  spec.not_after = now + 24h;
  TRY_ASSIGN(ca, net::make_ca(spec));
  spec.common_name = f.name;
  spec.server = true;
  spec.dns_names = {f.name};
  TRY_ASSIGN(own, net::issue_certificate(ca, spec));
  TRY(write_file(f.directory + "/ca.crt", ca.certificate_pem));
  return own;
}

Task<Status> run(Context ctx, ServerFlags f) {
  auto identity = make_identity(f, ctx.loop().wall_now());
  if (!identity.ok()) co_return identity.status();
  Server server;
  net::ServerOptions o;
  o.address = f.address;
  o.tls = *identity;
  auto http = net::Server::start({&ctx.loop()}, o, server.handler());
  if (!http.ok()) co_return http.status();
  Status written = write_file(f.directory + "/port", std::to_string((*http)->port()));
  if (!written.ok()) co_return written;
  Event never;
  Status s = co_await never.wait(ctx);
  Context last = Context::root(ctx.loop());
  co_await (*http)->stop(last.with_timeout(5s));
  co_return s;
}

int server_main(const std::vector<std::string>& args) {
  ServerFlags f;
  Flags flags("An admission webhook for tests.\n\nUsage:\n  webhook_server [flags]");
  flags.add("address", &f.address, "Where to listen; the port is any free one.");
  flags.add("name", &f.name, "The DNS name that the certificate shows: SERVICE.NAMESPACE.svc.");
  flags.add("directory", &f.directory, "Where ca.crt and port are written.");
  for (const char* needed : {"address", "name", "directory"}) flags.require(needed);
  return run_command(&flags, args, [&f](const std::vector<std::string>& rest) -> Status {
    TRY(no_arguments(rest));
    return run_program([&f](Context ctx) { return run(ctx, f); });
  });
}

}  // namespace
}  // namespace keles::webhook

int main(int argc, char** argv) {
  return keles::webhook::server_main(std::vector<std::string>(argv + 1, argv + argc));
}
