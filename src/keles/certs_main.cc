// `keles certs`: which certificates this machine has, how long they hold, and new ones.
#include <chrono>
#include <cstdio>

#include "base/flags.h"
#include "keles/commands.h"
#include "keles/runtime.h"
#include "machines/certificates.h"

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
    return {};
  });
}

Status renew(const CertificatePlaces& places, const std::vector<std::string>& names) {
  TRY_ASSIGN(report, machines::read_certificates(places));
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

constexpr char kHelp[] =
    "The certificates of this machine's server or agent.\n\nUsage:\n  keles certs check|renew "
    "[flags]\n\nUse \"keles certs COMMAND --help\" for more.\n";

}  // namespace

int certs_main(const std::vector<std::string>& args) {
  const std::string which = args.empty() ? "" : args[0];
  const std::vector<std::string> rest(args.begin() + (args.empty() ? 0 : 1), args.end());
  if (which == "check" || which == "check-expiration") return check_certificates(rest);
  if (which == "renew") return renew_main(rest);
  const bool asked = which == "--help" || which == "-h" || which == "help";
  std::fputs(kHelp, asked ? stdout : stderr);
  return asked ? 0 : 1;
}

}  // namespace keles
