// certificate approve, certificate deny.
#include "kubectl/select.h"
#include "kubectl/verbs.h"
#include "kubectl/write.h"
#include "machinery/codec_json.h"
#include "machinery/time.h"

namespace keles::kubectl {
namespace {

constexpr int kConflictRetries = 10;

struct Verdict {
  const char *done, *condition, *opposite, *reason, *message;
};
constexpr Verdict kApprove{"approved", "Approved", "Denied", "KubectlApprove",
                           "This CSR was approved by kubectl certificate approve."};
constexpr Verdict kDeny{"denied", "Denied", "Approved", "KubectlDeny",
                        "This CSR was denied by kubectl certificate deny."};

// Whether the condition was added: it may be there already.
Result<bool> add_condition(Document& csr, const Verdict& v, WallTime now) {
  bool there = false;
  for (const Value& c : csr.root["status"]["conditions"].items()) {
    const std::string_view type = c["type"].as_string();
    if (type == v.opposite) {
      return failure("certificate signing request \"" +
                     std::string(csr.root["metadata"]["name"].as_string()) + "\" is already " +
                     v.opposite);
    }
    there = there || type == v.condition;
  }
  if (there) return false;
  Value& c = at(csr, "status.conditions").append(csr.arena, Value::map());
  c.set(csr.arena, "type", Value::string(v.condition));
  c.set(csr.arena, "status", Value::string("True"));
  c.set(csr.arena, "reason", Value::string(v.reason));
  c.set(csr.arena, "message", Value::string(v.message));
  c.set(csr.arena, "lastUpdateTime", text(csr, format_time(now)));
  return true;
}

Status decide(Session& session, const Resource& requests, const Found& f, const Verdict& v,
              bool force) {
  if (f.resource->kind != requests.kind || f.resource->group != requests.group) {
    return failure("can only handle CertificateSigningRequest.certificates.k8s.io objects, got " +
                   f.resource->kind + (f.resource->group.empty() ? "" : "." + f.resource->group));
  }
  for (int attempt = 0;; ++attempt) {
    Result<Document> csr = session.call(Call("GET", requests.path("", f.name)));
    if (csr.status().is(Reason::kNotFound)) {
      return failure("could not find v1 version of " + f.name + ": " + csr.status().message());
    }
    if (!csr.ok()) return csr.status();
    TRY_ASSIGN(added, add_condition(*csr, v, session.loop().wall_now()));
    if (!added && !force) return Status();
    Call c("PUT", requests.path("", f.name, "approval"));
    c.content_type = "application/json";
    c.body = to_json(csr->root);
    Status s = session.call(std::move(c)).status();
    if (!s.is(Reason::kConflict) || attempt >= kConflictRetries) return s;
  }
}

Status certificate(Invocation& in, const Verdict& verdict) {
  Query q;
  OutputFlags output;
  bool force = false;
  q.files.add_to(in.flags, "identifying the resource to update");
  output.add_to(in.flags);
  in.flags.add("force", &force,
               std::string("Update the CSR even if it is already ") + verdict.done + ".");
  TRY(in.parse());
  TRY_ASSIGN(printer, ObjectPrinter::make(output, false));
  if (in.args.empty() && q.files.files.empty()) {
    return failure("one or more CSRs must be specified as <name> or -f <filename>");
  }
  TRY_ASSIGN(session, in.session());
  TRY_ASSIGN(mapper, session->mapper());
  TRY_ASSIGN(requests, mapper->find("certificatesigningrequests.v1.certificates.k8s.io"));
  if (!in.args.empty()) {
    q.args = {"certificatesigningrequests.v1.certificates.k8s.io"};
    q.args.insert(q.args.end(), in.args.begin(), in.args.end());
  }
  std::vector<Status> errors;
  TRY_ASSIGN(found, find_objects(*session, q, &errors));
  for (const Found& f : found) {
    if (Status s = decide(*session, *requests, f, verdict, force); !s.ok()) {
      errors.push_back(std::move(s));
      continue;
    }
    // As it was found: what the answer adds is not shown.
    std::string line = f.display() + " " + verdict.done + "\n";
    if (printer) {
      TRY_ASSIGN(shown, printer->print(f.object.root));
      line = shown;
    }
    print(line);
  }
  if (found.empty() && errors.empty()) print("No resources found\n");
  return combine(std::move(errors));
}

}  // namespace

Status certificate_approve(Invocation& in) { return certificate(in, kApprove); }
Status certificate_deny(Invocation& in) { return certificate(in, kDeny); }

}  // namespace keles::kubectl
