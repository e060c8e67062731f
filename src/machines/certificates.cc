#include "machines/certificates.h"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <optional>

#include "base/encoding.h"
#include "base/file.h"
#include "client/kubeconfig.h"
#include "net/certificate_bundle.h"
#include "net/key_pair.h"

namespace keles::machines {
namespace {

constexpr Duration kYear = 24h * 365, kBackdate = 1h;  // clocks of nodes differ

enum class Form : uint8_t {
  kPair,        // NAME.crt and NAME.key
  kKubeconfig,  // within a kubeconfig
  kJoined,      // certificate and key in one file, which the kubelet keeps
};

struct Known {
  const char* name;
  Form form;
  std::string path;  // of a pair without its suffix
  const char* authority;
  bool server = false;
  bool chain = false;   // the CA's certificate follows
  bool needed = false;  // told to be missing where it is not there
};

std::vector<Known> known_certificates(const CertificatePlaces& p) {
  const std::string pki = p.data_dir + "/pki/", agent = p.data_dir + "/agent/",
                    kubelet = p.kubelet_dir + "/pki/";
  std::vector<Known> out;
  if (path_exists(pki + "ca.crt")) {
    if (!p.admin_config.empty())
      out.push_back({"admin.conf", Form::kKubeconfig, p.admin_config, "ca"});
    out.push_back({"apiserver", Form::kPair, pki + "apiserver", "ca", true, false, true});
    out.push_back({"apiserver-kubelet-client", Form::kPair, pki + "apiserver-kubelet-client", "ca",
                   false, false, true});
    out.push_back({"front-proxy-client", Form::kPair, pki + "front-proxy-client", "front-proxy-ca",
                   false, false, true});
  }
  out.push_back({"kubelet.conf", Form::kKubeconfig, agent + "kubelet.conf", "ca"});
  out.push_back({"kube-proxy.conf", Form::kKubeconfig, agent + "kube-proxy.conf", "ca"});
  out.push_back({"kubelet", Form::kPair, agent + "kubelet", "ca", true, true});
  if (!path_exists(agent + "kubelet.crt"))
    out.push_back(
        {"kubelet-server", Form::kJoined, kubelet + "kubelet-server-current.pem", "ca", true});
  return out;
}

Result<net::TlsIdentity> identity_of(const Known& k) {
  net::TlsIdentity out;
  if (k.form == Form::kKubeconfig) {
    KubeconfigChoice choice;
    choice.path = k.path;
    TRY_ASSIGN(config, load_client_config(choice));
    if (!config.endpoint.tls || !config.endpoint.tls->identity)
      return Status::bad_request(k.path + " holds no client certificate");
    return *config.endpoint.tls->identity;
  }
  const bool pair = k.form == Form::kPair;
  TRY_ASSIGN(certificate, read_file(pair ? k.path + ".crt" : k.path));
  out.certificate_pem = certificate;
  out.key_pem = certificate;
  if (pair) {
    auto key = read_file(k.path + ".key");
    if (!key.ok() && !key.status().is(Reason::kNotFound)) return key.status();
    out.key_pem = key.ok() ? *key : "";
  }
  return out;
}

// Of a kubeconfig that names files: who wrote them renews them.
bool lies_elsewhere(const Known& k, const net::TlsIdentity& identity) {
  if (k.form == Form::kPair) return false;
  if (k.form == Form::kJoined) return true;
  auto text = read_file(k.path);
  return text.ok() && text->find(base64_encode(identity.certificate_pem)) == std::string::npos;
}

// An administrator's kubeconfig may be one of another cluster.
bool is_of_cluster(const Known& k, const std::string& ca_pem) {
  KubeconfigChoice choice;
  choice.path = k.path;
  auto config = load_client_config(choice);
  return config.ok() && config->endpoint.tls &&
         net::share_certificate(config->endpoint.tls->ca_pem, ca_pem);
}

// Of several CAs the first signs. The others are those of an exchange (ca_rotation.h), or believed
// because somebody wants it so.
std::string authority_name(const CertificatePlaces& p, const std::string& name, size_t at,
                           const std::string& certificate) {
  if (at == 0) return name;
  for (const char* part : {"-next", "-previous"}) {
    auto text = read_file(p.data_dir + "/pki/" + name + part + ".crt");
    if (text.ok() && net::first_certificate(*text) == certificate) return name + part;
  }
  return name + "-" + std::to_string(at + 1);
}

std::string authority_file(const CertificatePlaces& p, const std::string& name) {
  const bool server = path_exists(p.data_dir + "/pki/ca.crt");
  return p.data_dir + (server ? "/pki/" : "/agent/") + name + ".crt";
}

// "" for the one that signs, or none that is known.
std::string signer_of(const CertificatePlaces& p, const std::string& authority,
                      const std::string& certificate) {
  auto text = read_file(authority_file(p, authority));
  if (!text.ok() || !net::is_of_former_ca(certificate, *text)) return "";
  const auto all = net::certificates_in(*text);
  for (size_t i = 1; i < all.size(); ++i)
    if (net::is_issued_by(certificate, all[i])) return authority_name(p, authority, i, all[i]);
  return "";
}

std::string file_of(const Known& k) { return k.form == Form::kPair ? k.path + ".crt" : k.path; }

std::optional<CertificateRow> row_of(const Known& k, const CertificatePlaces& places) {
  CertificateRow row;
  row.name = k.name;
  row.path = file_of(k);
  row.authority = k.authority;
  if (!path_exists(row.path)) {
    if (!k.needed) return std::nullopt;
    row.missing = true;
    return row;
  }
  auto ca = read_file(places.data_dir + "/pki/ca.crt");
  if (row.path == places.admin_config && (!ca.ok() || !is_of_cluster(k, *ca))) return std::nullopt;
  auto identity = identity_of(k);
  Status s = identity.status();
  if (s.ok()) {
    auto info = net::parse_certificate(identity->certificate_pem);
    if (info.ok()) row.info = *info;
    s = info.status();
    row.pem = identity->certificate_pem;
    row.signer = signer_of(places, row.authority, row.pem);
  }
  if (!s.ok()) {
    row.problem = s.message();
    return row;
  }
  row.external = lies_elsewhere(k, *identity) ||
                 !path_exists(places.data_dir + "/pki/" + std::string(k.authority) + ".key");
  return row;
}

std::vector<CertificateRow> authorities_of(const CertificatePlaces& p) {
  std::vector<CertificateRow> out;
  for (const char* name : {"ca", "front-proxy-ca"}) {
    CertificateRow row;
    row.path = authority_file(p, name);
    if (!path_exists(row.path)) continue;
    row.external = !path_exists(
        row.path.substr(0, row.path.size() - std::string_view(".crt").size()) + ".key");
    auto text = read_file(row.path);
    std::vector<std::string> all = net::certificates_in(text.value_or(""));
    if (all.empty()) all.emplace_back();  // its error is told
    for (size_t i = 0; i < all.size(); ++i) {
      row.name = authority_name(p, name, i, all[i]);
      auto info = text.ok() ? net::parse_certificate(all[i]) : text.status();
      row.info = info.ok() ? *info : net::CertificateInfo();
      row.problem = info.ok() ? "" : info.status().message();
      out.push_back(row);
    }
  }
  return out;
}

std::string subject_text(const net::CertificateInfo& info) {
  std::string out = "CN=" + info.common_name;
  for (const std::string& o : info.organizations) out += ",O=" + o;
  return out;
}

std::string date_text(int64_t unix_seconds) {
  char text[32];
  const time_t at = unix_seconds;
  tm parts{};
  ::gmtime_r(&at, &parts);
  std::strftime(text, sizeof text, "%b %d, %Y %H:%M UTC", &parts);
  return text;
}

// "9999-12-31" and what never ends fit in no Duration.
Duration time_left(int64_t not_after_unix, WallTime now) {
  constexpr int64_t kMost = 200 * 365 * int64_t{86'400};
  return std::chrono::seconds(std::clamp(not_after_unix - now.unix_seconds(), -kMost, kMost));
}

using Cells = std::vector<std::string>;

std::string aligned(const std::vector<Cells>& rows) {
  std::vector<size_t> widths;
  for (const Cells& r : rows)
    for (size_t i = 0; i < r.size(); ++i) {
      if (widths.size() <= i) widths.push_back(0);
      widths[i] = std::max(widths[i], r[i].size());
    }
  std::string out;
  for (const Cells& r : rows) {
    for (size_t i = 0; i < r.size(); ++i) {
      out += r[i];
      if (i + 1 < r.size()) out += std::string(widths[i] - r[i].size() + 3, ' ');
    }
    out += "\n";
  }
  return out;
}

Cells cells_of(const CertificateRow& row, WallTime now) {
  if (row.missing) return {"!MISSING! " + row.name, "", "", ""};
  if (!row.problem.empty()) return {"!UNREADABLE! " + row.name, row.problem, "", ""};
  return {row.name, subject_text(row.info), date_text(row.info.not_after_unix),
          residual_time(time_left(row.info.not_after_unix, now))};
}

// A certificate of the same holder: subject and names are the old one's.
net::CertificateSpec spec_like(const net::CertificateInfo& info, bool server, WallTime now) {
  net::CertificateSpec spec;
  spec.common_name = info.common_name;
  spec.organizations = info.organizations;
  spec.dns_names = info.dns_names;
  spec.ip_addresses = info.ip_addresses;
  spec.server = server;
  spec.client = !server;
  spec.not_before = now - kBackdate;
  spec.not_after = now + kYear;
  return spec;
}

bool exchange(std::string* text, const std::string& from, const std::string& to) {
  const size_t at = text->find(from);
  if (at == std::string::npos) return false;
  text->replace(at, from.size(), to);
  return true;
}

Status write_renewed(const Known& k, const net::TlsIdentity& old, const net::TlsIdentity& made,
                     const std::string& ca_pem) {
  if (k.form == Form::kPair) {
    TRY(write_file(k.path + ".key", made.key_pem, 0600, true));
    return write_file(k.path + ".crt",
                      made.certificate_pem + (k.chain ? net::first_certificate(ca_pem) : ""), 0644,
                      true);
  }
  // All else in the file is its owner's, and stays.
  TRY_ASSIGN(text, read_file(k.path));
  if (!exchange(&text, base64_encode(old.certificate_pem), base64_encode(made.certificate_pem)) ||
      !exchange(&text, base64_encode(old.key_pem), base64_encode(made.key_pem)))
    return Status::bad_request(k.path + " does not hold its certificate and key itself");
  return write_file(k.path, text, 0600, true);
}

Result<net::TlsIdentity> authority_to_sign(const CertificatePlaces& places, const Known& k,
                                           WallTime now) {
  const std::string base = places.data_dir + "/pki/" + k.authority;
  net::TlsIdentity ca;
  TRY_ASSIGN(certificate, read_file(base + ".crt"));
  auto key = read_file(base + ".key");
  if (!key.ok())
    return Status::bad_request(std::string(k.name) + ": the key of its CA is not here (" + base +
                               ".key): renew it where that is kept, and put the files here");
  ca.certificate_pem = certificate;
  ca.key_pem = *key;
  TRY_ASSIGN(info, net::parse_certificate(certificate));
  if (info.not_after_unix <= now.unix_seconds())
    return Status::bad_request(std::string(k.name) + ": its CA (" + base +
                               ".crt) has itself ended: what it signs would not be believed");
  const std::string problem = net::key_pair_problem(ca.certificate_pem, ca.key_pem);
  if (!problem.empty()) return Status::bad_request(base + ".key: " + problem);
  return ca;
}

}  // namespace

std::string residual_time(Duration left) {
  const int64_t s = left / 1s;
  if (s < -1) return "<invalid>";
  if (s < 0) return "0s";
  if (s < 60) return std::to_string(s) + "s";
  if (s < 3600) return std::to_string(s / 60) + "m";
  if (s < 86'400) return std::to_string(s / 3600) + "h";
  if (s < 86'400 * 365) return std::to_string(s / 86'400) + "d";
  return std::to_string(s / (86'400 * 365)) + "y";
}

Result<CertificateReport> read_certificates(const CertificatePlaces& places) {
  CertificateReport out;
  for (const Known& k : known_certificates(places))
    if (auto row = row_of(k, places)) out.certificates.push_back(std::move(*row));
  out.authorities = authorities_of(places);
  if (out.certificates.empty() && out.authorities.empty())
    return Status(Reason::kNotFound,
                  "there are no certificates below " + places.data_dir +
                      ": neither a server nor an agent has run with it (say --data-dir)");
  return out;
}

std::string certificate_table(const CertificateReport& report, WallTime now) {
  auto yes_or_no = [](bool b) { return b ? "yes" : "no"; };
  std::vector<Cells> rows = {{"CERTIFICATE", "SUBJECT", "EXPIRES", "RESIDUAL TIME",
                              "CERTIFICATE AUTHORITY", "EXTERNALLY MANAGED"}};
  for (const CertificateRow& c : report.certificates) {
    Cells cells = cells_of(c, now);
    cells.push_back(c.signer.empty() ? c.authority : c.signer);
    cells.emplace_back(yes_or_no(c.external));
    rows.push_back(std::move(cells));
  }
  std::string out = aligned(rows) + "\n";
  rows = {{"CERTIFICATE AUTHORITY", "SUBJECT", "EXPIRES", "RESIDUAL TIME", "EXTERNALLY MANAGED"}};
  for (const CertificateRow& c : report.authorities) {
    Cells cells = cells_of(c, now);
    cells.emplace_back(yes_or_no(c.external));
    rows.push_back(std::move(cells));
  }
  return out + aligned(rows);
}

Status renew_certificate(const CertificatePlaces& places, const std::string& name, WallTime now) {
  for (const Known& k : known_certificates(places)) {
    if (name != k.name) continue;
    auto old = identity_of(k);
    if (old.status().is(Reason::kNotFound))
      return Status(Reason::kNotFound,
                    name + ": " + file_of(k) + " is not there: the server makes it when it starts");
    if (!old.ok()) return old.status().with_prefix(name);
    if (lies_elsewhere(k, *old))
      return Status::bad_request(
          name +
          ": the kubelet asks the cluster for it, and again before it ends; where that is too "
          "late, start the agent with a new token (keles token create)");
    TRY_ASSIGN(info, net::parse_certificate(old->certificate_pem));
    TRY_ASSIGN(ca, authority_to_sign(places, k, now));
    TRY_ASSIGN(made, net::issue_certificate(ca, spec_like(info, k.server, now)));
    return write_renewed(k, *old, made, ca.certificate_pem);
  }
  std::string all;
  for (const Known& k : known_certificates(places)) all += std::string(", ") + k.name;
  return Status(Reason::kNotFound, "there is no certificate \"" + name + "\": want all" + all);
}

}  // namespace keles::machines
