// port-forward: local TCP ports to a pod's, by SPDY streams inside a websocket (KEP-4006).
#include <charconv>
#include <cstdio>

#include "base/host_port.h"
#include "base/sync.h"
#include "kubectl/pods.h"
#include "kubectl/verbs.h"
#include "net/spdy.h"
#include "net/stream.h"

namespace keles::kubectl {
namespace {

struct PortPair {
  uint16_t local = 0, remote = 0;
};

Result<uint16_t> port_number(std::string_view s) {
  uint16_t n = 0;
  auto r = std::from_chars(s.data(), s.data() + s.size(), n);
  if (r.ec == std::errc() && r.ptr == s.data() + s.size()) return n;
  return failure("error parsing port " + std::string(s));
}

// A name or a number of the pod's containers.
Result<uint16_t> pod_port(const Value& pod, const std::string& word) {
  if (word.find_first_not_of("0123456789") == word.npos) return port_number(word);
  for (const Value& c : pod["spec"]["containers"].items()) {
    for (const Value& p : c["ports"].items()) {
      if (p["name"].as_string() == word) return static_cast<uint16_t>(p["containerPort"].as_int());
    }
  }
  return failure("Pod '" + std::string(pod["metadata"]["name"].as_string()) +
                 "' does not have a named port '" + word + "'");
}

// "8080", "8080:80", ":80"; of a Service the remote part is its own port, which is translated.
Result<PortPair> parse_pair(const std::string& word, const Found& named, const Value& pod) {
  size_t colon = word.find(':');
  std::string local = word.substr(0, colon);
  std::string remote = colon == word.npos ? word : word.substr(colon + 1);
  if (remote.empty()) return failure("remote port must be > 0");
  std::string target = remote;
  if (named.resource->kind == "Service") {
    bool found = false;
    for (const Value& p : named.object.root["spec"]["ports"].items()) {
      bool this_one =
          p["name"].as_string() == remote || std::to_string(p["port"].as_int()) == remote;
      if (!this_one) continue;
      found = true;
      const Value& t = p["targetPort"];
      bool headless = named.object.root["spec"]["clusterIP"].as_string() == "None";
      if (headless) {
        target = std::to_string(p["port"].as_int());
      } else {
        target = t.is_string() ? std::string(t.as_string()) : std::to_string(t.as_int());
      }
      // Without a local part of its own, the Service's number is the local one.
      if (colon == word.npos) local = std::to_string(p["port"].as_int());
    }
    if (!found) {
      return failure("Service " + named.name + " does not have a service port " + remote);
    }
  }
  PortPair pair;
  TRY_ASSIGN(to, pod_port(pod, target));
  pair.remote = to;
  if (pair.remote == 0) return failure("remote port must be > 0");
  if (local.empty()) return pair;
  if (colon == word.npos && local.find_first_not_of("0123456789") != local.npos) {
    pair.local = pair.remote;
    return pair;
  }
  TRY_ASSIGN(from, port_number(local));
  pair.local = from;
  return pair;
}

struct Forwarder {
  explicit Forwarder(Loop& loop) : group(loop) {}
  std::unique_ptr<net::SpdySession> session;
  std::vector<std::unique_ptr<net::StreamListener>> listeners;
  TaskGroup group;
  int next_request = 0;
  Event lost;
};

Task<void> forward_one(Context ctx, Forwarder* f, std::shared_ptr<net::ByteStream> local,
                       uint16_t local_port, uint16_t remote) {
  std::string id = std::to_string(f->next_request++), port = std::to_string(remote);
  print("Handling connection for " + std::to_string(local_port) + "\n");
  std::fflush(stdout);
  net::Headers headers;
  headers.add("streamtype", "error");
  headers.add("port", port);
  headers.add("requestid", id);
  auto error = co_await f->session->open(ctx, headers);
  if (!error.ok()) {
    print_error("error creating error stream for port " + port + ": " + error.status().message() +
                "\n");
    f->lost.set();
    co_return;
  }
  (void)co_await (*error)->shutdown_write(ctx);
  headers.set("streamtype", "data");
  auto data = co_await f->session->open(ctx, headers);
  if (!data.ok()) {
    print_error("error creating forwarding stream for port " + port + ": " +
                data.status().message() + "\n");
    f->lost.set();
    co_return;
  }
  (void)co_await net::relay(ctx, local.get(), data->get());
  Context last = ctx.with_timeout(1s);
  Result<std::string> said = co_await (*error)->read(last);
  if (said.ok() && !said->empty()) {
    print_error("an error occurred forwarding " + std::to_string(local_port) + " -> " + port +
                ": " + *said + "\n");
  }
  (*error)->close();
}

Task<void> accept_all(Context ctx, Forwarder* f, net::StreamListener* listener, uint16_t remote) {
  for (;;) {
    auto connection = co_await listener->accept(ctx);
    if (!connection.ok()) co_return;
    std::shared_ptr<net::ByteStream> local(std::move(*connection));
    f->group.spawn(forward_one(ctx, f, std::move(local), listener->port(), remote));
  }
}

// Notices the end of the tunnel: the peer opens no streams of its own.
Task<void> watch_tunnel(Context ctx, Forwarder* f) {
  (void)co_await f->session->accept(ctx);
  f->lost.set();
}

Task<Status> forward_all(Context root, Session* session, std::string path,
                         std::vector<PortPair> pairs, std::vector<std::string> addresses) {
  std::vector<std::string> protocols = {"SPDY/3.1+portforward.k8s.io"};
  auto socket = co_await session->open_websocket(root, path, "", protocols);
  if (!socket.ok()) co_return socket.status();
  auto* f = new Forwarder(root.loop());  // until the process ends
  std::unique_ptr<net::ByteStream> bytes = net::bytes_over_websocket(std::move(*socket));
  f->session = net::SpdySession::create(root.loop(), std::move(bytes), false);
  Context ctx = root.child();
  bool any = false;
  for (const PortPair& p : pairs) {
    uint16_t chosen = p.local;
    for (const std::string& address : addresses) {
      auto listener = net::StreamListener::listen(root.loop(), address, chosen);
      bool v6 = address.find(':') != std::string::npos;
      if (!listener.ok()) {
        if (!v6 || addresses.size() == 1) {
          print_error("Unable to listen on port " + std::to_string(p.local) + ": " +
                      listener.status().message() + "\n");
        }
        continue;
      }
      any = true;
      chosen = (*listener)->port();
      print("Forwarding from " + host_port(address, chosen) + " -> " + std::to_string(p.remote) +
            "\n");
      std::fflush(stdout);
      f->group.spawn(accept_all(ctx, f, listener->get(), p.remote));
      f->listeners.push_back(std::move(*listener));
    }
  }
  if (!any) {
    std::string all;
    for (const PortPair& p : pairs) {
      all += (all.empty() ? "{" : " {") + std::to_string(p.local) + " " + std::to_string(p.remote) +
             "}";
    }
    co_return failure("unable to listen on any of the requested ports: [" + all + "]");
  }
  f->group.spawn(watch_tunnel(ctx, f));
  Status waited = co_await f->lost.wait(ctx);
  if (!waited.ok()) co_return waited;
  co_return failure("lost connection to pod");
}

}  // namespace

Status port_forward(Invocation& in) {
  std::vector<std::string> addresses = {"localhost"};
  in.flags.add("address", &addresses, "Addresses to listen on (comma separated).");
  PodTimeout timeout;
  timeout.add_to(in.flags);
  TRY(in.parse());
  if (in.args.size() < 2) {
    return in.usage("TYPE/NAME and list of ports are required for port-forward");
  }
  if (*timeout.wrong()) return in.usage(timeout.wrong());
  std::vector<std::string> listen;
  for (const std::string& a : addresses) {
    if (a == "localhost") {
      listen.insert(listen.end(), {"127.0.0.1", "::1"});
    } else {
      listen.push_back(a);
    }
  }
  TRY_ASSIGN(session, in.session());
  Query q;
  q.args = in.args[0].find('/') == std::string::npos ? Args{"pods", in.args[0]} : Args{in.args[0]};
  TRY_ASSIGN(found, find_objects(*session, q));
  TRY_ASSIGN(pods, pods_behind(*session, found[0], timeout));
  const Found& pod = pods[0];
  std::vector<PortPair> pairs;
  for (size_t i = 1; i < in.args.size(); ++i) {
    TRY_ASSIGN(pair, parse_pair(in.args[i], found[0], pod.object.root));
    pairs.push_back(pair);
  }
  std::string phase(pod.object.root["status"]["phase"].as_string());
  if (phase != "Running") {
    return failure("unable to forward port because pod is not running. Current status=" + phase);
  }
  return session->await(
      forward_all(session->context(), session, pod.path("portforward"), pairs, listen));
}

}  // namespace keles::kubectl
