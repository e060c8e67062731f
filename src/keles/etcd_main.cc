// `etcd`: an etcd of one member, over a directory of its own (src/etcd): for upstream's
// kube-apiserver or ours, for tests of operators that start both (docs/envtest.md), for etcdctl.
#include <algorithm>
#include <charconv>
#include <memory>

#include "base/file.h"
#include "base/flags.h"
#include "base/log.h"
#include "base/sync.h"
#include "base/version.h"
#include "etcd/member.h"
#include "keles/commands.h"
#include "keles/runtime.h"
#include "net/http.h"
#include "store/etcd/client.h"

namespace keles {
namespace {

struct EtcdFlags {
  std::string name = "default", data_dir, initial_cluster, cluster_state = "new", token;
  std::vector<std::string> client_urls{"http://localhost:2379"}, advertised_urls, peer_urls,
      advertised_peer_urls, metrics_urls;
  std::string certificate, key, client_ca, mode = "periodic", retention = "0";
  bool client_certificates = false, no_fsync = false;
  int64_t quota = 0, max_request = 1'572'864, max_operations = 128;
  Duration progress = 10min;
};

struct Listen {
  std::string address;
  uint16_t port = 0;
  bool tls = false;
};
// "http://127.0.0.1:2379".
Result<Listen> parse_listen(const std::string& flag, const std::string& url) {
  auto parsed = etcd::parse_members({url}, net::ClientTls());
  if (!parsed.ok())
    return Status::bad_request("--" + flag + ": \"" + url + "\": want http(s)://ADDRESS:PORT");
  const net::Endpoint& e = parsed->front();
  Listen out;
  out.address = e.host == "localhost" ? "127.0.0.1" : e.host;
  out.port = e.port;
  out.tls = e.tls.has_value();
  return out;
}

// "5m", or a number: of hours, or of revisions.
Status parse_retention(const EtcdFlags& f, etcdserver::MemberOptions& o) {
  int64_t n = 0;
  const char* end = f.retention.data() + f.retention.size();
  auto [at, error] = std::from_chars(f.retention.data(), end, n);
  const bool number = error == std::errc() && at == end && n >= 0;
  if (f.mode == "revision") {
    if (!number)
      return Status::bad_request("--auto-compaction-retention: want a number of revisions");
    o.keep_revisions = n;
    return Status();
  }
  if (f.mode != "periodic")
    return Status::bad_request("--auto-compaction-mode: \"" + f.mode +
                               "\": want periodic or revision");
  if (number) {
    o.keep_time = n * 1h;
    return Status();
  }
  Flags one("");
  one.add("auto-compaction-retention", &o.keep_time, "");
  auto parsed = one.parse({"--auto-compaction-retention=" + f.retention});
  return parsed.status();
}

struct Settings {
  etcdserver::MemberOptions member;
  std::vector<Listen> clients, metrics;
  std::optional<net::TlsIdentity> tls;
  std::string client_ca;
};

// A cluster of others than this member is not one that this can be part of.
Status check_alone(const EtcdFlags& f) {
  if (f.initial_cluster.find(',') != std::string::npos) {
    return Status::bad_request("--initial-cluster: \"" + f.initial_cluster +
                               "\" names several members: this is a cluster of one; for more, run "
                               "etcd itself");
  }
  if (f.cluster_state != "new" && f.cluster_state != "existing")
    return Status::bad_request("--initial-cluster-state: want new or existing");
  return Status();
}

Result<Settings> settings_of(const EtcdFlags& f) {
  TRY(check_alone(f));
  Settings s;
  for (const std::string& url : f.client_urls) {
    TRY_ASSIGN(one, parse_listen("listen-client-urls", url));
    s.clients.push_back(one);
    if (one.tls && (f.certificate.empty() || f.key.empty()))
      return Status::bad_request("--listen-client-urls: \"" + url +
                                 "\" needs --cert-file and --key-file");
  }
  for (const std::string& url : f.metrics_urls) {
    TRY_ASSIGN(one, parse_listen("listen-metrics-urls", url));
    s.metrics.push_back(one);
  }
  if (f.client_certificates && f.client_ca.empty())
    return Status::bad_request("--client-cert-auth needs --trusted-ca-file");
  if (!f.certificate.empty()) {
    net::TlsIdentity tls;
    TRY_ASSIGN(certificate, read_file(f.certificate));
    TRY_ASSIGN(key, read_file(f.key));
    tls.certificate_pem = certificate;
    tls.key_pem = key;
    s.tls = std::move(tls);
  }
  if (!f.client_ca.empty()) {
    TRY_ASSIGN(ca, read_file(f.client_ca));
    s.client_ca = ca;
  }
  etcdserver::MemberOptions& m = s.member;
  TRY(parse_retention(f, m));
  m.directory = f.data_dir.empty() ? f.name + ".etcd" : f.data_dir;
  m.name = f.name;
  m.client_urls = f.advertised_urls.empty() ? f.client_urls : f.advertised_urls;
  m.peer_urls = f.advertised_peer_urls.empty() ? f.peer_urls : f.advertised_peer_urls;
  if (f.quota != 0) m.quota_bytes = std::max<int64_t>(f.quota, 0);
  if (f.max_request <= 0 || f.max_operations <= 0)
    return Status::bad_request("--max-request-bytes and --max-txn-ops: want more than 0");
  m.max_request = static_cast<size_t>(f.max_request);
  m.max_operations = static_cast<size_t>(f.max_operations);
  m.progress_every = f.progress;
  // As etcd: a CA for clients means that they need a certificate of it.
  m.client_certificates = f.client_certificates || !f.client_ca.empty();
  for (const Listen& one : s.clients) {
    if (m.client_certificates && !one.tls) {
      return Status::bad_request(
          "--listen-client-urls: clients that are to have certificates need https");
    }
  }
  m.sync = !f.no_fsync;
  return s;
}

Task<Status> serve(Context ctx, Settings s) {
  auto broken = std::make_shared<Status>();
  Context until = ctx.child();
  std::function<void(Status)> failed = [broken, until](Status why) {
    *broken = std::move(why);
    until.cancel();
  };
  auto opened = etcdserver::Member::open(ctx.loop(), s.member, failed);
  if (!opened.ok()) co_return opened.status();
  etcdserver::Member* member = opened->get();
  net::Handler handler = [member](Context c, net::Request* request, net::Responder* responder) {
    return member->serve(std::move(c), request, responder);
  };
  net::Handler pages = [member](Context, net::Request* request, net::Responder* responder) {
    return member->serve_page(request, responder);
  };
  std::vector<std::unique_ptr<net::Server>> servers;
  Status result;
  for (const auto& [list, secured] : {std::pair(&s.clients, true), std::pair(&s.metrics, false)}) {
    for (const Listen& l : *list) {
      net::ServerOptions o = etcdserver::server_options(l.address, l.port);
      if (l.tls) o.tls = s.tls;
      if (l.tls && secured) o.client_ca_pem = s.client_ca;
      auto server = net::Server::start({&ctx.loop()}, std::move(o), secured ? handler : pages);
      if (!server.ok()) {
        result = server.status();
        break;
      }
      log::info("Serving clients", {{"address", l.address}, {"port", (*server)->port()}});
      servers.push_back(std::move(*server));
    }
  }
  if (result.ok()) {
    log::info("An etcd of one member is ready",
              {{"name", s.member.name}, {"data-dir", s.member.directory}});
    Event never;
    result = co_await never.wait(until);
  }
  Context last = Context::root(ctx.loop());
  for (auto& server : servers) co_await server->stop(last);
  co_await member->stop();
  if (!broken->ok()) co_return *broken;
  co_return result;
}

void add_flags(Flags& flags, EtcdFlags& f) {
  flags.add("name", &f.name, "Human-readable name for this member.");
  flags.add("data-dir", &f.data_dir, "Path to the data directory (default NAME.etcd).");
  flags.add("listen-client-urls", &f.client_urls, "List of URLs to listen on for client traffic.");
  flags.add("advertise-client-urls", &f.advertised_urls,
            "List of this member's client URLs to advertise to the public.");
  flags.add("listen-metrics-urls", &f.metrics_urls,
            "List of URLs to listen on for the metrics and health endpoints.");
  flags.add("listen-peer-urls", &f.peer_urls,
            "Where peers would reach this member. There are none: nothing listens there.");
  flags.add("initial-advertise-peer-urls", &f.advertised_peer_urls,
            "List of this member's peer URLs, as the list of members shows them.");
  flags.add("initial-cluster", &f.initial_cluster, "The cluster to begin with: this member alone.");
  flags.add("initial-cluster-state", &f.cluster_state,
            "Initial cluster state ('new' or 'existing').");
  flags.add("initial-cluster-token", &f.token,
            "Taken, as there is no other cluster that this could be told from.");
  flags.add("cert-file", &f.certificate, "Path to the client server TLS cert file.");
  flags.add("key-file", &f.key, "Path to the client server TLS key file.");
  flags.add("trusted-ca-file", &f.client_ca, "Path to the client server TLS trusted CA cert file.");
  flags.add("client-cert-auth", &f.client_certificates, "Enable client cert authentication.");
  flags.add("quota-backend-bytes", &f.quota,
            "Raise alarms when the data exceeds the given quota. 0 means 2 GiB, less than 0 none.");
  flags.add("auto-compaction-mode", &f.mode,
            "Interpret 'auto-compaction-retention' one of: 'periodic|revision'.");
  flags.add("auto-compaction-retention", &f.retention,
            "Auto compaction retention length. 0 means disable auto compaction.");
  flags.add("max-request-bytes", &f.max_request, "Maximum client request size in bytes.");
  flags.add("max-txn-ops", &f.max_operations,
            "Maximum number of operations permitted in a transaction.");
  flags.add("experimental-watch-progress-notify-interval", &f.progress,
            "Duration of periodic watch progress notifications.");
  flags.add("unsafe-no-fsync", &f.no_fsync,
            "Disables fsync, unsafe, will cause data loss when the machine crashes.");
}

}  // namespace

int etcd_main(const std::vector<std::string>& args) {
  EtcdFlags f;
  Flags flags(
      "Runs an etcd of one member: etcd's v3 API over a data directory of its own.\n\n"
      "Usage:\n  etcd [flags]");
  add_flags(flags, f);
  return run_command(&flags, args, [&f](const std::vector<std::string>& rest) -> Status {
    TRY(no_arguments(rest));
    TRY_ASSIGN(s, settings_of(f));
    return run_program([s = std::move(s)](Context ctx) { return serve(ctx, s); });
  });
}

}  // namespace keles
