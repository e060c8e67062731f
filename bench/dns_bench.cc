// What questions cost the cluster's name server: CPU of its thread, asked over UDP by another one.
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "base/socket_address.h"
#include "dns/message.h"
#include "dns/server.h"
#include "machinery/codec_yaml.h"

namespace keles::dns {
namespace {

constexpr int kServices = 10'000, kWindow = 64;

double cpu_of(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

void fill(Zone& zone) {
  zone.set_namespace("default");
  for (int i = 0; i < kServices; ++i) {
    auto d = parse_yaml("metadata: {name: s" + std::to_string(i) +
                        ", namespace: default}\nspec: {clusterIP: 10.96." +
                        std::to_string(i / 250) + "." + std::to_string(1 + i % 250) +
                        ", ports: [{name: http, port: 80, protocol: TCP}]}");
    zone.set_service(api::core_v1::Service(d->root));
  }
}

// Asks `n` questions, kWindow of them under way; how many were answered.
int ask(uint16_t port, int n, const char* suffix, uint16_t type) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  timeval patience{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const SocketAddress to(IpAddress::v4(0x7f000001), port);
  if (connect(fd, to.get(), to.size) != 0) return 0;
  int sent = 0, got = 0;
  char buffer[1500];
  while (got < n) {
    while (sent < n && sent - got < kWindow) {
      const std::string q = write_question(static_cast<uint16_t>(sent),
                                           "s" + std::to_string(sent % kServices) + suffix, type);
      if (send(fd, q.data(), q.size(), 0) < 0) break;
      ++sent;
    }
    if (recv(fd, buffer, sizeof buffer, 0) <= 0) break;
    ++got;
  }
  close(fd);
  return got;
}

int run(int n) {
  auto loop = make_real_loop();
  DnsOptions options;
  options.address = "127.0.0.1";
  options.port = 0;
  auto server = DnsServer::start(*loop, options);
  if (!server.ok()) {
    std::fprintf(stderr, "%s\n", server.status().message().c_str());
    return 1;
  }
  fill((*server)->zone());
  const uint16_t port = (*server)->port();
  Context ctx = Context::root(*loop), serving = ctx.child();
  spawn(*loop, (*server)->run(serving, nullptr, nullptr));
  std::thread thread([&] { loop->run(); });
  clockid_t clock{};
  pthread_getcpuclockid(thread.native_handle(), &clock);
  const struct {
    const char *what, *suffix;
    uint16_t type;
  } rows[] = {{"a cluster IP (A)", ".default.svc.cluster.local", kA},
              {"a cluster IP (AAAA, none)", ".default.svc.cluster.local", kAaaa},
              {"a port (SRV)", ".default.svc.cluster.local", kSrv},
              {"no such name (of the search path)", ".other.svc.cluster.local", kA}};
  for (const auto& row : rows) {
    ask(port, n / 10, row.suffix, row.type);
    const double before = cpu_of(clock);
    const int answered = ask(port, n, row.suffix, row.type);
    const double took = cpu_of(clock) - before;
    std::printf("%-36s %7d answers, %.2f us of CPU each, %.0f/s on a core\n", row.what, answered,
                took / answered * 1e6, answered / took);
  }
  loop->post([&] {
    serving.cancel();
    loop->stop();
  });
  thread.join();
  return 0;
}

}  // namespace
}  // namespace keles::dns

int main(int argc, char** argv) { return keles::dns::run(argc > 1 ? std::atoi(argv[1]) : 200'000); }
