// GETs per second and server CPU per request over TLS HTTP/2: 16 connections, 8 requests in flight
// on each. Server and client run on a thread each. Usage: net_bench [seconds]
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <thread>

#include "base/sync.h"
#include "net/http.h"
#include "net/pki.h"

using namespace keles;
using namespace keles::net;

static Task<void> answer(Context, Request*, Responder* r) {
  static const SharedBytes body = std::make_shared<const std::string>(700, 'b');
  static const Headers headers{{"Content-Type", "application/json"}};
  std::vector<SharedBytes> parts;
  parts.push_back(body);
  (void)co_await r->respond(200, headers, std::move(parts));
}

static Task<void> worker(Context ctx, HttpClient* client, long* done) {
  while (!ctx.done()) {
    Request q("GET", "/api/v1/namespaces/default/configmaps/cm-17");
    q.headers.add("accept", "application/json");
    auto r = co_await client->send(ctx, std::move(q));
    if (!r.ok()) {
      if (!ctx.done()) fprintf(stderr, "%s\n", r.status().to_string().c_str());
      co_return;
    }
    ++*done;
  }
}

static double cpu_seconds(pthread_t thread) {
  clockid_t clock;
  pthread_getcpuclockid(thread, &clock);
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

static Task<void> drive(RealLoop* loop, uint16_t port, std::string ca, int seconds,
                        pthread_t server) {
  std::vector<std::unique_ptr<HttpClient>> clients;
  Context ctx = Context::root(*loop).with_timeout(std::chrono::seconds(seconds));
  TaskGroup group(*loop);
  long done = 0;
  double before = cpu_seconds(server);
  for (int i = 0; i < 16; ++i) {
    Endpoint e;
    e.host = "127.0.0.1";
    e.port = port;
    e.tls = ClientTls{};
    e.tls->ca_pem = ca;
    clients.push_back(HttpClient::create(*loop, e));
    for (int k = 0; k < 8; ++k) group.spawn(worker(ctx, clients.back().get(), &done));
  }
  co_await group.join();
  double cpu = cpu_seconds(server) - before;
  printf("%.0f requests/s, server CPU %.1f us each (%.0f %% of a core)\n",
         static_cast<double>(done) / seconds, cpu / static_cast<double>(done) * 1e6,
         cpu / seconds * 100);
  loop->stop();
}

int main(int argc, char** argv) {
  int seconds = argc > 1 ? atoi(argv[1]) : 3;
  auto server_loop = make_real_loop(), client_loop = make_real_loop();
  WallTime now = client_loop->wall_now();
  CertificateSpec spec;
  spec.common_name = "bench";
  spec.not_before = now - 1h;
  spec.not_after = now + 1h;
  spec.ip_addresses = {"127.0.0.1"};
  spec.server = true;
  TlsIdentity ca = *make_ca(spec);
  spec.common_name = "server";  // a name of its own: else it would look self-signed
  ServerOptions options;
  options.tls = *issue_certificate(ca, spec);
  auto server = Server::start({server_loop.get()}, options, answer);
  if (!server.ok()) {
    fprintf(stderr, "%s\n", server.status().to_string().c_str());
    return 1;
  }
  std::thread thread([&] { server_loop->run(); });
  spawn(*client_loop, drive(client_loop.get(), (*server)->port(), ca.certificate_pem, seconds,
                            thread.native_handle()));
  client_loop->run();
  server_loop->stop();
  thread.join();
  fflush(stdout);
  _exit(0);  // connections are still open: nothing to tidy in a benchmark
}
