#include "sim/webhook.h"

#include "base/encoding.h"
#include "machinery/codec_json.h"
#include "sim/network.h"

namespace keles::sim {
namespace {

std::string decide(std::string_view path, const Value& object) {
  const Value& data = object["data"];
  if (path == "/judge" && !data["bad"].is_null()) {
    return R"("allowed":false,"status":{"code":403,"message":"it is bad"})";
  }
  if (path != "/mark") return R"("allowed":true)";
  const std::string patch = data.is_map()
                                ? R"([{"op":"add","path":"/data/marked","value":"yes"}])"
                                : R"([{"op":"add","path":"/data","value":{"marked":"yes"}}])";
  return R"("allowed":true,"patchType":"JSONPatch","patch":")" + base64_encode(patch) + "\"";
}

std::string answer(std::string_view path, std::string_view body) {
  auto review = parse_json(body);
  if (!review.ok()) return "";
  std::string out =
      R"({"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":)";
  write_json(out, review->root["request"]["uid"]);
  return out + "," + decide(path, review->root["request"]["object"]) + "}}";
}

}  // namespace

Webhook::Webhook(Loop& loop, const WireOptions* wires)
    : loop_(loop), wires_(wires), line_(std::make_shared<Line>()) {
  line_->name = "webhook";
  net::ServerOptions options;
  server_ = std::make_unique<WireServer>(
      loop, options,
      [this](Context ctx, net::Request* q, net::Responder* r) { return serve(ctx, q, r); });
}
Webhook::~Webhook() = default;

Task<Result<net::TlsConnection>> Webhook::dial(Context ctx) {
  if (loop_.random().chance(faults.away)) {
    Status s = co_await ctx.sleep(1ms);
    if (!s.ok()) co_return s;
    co_return Status::unavailable("dial tcp webhook:443: connect: connection refused");
  }
  WirePair pair = connect_wire(loop_, wires_, line_);
  net::TlsConnection out;
  out.transport = std::move(pair.client);
  out.info.http2 = !(wires_->http1 > 0 && loop_.random().chance(wires_->http1));
  net::PeerCertificate nobody;
  server_->serve(std::move(pair.server), "apiserver:1", std::move(nobody), out.info.http2);
  co_return std::move(out);
}

Task<void> Webhook::stop() { return server_->stop(); }

Task<void> Webhook::serve(Context ctx, net::Request* q, net::Responder* r) {
  Random& random = loop_.random();
  std::string body = answer(q->path, q->body);
  int status = 200;
  if (random.chance(faults.hang)) {
    (void)co_await ctx.sleep(1h);
    co_return;
  }
  if (random.chance(faults.slow)) {
    const Duration pause(random.between(0, faults.slow_max.count()));
    (void)co_await ctx.sleep(pause);
  }
  if (random.chance(faults.ill)) {
    status = random.chance(0.5) ? 500 : 200;
    body = body.substr(0, random.below(body.size() + 1));
  }
  net::Headers headers;
  headers.add("Content-Type", "application/json");
  auto parts = net::as_body(std::move(body));
  (void)co_await r->respond(status, std::move(headers), std::move(parts));
}

}  // namespace keles::sim
