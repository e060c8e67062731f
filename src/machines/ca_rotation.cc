#include "machines/ca_rotation.h"

#include <errno.h>
#include <unistd.h>

#include <algorithm>

#include "base/encoding.h"
#include "base/file.h"
#include "base/files_lock.h"
#include "client/kubeconfig.h"
#include "net/certificate_bundle.h"
#include "net/key_pair.h"

namespace keles::machines {
namespace {

constexpr Duration kLife = 24h * 3650, kBackdate = 1h;  // clocks of nodes differ

struct Files {
  explicit Files(const CertificatePlaces& p)
      : directory(p.data_dir + "/pki"),
        certificate(directory + "/ca.crt"),
        key(directory + "/ca.key"),
        next(directory + "/ca-next.crt"),
        next_key(directory + "/ca-next.key"),
        previous(directory + "/ca-previous.crt") {}
  std::string directory, certificate, key, next, next_key, previous;
};

// What is not there is "".
Result<std::string> text_of(const std::string& path) {
  auto text = read_file(path);
  if (text.status().is(Reason::kNotFound)) return std::string();
  return text;
}

bool holds(const std::vector<std::string>& all, const std::string& one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

std::string without(const std::string& bundle, const std::string& gone) {
  std::string out;
  for (const std::string& c : net::certificates_in(bundle))
    if (c != gone) out += c;
  return out;
}

// The new CA's pair: the one that is there, or made.
Result<std::string> ensure_next(const Files& files, WallTime now) {
  TRY_ASSIGN(there, text_of(files.next));
  TRY_ASSIGN(key, text_of(files.next_key));
  if (!there.empty() && net::key_pair_problem(there, key).empty())
    return net::first_certificate(there);
  net::CertificateSpec spec;
  spec.common_name = "kubernetes";
  spec.not_before = now - kBackdate;
  spec.not_after = now + kLife;
  TRY_ASSIGN(made, net::make_ca(spec));
  TRY(write_file(files.next_key, made.key_pem, 0600, true));
  TRY(write_file(files.next, made.certificate_pem, 0644, true));
  return net::first_certificate(made.certificate_pem);
}

// All that the CA in use has not signed, of what is ours.
Status reissue(const CertificatePlaces& places, WallTime now) {
  TRY_ASSIGN(report, read_certificates(places));
  TRY_ASSIGN(bundle, read_file(places.data_dir + "/pki/ca.crt"));
  for (const CertificateRow& row : report.certificates) {
    if (row.authority != "ca" || row.missing || row.external || !row.problem.empty()) continue;
    if (!net::is_of_former_ca(row.pem, bundle)) continue;
    TRY(renew_certificate(places, row.name, now).with_prefix(row.name));
  }
  return {};
}

Status trust_on_this_machine(const CertificatePlaces& places, const std::string& bundle) {
  if (places.admin_config.empty()) return {};
  return trust_in_kubeconfig(places.admin_config, bundle);
}

}  // namespace

Status trust_in_kubeconfig(const std::string& path, const std::string& bundle) {
  if (!path_exists(path)) return {};
  KubeconfigChoice choice;
  choice.path = path;
  auto config = load_client_config(choice);
  if (!config.ok() || !config->endpoint.tls) return {};
  const std::string& held = config->endpoint.tls->ca_pem;
  if (held == bundle || !net::share_certificate(held, bundle)) return {};
  TRY_ASSIGN(text, read_file(path));
  const std::string was = base64_encode(held);
  const size_t at = text.find(was);
  if (at == std::string::npos) return {};  // it names a file, which is its owner's
  text.replace(at, was.size(), base64_encode(bundle));
  return write_file(path, text, 0600, true);
}

Result<CaRotation> read_ca_rotation(const CertificatePlaces& places) {
  const Files files(places);
  CaRotation out;
  TRY_ASSIGN(bundle, text_of(files.certificate));
  if (bundle.empty())
    return Status::bad_request("there is no CA below " + places.data_dir +
                               ": it is exchanged on a server (say --data-dir); agents follow");
  if (!path_exists(files.key))
    return Status::bad_request(
        "the CA is externally managed: its key is not here (" + files.key +
        "). Exchange it where that is kept: put first the old and the new certificate into " +
        files.certificate +
        ", then the new one before the old with certificates of it, then the new one alone; "
        "servers and agents follow the file");
  out.bundle = bundle;
  TRY_ASSIGN(next, text_of(files.next));
  TRY_ASSIGN(next_key, text_of(files.next_key));
  TRY_ASSIGN(previous, text_of(files.previous));
  out.next = net::first_certificate(next);
  out.previous = net::first_certificate(previous);
  const auto all = net::certificates_in(bundle);
  if (!out.next.empty() && !next_key.empty() && holds(all, out.next)) {
    out.phase = CaPhase::kTrust;
    TRY_ASSIGN(info, net::parse_certificate(out.next));
    out.began = WallTime{info.not_before_unix * 1'000'000'000} + kBackdate;
  } else if (!out.previous.empty() && holds(all, out.previous)) {
    out.phase = CaPhase::kIssue;
  }
  return out;
}

Status begin_trust(const CertificatePlaces& places, WallTime now) {
  const Files files(places);
  const auto held = FilesLock::take(files.directory);
  TRY(held.status());
  TRY_ASSIGN(bundle, read_file(files.certificate));
  TRY_ASSIGN(key, read_file(files.key));
  const std::string problem = net::key_pair_problem(bundle, key);
  if (!problem.empty()) return Status::bad_request(files.key + ": " + problem);
  TRY_ASSIGN(next, ensure_next(files, now));
  const auto all = net::certificates_in(bundle);
  if (!holds(all, next)) {
    bundle = "";
    for (const std::string& c : all) bundle += c;
    bundle += next;
    TRY(write_file(files.certificate, bundle, 0644, true));
  }
  return trust_on_this_machine(places, bundle);
}

Status begin_issue(const CertificatePlaces& places, WallTime now) {
  const Files files(places);
  const auto held = FilesLock::take(files.directory);
  TRY(held.status());
  TRY_ASSIGN(bundle, read_file(files.certificate));
  TRY_ASSIGN(next_text, read_file(files.next));
  TRY_ASSIGN(next_key, read_file(files.next_key));
  const std::string problem = net::key_pair_problem(next_text, next_key);
  if (!problem.empty()) return Status::bad_request(files.next_key + ": " + problem);
  const std::string next = net::first_certificate(next_text);
  const std::string first = net::first_certificate(bundle);
  if (first != next) {
    TRY(write_file(files.previous, first, 0644, true));
    bundle = next + without(bundle, next);
    TRY(write_file(files.certificate, bundle, 0644, true));
  }
  TRY(write_file(files.key, next_key, 0600, true));
  TRY(trust_on_this_machine(places, bundle));
  TRY(reissue(places, now));
  TRY(remove_file(files.next_key));
  return remove_file(files.next);
}

Status end_rotation(const CertificatePlaces& places, WallTime now) {
  const Files files(places);
  const auto held = FilesLock::take(files.directory);
  TRY(held.status());
  TRY_ASSIGN(previous, read_file(files.previous));
  TRY(reissue(places, now));
  TRY_ASSIGN(bundle, read_file(files.certificate));
  bundle = without(bundle, net::first_certificate(previous));
  if (bundle.empty()) return Status::bad_request(files.certificate + " holds no other CA");
  TRY(write_file(files.certificate, bundle, 0644, true));
  TRY(trust_on_this_machine(places, bundle));
  return remove_file(files.previous);
}

std::vector<std::string> nodes_of_former_ca(std::string_view metrics, std::string_view gauge,
                                            std::string_view bundle,
                                            const std::vector<std::string>& nodes) {
  std::vector<std::string> current, out;
  const auto first = net::parse_certificate(bundle);
  const std::string fingerprint = first.ok() ? first->fingerprint_sha256 : "none";
  const std::string head = std::string(gauge) + "{node=\"",
                    end = "\",ca=\"" + fingerprint + "\"} 1";
  for (size_t at = 0; at < metrics.size();) {
    const size_t stop = std::min(metrics.find('\n', at), metrics.size());
    std::string_view line = metrics.substr(at, stop - at);
    at = stop + 1;
    if (!line.starts_with(head) || !line.ends_with(end)) continue;
    line.remove_prefix(head.size());
    line.remove_suffix(end.size());
    current.emplace_back(line);
  }
  for (const std::string& node : nodes)
    if (!holds(current, node)) out.push_back(node);
  return out;
}

std::string rotation_text(const CaRotation& r, WallTime now) {
  const std::string next = " `keles certs rotate-ca`\n";
  if (r.phase == CaPhase::kTrust) {
    const Duration left = kCaTrustTime - (now - r.began);
    const std::string when = left > Duration(0) ? "in " + residual_time(left) + ":" : "now:";
    return "The CA is being exchanged, step 1 of 3: a new one is believed beside the one in use.\n"
           "Next, " +
           when + next;
  }
  if (r.phase == CaPhase::kIssue)
    return "The CA is being exchanged, step 2 of 3: the new one signs, the old one is still "
           "believed.\nNext, when every node has a certificate of the new one:" +
           next;
  return "";
}

}  // namespace keles::machines
