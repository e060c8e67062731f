// deployment_bench [REPLICAS] [DIRECTORY] [DEPLOYMENTS]: from the creation of the first of so many
// equal Deployments until all of their pod objects exist: API server, durable store and all
// controllers in this process, on one loop.
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <string>

#include "api/apps_v1.h"
#include "api/core_v1.h"
#include "base/file.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/sync.h"
#include "controllers/manager.h"
#include "keles/local_client.h"
#include "machinery/codec_yaml.h"
#include "machinery/decode.h"
#include "server/server.h"
#include "store/store.h"

namespace keles {
namespace {

using api::apps_v1::Deployment;
using api::core_v1::Pod;

double cpu_seconds() {
  rusage u{};
  getrusage(RUSAGE_SELF, &u);
  auto s = [](const timeval& t) { return static_cast<double>(t.tv_sec) + 1e-6 * t.tv_usec; };
  return s(u.ru_utime) + s(u.ru_stime);
}

struct Bench {
  RealLoop* loop;
  ApiServer* server;
  Client* client;
  controllers::Manager* manager;
  int replicas, deployments;
  int exit_code = 1;
};

Task<void> run_manager(Context ctx, controllers::Manager* m) { co_await m->run(ctx); }

Result<Document> deployment(const std::string& name, int replicas) {
  std::string yaml =
      "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: " + name +
      ", namespace: default}\nspec:\n  replicas: " + std::to_string(replicas) +
      "\n  selector: {matchLabels: {app: " + name +
      "}}\n"
      "  template:\n    metadata: {labels: {app: " +
      name +
      "}}\n    spec:\n"
      "      containers: [{name: c, image: 'image:1', ports: [{containerPort: 80}]}]\n";
  TRY_ASSIGN(body, parse_yaml(yaml));
  TRY(decode_object(kind_of<Deployment>(), body, FieldValidation::kStrict));
  return std::move(body);
}

Task<Status> measure(Context ctx, Bench* b) {
  TRY_CO(b->server->start(ctx));
  Context life = ctx.child();
  TaskGroup group(*b->loop);
  group.spawn(run_manager(life, b->manager));
  InformerFactory informers(*b->client);
  Informer<Pod> pods = informers.informer<Pod>();
  informers.start(life);
  TRY_CO(pods.base().wait_synced(ctx));
  TRY_CO(ctx.sleep(1s));  // the default service account
  const int wanted = b->replicas * b->deployments;
  size_t seen = 0;
  Event all;
  pods.on_change([&seen, &all, wanted](const Ref<Pod>& before, const Ref<Pod>&) {
    if (!before && ++seen == static_cast<size_t>(wanted)) all.set();
  });
  double cpu = cpu_seconds();
  TimePoint began = b->loop->now();
  for (int i = 0; i < b->deployments; ++i) {
    auto body = deployment("web-" + std::to_string(i), b->replicas);
    if (!body.ok()) co_return body.status();
    TRY_CO(b->client->create<Deployment>(ctx, std::move(*body)));
  }
  TRY_CO(all.wait(ctx.with_timeout(9min)));
  double took = std::chrono::duration<double>(b->loop->now() - began).count();
  cpu = cpu_seconds() - cpu;
  printf("%d Deployments of %d replicas: all pod objects after %.3f s, CPU %.3f s, %.0f us a pod\n",
         b->deployments, b->replicas, took, cpu, cpu / wanted * 1e6);
  b->exit_code = 0;
  life.cancel();
  co_await group.join();
  co_await informers.join();
  co_return Status();
}

Task<void> run(Context ctx, Bench* b) {
  Status s = co_await measure(ctx, b);
  if (!s.ok()) fprintf(stderr, "deployment_bench: %s\n", s.to_string().c_str());
  b->loop->stop();
}

int bench_main(int argc, char** argv) {
  log::set_output(-1);
  std::string directory = argc > 2 ? argv[2] : "/tmp/keles-deployment-bench";
  (void)remove_tree(directory);
  EmbeddedOptions o;
  o.directory = directory;
  auto store = open_embedded_store(o);
  if (!store.ok()) {
    fprintf(stderr, "deployment_bench: %s\n", store.status().to_string().c_str());
    return 1;
  }
  auto loop = make_real_loop();
  Bench b{loop.get(),
          nullptr,
          nullptr,
          nullptr,
          argc > 1 ? atoi(argv[1]) : 1000,
          argc > 3 ? atoi(argv[3]) : 1};
  {
    ApiServer server(store->get(), ApiServerOptions{});
    auto client = make_local_client(server, *loop, "kube-controller-manager");
    controllers::Manager manager(*client, {});
    b.server = &server;
    b.client = client.get();
    b.manager = &manager;
    spawn(*loop, run(Context::root(*loop), &b));
    loop->run();
  }
  store->reset();
  (void)remove_tree(directory);
  return b.exit_code;
}

}  // namespace
}  // namespace keles

int main(int argc, char** argv) { return keles::bench_main(argc, argv); }
