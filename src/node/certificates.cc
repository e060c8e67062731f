#include "node/certificates.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "api/certificates_v1.h"
#include "base/encoding.h"
#include "base/file.h"
#include "base/log.h"
#include "base/recurring.h"
#include "client/node_identity.h"
#include "net/certificate_bundle.h"
#include "net/key_pair.h"
#include "node/node_metrics.h"

namespace keles::node {

using api::certificates_v1::CertificateSigningRequest;
using api::certificates_v1::CertificateSigningRequestEdit;

namespace {

constexpr Duration kLookEvery = 60s;
constexpr Duration kAnswerWithin = 15min;
constexpr Duration kAgainFirst = 4s, kAgainLast = 30min;

// One certificate that is asked for by requests.
struct Wanted {
  bool serving = false;
  std::string node_name, file;
  std::function<NodePlaces()> places;           // of one to serve with
  std::optional<net::CertificateInfo> current;  // in use
  std::string pem;                              // of `current`, where it is known
  std::string ca_pem;
  std::optional<std::set<std::string>> asked;  // places that it was asked for, by this process
};

std::set<std::string> all_of(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  std::set<std::string> out(a.begin(), a.end());
  out.insert(b.begin(), b.end());
  return out;
}

// Whether the certificate in use was asked for when the node was reached otherwise.
bool is_out_of_place(const Wanted& w) {
  if (!w.places || !w.current) return false;
  const NodePlaces now = w.places();
  // A signer that grants less than was asked for is not asked again and again.
  const std::set<std::string> held =
      w.asked ? *w.asked : all_of(w.current->dns_names, w.current->ip_addresses);
  return !now.empty() && all_of(now.dns_names, now.ip_addresses) != held;
}

Document request_for(const Wanted& w, const std::string& csr_pem) {
  Draft<CertificateSigningRequestEdit> d;
  d->edit_metadata().set_generate_name("csr-");
  auto spec = d->edit_spec();
  spec.set_signer_name(w.serving ? "kubernetes.io/kubelet-serving"
                                 : "kubernetes.io/kube-apiserver-client-kubelet");
  spec.set_request(base64_encode(csr_pem));
  spec.edit_usages().add("digital signature");
  spec.edit_usages().add(w.serving ? "server auth" : "client auth");
  return d.take();
}

// The answer of a request's signer, when there is one.
std::optional<Result<std::string>> answer_of(const CertificateSigningRequest& csr) {
  if (!csr.status().certificate().empty()) {
    return std::optional<Result<std::string>>(base64_decode(csr.status().certificate()));
  }
  for (auto c : csr.status().conditions()) {
    if (c.type() != "Denied" && c.type() != "Failed") continue;
    return std::optional<Result<std::string>>(Status::bad_request(
        "certificate signing request " + std::string(csr.metadata().name()) + ": " +
        std::string(c.type()) + ": " + std::string(c.reason()) + ": " + std::string(c.message())));
  }
  return std::nullopt;
}

// Waits for the certificate of the request `name`.
Task<Result<std::string>> await_answer(Context ctx, Client* client, std::string name) {
  Context limited = ctx.with_timeout(kAnswerWithin);
  const KindDesc* kind = &kind_of<CertificateSigningRequest>();
  while (!limited.done()) {
    WatchOptions options;
    options.field_selector = "metadata.name=" + name;
    auto watch = co_await client->watch(limited, kind, "", std::move(options));
    if (!watch.ok()) co_return watch.status();
    for (;;) {
      auto event = co_await (*watch)->next(limited);
      if (!event.ok()) break;  // ended in good order, or an error that the next watch will tell
      if (event->type == WatchEvent::Type::kBookmark) continue;
      if (event->type == WatchEvent::Type::kDeleted) {
        co_return Status::not_found("certificates.k8s.io", "certificatesigningrequests", name);
      }
      DocumentPtr tree = event->object->tree();
      auto answer = answer_of(CertificateSigningRequest(tree->root));
      if (answer) co_return std::move(*answer);
    }
    Status s = co_await limited.sleep(1s);
    if (!s.ok()) break;
  }
  if (ctx.done()) co_return ctx.status();
  co_return Status(Reason::kTimeout, "certificate signing request " + name +
                                         " was not signed within 15 minutes: is it approved?");
}

Task<Result<net::TlsIdentity>> ask(Context ctx, Wanted* o, Client* client) {
  auto key = net::make_key();
  if (!key.ok()) co_return key.status();
  net::CertificateSpec spec;
  spec.common_name = node_user(o->node_name);
  spec.organizations = {"system:nodes"};
  std::optional<std::set<std::string>> asked;
  if (o->places) {
    NodePlaces where = o->places();
    asked = all_of(where.dns_names, where.ip_addresses);
    spec.dns_names = std::move(where.dns_names);
    spec.ip_addresses = std::move(where.ip_addresses);
  }
  auto csr = net::make_csr(*key, spec);
  if (!csr.ok()) co_return csr.status();
  Document body = request_for(*o, *csr);
  auto made =
      co_await client->create<CertificateSigningRequest>(ctx.with_timeout(30s), std::move(body));
  if (!made.ok()) co_return made.status();
  std::string name((*made)->metadata().name());
  log::info("Asked for a certificate", {{"csr", name}, {"serving", o->serving}});
  TRY_ASSIGN_CO(certificate, await_answer(ctx, client, name));
  std::string problem = net::key_pair_problem(certificate, *key);
  if (!problem.empty()) co_return Status::internal("csr " + name + ": " + problem);
  net::TlsIdentity identity;
  identity.certificate_pem = certificate;
  identity.key_pem = *key;
  o->asked = std::move(asked);
  co_return identity;
}

// A certificate and its key from text that holds both.
Result<net::TlsIdentity> identity_in(const std::string& certificate, const std::string& key) {
  std::string problem = net::key_pair_problem(certificate, key);
  if (!problem.empty()) return Status::bad_request(problem);
  return net::TlsIdentity{certificate, key};
}

// Files that change are read again (upstream: the kubelet reloads tlsCertFile).
Task<void> follow_files(Context ctx, const ServingCertificateOptions* o,
                        const std::function<void(net::TlsIdentity)>* use) {
  std::string last = read_file(o->certificate_file).value_or("");
  Recurring failing;
  while (!ctx.done()) {
    auto info = net::parse_certificate(last);
    if (info.ok()) {
      node_metrics::certificate_ends(true, {info->not_after_unix * 1'000'000'000});
    }
    Status slept = co_await ctx.sleep(kLookEvery);
    if (!slept.ok()) co_return;
    std::string now = read_file(o->certificate_file).value_or("");
    if (now.empty() || now == last) continue;
    auto identity = identity_in(now, read_file(o->key_file).value_or(""));
    if (!identity.ok()) {  // half written, perhaps
      if (failing.news(ctx.loop().now(), identity.status().message())) {
        log::warn("Keeping the old serving certificate", {{"err", identity.status()}});
      }
      continue;
    }
    failing.over();
    last = now;
    log::info("The serving certificate's files have changed", {{"file", o->certificate_file}});
    (*use)(*identity);
  }
}

Task<void> rotate(Context ctx, Wanted* w, Client* client,
                  const std::function<void(net::TlsIdentity)>* use) {
  std::string kept = read_file(w->file).value_or("");
  if (auto identity = identity_in(kept, kept); identity.ok()) {
    auto info = net::parse_certificate(kept);
    const bool own = info.ok() && info->common_name == node_user(w->node_name);
    const int64_t until =
        w->current ? w->current->not_after_unix : ctx.loop().wall_now().unix_seconds();
    if (own && info->not_after_unix > until) {
      w->current = *info;
      w->pem = kept;
      (*use)(*identity);
    }
  }
  Duration again = kAgainFirst;
  WallTime due = ctx.loop().wall_now();
  // Asked once: who signs may be somebody else.
  const bool former = w->current && net::is_of_former_ca(w->pem, w->ca_pem);
  if (former) log::info("The cluster's CA is another one", {{"serving", w->serving}});
  if (w->current && !former) due = renewal_time(*w->current, ctx.loop().random().unit());
  while (!ctx.done()) {
    if (w->current) {
      node_metrics::certificate_ends(w->serving, {w->current->not_after_unix * 1'000'000'000});
    }
    while (ctx.loop().wall_now() < due &&
           !is_out_of_place(*w)) {  // looked at daily: clocks are set
      const Duration most = w->places ? Duration(kLookEvery) : 24h;
      Status s = co_await ctx.sleep(std::min<Duration>(due - ctx.loop().wall_now(), most));
      if (!s.ok()) co_return;
    }
    while (w->places && w->places().empty()) {  // it is not registered yet
      Status s = co_await ctx.sleep(1s);
      if (!s.ok()) co_return;
    }
    auto identity = co_await ask(ctx, w, client);
    if (ctx.done()) co_return;
    if (!identity.ok()) {
      node_metrics::certificate_not_renewed(w->serving);
      log::warn("No new certificate", {{"serving", w->serving}, {"err", identity.status()}});
      (void)co_await ctx.sleep(again);
      again = std::min<Duration>(again * 2, kAgainLast);
      continue;
    }
    again = kAgainFirst;
    Status written = make_directories(w->file.substr(0, w->file.rfind('/')), 0700);
    const std::string both = identity->certificate_pem + identity->key_pem;
    if (written.ok()) written = write_file(w->file, both, 0600, true);
    if (!written.ok()) log::warn("The certificate is not kept", {{"err", written}});
    auto info = net::parse_certificate(identity->certificate_pem);
    if (info.ok()) {
      w->current = *info;
      due = renewal_time(*info, ctx.loop().random().unit());
    }
    (*use)(*identity);
  }
}

}  // namespace

WallTime renewal_time(const net::CertificateInfo& info, double at) {
  const auto life = static_cast<double>(info.not_after_unix - info.not_before_unix);
  const auto seconds = static_cast<int64_t>(std::llround(life * (0.7 + 0.2 * at)));
  return {(info.not_before_unix + seconds) * 1'000'000'000};
}

Task<void> keep_serving_certificate(Context ctx, ServingCertificateOptions options, Client* client,
                                    std::function<void(net::TlsIdentity)> use) {
  if (options.rotate) {
    Wanted w;
    w.serving = true;
    w.node_name = options.node_name;
    w.file = options.directory + "/kubelet-server-current.pem";
    w.places = options.places;
    w.ca_pem = options.ca_pem;
    co_await rotate(ctx, &w, client, &use);
  } else if (!options.certificate_file.empty()) {
    co_await follow_files(ctx, &options, &use);
  }
}

Task<Result<net::TlsIdentity>> first_client_certificate(Context ctx, std::string node_name,
                                                        Client* client) {
  Wanted w;
  w.node_name = std::move(node_name);
  Duration again = kAgainFirst;
  for (;;) {
    auto identity = co_await ask(ctx, &w, client);
    if (identity.ok() || ctx.done()) co_return identity;
    log::warn("No client certificate yet", {{"err", identity.status()}});
    Status slept = co_await ctx.sleep(again);
    if (!slept.ok()) co_return slept;
    again = std::min<Duration>(again * 2, kAgainLast);
  }
}

Task<void> keep_client_certificate(Context ctx, ClientCertificateOptions options, Client* client,
                                   std::function<void(net::TlsIdentity)> use) {
  Wanted w;
  w.node_name = options.node_name;
  w.file = options.directory + "/kubelet-client-current.pem";
  auto info = net::parse_certificate(options.certificate_pem);
  if (info.ok()) w.current = *info;
  w.pem = options.certificate_pem;
  w.ca_pem = options.ca_pem;
  co_await rotate(ctx, &w, client, &use);
}

}  // namespace keles::node
