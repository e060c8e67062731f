#include "controllers/certificates.h"

#include <algorithm>

#include "api/authorization_v1.h"
#include "base/encoding.h"
#include "base/log.h"
#include "controllers/csr_rules.h"
#include "controllers/options.h"
#include "machinery/time.h"

namespace keles::controllers {

using namespace api::certificates_v1;
using api::authorization_v1::SubjectAccessReview;
using api::authorization_v1::SubjectAccessReviewEdit;
using Csr = CertificateSigningRequest;

namespace {

constexpr Duration kAnsweredFor = 1h, kPendingFor = 24h;
constexpr Duration kSoonest = 200ms, kLatest = 1000s;

bool has_condition(const Csr& csr, std::string_view type) {
  for (auto c : csr.status().conditions()) {
    if (c.type() == type) return true;
  }
  return false;
}

bool has_failed(const Csr& csr) {
  for (auto c : csr.status().conditions()) {
    if (c.type() == "Failed" && (c.status().empty() || c.status() == "True")) return true;
  }
  return false;
}

std::vector<std::string> usages_of(const Csr& csr) {
  std::vector<std::string> out;
  for (std::string_view u : csr.spec().usages()) out.emplace_back(u);
  return out;
}

Result<net::CertificateInfo> request_of(const Csr& csr) {
  TRY_ASSIGN(pem, base64_decode(csr.spec().request()));
  auto info = net::parse_csr(pem);
  if (info.ok()) return info;
  return info.status().with_prefix("unable to parse csr \"" + std::string(csr.metadata().name()) +
                                   "\"");
}

bool older(std::string_view time, Duration age, WallTime now) {
  auto t = parse_time(time);
  return t.ok() && now - *t > age;
}

// Somebody else was quicker; what they did is on its way to us.
Status without_races(Status s) {
  return s.is(Reason::kNotFound) || s.is(Reason::kConflict) ? Status() : s;
}

}  // namespace

// --- approval ------------------------------------------------------------------------------------

std::vector<AutoApproval> plan_approval(const Csr& csr) {
  std::vector<AutoApproval> out;
  if (!csr.status().certificate().empty() || has_condition(csr, "Approved") ||
      has_condition(csr, "Denied") || csr.spec().signer_name() != kKubeletClientSigner) {
    return out;
  }
  auto request = request_of(csr);
  if (!request.ok()) return out;
  if (!signer_objection(kKubeletClientSigner, *request, usages_of(csr)).empty()) return out;
  if (csr.spec().username() == request->common_name) {
    out.push_back({"selfnodeclient",
                   "Auto approving self kubelet client certificate after SubjectAccessReview."});
  }
  out.push_back(
      {"nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview."});
  return out;
}

CsrApprovingController::CsrApprovingController(Deps deps)
    : Controller(deps, "certificate_approving", "certificate-controller", 5),
      requests_(watch_own<Csr>()) {}

Task<Result<bool>> CsrApprovingController::may(Context ctx, Ref<Csr> csr, std::string subresource) {
  Draft<SubjectAccessReviewEdit> review;
  auto spec = review->edit_spec();
  spec.set_user(csr->spec().username());
  if (!csr->spec().uid().empty()) spec.set_uid(csr->spec().uid());
  if (csr->spec().has_groups()) spec.set_groups(csr->spec().groups());
  if (csr->spec().has_extra()) spec.set_extra(csr->spec().extra());
  auto what = spec.edit_resource_attributes();
  what.set_group("certificates.k8s.io");
  what.set_version("*");
  what.set_resource("certificatesigningrequests");
  what.set_subresource(subresource);
  what.set_verb("create");
  auto answer = co_await client().create<SubjectAccessReview>(ctx, review.take());
  if (!answer.ok()) co_return answer.status();
  co_return (*answer)->status().allowed();
}

Task<ReconcileResult> CsrApprovingController::reconcile(Context ctx, std::string key) {
  Ref<Csr> csr = requests_.get("", key);
  if (!csr) co_return Status();
  const std::vector<AutoApproval> ways = plan_approval(*csr);
  for (const AutoApproval& way : ways) {
    auto allowed = co_await may(ctx, csr, std::string(way.subresource));
    if (!allowed.ok()) co_return allowed.status();
    if (!*allowed) continue;
    Draft<CertificateSigningRequestEdit> d(*csr);
    auto c = d->edit_status().edit_conditions().add();
    c.set_type("Approved");
    c.set_status("True");
    c.set_reason("AutoApproved");
    c.set_message(way.message);
    WriteOptions options;
    options.subresource = "approval";
    auto done = co_await client().update<Csr>(ctx, d.take(), std::move(options));
    co_return without_races(done.status());
  }
  if (ways.empty()) co_return Status();
  // A role may yet be given: asked again in ever longer pauses, as long as the request is old.
  auto made = parse_time(csr->metadata().creation_timestamp());
  Duration age = made.ok() ? loop().wall_now() - *made : kLatest;
  co_return ReconcileResult::after(std::clamp(age, kSoonest, kLatest));
}

// --- signature -----------------------------------------------------------------------------------

Result<SignedStatus> plan_signature(const Csr& csr, const Options& options, WallTime now) {
  if (!csr.status().certificate().empty() || !has_condition(csr, "Approved") ||
      has_condition(csr, "Denied") || has_failed(csr) ||
      !is_cluster_signer(csr.spec().signer_name())) {
    return SignedStatus();
  }
  TRY_ASSIGN(request, request_of(csr));
  const std::vector<std::string> usages = usages_of(csr);
  Draft<CertificateSigningRequestEdit> d(csr);
  std::string objection = signer_objection(csr.spec().signer_name(), request, usages);
  if (!objection.empty()) {
    auto c = d->edit_status().edit_conditions().add();
    c.set_type("Failed");
    c.set_status("True");
    c.set_reason("SignerValidationFailure");
    c.set_message(objection);
    c.set_last_update_time(format_time(now));
    return SignedStatus(std::move(d));
  }
  std::optional<int64_t> expiration;
  if (csr.spec().has_expiration_seconds()) expiration = csr.spec().expiration_seconds();
  TRY_ASSIGN(pem, base64_decode(csr.spec().request()));
  TRY_ASSIGN(
      certificate,
      options.sign_csr(pem, csr_terms(now, expiration, options.cluster_signing_duration, usages)));
  d->edit_status().set_certificate(base64_encode(certificate));
  return SignedStatus(std::move(d));
}

CsrSigningController::CsrSigningController(Deps deps)
    : Controller(deps, "certificate", "certificate-controller", 5), requests_(watch_own<Csr>()) {}

Task<ReconcileResult> CsrSigningController::reconcile(Context ctx, std::string key) {
  Ref<Csr> csr = requests_.get("", key);
  if (!csr) co_return Status();
  auto plan = plan_signature(*csr, options(), loop().wall_now());
  if (!plan.ok()) co_return plan.status();
  if (!*plan) co_return Status();
  auto done = co_await client().update_status<Csr>(ctx, (*plan)->take());
  co_return without_races(done.status());
}

// --- removal -------------------------------------------------------------------------------------

std::string plan_cleaning(const Csr& csr, WallTime now) {
  const bool issued = !csr.status().certificate().empty();
  for (auto c : csr.status().conditions()) {
    const bool answered = older(c.last_update_time(), kAnsweredFor, now);
    if (c.type() == "Denied" && answered) return "denied for more than an hour";
    if (c.type() == "Failed" && answered) return "failed for more than an hour";
    if (c.type() != "Approved") continue;
    if (issued && answered) return "approved and issued for more than an hour";
    if (!issued && older(c.last_update_time(), kPendingFor, now)) {
      return "approved and unissued for more than a day";
    }
    auto pem = base64_decode(csr.status().certificate());
    auto info = issued && pem.ok() ? net::parse_certificate(*pem)
                                   : Result<net::CertificateInfo>(Status::bad_request("none"));
    if (info.ok() && now.unix_seconds() > info->not_after_unix) return "its certificate has ended";
  }
  if (csr.status().conditions().size() == 0 &&
      older(csr.metadata().creation_timestamp(), kPendingFor, now)) {
    return "pending for more than a day";
  }
  return "";
}

CsrCleanerController::CsrCleanerController(Deps deps)
    : Controller(deps, "certificate_cleaner", "certificate-controller", 1),
      requests_(watch<Csr>()) {}

Task<ReconcileResult> CsrCleanerController::reconcile(Context ctx, std::string) {
  for (const Ref<Csr>& csr : requests_.list()) {
    std::string why = plan_cleaning(*csr, loop().wall_now());
    if (why.empty()) continue;
    std::string name(csr->metadata().name());
    log::info("Cleaning CSR", {{"csr", name}, {"reason", why}});
    DeleteOptions o;
    o.uid = std::string(csr->metadata().uid());
    Status s = co_await client().remove<Csr>(ctx, "", name, std::move(o));
    if (!s.ok()) s = without_races(std::move(s));
    if (!s.ok()) log::warn("CSR not cleaned", {{"csr", name}, {"err", s}});
  }
  co_return ReconcileResult::after(1h);
}

}  // namespace keles::controllers
