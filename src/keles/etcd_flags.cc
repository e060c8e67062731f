#include "keles/etcd_flags.h"

#include <mutex>
#include <optional>

#include "base/file.h"
#include "store/etcd/etcd_store.h"

namespace keles {

void add_etcd_flags(Flags& f, EtcdFlags& etcd) {
  f.add("etcd-cafile", &etcd.ca_file,
        "SSL Certificate Authority file used to secure etcd communication.");
  f.add("etcd-certfile", &etcd.certificate_file,
        "SSL certification file used to secure etcd communication.");
  f.add("etcd-keyfile", &etcd.key_file, "SSL key file used to secure etcd communication.");
  f.add("etcd-prefix", &etcd.prefix, "The prefix to prepend to all resource paths in etcd.");
  f.add("etcd-compaction-interval", &etcd.compaction_interval,
        "The interval of compaction requests. If 0, the compaction request from apiserver is "
        "disabled.");
  f.add("lease-reuse-duration-seconds", &etcd.lease_reuse_seconds,
        "For how many seconds objects that go by themselves (Events) share a lease of etcd; at "
        "most a twentieth of their life. The fewer, the more leases etcd has to keep.");
}

namespace {

Result<EtcdOptions> options_of(const EtcdFlags& flags) {
  EtcdOptions o;
  o.servers = flags.servers;
  o.prefix = flags.prefix;
  o.compaction_interval = flags.compaction_interval;
  if (flags.lease_reuse_seconds < 0 || flags.lease_reuse_seconds > 86'400)
    return Status::bad_request("--lease-reuse-duration-seconds: want 0 to 86400");
  o.lease_reuse = std::chrono::seconds(flags.lease_reuse_seconds);
  if (flags.event_life > Duration::zero())
    o.lives.push_back({"/registry/events/", flags.event_life});
  if (flags.certificate_file.empty() != flags.key_file.empty())
    return Status::bad_request("--etcd-certfile and --etcd-keyfile go together");
  if (!flags.ca_file.empty()) {
    TRY_ASSIGN(ca, read_file(flags.ca_file));
    o.ca_pem = ca;
  }
  if (!flags.certificate_file.empty()) {
    TRY_ASSIGN(certificate, read_file(flags.certificate_file));
    TRY_ASSIGN(key, read_file(flags.key_file));
    o.certificate_pem = certificate;
    o.key_pem = key;
  }
  return o;
}

// Of a backend's stream only its beginning.
struct Beginning final : Follower {
  void restart(Contents c) override {
    std::lock_guard lock(mutex);
    if (!contents) contents = std::move(c);
  }
  void apply(std::vector<Change>, int64_t) override {}
  std::mutex mutex;
  std::optional<Contents> contents;
};

}  // namespace

Result<std::unique_ptr<Store>> open_etcd_store(const EtcdFlags& flags, size_t event_window,
                                               std::shared_ptr<Transformer> transformer) {
  TRY_ASSIGN(o, options_of(flags));
  ReplicaWindow window;
  window.events = event_window;
  return open_etcd_store(o, window, std::move(transformer));
}

Result<Contents> read_etcd(const EtcdFlags& flags) {
  TRY_ASSIGN(o, options_of(flags));
  o.compaction_interval = Duration::zero();
  Beginning beginning;
  TRY_ASSIGN(backend, open_etcd_backend(o));
  backend->watch(beginning);  // it has read the state when it was opened
  backend.reset();
  if (!beginning.contents) return Status::internal("etcd told no state");
  return std::move(*beginning.contents);
}

}  // namespace keles
