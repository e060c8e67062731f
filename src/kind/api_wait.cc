#include "kind/api_wait.h"

#include <functional>

#include "base/context.h"
#include "base/task.h"
#include "machinery/codec_json.h"
#include "machinery/value.h"
#include "net/http.h"

namespace keles::kind {
namespace {

using Check = std::function<Status(const net::Response&)>;  // OK: that is it

net::Endpoint endpoint_of(const KubeconfigEntry& e) {
  net::Endpoint out;
  std::string authority = e.server.substr(e.server.find("//") + 2);
  size_t colon = authority.rfind(':');
  out.host = authority.substr(0, colon);
  if (out.host.starts_with('[')) out.host = out.host.substr(1, out.host.size() - 2);
  out.port = static_cast<uint16_t>(std::atoi(authority.c_str() + colon + 1));
  out.tls.emplace();
  out.tls->ca_pem = e.ca_pem;
  out.tls->identity = net::TlsIdentity{e.client_certificate_pem, e.client_key_pem};
  return out;
}

struct Question {
  std::string method = "GET", path, body = {};
};

Task<Status> poll_path(Context ctx, const KubeconfigEntry* entry, Question question, Check check) {
  auto client = net::HttpClient::create(ctx.loop(), endpoint_of(*entry));
  Status last;
  while (!ctx.done()) {
    net::Request request;
    request.method = question.method;
    request.path = question.path;
    if (!question.body.empty()) {
      request.headers.add("Content-Type", question.method == "PATCH"
                                              ? "application/merge-patch+json"
                                              : "application/json");
      request.body = question.body;
    }
    Context attempt = ctx.with_timeout(5s);
    auto response = co_await client->send(attempt, std::move(request));
    last = response.ok() ? check(*response) : response.status();
    if (last.ok()) break;
    Status slept = co_await ctx.sleep(20ms);
    if (!slept.ok()) break;
  }
  client->close();
  if (!last.ok()) last = Status::timeout(question.path + ": " + last.message());
  co_return last;
}

Task<void> run(Context ctx, const KubeconfigEntry* entry, Question question, Check check,
               RealLoop* loop, Status* out) {
  *out = co_await poll_path(ctx, entry, std::move(question), std::move(check));
  loop->stop();
}

Status poll_until(const KubeconfigEntry& entry, Question question, Duration timeout, Check check) {
  auto loop = make_real_loop();
  Status out;
  Context ctx = Context::root(*loop).with_timeout(timeout);
  spawn(*loop, run(ctx, &entry, std::move(question), std::move(check), loop.get(), &out));
  loop->run();
  return out;
}

bool is_ready(const Value& node) {
  for (const Value& c : node["status"]["conditions"].items())
    if (c["type"].as_string() == "Ready") return c["status"].as_string() == "True";
  return false;
}

Status check_nodes(const net::Response& r, size_t nodes, bool ready) {
  if (r.status != 200) return Status::unavailable("status " + std::to_string(r.status));
  auto list = parse_json(r.body);
  if (!list.ok()) return list.status();
  size_t found = 0;
  for (const Value& n : list->root["items"].items()) found += !ready || is_ready(n);
  if (found >= nodes) return Status();
  return Status::unavailable(std::to_string(found) + " of " + std::to_string(nodes) +
                             (ready ? " nodes are Ready" : " nodes have joined"));
}

}  // namespace

Status wait_for_api(const KubeconfigEntry& entry, Duration timeout) {
  return poll_until(entry, {.path = "/readyz"}, timeout, [](const net::Response& r) {
    return r.status == 200 ? Status()
                           : Status::unavailable("status " + std::to_string(r.status) + ": " +
                                                 r.body.substr(0, 500));
  });
}

Status wait_for_nodes(const KubeconfigEntry& entry, size_t nodes, bool ready, Duration timeout) {
  return poll_until(
      entry, {.path = "/api/v1/nodes"}, timeout,
      [nodes, ready](const net::Response& r) { return check_nodes(r, nodes, ready); });
}

Status label_node(const KubeconfigEntry& entry, const std::string& node, const NodeLabels& labels,
                  Duration timeout) {
  std::string body;
  for (const auto& [key, value] : labels) {
    body += body.empty() ? "" : ",";
    write_json_string(body, key);
    body += ":";
    write_json_string(body, value);
  }
  body = "{\"metadata\":{\"labels\":{" + body + "}}}";
  Question question{"PATCH", "/api/v1/nodes/" + node, std::move(body)};
  return poll_until(entry, std::move(question), timeout, [](const net::Response& r) {
    return r.status == 200 ? Status()
                           : Status::unavailable("status " + std::to_string(r.status) + ": " +
                                                 r.body.substr(0, 500));
  });
}

Status create_object(const KubeconfigEntry& entry, const std::string& path,
                     const std::string& object, Duration timeout) {
  Question question{"POST", path, object};
  return poll_until(entry, std::move(question), timeout, [](const net::Response& r) {
    return r.status == 201 || r.status == 409
               ? Status()
               : Status::unavailable("status " + std::to_string(r.status) + ": " +
                                     r.body.substr(0, 500));
  });
}

}  // namespace keles::kind
