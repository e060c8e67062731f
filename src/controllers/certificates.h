// CertificateSigningRequests: three controllers (upstream: pkg/controller/certificates). One
// approves what node agents ask for themselves, one signs what is approved, one removes what is
// old. The CA's key is not theirs: they are handed a function that signs (Options::sign_csr).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/certificates_v1.h"
#include "controllers/controller.h"

namespace keles::controllers {

// The subresources of which the requester must have "create" for its request to be approved by
// itself, each with the message of the approval; none when it is no node's client certificate.
struct AutoApproval {
  std::string_view subresource, message;
};
std::vector<AutoApproval> plan_approval(const api::certificates_v1::CertificateSigningRequest& csr);

// A signed status, or one with the condition Failed; nothing for what is not (yet) to be signed.
using SignedStatus = std::optional<Draft<api::certificates_v1::CertificateSigningRequestEdit>>;
Result<SignedStatus> plan_signature(const api::certificates_v1::CertificateSigningRequest& csr,
                                    const Options& options, WallTime now);

// Why it is to be removed; "" to keep it. Issued, denied and failed requests stay for an hour,
// those that nobody has answered or signed for a day, those of ended certificates not at all.
std::string plan_cleaning(const api::certificates_v1::CertificateSigningRequest& csr, WallTime now);

class CsrApprovingController final : public Controller {
 public:
  explicit CsrApprovingController(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;  // key: a request

 private:
  using Csr = api::certificates_v1::CertificateSigningRequest;
  Task<Result<bool>> may(Context ctx, Ref<Csr> csr, std::string subresource);
  Informer<Csr> requests_;
};

class CsrSigningController final : public Controller {
 public:
  explicit CsrSigningController(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;  // key: a request

 private:
  Informer<api::certificates_v1::CertificateSigningRequest> requests_;
};

class CsrCleanerController final : public Controller {
 public:
  explicit CsrCleanerController(Deps deps);
  // One key: "clean", every hour.
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;

 private:
  void started(Context) override { queue().add("clean"); }
  Informer<api::certificates_v1::CertificateSigningRequest> requests_;
};

}  // namespace keles::controllers
