// A webhook that says what callers may do (authorization.k8s.io SubjectAccessReview v1, v1beta1;
// --authorization-webhook-*, AuthorizationConfiguration; KEP-3221). Which requests it is asked
// about is said in CEL. What it says is remembered for a time.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cel/program.h"
#include "server/auth/outside.h"
#include "server/identity/memory.h"
#include "server/identity/remote.h"

namespace keles::identity {

struct MatchCondition {
  std::string text;
  cel::ProgramPtr program;
};
// Over `request`, a SubjectAccessReviewSpec. The error is what stands behind the field.
Result<MatchCondition> compile_match_condition(std::string_view text);

struct AccessWebhookOptions {
  std::string name;                 // in metrics
  std::string version = "v1beta1";  // of the SubjectAccessReview
  Duration authorized_ttl = 5min, unauthorized_ttl = 30s;
  bool keep_authorized = true, keep_unauthorized = true;
  Duration timeout = 30s;      // of one attempt
  bool deny_on_error = false;  // failurePolicy: Deny
  std::vector<MatchCondition> conditions;
};

// The review's spec, and the whole of it, as they are sent.
std::string review_spec(const Caller& caller, const Access& access, std::string_view version);
std::string review_text(const std::string& spec, std::string_view version);
auth::Verdict read_access_review(std::string_view answer, bool deny_on_error);

class AccessWebhook final : public auth::OutsideAuthorizer,
                            public std::enable_shared_from_this<AccessWebhook> {
 public:
  AccessWebhook(std::shared_ptr<Remote> at, AccessWebhookOptions options)
      : at_(std::move(at)), options_(std::move(options)) {}
  auth::Verdict now(const Caller& caller, const Access& access, TimePoint now) const override;
  Task<auth::Verdict> ask(Context ctx, Caller caller, Access access) override;
  auth::Verdict unasked() const override;

 private:
  auth::Verdict failed(std::string why) const;
  // kAsk: it is to be asked.
  auth::Verdict match(const std::string& spec) const;
  void keep(const Access& access, std::string spec, const auth::Verdict& said, TimePoint now);

  std::shared_ptr<Remote> at_;
  AccessWebhookOptions options_;
  Memory<auth::Verdict> memory_;
};

}  // namespace keles::identity
