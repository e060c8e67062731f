// CertificateApproval, CertificateSigning and CertificateSubjectRestriction
// (https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers): rights over a
// signer are asked for beside those over the request's subresources.
#include <algorithm>

#include "base/encoding.h"
#include "net/pki.h"
#include "server/admission/plugins.h"
#include "server/auth/caller.h"

namespace keles::admission {
namespace {

constexpr std::string_view kApiClientSigner = "kubernetes.io/kube-apiserver-client";

bool is_csr(const Attributes& a) {
  return a.is("certificates.k8s.io", "CertificateSigningRequest");
}

// Of this signer, or of all in its domain.
bool may(const Attributes& a, std::string verb, std::string_view signer) {
  if (!a.may || !*a.may) return false;
  Access access;
  access.verb = std::move(verb);
  access.group = "certificates.k8s.io";
  access.version = "*";
  access.resource = "signers";
  access.name = std::string(signer);
  if ((*a.may)(access)) return true;
  access.name = std::string(signer.substr(0, signer.find('/'))) + "/*";
  return (*a.may)(access);
}

// Asked of the stored request: nobody chooses a signer while approving.
Status check(const Attributes& a, const char* verb, const Value& before) {
  std::string_view signer = before["spec"]["signerName"].as_string();
  if (may(a, verb, signer)) return {};
  return refuse(a, "user not permitted to " + std::string(verb) + " requests with signerName \"" +
                       std::string(signer) + "\"");
}

}  // namespace

Status certificate_approval(const Attributes& a, const Value*, const Value* before) {
  if (!is_csr(a) || a.operation != Operation::kUpdate || a.subresource != "approval") return {};
  return check(a, "approve", *before);
}

Status certificate_signing(const Attributes& a, const Value* csr, const Value* before) {
  if (!is_csr(a) || a.operation != Operation::kUpdate || a.subresource != "status") return {};
  const Value &now = (*csr)["status"], &old = (*before)["status"];
  const bool same = now["certificate"].as_string() == old["certificate"].as_string();
  const Value &conditions = now["conditions"], &had = old["conditions"];
  if (same && ((conditions.empty() && had.empty()) || conditions.equals(had))) return {};
  return check(a, "sign", *before);
}

Status certificate_subject_restriction(const Attributes& a, const Value* csr, const Value*) {
  if (!is_csr(a) || a.operation != Operation::kCreate || !a.subresource.empty()) return {};
  const Value& spec = (*csr)["spec"];
  if (spec["signerName"].as_string() != kApiClientSigner) return {};
  auto pem = base64_decode(spec["request"].as_string());
  auto request = pem.ok() ? net::parse_csr(*pem) : Result<net::CertificateInfo>(pem.status());
  if (!request.ok()) return refuse(a, "failed to parse CSR: " + request.status().message());
  const auto& groups = request->organizations;
  if (std::find(groups.begin(), groups.end(), "system:masters") == groups.end()) return {};
  return refuse(a, "use of " + std::string(kApiClientSigner) +
                       " signer with system:masters group is not allowed");
}

}  // namespace keles::admission
