#include "keles/etcd_flags.h"

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
}

Result<std::unique_ptr<Store>> open_etcd_store(const EtcdFlags& flags, size_t event_window,
                                               std::shared_ptr<Transformer> transformer) {
  EtcdOptions o;
  o.servers = flags.servers;
  o.prefix = flags.prefix;
  o.compaction_interval = flags.compaction_interval;
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
  ReplicaWindow window;
  window.events = event_window;
  return open_etcd_store(o, window, std::move(transformer));
}

}  // namespace keles
