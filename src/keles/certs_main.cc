// `keles certs`: which certificates this machine has, how long they hold, and new ones.
#include <chrono>
#include <cstdio>
#include <optional>

#include "api/core_v1.h"
#include "base/file.h"
#include "base/files_lock.h"
#include "base/flags.h"
#include "base/version.h"
#include "client/https_client.h"
#include "client/kubeconfig.h"
#include "keles/commands.h"
#include "keles/runtime.h"
#include "machines/ca_rotation.h"
#include "machines/certificates.h"
#include "server/auth/ca_exchange.h"

namespace keles {
namespace {

using machines::CertificatePlaces;

WallTime now() {
  return {std::chrono::duration_cast<std::chrono::nanoseconds>(
              std::chrono::system_clock::now().time_since_epoch())
              .count()};
}

void add_place_flags(Flags& f, CertificatePlaces& p) {
  f.add("data-dir", &p.data_dir, "The data directory of the server or the agent.");
  f.add("kubelet-dir", &p.kubelet_dir, "The directory of its kubelet.");
  f.add("kubeconfig", &p.admin_config,
        "The administrator's kubeconfig, told and renewed where it is of this cluster.");
}

int check_certificates(const std::vector<std::string>& args) {
  CertificatePlaces places;
  Flags flags(
      "Tells the certificates of this machine's server or agent: whose they are, when they end, "
      "which CA signed them.\n\nUsage:\n  keles certs check [flags]");
  add_place_flags(flags, places);
  return run_command(&flags, args, [&](const std::vector<std::string>& rest) -> Status {
    TRY(no_arguments(rest));
    TRY_ASSIGN(report, machines::read_certificates(places));
    std::fputs(machines::certificate_table(report, now()).c_str(), stdout);
    auto rotation = machines::read_ca_rotation(places);  // an agent has none
    const std::string stands = rotation.ok() ? machines::rotation_text(*rotation, now()) : "";
    if (!stands.empty()) std::printf("\n%s", stands.c_str());
    return {};
  });
}

Status renew(const CertificatePlaces& places, const std::vector<std::string>& names) {
  TRY_ASSIGN(report, machines::read_certificates(places));
  std::optional<FilesLock> held;  // a running server looks after them, too
  if (path_exists(places.data_dir + "/pki")) {
    TRY_ASSIGN(lock, FilesLock::take(places.data_dir + "/pki"));
    held = std::move(lock);
  }
  const bool all = names.size() == 1 && names[0] == "all";
  if (!all) {
    for (const std::string& name : names) {
      TRY(machines::renew_certificate(places, name, now()));
      std::printf("certificate %s renewed\n", name.c_str());
    }
    return {};
  }
  size_t renewed = 0;
  for (const machines::CertificateRow& row : report.certificates) {
    if (row.missing || row.external) {
      std::printf("%s %s, skipping\n", row.missing ? "MISSING! certificate" : "certificate",
                  (row.name + (row.missing ? "" : " is externally managed")).c_str());
      continue;
    }
    TRY(machines::renew_certificate(places, row.name, now()));
    std::printf("certificate %s renewed\n", row.name.c_str());
    ++renewed;
  }
  if (renewed == 0)
    return Status::bad_request(
        "nothing was renewed: on an agent the kubelet renews its own; on a server the keys of the "
        "CAs must lie beside their certificates");
  std::printf("\nA running server takes them into use within ten seconds, without a restart.\n");
  return {};
}

int renew_main(const std::vector<std::string>& args) {
  CertificatePlaces places;
  Flags flags(
      "Issues certificates anew, with new keys, for a year, of the names that they had. A server "
      "does so by itself in the last 30 days of each.\n\nUsage:\n  keles certs renew all|NAME... "
      "[flags]");
  add_place_flags(flags, places);
  return run_command(&flags, args, [&](const std::vector<std::string>& rest) -> Status {
    if (rest.empty())
      return Status::bad_request("which: want all, or names that `keles certs check` tells");
    return renew(places, rest);
  });
}

// The nodes that may still need the old CA.
Task<Status> find_nodes_of_former_ca(Context ctx, ClientConfig config, std::string bundle,
                                     std::vector<std::string>* out) {
  constexpr Duration kLimit = 30s;
  Context limit = ctx.with_timeout(kLimit);
  HttpsClientOptions options;
  options.user_agent = "keles-certs/" + std::string(kGitVersion);
  HttpsClient client(ctx.loop(), std::move(config), options);
  auto nodes = co_await client.list(limit, &kind_of<api::core_v1::Node>(), "", ListOptions());
  if (!nodes.ok()) co_return nodes.status();
  std::vector<std::string> names;
  for (const ObjectPtr& object : nodes->items) names.emplace_back(object->name());
  auto metrics = co_await client.raw(limit, "GET", "/metrics", "", net::Headers(), "");
  if (!metrics.ok()) co_return metrics.status();
  if (metrics->status != 200)
    co_return Status::unavailable("/metrics: status " + std::to_string(metrics->status));
  *out = machines::nodes_of_former_ca(metrics->body, auth::kCurrentCertificate, bundle, names);
  co_return Status();
}

// Whether nobody needs the old CA any more.
Status check_nodes(const CertificatePlaces& places, const std::string& bundle) {
  const std::string otherwise =
      " (--force drops the old CA without knowing; nodes that still need it must join again)";
  KubeconfigChoice choice;
  choice.path = places.admin_config;
  if (choice.path.empty() || !path_exists(choice.path))
    return Status::bad_request(
        "which certificates the nodes show is asked of the server: say --kubeconfig with an "
        "administrator's" +
        otherwise);
  TRY_ASSIGN(config, load_client_config(choice));
  std::vector<std::string> nodes;
  Status asked = run_program([&](Context ctx) -> Task<Status> {
    return find_nodes_of_former_ca(std::move(ctx), config, bundle, &nodes);
  });
  if (!asked.ok())
    return Status::unavailable("the server does not tell which certificates the nodes show: " +
                               asked.message() + otherwise);
  if (nodes.empty()) return {};
  std::string names;
  for (const std::string& n : nodes) names += (names.empty() ? "" : ", ") + n;
  return Status::bad_request(
      "nodes that have not shown this server a certificate of the new CA yet: " + names +
      ": an agent takes the CA within five minutes and asks for its certificate; see its log. "
      "Delete nodes that are gone" +
      otherwise);
}

Status rotate(const CertificatePlaces& places, bool force) {
  TRY_ASSIGN(before, machines::read_ca_rotation(places));
  if (before.phase == machines::CaPhase::kNone) {
    TRY(machines::begin_trust(places, now()));
    std::printf("A new CA is made; it is believed beside the one in use\n");
  } else if (before.phase == machines::CaPhase::kTrust) {
    const Duration left = machines::kCaTrustTime - (now() - before.began);
    if (left > Duration(0) && !force)
      return Status::bad_request(
          "the new CA is not yet known everywhere: nodes and pods learn of it within ten minutes; "
          "again in " +
          machines::residual_time(left) + " (--force does not wait)");
    TRY(machines::begin_issue(places, now()));
    std::printf("The new CA signs; this machine's certificates are issued anew\n");
  } else {
    if (!force) TRY(check_nodes(places, before.bundle));
    TRY(machines::end_rotation(places, now()));
    std::printf("The old CA is dropped: the CA has been exchanged\n");
  }
  TRY_ASSIGN(after, machines::read_ca_rotation(places));
  std::fputs(machines::rotation_text(after, now()).c_str(), stdout);
  return {};
}

int rotate_ca_main(const std::vector<std::string>& args) {
  CertificatePlaces places;
  bool force = false;
  Flags flags(
      "Exchanges the cluster's CA (not front-proxy-ca) while everything runs on, in three steps, "
      "one each time that it is called:\n"
      "  1. a new CA is made and believed beside the old one, by servers, nodes and pods;\n"
      "  2. after ten minutes: the new one signs, and all certificates are issued anew;\n"
      "  3. when every node has a new certificate: the old one is dropped.\n"
      "`keles certs check` tells where it stands. A step that was broken off is done again. Of "
      "several servers it is called on one, and after each step pki/ca.crt and pki/ca.key are "
      "copied to the others.\n\nUsage:\n  keles certs rotate-ca [flags]");
  add_place_flags(flags, places);
  flags.add("force", &force,
            "Go on although nodes or pods may not know the new CA yet, or have no certificate of "
            "it.");
  return run_command(&flags, args, [&](const std::vector<std::string>& rest) -> Status {
    TRY(no_arguments(rest));
    return rotate(places, force);
  });
}

constexpr char kHelp[] =
    "The certificates of this machine's server or agent.\n\nUsage:\n  keles certs "
    "check|renew|rotate-ca [flags]\n\nUse \"keles certs COMMAND --help\" for more.\n";

}  // namespace

int certs_main(const std::vector<std::string>& args) {
  const std::string which = args.empty() ? "" : args[0];
  const std::vector<std::string> rest(args.begin() + (args.empty() ? 0 : 1), args.end());
  if (which == "check" || which == "check-expiration") return check_certificates(rest);
  if (which == "renew") return renew_main(rest);
  if (which == "rotate-ca") return rotate_ca_main(rest);
  const bool asked = which == "--help" || which == "-h" || which == "help";
  std::fputs(kHelp, asked ? stdout : stderr);
  return asked ? 0 : 1;
}

}  // namespace keles
