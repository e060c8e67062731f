// `etcd`, as tests of operators start it (docs/envtest.md): it holds the data directory in which
// the `kube-apiserver` of the same build keeps its store. It is no etcd to anybody else.
#include "base/flags.h"
#include "base/log.h"
#include "base/sync.h"
#include "base/version.h"
#include "keles/commands.h"
#include "keles/runtime.h"
#include "keles/store_holder.h"

namespace keles {
namespace {

struct EtcdFlags {
  std::string name = "default", data_dir;
  std::vector<std::string> client_urls, advertised_urls, peer_urls;
};

Task<Status> hold(Context ctx, EtcdFlags f, ClientUrl where) {
  auto holder = StoreHolder::start(ctx.loop(), f.data_dir, where);
  if (!holder.ok()) co_return holder.status();
  log::info("Holding a data directory for kube-apiserver",
            {{"name", f.name}, {"data-dir", f.data_dir}, {"url", where.text()}});
  Event never;
  Status s = co_await never.wait(ctx);
  Context last = Context::root(ctx.loop());
  co_await (*holder)->stop(last.with_timeout(5s));
  co_return s;
}

}  // namespace

int etcd_main(const std::vector<std::string>& args) {
  EtcdFlags f;
  Flags flags(
      "Holds the data directory of a kube-apiserver of the same build, in the place of etcd, for "
      "tests that start both.\n\nUsage:\n  etcd [flags]");
  flags.add("name", &f.name, "What this holder is called in its log.");
  flags.add("data-dir", &f.data_dir, "The directory in which the store is kept.");
  flags.add("listen-client-urls", &f.client_urls,
            "The URL at which kube-apiserver asks for the directory: one, http, an IP address.");
  flags.add("advertise-client-urls", &f.advertised_urls,
            "The URL that clients are told of: the same, as there is nobody else to ask.");
  flags.add("listen-peer-urls", &f.peer_urls,
            "Where peers would reach an etcd. There are none: nothing listens there.");
  flags.require("data-dir");
  flags.require("listen-client-urls");
  return run_command(&flags, args, [&f](const std::vector<std::string>& rest) -> Status {
    TRY(no_arguments(rest));
    if (f.client_urls.size() != 1) {
      return Status::bad_request("--listen-client-urls: want one URL");
    }
    TRY_ASSIGN(where, parse_client_url("listen-client-urls", f.client_urls[0]));
    for (const std::string& url : f.advertised_urls) {
      TRY_ASSIGN(advertised, parse_client_url("advertise-client-urls", url));
      if (advertised.text() != where.text()) {
        return Status::bad_request("--advertise-client-urls: \"" + url +
                                   "\" is not that of --listen-client-urls");
      }
    }
    return run_program([&f, where](Context ctx) { return hold(ctx, f, where); });
  });
}

}  // namespace keles
